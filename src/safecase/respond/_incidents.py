"""Incidents and near misses: opened, kept up, contained, resolved and closed, with the clocks in step at every turn."""

import datetime as dt
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol

from pydantic import ValidationError

from safecase.registry import (
    UNKNOWN,
    Awareness,
    Containment,
    Incident,
    IncidentFacts,
    IncidentKind,
    NoSuchRecord,
    Obligation,
    Report,
    Severity,
    Step,
    Writer,
)
from safecase.respond._access import report_for
from safecase.respond._concerns import bring_incident
from safecase.respond._desk import Desk, person_name
from safecase.respond._errors import BadWord, WrongStep
from safecase.respond._obligations import step_incident

FACTS = tuple(IncidentFacts.model_fields)


class Container(Protocol):
    """Makes a permit stricter. `assess` gives the real one; it returns the id of the signed restriction."""

    def __call__(self, *, action: Literal["stop", "narrow"], context: str, reason: str) -> str:
        """Do it, or raise."""


def open_incident(
    desk: Desk,
    *,
    title: str,
    kinds: Sequence[IncidentKind],
    severity: Severity,
    by: str,
    at: dt.datetime,
    owner: str | None = None,
    reports: Sequence[str] = (),
    alerts: Mapping[str, dt.datetime] | None = None,
    contexts: Sequence[str] = (),
    scenario: str | None = None,
    imminent: bool | None = None,
    near_miss: bool = False,
    aware_at: dt.datetime | None = None,
    why: str = "",
    similar_to: str | None = None,
) -> Incident:
    """Open an incident and start its clocks.

    Args:
        alerts: id of each alert it follows from, with the moment it was raised.
        imminent: whether death or serious injury threatens; None is *unknown* and counts as yes.
        aware_at: when the organisation knew, where that is not the earliest of what is on record.
        why: why a later moment than that holds.

    Raises:
        NoSuchRecord: a report that is not there, or not for this person.
        BadWord: no title or kind, an unknown context or scenario, a moment to come, or a later one without a reason.
        WrongStep: a report belongs to another incident.
    """
    by = person_name(by)
    _must_be_known(desk, kinds=kinds, title=title, contexts=contexts, scenario=scenario)
    linked = [report_for(desk, one, by) for one in dict.fromkeys(reports)]
    signals = _signals(linked, alerts or {}, at=at, by=by)
    incident = Incident(
        id=f"i-{secrets.token_hex(6)}",
        case=desk.case.spec.id,
        title=title,
        kinds=tuple(dict.fromkeys(kinds)),
        near_miss=near_miss,
        severity=severity,
        imminent=UNKNOWN if imminent is None else imminent,
        owner=person_name(owner or by),
        opened=at,
        awareness=_awareness(signals, aware_at, why=why, by=by, now=at),
        contexts=tuple(dict.fromkeys(contexts)),
        reports=tuple(one.id for one in linked),
        alerts=tuple(alerts or {}),
        scenario=scenario,
        similar_to=similar_to,
        timeline=(Step(at=at, by=by, what="near miss recorded" if near_miss else "incident opened"),),
    )
    with desk.registry.writing() as writer:
        writer.add(incident, action="opened", actor=by, at=at)
        for report in linked:
            _link(writer, report, incident.id, by=by, at=at)
        _step(desk, writer, incident, now=at)
    aware = incident.awareness
    said = {"kinds": list(incident.kinds), "aware": aware.at.isoformat(), "evidence": aware.evidence}
    desk.log("near-miss" if near_miss else "incident-opened", by=by, at=at, incident=incident.id, **said)
    bring_incident(desk, incident, by=by, at=at)
    return incident


def incidents(desk: Desk, *, by: str) -> tuple[Incident, ...]:
    """The case's incidents, the latest first; without those of reports that accuse this person."""
    reports = {one.id: one for one in desk.registry.all(Report, case=desk.case.spec.id)}
    accused = desk.person_hash(by)
    found = (
        one
        for one in desk.registry.all(Incident, case=desk.case.spec.id)
        if not any(accused in reports[name].accused for name in one.reports if name in reports)
    )
    return tuple(sorted(found, key=lambda one: one.opened, reverse=True))


