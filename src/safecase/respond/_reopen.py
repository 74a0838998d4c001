"""A broken condition reopens the decision: the permit is closed first, then all else is written down.

signal -> broken condition -> permit narrowed or revoked -> record, ledger, concern -> proposal of a re-assessment
       -> a person accepts -> a successor of the case: run, decide, sign -> taken over -> settled

Closing is one-way and takes one key of a role that may `narrow`. Every step may be cut off and done again: the record's
id is made from the decision, the condition and the occasion, and the restriction names it.
"""

import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import AwareDatetime

from safecase.assess import (
    Case,
    Restriction,
    begin_successor,
    case_roster,
    narrow_permit,
    open_case,
    permit_name,
    record,
    restrictions,
    revoke_permit,
    validity,
)
from safecase.decide import Concern
from safecase.declare import Condition, Document, Edit
from safecase.evidence import canonical_json, digest_bytes, digest_value, read_envelope
from safecase.monitor import Alert
from safecase.registry import Incident, Kept, NoSuchRecord, Report
from safecase.respond._concerns import bring, bring_incident
from safecase.respond._conditions import AlertSignal, Broken, IncidentSignal, Look, Signal, broken, conditions_of
from safecase.respond._desk import Desk, person_name
from safecase.respond._errors import WrongStep
from safecase.respond._learned import LearnedScenario

FOLDER = "respond/reassessments"


class Reopening(Kept):
    """A decision that is open again, and why.

    Attributes:
        signal: what broke the condition.
        then: what was done to the permit; `restriction` is the id of the signed statement.
        by: person and role whose key closed it.
        proposal: file of the case, relative to it.
        status: `open` until a person takes up the re-assessment, `settled` once another decision has a permit.
    """

    kind: ClassVar[str] = "reopening"

    context: str
    condition: str
    condition_kind: str
    why: str
    signal: str
    at: AwareDatetime
    decision_sha256: str
    then: Literal["revoke", "narrow"]
    share: float | None = None
    restriction: str
    by: str
    proposal: str
    status: Literal["open", "accepted", "settled"] = "open"
    accepted_by: str | None = None


def react(desk: Desk, signal: Signal | None, *, key_file: Path, at: dt.datetime) -> tuple[Reopening, ...]:
    """Hold a signal against every permit of the case, and reopen what it breaks.

    Args:
        signal: None is a tick: how each context stands now is held against its permit.
        key_file: of a role that may `narrow`: the program's, or a person's.

    Returns:
        What was reopened now; what was before for the same occasion is not done again.

    Raises:
        NotSupported, RosterBroken: the key may not close a permit. Nothing is recorded then, and the next try does it.
        PackError: the case cannot be read; a gateway serves nothing from it either.
    """
    case = open_case(desk.case.path)
    made: list[Reopening] = []
    for context in case.spec.contexts:
        held = _held(case, context)
        if held is None:
            continue
        conditions = conditions_of(held) if "validity" in held else validity(case, context)
        said = signal if signal is not None else _look(case, context, at=at)
        done = [_reopen(desk, case, held, one, key_file=key_file, at=at) for one in broken(conditions, said, held=held)]
        made += [one for one in done if one is not None]
    return tuple(made)


def tick(desk: Desk, *, key_file: Path, at: dt.datetime) -> tuple[Reopening, ...]:
    """Hold the clock, the declarations and every incident on record against every permit; settle what was decided anew.

    Raises:
        As `react`.
    """
    incidents = desk.registry.all(Incident, case=desk.case.spec.id)
    signals: list[Signal | None] = [None, *(IncidentSignal(incident=one) for one in incidents if one.closed is None)]
    made = tuple(one for signal in signals for one in react(desk, signal, key_file=key_file, at=at))
    _settle(desk, at=at)
    _keep_concerns(desk, incidents, at=at)
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionState:
    """A condition under which a decision holds, at a moment.

    Attributes:
        why: one sentence for each thing that breaks it.
        is_seen: whether what was looked at could show it broken; without that, no word of `why` means nothing.
    """

    condition: Condition
    why: tuple[str, ...]
    is_seen: bool


def condition_states(
    case: Case,
    context: str,
    *,
    incidents: Sequence[Incident] | None,
    reopened: Sequence[Reopening] = (),
    at: dt.datetime,
) -> tuple[ConditionState, ...]:
    """How the conditions of a context stand, by the clock, the declarations and what the desk knows. Closes nothing.

    Without a permit the conditions are those that one would carry, and nothing can break them yet.

    Args:
        incidents: None where nobody keeps any, which is not the same as none.
        reopened: what was reopened before; an alert breaks a condition here only through that.

    Raises:
        StatementBroken: the permit or the decision cannot be read.
    """
    held = _held(case, context)
    if held is None:
        return tuple(ConditionState(condition=one, why=(), is_seen=False) for one in validity(case, context))
    conditions = conditions_of(held) if "validity" in held else validity(case, context)
    signals: list[Signal] = [_look(case, context, at=at)]
    signals += [IncidentSignal(incident=one) for one in incidents or () if one.closed is None]
    found = [(one.condition.id, one.why) for signal in signals for one in broken(conditions, signal, held=held)]
    found += [
        (one.condition, one.why)
        for one in reopened
        if (one.context, one.decision_sha256) == (context, held["decision_sha256"]) and one.status != "settled"
    ]
    return tuple(_state(one, found, has_desk=incidents is not None) for one in conditions)


