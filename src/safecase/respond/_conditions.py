"""Whether a signal breaks a condition under which a decision holds. Pure: no clock, no file, no registry.

    alert      a promise about a live rate is broken        -> rate-holds
    incident   opened or changed, here or elsewhere         -> no-incident, no-similar-incident
    look       a tick of the clock, or a change of the      -> nothing-added, not-widened, same-framework,
               framework, the context or the model             fresh-evidence

Every signal is held against every condition of every permit. A condition that a signal says nothing about holds; and
what was on record when a permit was issued does not break that permit, since people signed knowing it.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from safecase.declare import (
    Condition,
    FreshEvidence,
    NoIncident,
    NoSimilarIncident,
    NothingAdded,
    NotWidened,
    RateHolds,
    SameFramework,
)
from safecase.evidence import IDENTITY_KINDS, digest_value, parse_utc
from safecase.registry import Incident

RATE_LOST = "promise-broken"
"""Kind of the alert that says so. That a rate *changed* is no broken promise yet."""
_DAYS_A_MONTH = 30
_GRAVER = ("kind added", "severity", "near_miss")
"""Lines of an incident's timeline that can make it break a condition it did not break before."""
_ADMITS = ("staff", "vetted", "share", "anyone")
"""From few accounts to all."""

_CONDITIONS: TypeAdapter[tuple[Condition, ...]] = TypeAdapter(tuple[Condition, ...])


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertSignal:
    """An alert of the monitor.

    Attributes:
        kind, series: as the alert says, such as `promise-broken` and `unsafe/any` (with or without `@<stack>`).
        at: when it was on record first; None counts as now.
    """

    id: str
    kind: str
    series: str
    what: str
    at: dt.datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentSignal:
    """An incident as it stands."""

    incident: Incident


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How things stand in a context at a moment, to be held against its permit.

    Attributes:
        affordances, modalities, admits, share, minimum_identity, framework_digest: as the case says now.
    """

    at: dt.datetime
    framework: str
    framework_digest: str
    affordances: tuple[str, ...]
    modalities: tuple[str, ...]
    admits: str
    share: float | None
    minimum_identity: str


Signal = AlertSignal | IncidentSignal | Look


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A condition that does not hold.

    Attributes:
        why: a sentence.
        occasion: what broke it; the same occasion reopens a decision once.
    """

    condition: Condition
    why: str
    occasion: str


def conditions_of(held: Mapping[str, Any]) -> tuple[Condition, ...]:
    """The conditions that a permit carries.

    Raises:
        ValueError: it carries something else.
    """
    return _CONDITIONS.validate_python(held.get("validity", ()))


def broken(conditions: Sequence[Condition], signal: Signal, *, held: Mapping[str, Any]) -> tuple[Broken, ...]:
    """The conditions that a signal shows not to hold.

    Args:
        held: the permit's terms.
    """
    if _was_known(signal, held):
        return ()
    found = ((one, _why(one, signal, held)) for one in conditions)
    return tuple(
        Broken(condition=one, why=why, occasion=_occasion(one, signal, why)) for one, why in found if why is not None
    )


def _was_known(signal: Signal, held: Mapping[str, Any]) -> bool:
    """Whether a signal was on record before the permit was issued."""
    match signal:
        case AlertSignal(at=dt.datetime() as at):
            last = at
        case IncidentSignal(incident=incident):
            graver = (step.at for step in incident.timeline if step.what.startswith(_GRAVER))
            last = max((incident.opened, *graver))
        case _:
            return False
    return "issued" in held and last < dt.datetime.fromisoformat(held["issued"])


def _why(condition: Condition, signal: Signal, held: Mapping[str, Any]) -> str | None:
    match condition, signal:
        case RateHolds(), AlertSignal():
            return _rate(condition, signal)
        case NoIncident(), IncidentSignal():
            return _incident(condition, signal.incident, str(held["context"]))
        case NoSimilarIncident(), IncidentSignal():
            return _similar(condition, signal.incident)
        case NothingAdded(), Look():
            return _added(signal, held)
        case NotWidened(), Look():
            return _widened(signal, held)
        case SameFramework(), Look():
            return _framework(signal, held)
        case FreshEvidence(), Look():
            return _age(condition, signal, held)
    return None


def _rate(condition: RateHolds, signal: AlertSignal) -> str | None:
    series = signal.series.partition("@")[0]
    if signal.kind != RATE_LOST or (condition.series and series not in condition.series):
        return None
    return f"alert {signal.id}: {signal.what}"


def _incident(condition: NoIncident, incident: Incident, context: str) -> str | None:
    elsewhere = incident.similar_to is not None or (incident.contexts and context not in incident.contexts)
    if elsewhere or (incident.near_miss and not condition.near_misses):
        return None
    return _named(incident, condition.kinds, condition.least_severity)


def _similar(condition: NoSimilarIncident, incident: Incident) -> str | None:
    model = (incident.similar_to or "").casefold()
    if not model or (condition.models and not any(name.casefold() in model for name in condition.models)):
        return None
    return _named(incident, condition.kinds, condition.least_severity)


def _named(incident: Incident, kinds: Sequence[str], least: int) -> str | None:
    hit = [kind for kind in incident.kinds if kind in kinds]
    if not hit or incident.severity < least:
        return None
    where = f" with {incident.similar_to}" if incident.similar_to else ""
    return f"incident {incident.id}{where} of kind {', '.join(hit)}, severity {incident.severity}"


def _added(look: Look, held: Mapping[str, Any]) -> str | None:
    added = [
        f"{word} {name!r}"
        for word, field, now in (
            ("affordance", "affordances", look.affordances),
            ("modality", "modalities", look.modalities),
        )
        for name in now
        if name not in held.get(field, ())
    ]
    return f"added since it was decided: {', '.join(added)}" if added else None


def _widened(look: Look, held: Mapping[str, Any]) -> str | None:
    wider = []
    if _ADMITS.index(look.admits) > _ADMITS.index(held["admits"]):
        wider.append(f"it admits {look.admits!r}, which was {held['admits']!r}")
    if _share(look.share) > _share(held["decided_share"]):
        wider.append(f"it serves a share of {_share(look.share):g}, which was {_share(held['decided_share']):g}")
    if IDENTITY_KINDS.index(look.minimum_identity) > IDENTITY_KINDS.index(held["minimum_identity"]):
        wider.append(f"it asks for identity {look.minimum_identity!r}, which was {held['minimum_identity']!r}")
    return "the context is wider: " + "; ".join(wider) if wider else None


def _share(share: float | None) -> float:
    return 1.0 if share is None else share


def _framework(look: Look, held: Mapping[str, Any]) -> str | None:
    if look.framework_digest == held["framework_digest"]:
        return None
    if look.framework != held["framework"]:
        return f"the framework in force is {look.framework}, it was decided under {held['framework']}"
    return f"the text of framework {look.framework} is not the one it was decided under"


def _age(condition: FreshEvidence, look: Look, held: Mapping[str, Any]) -> str | None:
    over = parse_utc(held["evidence_at"]) + dt.timedelta(days=condition.months * _DAYS_A_MONTH)
    if look.at < over:
        return None
    return f"the evidence is of {held['evidence_at'][:10]}, and may be {condition.months} months old"


def _occasion(condition: Condition, signal: Signal, why: str) -> str:
    match signal:
        case AlertSignal():
            return f"alert {signal.id}"
        case IncidentSignal():
            return f"incident {signal.incident.id}"
    return f"{condition.kind} {digest_value(why)[:12]}"
