"""What happened between the edition before and this one: in use, to permits, to decisions, and to every gate."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from safecase.evidence import digest_value
from safecase.report._input import EventLine, GateReading, ReportInput, Since
from safecase.report._numbers import LEDGER, Number, Tracer

EDITIONS = "report/editions.json"
SHOWN = 6
"""Lines of one kind that are told; the rest is counted, and stands in the ledger."""
FEW = 30
"""Up to so many gates all of them are listed; of more, those that read otherwise than then."""
_KINDS = (
    ("alerted", "Alerts of the monitor"),
    ("incident-opened", "Incidents opened"),
    ("near-miss", "Near misses"),
    ("decision-reopened", "Decisions reopened"),
    ("narrowed", "Permits narrowed"),
    ("revoked", "Permits revoked"),
    ("lifted", "Restrictions lifted"),
    ("scenario-learned", "Scenarios learned"),
    ("taken-over", "Decisions taken over from a successor"),
)
OF_LEDGER = tuple(action for action, _ in _KINDS)
"""The ledger's words for what is told here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Move:
    """A gate's reading then and now; None where it has none."""

    gate: str
    context: str
    before: GateReading | None
    after: GateReading | None


def since_numbers(given: ReportInput) -> Iterator[tuple[str, Number]]:
    """Every number of this part, by id."""
    since = given.since
    if since is None:
        return
    span: dict[str, Any] = {"after": since.head, "to": given.ledger_head}
    for action in OF_LEDGER:
        found = sum(line.action == action for line in since.events)
        query: dict[str, Any] = {"kind": "ledger", "of": action, **span}
        yield f"since/{action}", Number(value=found, text=f"{found:,}", query=query, evidence_digest=given.ledger_head)
    rows = [[one.scenario, one.arm, one.outcome] for one in since.learned]
    for (arm, outcome), found in sorted(Counter((one.arm, one.outcome) for one in since.learned).items()):
        query = {"kind": "tally", "of": "learned", "where": {"arm": arm, "outcome": outcome}}
        number = Number(value=found, text=f"{found:,}", query=query, evidence_digest=digest_value(rows))
        yield f"since/learned/{arm}/{outcome}", number
    for place, one in enumerate(since.before):
        pointer = f"/{since.edition - 1}/readings/{place}/value"
        query = {"kind": "file", "file": EDITIONS, "pointer": pointer}
        number = Number(value=one.value, text=one.text, query=query, evidence_digest=since.evidence_root)
        yield f"since/gate/{one.gate}/{one.context}/before", number


def since(given: ReportInput, tracer: Tracer) -> dict[str, Any] | None:
    """The tables; None in a first edition, or where the edition before is of another ledger."""
    found = given.since
    if found is None:
        return None
    return {
        "edition": found.edition,
        "events": [_events(found, action, title, tracer) for action, title in _KINDS],
        "learned": _learned(found, tracer),
        "moves": [_move_row(one, tracer) for one in _moves(given, found)],
        "has_all": len({(one.gate, one.context) for one in (*found.before, *given.readings)}) <= FEW,
    }


def _events(found: Since, action: str, title: str, tracer: Tracer) -> dict[str, Any]:
    lines = [line for line in found.events if line.action == action]
    tracer.num(f"since/{action}")
    return {
        "title": title,
        "count": f"since/{action}",
        "lines": [_told(line, tracer) for line in lines[:SHOWN]],
        "has_more": len(lines) > SHOWN,
    }


def _told(line: EventLine, tracer: Tracer) -> dict[str, str]:
    said = tracer.quote(line.what, file=LEDGER, pointer=f"/{line.seq}")
    return {"date": line.date.isoformat(), "what": said}


def _learned(found: Since, tracer: Tracer) -> list[dict[str, Any]]:
    arms = sorted({one.arm for one in found.learned})
    table = tracer.table
    for name in (f"since/learned/{arm}/{outcome}" for arm in arms for outcome in ("safe", "unsafe", "unknown")):
        if name in table:
            tracer.num(name)
    return [
        {
            "arm": arm,
            **{
                outcome: name if (name := f"since/learned/{arm}/{outcome}") in table else None
                for outcome in ("safe", "unsafe", "unknown")
            },
        }
        for arm in arms
    ]


def _moves(given: ReportInput, found: Since) -> Iterator[_Move]:
    before = {(one.gate, one.context): one for one in found.before}
    after = {(one.gate, one.context): one for one in given.readings}
    keys = sorted(before.keys() | after.keys())
    for gate, context in keys:
        then, now = before.get((gate, context)), after.get((gate, context))
        is_same = then is not None and now is not None and (then.verdict, then.value) == (now.verdict, now.value)
        if len(keys) <= FEW or not is_same:
            yield _Move(gate=gate, context=context, before=then, after=now)


def _move_row(one: _Move, tracer: Tracer) -> dict[str, Any]:
    held = f"since/gate/{one.gate}/{one.context}/before"
    now = None if one.after is None or one.after.estimate_id not in tracer.table else one.after.estimate_id
    for name in (held if one.before else None, now):
        if name is not None:
            tracer.num(name)
    return {
        "gate": one.gate,
        "context": one.context,
        "before": None if one.before is None else {"verdict": _word(one.before), "value": held},
        "after": None if one.after is None else {"verdict": _word(one.after), "value": now},
        "has_moved": _word(one.before) != _word(one.after),
    }


def _word(one: GateReading | None) -> str | None:
    return None if one is None else one.verdict.replace("-", " ")
