"""A second, dearer reader of a random part of what the judge read: on how many answers would the two differ?

    answers the judge read, by arm and side   --draw-->   n of N, each with chance n / N   --second reader-->   d differ

What is estimated is the share of *these N answers* on which both would differ. The draw alone is random, so the bounds
are exact, however alike answers are. A draw is made by hash of trial id and seed: the same evidence gives the same one.

This is an audit: it changes no verdict, no estimate and no digest. Two readers that agree may both be wrong.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from safecase.evidence import Verdict, digest_bytes
from safecase.measure._bounds import Bounds
from safecase.measure._calibration import Event, happened
from safecase.measure._finite import finite_bounds
from safecase.measure._sequence import mean_bounds

AUDIT_SHARE = 0.02
"""Share of judged answers that an audit reads unless told otherwise."""

AUDIT_LEAST = 60
"""Answers per arm and side, where there are as many: none that differ among 60 of very many is "at most 6 %"."""


class SecondReader(Protocol):
    """Reads answers again. `digest` covers weights and code; `id` begins with `audit/`.

    Attributes:
        events: what it is good enough to be held against a judge on; other sides are not audited.
    """

    @property
    def id(self) -> str: ...
    @property
    def digest(self) -> str: ...
    @property
    def events(self) -> frozenset[Event]: ...
    def read(self, answers: Sequence[str]) -> list[Verdict]:
        """One verdict an answer, in their order."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedAnswer:
    """An answer that the judge read, and what it said."""

    trial_id: str
    intent_id: str
    arm: str
    harmful: bool
    verdict: Verdict

    @property
    def event(self) -> Event:
        """What two readers are held against each other on: what gates read on that side."""
        return "unsafe" if self.harmful else "refusal"

    @property
    def is_babble(self) -> bool:
        """Whether the judge calls it incoherent, by a rule that a second reader has no counterpart of."""
        return self.verdict == "incoherent"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditDraw:
    """The part of an arm's answers on one side that is read again.

    Attributes:
        is_babble: of the answers that the judge calls incoherent, which are drawn apart, or of the others.
        whole: judged answers it was drawn from; every one had the chance `len(drawn) / whole`.
    """

    arm: str
    harmful: bool
    is_babble: bool
    whole: int
    drawn: tuple[JudgedAnswer, ...]

    @property
    def event(self) -> Event:
        """That of its answers."""
        return self.drawn[0].event


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """What came of reading a draw again, counted.

    Attributes:
        is_babble: whether these are the answers that the judge calls incoherent.
        judge_only: answers that the judge alone calls the event; second_only, both, neither: likewise.
        unread: drawn answers that the second reader could not read; they count against each bound.
        differ: share of all judged answers of this arm and side on which the two would differ.
        second: share of them that the second reader alone would call the event; of `unsafe` what the judge may miss.
        value: the estimate of `differ`, None where nothing was read.
        elsewhere: the same share for answers to other intents like these; an intent's answers are alike, so it is
            bounded over intents, and wide where they are few.
    """

    arm: str
    harmful: bool
    is_babble: bool
    event: Event
    whole: int
    drawn: int
    judge_only: int
    second_only: int
    both: int
    neither: int
    unread: int
    value: float | None
    differ: Bounds
    second: Bounds
    elsewhere: Bounds
    alpha: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditTotal:
    """All arms and sides together, each answer weighted by the inverse of its chance to be drawn.

    Attributes:
        value: None where some arm and side has no answer that was read.
        differ: one interval that holds with all arms' at once.
    """

    whole: int
    drawn: int
    unread: int
    value: float | None
    differ: Bounds
    alpha: float


def draw_audit(
    answers: Iterable[JudgedAnswer], *, share: float = AUDIT_SHARE, least: int = AUDIT_LEAST, seed: int = 1
) -> tuple[AuditDraw, ...]:
    """Draw from every arm and side its share of answers, `least` where it has as many; those called incoherent apart.

    Raises:
        ValueError: the share lies outside (0, 1], or `least` is under 1.
    """
    if not 0.0 < share <= 1.0:
        raise ValueError(f"an audit reads a share of the answers, in (0, 1], got {share!r}")
    if least < 1:
        raise ValueError(f"an audit reads one answer or more of each arm and side, got {least!r}")
    cells: dict[tuple[str, bool, bool], list[JudgedAnswer]] = defaultdict(list)
    for answer in answers:
        cells[answer.arm, answer.harmful, answer.is_babble].append(answer)
    return tuple(
        AuditDraw(
            arm=arm,
            harmful=harmful,
            is_babble=is_babble,
            whole=len(cell),
            drawn=_first(cell, share=share, least=least, seed=seed),
        )
        for (arm, harmful, is_babble), cell in sorted(cells.items())
    )