def _state(condition: Condition, found: Sequence[tuple[str, str]], *, has_desk: bool) -> ConditionState:
    why = tuple(dict.fromkeys(said for name, said in found if name == condition.id))
    by_look = condition.kind not in {"rate-holds", "no-incident", "no-similar-incident"}
    by_desk = condition.kind != "rate-holds" and has_desk
    return ConditionState(condition=condition, why=why, is_seen=bool(why) or by_look or by_desk)


def reopenings(desk: Desk) -> tuple[Reopening, ...]:
    """Every decision that was reopened, the latest first."""
    found = desk.registry.all(Reopening, case=desk.case.spec.id)
    return tuple(sorted(found, key=lambda one: one.at, reverse=True))


def accept_reassessment(
    desk: Desk, reopening_id: str, *, by: str, at: dt.datetime, successor: Path | None = None
) -> Reopening:
    """Take a re-assessment up; running, deciding and signing are the next commands.

    Args:
        successor: where to make the case's successor. The re-assessment is run there, and the permit that stands goes
            on as it is. None makes the edit in the case itself, which stops its gateway until people have signed again.

    Raises:
        NoSuchRecord: there is none. WrongStep: it was taken up or settled already.
        CaseExists: as `begin_successor`.
        PackError: the edit cannot be made in place; make it by hand and accept again.
    """
    by = person_name(by)
    found = desk.registry.find_record(Reopening, reopening_id)
    if found is None or found.case != desk.case.spec.id:
        raise NoSuchRecord(f"no reopened decision {reopening_id!r}; list them with `safecase respond reopened list`")
    if found.status != "open":
        raise WrongStep(f"re-assessment {reopening_id!r} is {found.status}; nothing waits for a person")
    proposal = json.loads((desk.case.path / found.proposal).read_bytes())
    where = desk.case if successor is None else begin_successor(desk.case, successor, by=by, now=lambda: at)
    edited = _edited(open_case(where.path), proposal["gates"])
    if edited is not None:
        record(where, "safecase.yaml", edited, action="case-file", now=lambda: at, by=by, reopening=found.id)

    def accepted(old: Reopening) -> Reopening:
        return old.model_copy(update={"status": "accepted", "accepted_by": by})

    done = desk.registry.change(Reopening, found.id, accepted, action="accepted", actor=by, at=at)
    desk.log("reassessment-accepted", by=by, at=at, reopening=found.id, learned=proposal["learned"])
    return done


class ReopeningSink:
    """Takes the monitor's alerts and reopens what they break; give it to a monitor beside the other sinks."""

    name = "reopening"

    def __init__(self, desk: Desk, *, key_file: Path, now: Any) -> None:
        self._desk, self._key_file, self._now = desk, key_file, now

    async def deliver(self, alert: Alert) -> None:
        """Hold an alert against every permit."""
        react(self._desk, alert_signal(alert), key_file=self._key_file, at=self._now())


def alert_signal(alert: Alert) -> AlertSignal:
    """An alert as a signal: of now, since its own time is that of calls that nobody had looked at when they came."""
    return AlertSignal(id=alert.alert_id, kind=alert.kind, series=alert.series, what=alert.what)


# --- Parts ------------------------------------------------------------------------------------------------------------


def _held(case: Case, context: str) -> Mapping[str, Any] | None:
    """The terms of a context's permit. Whoever changes them breaks its signature, and then no gateway serves it."""
    path = case.path / permit_name(context)
    if not path.exists():
        return None
    held = read_envelope(path).statement().predicate
    decided = json.loads(read_envelope(case.path / "decision.json").payload)["predicate"].get("shares", {})
    return {**held, "decided_share": decided.get(context)}


def _look(case: Case, context_id: str, *, at: dt.datetime) -> Look:
    context = case.framework.context(context_id)
    return Look(
        at=at,
        framework=f"{case.framework.id} {case.framework.version}",
        framework_digest=digest_value(case.framework.model_dump(mode="json")),
        affordances=context.affordances,
        modalities=case.spec.model.modalities,
        admits=context.admits,
        share=case.spec.shares.get(context_id),
        minimum_identity=case.spec.minimum_identity or context.minimum_identity,
    )


