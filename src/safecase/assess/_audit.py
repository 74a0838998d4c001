"""The judge of a case audited: a second, dearer reader of a random part of what it read. Changes no verdict."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from safecase.assess._balance import is_political
from safecase.assess._case import Case, Clock, NothingToRead, utc_now
from safecase.assess._kept import ACTOR, record
from safecase.assess._labels import judge_of
from safecase.assess._labels_kept import can_be_labelled, in_evidence
from safecase.evidence import KeyMissing, Trial, Verdict, canonical_json
from safecase.measure import (
    AUDIT_LEAST,
    AUDIT_SHARE,
    AuditDraw,
    Audited,
    AuditTotal,
    EmbeddingReader,
    JudgedAnswer,
    SecondReader,
    VerdictIndex,
    audit_disagreement,
    audit_total,
    draw_audit,
)

JUDGE_AUDIT = "judge-audit.json"
"""What the last audit read and found, in the case; the ledger names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSample:
    """How an audit draws: a share of each arm's answers on each side, `least` where there are as many."""

    share: float = AUDIT_SHARE
    least: int = AUDIT_LEAST
    seed: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeAudit:
    """What an audit found.

    Attributes:
        judge_digest, second_digest: the two readers.
        unscored: answers that the judge could not judge; they were not drawn from.
        not_audited: judged answers on a side that the second reader is not good enough for.
        second: the second reader's verdict on each answer that it read, by trial id.
    """

    judge_digest: str
    second_id: str
    second_digest: str
    sample: AuditSample
    unscored: int
    not_audited: int
    parts: tuple[Audited, ...]
    total: AuditTotal
    draws: tuple[AuditDraw, ...]
    second: Mapping[str, Verdict]

    def to_json(self) -> dict[str, Any]:
        """As it is kept and printed: every count with the answers behind it, by trial id."""
        return {
            "judge_digest": self.judge_digest,
            "second": self.second_id,
            "second_digest": self.second_digest,
            "sample": dataclasses.asdict(self.sample),
            "unscored": self.unscored,
            "not_audited": self.not_audited,
            "parts": [dataclasses.asdict(part) for part in self.parts],
            "total": dataclasses.asdict(self.total),
            "answers": [
                {"trial_id": one.trial_id, "judge": one.verdict, "second": self.second.get(one.trial_id)}
                for draw in self.draws
                for one in draw.drawn
            ],
        }


def audit_judge(
    case: Case, *, sample: AuditSample = AuditSample(), reader: SecondReader | None = None, now: Clock = utc_now
) -> JudgeAudit:
    """Draw from what the judge read, have the second reader read that, and keep what came of it in `judge-audit.json`.

    Sealed answers are opened under the log; without their key they stay unread, which widens every bound.

    Raises:
        NothingToRead: the case was not measured, or no answer of it needed a judge that may be audited.
        MissingPackage: the extra `embeddings` is not installed. Nothing is read then.
        ValueError: a share or a least count out of range.
    """
    reader = reader or EmbeddingReader()
    second_digest = reader.digest
    judge_digest = judge_of(case)
    judged, unscored = _judged(case, judge_digest)
    auditable = [one for one in judged if one.event in reader.events]
    draws = draw_audit(auditable, share=sample.share, least=sample.least, seed=sample.seed)
    second = _read(case, [one.trial_id for draw in draws for one in draw.drawn], reader, now)
    total = audit_total(draws, second)
    if total is None:
        line = f"{str(case.path)!r} holds no answer that a judge read and the second reader may read again"
        raise NothingToRead(f"{line}; it may on {', '.join(sorted(reader.events))} alone")
    audit = JudgeAudit(
        judge_digest=judge_digest,
        second_id=reader.id,
        second_digest=second_digest,
        sample=sample,
        unscored=unscored,
        not_audited=len(judged) - len(auditable),
        parts=tuple(audit_disagreement(draw, second) for draw in draws),
        total=total,
        draws=draws,
        second=second,
    )
    record(case, JUDGE_AUDIT, canonical_json(audit.to_json()) + b"\n", action="judge-audited", now=now)
    return audit


def _judged(case: Case, judge_digest: str) -> tuple[list[JudgedAnswer], int]:
    """The answers that estimates rest on and a judge was needed for; and how many of them it could not judge."""
    verdicts = VerdictIndex(case.judgements.read({"judge_digest": judge_digest}))
    found, unscored = [], 0
    for trial in _needing_a_judge(case):
        said = verdicts.get(trial.trial_id)
        if said is None or said.verdict is None:
            unscored += 1
            continue
        found.append(
            JudgedAnswer(
                trial_id=trial.trial_id,
                intent_id=trial.intent_id,
                arm=trial.arm,
                harmful=trial.harmful,
                verdict=said.verdict,
            )
        )
    return found, unscored


def _needing_a_judge(case: Case) -> Iterator[Trial]:
    trials = in_evidence(case, case.standing({"status": "answered"}))
    return (trial for trial in trials if can_be_labelled(trial) and not is_political(trial))


def _read(case: Case, trial_ids: Sequence[str], reader: SecondReader, now: Clock) -> dict[str, Verdict]:
    """Verdicts by trial id, of the answers that can be opened here."""
    trials = {trial.trial_id: trial for trial in case.trials.read({"trial_id": set(trial_ids)})}
    sealed = [trial for trial in trials.values() if trial.sealed is not None]
    answers = {name: trial.response for name, trial in trials.items() if trial.response is not None}
    answers |= _opened(case, sealed, now) if sealed else {}
    names = [name for name in trial_ids if name in answers]
    return dict(zip(names, reader.read([answers[name] for name in names]), strict=True))


def _opened(case: Case, sealed: Sequence[Trial], now: Clock) -> Mapping[str, str]:
    try:
        vault = case.vault()
    except KeyMissing:
        return {}
    return vault.read_sealed(
        vault.sealed_here(sealed), ledger=case.ledger, actor=ACTOR, purpose="auditing the judge", at=now()
    )