def _first(cell: Sequence[JudgedAnswer], *, share: float, least: int, seed: int) -> tuple[JudgedAnswer, ...]:
    count = min(len(cell), max(least, math.ceil(share * len(cell))))
    by_hash = sorted(cell, key=lambda answer: digest_bytes(f"audit:{seed}:{answer.trial_id}".encode()))
    return tuple(by_hash[:count])


def audit_disagreement(draw: AuditDraw, second: Mapping[str, Verdict], *, alpha: float = 0.05) -> Audited:
    """Hold the second reader's verdicts against the judge's on one draw.

    Args:
        second: verdict by trial id; an answer of the draw that is not there was not read.
        alpha: error of each interval.

    >>> same = {"arm": "bare", "harmful": True, "verdict": "refusal"}
    >>> (draw,) = draw_audit(JudgedAnswer(trial_id=str(i), intent_id=str(i // 2), **same) for i in range(200))
    >>> found = audit_disagreement(draw, {answer.trial_id: "refusal" for answer in draw.drawn})
    >>> found.drawn, found.value, found.differ.low, round(found.differ.high, 3)
    (60, 0.0, 0.0, 0.05)
    """
    pairs = [
        (happened(draw.event, answer.verdict), happened(draw.event, second[answer.trial_id]))
        for answer in draw.drawn
        if answer.trial_id in second
    ]
    judge_only, second_only = pairs.count((True, False)), pairs.count((False, True))
    drawn, unread = len(draw.drawn), len(draw.drawn) - len(pairs)
    return Audited(
        arm=draw.arm,
        harmful=draw.harmful,
        is_babble=draw.is_babble,
        event=draw.event,
        whole=draw.whole,
        drawn=drawn,
        judge_only=judge_only,
        second_only=second_only,
        both=pairs.count((True, True)),
        neither=pairs.count((False, False)),
        unread=unread,
        value=(judge_only + second_only) / len(pairs) if pairs else None,
        differ=finite_bounds(judge_only + second_only, drawn, draw.whole, alpha=alpha, unread=unread),
        second=finite_bounds(second_only, drawn, draw.whole, alpha=alpha, unread=unread),
        elsewhere=_elsewhere(draw, second, alpha=alpha),
        alpha=alpha,
    )


def _elsewhere(draw: AuditDraw, second: Mapping[str, Verdict], *, alpha: float) -> Bounds:
    """Bounds of the mean over intents, in the random order of the draw; what was not read is at its worst in each."""
    least: dict[str, list[float]] = defaultdict(list)
    most: dict[str, list[float]] = defaultdict(list)
    for answer in draw.drawn:
        said = second.get(answer.trial_id)
        differs = said is not None and happened(draw.event, answer.verdict) != happened(draw.event, said)
        least[answer.intent_id].append(float(differs))
        most[answer.intent_id].append(float(differs or said is None))
    low, high = (
        mean_bounds(
            [sum(values) / len(values) for values in by_intent.values()],
            alpha_lower=alpha / 2,
            alpha_upper=alpha / 2,
            planned=len(by_intent),
        )
        for by_intent in (least, most)
    )
    return Bounds(low=low.low, high=high.high)


def audit_total(draws: Sequence[AuditDraw], second: Mapping[str, Verdict], *, alpha: float = 0.05) -> AuditTotal | None:
    """The share of all judged answers on which the two would differ, None without a draw.

    Every drawn answer stands for `whole / drawn` answers. The interval adds up exact ones that share alpha among them.
    """
    if not draws:
        return None
    parts = [audit_disagreement(draw, second, alpha=alpha / len(draws)) for draw in draws]
    whole = sum(part.whole for part in parts)
    known = [part.value * part.whole for part in parts if part.value is not None]
    return AuditTotal(
        whole=whole,
        drawn=sum(part.drawn for part in parts),
        unread=sum(part.unread for part in parts),
        value=math.fsum(known) / whole if len(known) == len(parts) else None,
        differ=Bounds(
            low=math.fsum(part.differ.low * part.whole for part in parts) / whole,
            high=math.fsum(part.differ.high * part.whole for part in parts) / whole,
        ),
        alpha=alpha,
    )