def _reopen(
    desk: Desk, case: Case, held: Mapping[str, Any], one: Broken, *, key_file: Path, at: dt.datetime
) -> Reopening | None:
    condition, context = one.condition, str(held["context"])
    name = f"re-{digest_value([context, held['decision_sha256'], condition.id, one.occasion])[:12]}"
    if desk.registry.find_record(Reopening, name) is not None:
        return None
    restriction = _closed(case, held, one, name=name, key_file=key_file, at=at)
    made = Reopening(
        id=name,
        case=case.spec.id,
        context=context,
        condition=condition.id,
        condition_kind=condition.kind,
        why=one.why,
        signal=one.occasion,
        at=at,
        decision_sha256=held["decision_sha256"],
        then=condition.then,
        share=condition.share,
        restriction=restriction.id,
        by=restriction.by,
        proposal=f"{FOLDER}/{name}.json",
    )
    _propose(desk, case, made, at=at)
    desk.registry.add(made, action="reopened", actor=restriction.by, at=at, said={"signal": one.occasion})
    said = {"reopening": name, "context": context, "condition": condition.id, "why": one.why, "then": condition.then}
    desk.log("decision-reopened", by=restriction.by, at=at, restriction=restriction.id, signal=one.occasion, **said)
    _bring(desk, made, at=at)
    return made


def _closed(
    case: Case, held: Mapping[str, Any], one: Broken, *, name: str, key_file: Path, at: dt.datetime
) -> Restriction:
    """The restriction that does what the condition says: one that is in force already, or a new one."""
    if (standing := _enough(case, held, one, at=at)) is not None:
        return standing
    context, reason = str(held["context"]), f"{name}: condition {one.condition.id} is broken: {one.why}"
    if one.condition.then == "revoke":
        path = revoke_permit(case, context, key_file, reason=reason, now=lambda: at)
    else:
        path = narrow_permit(case, context, key_file, reason=reason, share=one.condition.share, now=lambda: at)
    return next(found for found in _in_force(case, context, at=at) if found.id == path.stem)


def _enough(case: Case, held: Mapping[str, Any], one: Broken, *, at: dt.datetime) -> Restriction | None:
    """What is in force in this very context; a revocation elsewhere closes nothing here."""
    wanted = one.condition.share
    for found in _in_force(case, str(held["context"]), at=at):
        if found.revokes(held):
            return found
        same = found.decision_sha256 == held["decision_sha256"]
        if wanted is not None and same and found.share is not None and found.share <= wanted:
            return found
    return None


def _in_force(case: Case, context: str, *, at: dt.datetime) -> tuple[Restriction, ...]:
    return restrictions(case, context, case_roster(case), at=at)


def _propose(desk: Desk, case: Case, one: Reopening, *, at: dt.datetime) -> None:
    """Write down what the re-assessment should be made of. A person accepts it; nothing is run by itself."""
    known = desk.registry.all(LearnedScenario, case=case.spec.id)
    proposal = {
        "id": one.id,
        "context": one.context,
        "why": one.why,
        "decision_sha256": one.decision_sha256,
        "learned": sorted(intent.id for intent in case.learned),
        "waiting": sorted(found.id for found in known if found.status == "proposed"),
        "gates": sorted(_gates(desk, case, one)),
        "safecase_yaml_sha256": digest_bytes((case.path / "safecase.yaml").read_bytes()),
    }
    record(case, one.proposal, canonical_json(proposal) + b"\n", action="reassessment-proposed", now=lambda: at)


def _keep_concerns(desk: Desk, incidents: Sequence[Incident], *, at: dt.datetime) -> None:
    """Bring what a command that was cut off did not."""
    for incident in incidents:
        bring_incident(desk, incident, by="safecase", at=at)
    for one in reopenings(desk):
        _bring(desk, one, at=at)


def _bring(desk: Desk, one: Reopening, *, at: dt.datetime) -> None:
    """The broken condition as a doubt about the argument, until another decision has a permit."""
    closed = "decided anew" if one.status == "settled" else None
    concern = Concern(
        concern_id=one.id,
        kind="condition",
        what=f"Condition {one.condition} is broken: {one.why}",
        contexts=(one.context,),
        closed=closed,
    )
    bring(desk, concern, by=one.by, at=at)


def _gates(desk: Desk, case: Case, one: Reopening) -> Iterator[str]:
    """Gates that reports of the incident name, which the case's plan does not concentrate on."""
    incident = desk.registry.find_record(Incident, one.signal.removeprefix("incident "))
    planned = case.spec.sampling.gates
    if incident is None or not planned:
        return
    for report in desk.registry.all(Report, case=case.spec.id):
        if report.id in incident.reports and report.gate is not None and report.gate not in planned:
            yield report.gate


def _edited(case: Case, gates: list[str]) -> bytes | None:
    """`safecase.yaml` with these gates in its plan, None where they are there."""
    missing = [gate for gate in gates if gate not in case.spec.sampling.gates]
    if not missing:
        return None
    edit = Edit(Document(case.path / "safecase.yaml"))
    for gate in missing:
        edit.append(("sampling", "gates"), gate)
    return edit.text.encode()


def _settle(desk: Desk, *, at: dt.datetime) -> None:
    case = open_case(desk.case.path)

    def settled(old: Reopening) -> Reopening:
        return old.model_copy(update={"status": "settled"})

    for one in reopenings(desk):
        held = _held(case, one.context) if one.status != "settled" and one.context in case.spec.contexts else None
        if held is not None and held["decision_sha256"] != one.decision_sha256:
            desk.registry.change(Reopening, one.id, settled, action="settled", actor="safecase", at=at)
            desk.log("reopening-settled", by="safecase", at=at, reopening=one.id, decision=held["decision_sha256"])
