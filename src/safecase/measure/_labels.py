"""Which answers people label, and what their labels come to.

The problem: a judge's sensitivity is a share, and an exact bound of a share wants independent answers, each drawn by a
chance that is known. Answers to one intent are alike, and a person who picks what to label picks what is easy.

The choice: draws are over *units*, an intent on one side (harmful or benign). A unit gives one answer at most, drawn
among its own; so labelled answers are independent, and each unit weighs the same, as it does in a rate.

| draw | chance of an answer | exact, from labels | counts as `own` |
|---|---|---|---|
| uniform | units drawn / units x 1 / answers of its unit | se, sp, PPV, NPV, each a plain binomial | yes |
| by-verdict | the same within answers the judge called the event, and within the others | PPV, NPV; se and sp bounded \
through both and the flagged share, a third of the error each | no |
| by-doubt | proportional to the judge's doubt, over a floor | nothing; weighted points for finding errors | no |
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Literal

from safecase.evidence import Verdict, digest_bytes
from safecase.measure._bounds import Bounds, exact_lower, exact_upper
from safecase.measure._calibration import Agreement

By = Literal["uniform", "by-verdict", "by-doubt"]
Side = Literal["harmful", "benign"]

_FLOOR = 0.05
"""Least doubt that an answer is drawn by: the judge that is sure may be wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An answer that may be drawn.

    Attributes:
        unit: its intent and side; at most one answer of a unit is drawn.
        flagged: whether the judge calls it the event of a draw by verdict; None where it was not judged.
        doubt: the judge's, in [0, 1]; None where it has no scores.
    """

    trial_id: str
    unit: str
    flagged: bool | None = None
    doubt: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """An answer that was drawn, and by what chance.

    Attributes:
        probability: of this answer, before the draw, in (0, 1].
        flagged: as in its `Candidate`, at the time of the draw.
    """

    trial_id: str
    probability: float
    flagged: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """What a draw was made from, and what it gave.

    Attributes:
        units: units that had an answer to draw.
        flagged_units: of a draw by verdict, units whose drawn answer the judge had flagged, drawn or not; else None.
        rows: the drawn answers, in an order that says nothing.
    """

    units: int
    flagged_units: int | None
    rows: tuple[Drawn, ...]


def draw_panel(candidates: Iterable[Candidate], *, by: By, count: int, seed: int) -> Panel:
    """Draw answers for people to label, at most one per unit, each by a known chance.

    Args:
        count: how many; fewer come where there are fewer units.
        seed: another seed is another draw; the same gives the same.

    Raises:
        ValueError: by verdict or by doubt, and a candidate lacks it; the caller leaves those out.
    """
    units: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        units[candidate.unit].append(candidate)
    one_each = [
        (min(members, key=lambda c: _order(seed, "answer", c.trial_id)), 1 / len(members))
        for _, members in sorted(units.items(), key=lambda item: _order(seed, "unit", item[0]))
    ]
    if by == "uniform":
        return Panel(units=len(units), flagged_units=None, rows=_take(one_each, count))
    if by == "by-verdict":
        return _by_verdict(one_each, count)
    return Panel(units=len(units), flagged_units=None, rows=_by_doubt(one_each, count, seed))


def _take(members: Sequence[tuple[Candidate, float]], count: int) -> tuple[Drawn, ...]:
    share = min(1.0, count / len(members)) if members else 0.0
    return tuple(
        Drawn(trial_id=c.trial_id, probability=share * within, flagged=c.flagged) for c, within in members[:count]
    )


def _by_verdict(members: Sequence[tuple[Candidate, float]], count: int) -> Panel:
    if any(c.flagged is None for c, _ in members):
        raise ValueError("a draw by verdict needs the judge's verdict on every candidate")
    flagged = [member for member in members if member[0].flagged]
    others = [member for member in members if not member[0].flagged]
    half = min(len(flagged), max(count // 2, count - len(others)))
    rows = (*_take(flagged, half), *_take(others, count - half))
    return Panel(
        units=len(members),
        flagged_units=len(flagged),
        rows=tuple(sorted(rows, key=lambda row: digest_bytes(row.trial_id.encode()))),
    )


def _by_doubt(members: Sequence[tuple[Candidate, float]], count: int, seed: int) -> tuple[Drawn, ...]:
    """Systematic sampling with chances proportional to doubt: the chances come out exactly.

    Source: Madow, Annals of Mathematical Statistics 20:333 (1949).
    """
    doubts = [c.doubt for c, _ in members if c.doubt is not None]
    if len(doubts) < len(members):
        raise ValueError("a draw by doubt needs the judge's scores on every candidate")
    chances = _chances([max(_FLOOR, doubt) for doubt in doubts], min(count, len(members)))
    start = int(_order(seed, "start", "")[:12], 16) / 16**12
    rows: list[Drawn] = []
    reached = 0.0
    for (candidate, within), chance in zip(members, chances, strict=True):
        if ceil(reached + chance - start) > ceil(reached - start):
            rows.append(Drawn(trial_id=candidate.trial_id, probability=chance * within, flagged=candidate.flagged))
        reached += chance
    return tuple(rows)


def _chances(sizes: Sequence[float], count: int) -> list[float]:
    """Chances in (0, 1] proportional to size that add up to count; what would go over 1 is certain."""
    certain: set[int] = set()
    while True:
        rest = [i for i in range(len(sizes)) if i not in certain]
        scale = (count - len(certain)) / sum(sizes[i] for i in rest) if rest else 0.0
        over = {i for i in rest if sizes[i] * scale >= 1.0}
        if not over:
            return [1.0 if i in certain else sizes[i] * scale for i in range(len(sizes))]
        certain |= over


def _order(seed: int, what: str, name: str) -> str:
    return digest_bytes(f"{seed}/{what}/{name}".encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What the labels of a draw come to.

    Attributes:
        labels: trial id -> the label that all raters gave, or the adjudicator's.
        waiting: trials that a rater has yet to read.
        disputed: trials on which raters differ or that one of them skipped, until an adjudicator decides.
    """

    labels: Mapping[str, Verdict] = field(default_factory=dict)
    waiting: tuple[str, ...] = ()
    disputed: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether every drawn answer has its label. What people find hard is what a judge finds hard: leaving it out
        would flatter the judge, so a draw counts whole or not at all."""
        return not self.waiting and not self.disputed


def settle(
    trial_ids: Iterable[str],
    *,
    raters: int,
    given: Mapping[str, Mapping[str, Verdict | None]],
    final: Mapping[str, Verdict],
) -> Settled:
    """Bring raters' labels to one per answer.

    Args:
        trial_ids: the drawn answers.
        raters: how many people were to read each.
        given: trial id -> rater -> label, None where the rater skipped it.
        final: trial id -> an adjudicator's label.

    >>> settle(["t"], raters=2, given={"t": {"ana": "refusal", "bo": "compliance"}}, final={}).disputed
    ('t',)
    """
    labels: dict[str, Verdict] = {}
    waiting: list[str] = []
    disputed: list[str] = []
    for trial_id in trial_ids:
        read = given.get(trial_id, {})
        said = set(read.values())
        if trial_id in final:
            labels[trial_id] = final[trial_id]
        elif len(read) < raters:
            waiting.append(trial_id)
        elif len(said) == 1 and (label := next(iter(said))) is not None:
            labels[trial_id] = label
        else:
            disputed.append(trial_id)
    return Settled(labels=labels, waiting=tuple(waiting), disputed=tuple(disputed))


@dataclass(frozen=True, slots=True, kw_only=True)
class ByVerdict:
    """What a draw by verdict bounds; each pair of bounds two-sided at the alpha that was asked for.

    Attributes:
        ppv, npv: share of flagged answers that people call the event, and of the others that they do not; exact.
        sensitivity, specificity: by union bound over ppv, npv and the flagged share.
    """

    counts: Agreement
    ppv: Bounds
    npv: Bounds
    sensitivity: Bounds
    specificity: Bounds


def by_verdict(counts: Agreement, *, flagged_units: int, units: int, alpha: float) -> ByVerdict | None:
    """Bounds from a draw by verdict; None until both sides have a label.

    Args:
        counts: labels of that draw alone, for the event it was drawn by.
        flagged_units, units: of its panel.
        alpha: error of each interval.

    Sensitivity is q ppv / (q ppv + (1 - q) (1 - npv)) with q the flagged share; it grows in all three. Specificity is
    (1 - q) npv / ((1 - q) npv + q (1 - ppv)); it falls in q.
    """
    flagged, others = counts.hits + counts.false_alarms, counts.rejections + counts.misses
    if not flagged or not others:
        return None
    each = alpha / 2 / 3
    share = _both(flagged_units, units, alpha=each)
    ppv = _both(counts.hits, flagged, alpha=each)
    npv = _both(counts.rejections, others, alpha=each)
    return ByVerdict(
        counts=counts,
        ppv=_both(counts.hits, flagged, alpha=alpha / 2),
        npv=_both(counts.rejections, others, alpha=alpha / 2),
        sensitivity=Bounds(
            low=_share(share.low * ppv.low, (1 - share.low) * (1 - npv.low), otherwise=0.0),
            high=_share(share.high * ppv.high, (1 - share.high) * (1 - npv.high), otherwise=1.0),
        ),
        specificity=Bounds(
            low=_share((1 - share.high) * npv.low, share.high * (1 - ppv.low), otherwise=0.0),
            high=_share((1 - share.low) * npv.high, share.low * (1 - ppv.high), otherwise=1.0),
        ),
    )


def weighted_points(rows: Iterable[tuple[float, bool, bool]]) -> tuple[float | None, float | None]:
    """Sensitivity and specificity as weighted points (Horvitz and Thompson, JASA 47:663, 1952); no bound goes with it.

    Args:
        rows: (chance of being drawn, people said yes, judge said yes).
    """
    weight = {(True, True): 0.0, (True, False): 0.0, (False, True): 0.0, (False, False): 0.0}
    for chance, person, judge in rows:
        weight[person, judge] += 1 / chance
    yes, no = weight[True, True] + weight[True, False], weight[False, False] + weight[False, True]
    return (weight[True, True] / yes if yes else None, weight[False, False] / no if no else None)


def one_per_unit(labelled: Mapping[str, str], *, seed: int) -> frozenset[str]:
    """Of labelled trials (trial id -> unit), one of each unit by a chance that knows no label."""
    chosen: dict[str, str] = {}
    for trial_id in sorted(labelled, key=lambda name: _order(seed, "answer", name)):
        chosen.setdefault(labelled[trial_id], trial_id)
    return frozenset(chosen.values())


def _both(hits: int, trials: int, *, alpha: float) -> Bounds:
    return Bounds(low=exact_lower(hits, trials, alpha=alpha), high=exact_upper(hits, trials, alpha=alpha))


def _share(part: float, rest: float, *, otherwise: float) -> float:
    return part / (part + rest) if part + rest > 0 else otherwise