def incident_for(desk: Desk, incident_id: str, person: str) -> Incident:
    """An incident that a person may know of.

    Raises:
        NoSuchRecord: there is none, or not for this person; the two cannot be told apart.
    """
    for one in incidents(desk, by=person):
        if one.id == incident_id:
            return one
    raise NoSuchRecord(f"no incident {incident_id!r} for {person!r}; list them with `safecase respond incident list`")


def update_incident(
    desk: Desk,
    incident_id: str,
    *,
    by: str,
    at: dt.datetime,
    what: str = "",
    facts: Mapping[str, str] | None = None,
    kinds: Sequence[IncidentKind] = (),
    reports: Sequence[str] = (),
    severity: Severity | None = None,
    owner: str | None = None,
    imminent: bool | None = None,
    harmed: bool = False,
    aware_at: dt.datetime | None = None,
    why: str = "",
    not_owed: Mapping[str, str] | None = None,
) -> Incident:
    """Add to an incident: a line of the timeline, facts, kinds, reports. Its clocks follow.

    Args:
        facts: name of a law's field -> text, instant, or `unknown`.
        kinds: kinds to add; none is ever taken away.
        harmed: what was thought a near miss was none; its clocks start now.
        aware_at, why: another moment of awareness; a later one needs the reason.
        not_owed: regime -> why its clocks do not run.

    Raises:
        NoSuchRecord, BadWord, WrongStep: as `open_incident`, or the incident is closed.
    """
    by = person_name(by)
    incident_for(desk, incident_id, by)
    _must_be_known(desk, kinds=kinds, facts=facts or {}, regimes=not_owed or {})
    linked = [report_for(desk, one, by) for one in dict.fromkeys(reports)]

    def updated(old: Incident) -> Incident:
        _must_be_open(old)
        signals = _signals(linked, {}, at=old.awareness.at, by=by, known=old.awareness)
        changed: dict[str, Any] = {
            "kinds": tuple(dict.fromkeys((*old.kinds, *kinds))),
            "reports": tuple(dict.fromkeys((*old.reports, *(one.id for one in linked)))),
            "severity": severity or old.severity,
            "owner": person_name(owner) if owner else old.owner,
            "imminent": old.imminent if imminent is None else imminent,
            "near_miss": old.near_miss and not harmed,
            "awareness": _awareness(signals, aware_at, why=why, by=by, now=at),
            "facts": _with_facts(old.facts, facts or {}),
            "not_owed": {**old.not_owed, **(not_owed or {})},
        }
        new = old.model_copy(update=changed)
        steps = [Step(at=at, by=by, what=text) for text in (*_said(old, new, facts or {}), what) if text.strip()]
        if not steps:
            raise BadWord(f"nothing to add to incident {old.id!r}; give --what, --fact, --kind, --report or another")
        return new.model_copy(update={"timeline": (*old.timeline, *steps)})

    return _changed(desk, incident_id, updated, "updated", by=by, at=at, linked=linked)


def contain(
    desk: Desk,
    incident_id: str,
    *,
    action: Literal["stop", "narrow"],
    contexts: Sequence[str] = (),
    reason: str,
    by: str,
    at: dt.datetime,
    container: Container,
) -> Incident:
    """Stop or narrow the permit of the incident's contexts, in one action, and write down that it was done.

    Each context is on record as soon as its permit is closed, so a failure at the second does not hide the first.

    Raises:
        BadWord: the incident names no context and none was given, or there is no reason.
        What the container raises: nothing is recorded for that context then.
    """
    by = person_name(by)
    incident = incident_for(desk, incident_id, by)
    _must_be_open(incident)
    wanted = tuple(dict.fromkeys(contexts or incident.contexts))
    if not wanted or not reason.strip():
        raise BadWord(
            f"incident {incident_id!r} names no context, or there is no --reason; give --context and --reason"
        )
    _must_be_known(desk, contexts=wanted)
    for context in wanted:
        restriction = container(action=action, context=context, reason=f"incident {incident_id}: {reason}")
        done = Containment(at=at, by=by, action=action, context=context, reason=reason, restriction=restriction)
        word = "stopped" if action == "stop" else "narrowed"
        step = Step(at=at, by=by, what=f"permit of {context} {word} ({restriction}): {reason}")

        def contained(old: Incident, done: Containment = done, step: Step = step) -> Incident:
            status = "contained" if old.status == "open" else old.status
            added = {"containment": (*old.containment, done), "timeline": (*old.timeline, step), "status": status}
            return old.model_copy(update=added)

        incident = _changed(desk, incident_id, contained, "contained", by=by, at=at)
    return incident


