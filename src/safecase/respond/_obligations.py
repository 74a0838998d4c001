"""Obligations kept in step with incidents, reports and the case; overdue is computed, never stored."""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from safecase.registry import Incident, Obligation, Registry, Report, Writer
from safecase.respond._clocks import due, owed_for_incident, owed_for_report
from safecase.respond._desk import Desk, person_name
from safecase.respond._errors import BadWord, WrongStep
from safecase.respond._packs import CASE_TRIGGERS, ClockRule, Loaded, zone_of

PROGRAM = "safecase"
SOON = dt.timedelta(days=2)
_MOST_PERIODS = 1_000  # a clock that ran so often was forgotten, not kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """An obligation at a moment.

    Attributes:
        left: until it is due; negative where it is overdue. None once it is met or lapsed.
    """

    obligation: Obligation
    state: Literal["overdue", "due-soon", "open", "met", "met-late", "lapsed"]
    left: dt.timedelta | None


def standing(obligation: Obligation, *, now: dt.datetime) -> Standing:
    """How an obligation stands."""
    if obligation.lapsed is not None:
        return Standing(obligation=obligation, state="lapsed", left=None)
    if obligation.met is not None:
        state: Literal["met", "met-late"] = "met" if obligation.met <= obligation.due else "met-late"
        return Standing(obligation=obligation, state=state, left=None)
    left = obligation.due - now
    if left < dt.timedelta():
        return Standing(obligation=obligation, state="overdue", left=left)
    return Standing(obligation=obligation, state="due-soon" if left <= SOON else "open", left=left)


def clocks(desk: Desk, *, now: dt.datetime, everything: bool = False, foresee: bool = False) -> tuple[Standing, ...]:
    """Every open obligation of the case, the earliest due first; with `everything` also those met or lapsed.

    Clocks are brought into step first, so an incident that somebody changed, or a period that ran out, is never missed.

    Args:
        foresee: say how they will stand at `now`, or would have, and keep nothing of it.
    """
    if foresee:
        owed = foreseen(desk, now=now)
    else:
        keep_in_step(desk, now=now)
        owed = desk.registry.all(Obligation, case=desk.case.spec.id)
    found = (standing(one, now=now) for one in owed)
    wanted = (one for one in found if everything or one.obligation.is_open)
    return tuple(sorted(wanted, key=lambda one: (one.obligation.due, one.obligation.id)))


def keep_in_step(desk: Desk, *, now: dt.datetime) -> None:
    """Add what became owed, move what became due earlier, end what fell away; for the whole case."""
    with desk.registry.writing() as writer:
        _step(desk, writer, writer, now=now)


def foreseen(desk: Desk, *, now: dt.datetime) -> tuple[Obligation, ...]:
    """The obligations as `keep_in_step` would leave them at a moment; nothing is written."""
    case = desk.case.spec.id
    draft = _Draft({one.id: one for one in desk.registry.all(Obligation, case=case)})
    _step(desk, desk.registry, draft, now=now)
    return tuple(draft.obligations.values())


class _Keeper(Protocol):
    """What takes obligations: a registry's writer, or a draft."""

    def add(self, record: Obligation, *, action: str, actor: str, at: dt.datetime) -> object: ...

    def change(
        self,
        kind: type[Obligation],
        record_id: str,
        change: Callable[[Obligation], Obligation],
        /,
        *,
        action: str,
        actor: str,
        at: dt.datetime,
        said: Mapping[str, Any] | None = None,
    ) -> object: ...


@dataclass(frozen=True)
class _Draft:
    """Obligations as they would be kept."""

    obligations: dict[str, Obligation]

    def add(self, record: Obligation, **_: object) -> None:
        self.obligations[record.id] = record

    def change(
        self, _: type[Obligation], record_id: str, change: Callable[[Obligation], Obligation], **__: object
    ) -> None:
        self.obligations[record_id] = change(self.obligations[record_id])


def _step(desk: Desk, source: Registry | Writer, keeper: _Keeper, *, now: dt.datetime) -> None:
    case = desk.case.spec.id
    existing = {one.id: one for one in source.all(Obligation, case=case)}
    for incident in source.all(Incident, case=case):
        step_incident(desk, keeper, incident, existing, now=now)
    for report in source.all(Report, case=case):
        step_report(desk, keeper, report, existing, now=now)


