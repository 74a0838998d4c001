"""What the ledger tells between two editions of a report, and how each gate read in an edition."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from safecase.assess._case import Case
from safecase.assess._learned import regressions
from safecase.decide import Decided
from safecase.evidence import Entry, Estimate
from safecase.report import OF_LEDGER, EventLine, GateReading, Since, estimate_text

_UNREAD = frozenset({"not-planned", "not-applicable"})


def readings_of(decided: Decided, estimates: Sequence[Estimate]) -> tuple[GateReading, ...]:
    """Every gate that was read, with the first estimate that it rests on."""
    known = {one.estimate_id: one for one in estimates}
    return tuple(
        _reading(finding.gate, finding.context, finding.verdict, known.get(next(iter(finding.evidence), "")))
        for finding in decided.findings
        if finding.verdict not in _UNREAD
    )


def since_edition(
    case: Case,
    *,
    edition: int,
    head: str,
    evidence_root: str,
    before: Sequence[GateReading],
    until: str,
) -> Since | None:
    """What happened after an edition; None where its head is not in this ledger.

    Args:
        head: the ledger's head when that edition was made. until: the head of the edition that tells it.
    """
    entries = list(case.ledger.entries())
    place = {entry.hash: at for at, entry in enumerate(entries)}
    if head not in place or until not in place:
        return None
    between = entries[place[head] + 1 : place[until] + 1]
    return Since(
        edition=edition,
        head=head,
        evidence_root=evidence_root,
        events=tuple(_events(between)),
        before=tuple(before),
        learned=regressions(case, case.plan),
    )


def _reading(gate: str, context: str, verdict: str, estimate: Estimate | None) -> GateReading:
    if estimate is None:
        return GateReading(gate=gate, context=context, verdict=verdict, estimate_id="", value=None, text="not measured")
    return GateReading(
        gate=gate,
        context=context,
        verdict=verdict,
        estimate_id=estimate.estimate_id,
        value=estimate.value,
        text=estimate_text(estimate, estimate.value),
    )


def _events(entries: Sequence[Entry]) -> Iterator[EventLine]:
    for entry in entries:
        if entry.action in OF_LEDGER:
            what = _sentence(entry.action, entry.subject)
            yield EventLine(seq=entry.seq, action=entry.action, date=entry.at.date(), what=what)


def _sentence(action: str, said: Mapping[str, Any]) -> str:
    """An entry in words; what an older ledger does not say is left out."""

    def value(name: str) -> str:
        return str(said.get(name, ""))

    kinds = ", ".join(said.get("kinds", ()))
    words: dict[str, tuple[str, ...]] = {
        "alerted": (value("what"),),
        "incident-opened": (value("incident"), kinds),
        "near-miss": (value("incident"), kinds),
        "decision-reopened": (value("context"), value("why")),
        "narrowed": (value("context"), value("reason")),
        "revoked": (value("context"), value("reason")),
        "lifted": (value("restriction"), value("reason")),
        "scenario-learned": (value("scenario"), f"accepted by {said['by']}" if "by" in said else ""),
        "taken-over": (f"decision {value('decision_sha256')[:12]}",),
    }
    return ": ".join(word for word in words[action] if word)