def resolve_incident(desk: Desk, incident_id: str, *, by: str, at: dt.datetime, what: str) -> Incident:
    """Say that it is over; the clock of the final report starts.

    Raises:
        WrongStep: it is resolved already. BadWord: nothing says how.
    """
    by = person_name(by)
    if not what.strip():
        raise BadWord("--what is empty; say how it was resolved")
    incident_for(desk, incident_id, by)

    def resolved(old: Incident) -> Incident:
        _must_be_open(old)
        if old.resolved is not None:
            raise WrongStep(f"incident {old.id!r} was resolved at {old.resolved.isoformat()}")
        steps = (*old.timeline, Step(at=at, by=by, what=f"resolved: {what}"))
        return old.model_copy(update={"status": "resolved", "resolved": at, "timeline": steps})

    return _changed(desk, incident_id, resolved, "resolved", by=by, at=at)


def close_incident(desk: Desk, incident_id: str, *, by: str, at: dt.datetime) -> Incident:
    """Close a resolved incident for which nothing is owed any more and whose fields somebody stands for.

    `unknown` is a value that somebody may stand for; the root cause must have been said, be it *unknown*, in the
    timeline or the record.

    Raises:
        WrongStep: it is not resolved, or something is still owed; the message names it.
    """
    by = person_name(by)
    incident_for(desk, incident_id, by)
    owed = [
        one.id
        for one in desk.registry.all(Obligation, case=desk.case.spec.id)
        if one.about == incident_id and one.is_open
    ]

    def closed(old: Incident) -> Incident:
        _must_be_open(old)
        if old.resolved is None:
            raise WrongStep(f"incident {old.id!r} is {old.status}; resolve it before it is closed")
        if owed:
            raise WrongStep(
                f"incident {old.id!r} still owes {', '.join(owed)}; meet them, or say why they are not owed"
            )
        if not any(step.what.startswith("root_cause") for step in old.timeline):
            raise WrongStep(
                f"incident {old.id!r} has no root cause on record; give --fact root_cause=TEXT, or =unknown"
            )
        steps = (*old.timeline, Step(at=at, by=by, what="closed"))
        return old.model_copy(update={"status": "closed", "closed": at, "timeline": steps})

    return _changed(desk, incident_id, closed, "closed", by=by, at=at)


# --- Parts ------------------------------------------------------------------------------------------------------------


def _changed(
    desk: Desk,
    incident_id: str,
    change: Callable[[Incident], Incident],
    action: str,
    *,
    by: str,
    at: dt.datetime,
    linked: Sequence[Report] = (),
) -> Incident:
    with desk.registry.writing() as writer:
        done = writer.change(Incident, incident_id, change, action=action, actor=by, at=at)
        for report in linked:
            if report.incident != incident_id:
                _link(writer, report, incident_id, by=by, at=at)
        _step(desk, writer, done, now=at)
    desk.log(f"incident-{action}", by=by, at=at, incident=incident_id, status=done.status)
    bring_incident(desk, done, by=by, at=at)
    return done


def _step(desk: Desk, writer: Writer, incident: Incident, *, now: dt.datetime) -> None:
    existing = {one.id: one for one in writer.all(Obligation, case=incident.case) if one.about == incident.id}
    step_incident(desk, writer, incident, existing, now=now)


def _link(writer: Writer, report: Report, incident_id: str, *, by: str, at: dt.datetime) -> None:
    def linked(one: Report) -> Report:
        if one.incident is not None:
            raise WrongStep(f"report {one.id!r} belongs to incident {one.incident!r}; update that one")
        return one.model_copy(update={"incident": incident_id})

    writer.change(Report, report.id, linked, action="linked", actor=by, at=at, said={"incident": incident_id})