def step_incident(
    desk: Desk, writer: _Keeper, incident: Incident, existing: dict[str, Obligation], *, now: dt.datetime
) -> None:
    """Bring one incident's obligations into step, inside a transaction."""
    wanted = {one.id: one for loaded in desk.packs.values() for one in _wanted(incident, loaded, now=now)}
    for obligation in wanted.values():
        _put(writer, obligation, existing, now=now)
    for old in existing.values():
        if old.about == incident.id and old.is_open and old.id not in wanted:
            _lapse(writer, old, _why_lapsed(incident, old), now=now)


def step_report(
    desk: Desk, writer: _Keeper, report: Report, existing: dict[str, Obligation], *, now: dt.datetime
) -> None:
    """Bring what is owed to one reporter into step, inside a transaction."""
    if report.status == "closed":
        for old in existing.values():
            if old.about == report.id and old.is_open:
                _lapse(writer, old, "the report was closed", now=now)
        return
    for loaded in desk.packs.values():
        for rule, since in owed_for_report(report, loaded.pack):
            first = _obligation(report.case, report.id, loaded, rule, since=since, number=1, basis="report received")
            if first.id not in existing:
                writer.add(first, action="owed", actor=PROGRAM, at=now)
                existing[first.id] = first


def meet(
    desk: Desk, obligation_id: str, *, by: str, at: dt.datetime, reference: str, now: dt.datetime | None = None
) -> Obligation:
    """Say that something owed was done, and start its next period where it comes again.

    Args:
        at: when it was done.
        reference: what proves it: a receipt's number, the digest of what was sent.

    Raises:
        WrongStep: it was met or lapsed already, or is said to be met before its clock began or in the future.
        BadWord: no reference.
    """
    by = person_name(by)
    now = now or at
    if not reference.strip():
        raise BadWord("--reference is empty; give what proves it, such as the authority's receipt number")
    if at > now:
        raise WrongStep(f"obligation {obligation_id!r} cannot have been met at {at.isoformat()}, which is to come")
    with desk.registry.writing() as writer:
        met = meet_in(desk, writer, obligation_id, by=by, at=at, reference=reference, now=now)
    desk.log("obligation-met", by=by, at=now, obligation=met.id, rule=met.rule, reference=reference)
    return met


def meet_in(
    desk: Desk, writer: Writer, obligation_id: str, *, by: str, at: dt.datetime, reference: str, now: dt.datetime
) -> Obligation:
    """The same inside a transaction, without the ledger."""
    old = writer.get(Obligation, obligation_id)
    if not old.is_open:
        done = f"met at {old.met.isoformat()}" if old.met else f"lapsed: {old.lapsed}"
        raise WrongStep(f"obligation {old.id!r} was {done}; it needs nothing more")
    if at < old.since:
        raise WrongStep(f"obligation {old.id!r} runs from {old.since.isoformat()}; it cannot have been met before")
    met = writer.change(
        Obligation,
        obligation_id,
        lambda one: one.model_copy(update={"met": at, "reference": reference}),
        action="met",
        actor=by,
        at=now,
        said={"reference": reference},
    )
    loaded, rule = rule_of(desk, met)
    if rule is not None and loaded is not None and rule.every is not None and rule.restarts == "when-met":
        basis = f"period {met.number} met"
        again = _obligation(met.case, met.about, loaded, rule, since=at, number=met.number + 1, basis=basis)
        writer.add(again, action="owed", actor=PROGRAM, at=now)
    return met


def start_clock(
    desk: Desk, trigger: str, *, since: dt.datetime, by: str, now: dt.datetime, reference: str = ""
) -> tuple[Obligation, ...]:
    """Say that something of the case happened (a review, a publication), and start the clocks that it starts.

    What comes again and is owed already is met by it.

    Raises:
        BadWord: no such trigger, or nothing in the packs that it starts.
    """
    by = person_name(by)
    rules = [(loaded, rule) for loaded in desk.packs.values() for rule in loaded.pack.rules if rule.trigger == trigger]
    if trigger not in CASE_TRIGGERS or not rules:
        raise BadWord(f"trigger is {trigger!r}; use one of {', '.join(CASE_TRIGGERS)}")
    if since > now:
        raise BadWord(f"--at is {since.isoformat()}, which is to come; a clock starts when something happened")
    case = desk.case.spec.id
    made: list[Obligation] = []
    with desk.registry.writing() as writer:
        known = writer.all(Obligation, case=case)
        for loaded, rule in rules:
            made.append(_start(desk, writer, known, loaded, rule, since=since, by=by, now=now, reference=reference))
    desk.log("clock-started", by=by, at=now, trigger=trigger, since=since.isoformat(), owed=[one.id for one in made])
    return tuple(made)


def rule_of(desk: Desk, obligation: Obligation) -> tuple[Loaded | None, ClockRule | None]:
    """The pack and rule an obligation follows from; None where the desk has another version or no such pack."""
    loaded = desk.packs.get(obligation.regime)
    if loaded is None:
        return None, None
    rules = {f"{loaded.pack.id}.{rule.id}": rule for rule in loaded.pack.rules}
    return loaded, rules.get(obligation.rule)


def _start(
    desk: Desk,
    writer: Writer,
    known: tuple[Obligation, ...],
    loaded: Loaded,
    rule: ClockRule,
    *,
    since: dt.datetime,
    by: str,
    now: dt.datetime,
    reference: str,
) -> Obligation:
    case, name = desk.case.spec.id, f"{loaded.pack.id}.{rule.id}"
    earlier = [one for one in known if one.about == case and one.rule == name]
    number = max((one.number for one in earlier), default=0) + 1
    waiting = next((one for one in earlier if one.is_open and one.since <= since), None)
    if rule.every is not None and waiting is not None:
        said = reference or f"{rule.trigger} at {since.isoformat()}"
        meet_in(desk, writer, waiting.id, by=by, at=since, reference=said, now=now)
        return writer.get(Obligation, _id(case, name, number))
    basis = f"{rule.trigger}, said by {by}"
    owed = _obligation(case, case, loaded, rule, since=since, number=number, basis=basis)
    writer.add(owed, action="owed", actor=by, at=now)
    return owed


def _wanted(incident: Incident, loaded: Loaded, *, now: dt.datetime) -> Iterator[Obligation]:
    zone = zone_of(loaded.pack)
    for rule, since in owed_for_incident(incident, loaded.pack):
        basis = f"aware: {incident.awareness.evidence}" if rule.trigger == "aware" else "incident resolved"
        for number in range(1, _MOST_PERIODS if rule.every else 2):
            moment = due(rule, since, zone, times=number)
            if rule.every is not None and incident.resolved is not None and moment > incident.resolved:
                break
            yield _obligation(incident.case, incident.id, loaded, rule, since=since, number=number, basis=basis)
            if moment > now:
                break


def _obligation(
    case: str, about: str, loaded: Loaded, rule: ClockRule, *, since: dt.datetime, number: int, basis: str
) -> Obligation:
    pack = loaded.pack
    times = number if rule.restarts == "from-start" and rule.every is not None else 1
    name = f"{pack.id}.{rule.id}"
    return Obligation(
        id=_id(about, name, number),
        case=case,
        about=about,
        regime=pack.id,
        rule=name,
        what=rule.what,
        citation=rule.citation,
        pack_version=pack.version,
        pack_sha256=loaded.sha256,
        zone=pack.zone,
        since=since,
        basis=basis,
        due=due(rule, since, zone_of(pack), times=times),
        number=number,
    )


def _id(about: str, rule: str, number: int) -> str:
    return f"o-{about}-{rule}-{number}"


def _put(writer: _Keeper, wanted: Obligation, existing: dict[str, Obligation], *, now: dt.datetime) -> None:
    old = existing.get(wanted.id)
    if old is None:
        writer.add(wanted, action="owed", actor=PROGRAM, at=now)
    elif old.lapsed is not None:
        _change(writer, wanted, "owed-again", now=now)
    elif old.is_open and (old.due, old.since) != (wanted.due, wanted.since):
        _change(writer, wanted, "due-moved", now=now, was=old.due.isoformat())
    else:
        return
    existing[wanted.id] = wanted


def _change(writer: _Keeper, to: Obligation, action: str, *, now: dt.datetime, **said: str) -> None:
    writer.change(Obligation, to.id, lambda _: to, action=action, actor=PROGRAM, at=now, said=said)


def _lapse(writer: _Keeper, old: Obligation, why: str, *, now: dt.datetime) -> None:
    _change(writer, old.model_copy(update={"lapsed": why}), "lapsed", now=now, why=why)


def _why_lapsed(incident: Incident, old: Obligation) -> str:
    if incident.near_miss:
        return "it was a near miss"
    if old.regime in incident.not_owed:
        return f"not owed: {incident.not_owed[old.regime]}"
    if incident.resolved is not None:
        return "the incident was resolved"
    return "an earlier report, or the facts as they now stand, took its place"