def _signals(
    reports: Sequence[Report],
    alerts: Mapping[str, dt.datetime],
    *,
    at: dt.datetime,
    by: str,
    known: Awareness | None = None,
) -> list[Awareness]:
    """Everything on record that shows that the organisation knew."""
    found = [known or Awareness(at=at, evidence=f"opened by {by}")]
    found += [Awareness(at=one.received, evidence=f"report {one.id}") for one in reports]
    return found + [Awareness(at=raised, evidence=f"alert {name}") for name, raised in alerts.items()]


def _awareness(
    signals: Sequence[Awareness], said: dt.datetime | None, *, why: str, by: str, now: dt.datetime
) -> Awareness:
    """The earliest that is on record, or what a person says: earlier freely, later with a reason."""
    earliest = min(signals, key=lambda one: one.at)
    if said is None or said == earliest.at:
        return earliest
    if said > now:
        raise BadWord(f"--aware-at is {said.isoformat()}, which is to come")
    if said > earliest.at and not why.strip():
        line = f"--aware-at is {said.isoformat()}, but {earliest.evidence} shows awareness at {earliest.at.isoformat()}"
        raise BadWord(f"{line}; say with --why what makes the later moment right")
    return Awareness(at=said, evidence=f"word of {by}", reason=why or f"before {earliest.evidence}")


def _with_facts(old: IncidentFacts, new: Mapping[str, str]) -> IncidentFacts:
    try:
        return IncidentFacts.model_validate({**old.model_dump(), **new})
    except ValidationError as fault:
        first = fault.errors(include_url=False)[0]
        name = str(first["loc"][0])
        raise BadWord(f"--fact {name} is {new.get(name)!r}; {first['msg']}, or give {UNKNOWN!r}") from None


def _said(old: Incident, new: Incident, stated: Iterable[str]) -> list[str]:
    """What changed, in lines for the timeline; who reads it later need not compare records."""
    lines = [f"kind added: {kind}" for kind in new.kinds if kind not in old.kinds]
    lines += [f"report linked: {name}" for name in new.reports if name not in old.reports]
    lines += [f"{name}: {getattr(new.facts, name)}" for name in stated]
    for name in ("severity", "owner", "imminent", "near_miss"):
        if getattr(old, name) != getattr(new, name):
            lines.append(f"{name}: {getattr(new, name)}")
    if old.awareness != new.awareness:
        lines.append(f"awareness: {new.awareness.at.isoformat()} ({new.awareness.evidence}) {new.awareness.reason}")
    return lines + [f"not owed, {name}: {why}" for name, why in new.not_owed.items() if name not in old.not_owed]


def _must_be_open(incident: Incident) -> None:
    if incident.status == "closed":
        raise WrongStep(f"incident {incident.id!r} is closed; open another that names it")


def _must_be_known(
    desk: Desk,
    *,
    kinds: Sequence[str] | None = None,
    title: str | None = None,
    contexts: Sequence[str] = (),
    scenario: str | None = None,
    facts: Mapping[str, str] | None = None,
    regimes: Mapping[str, str] | None = None,
) -> None:
    if title is not None and (not title.strip() or not kinds):
        raise BadWord("an incident needs a title and at least one kind; give --title and --kind")
    for context in contexts:
        if context not in desk.case.spec.contexts:
            raise BadWord(f"--context is {context!r}; the case has {', '.join(desk.case.spec.contexts)}")
    if scenario is not None and scenario not in desk.case.framework.entries():
        raise BadWord(f"--scenario is {scenario!r}; framework {desk.case.framework.id!r} has no such threat scenario")
    for name in facts or {}:
        if name not in FACTS:
            raise BadWord(f"--fact names {name!r}; use one of {', '.join(FACTS)}")
    for name, why in (regimes or {}).items():
        if name not in desk.packs or not why.strip():
            raise BadWord(f"--not-owed is {name}={why}; give one of {', '.join(desk.packs)}, and why")
