"""`safecase respond incident`: what went wrong, or nearly did, until it is closed."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from safecase.cli._common import BAD_INPUT, emit, fail, guarded, json_option
from safecase.cli._respond_common import by_option, case_argument, desk_of, moment_type, span

if TYPE_CHECKING:
    from safecase.registry import Incident
    from safecase.respond import Desk

_INCIDENT = click.argument("incident")
_KINDS = (
    "critical-infrastructure-disruption",
    "serious-security-breach",
    "weight-exfiltration",
    "death",
    "serious-harm",
    "loss-of-control",
    "safeguard-failure",
    "misuse",
    "other",
)
_IMMINENT = click.option(
    "--imminent/--not-imminent", default=None, help="Whether death or serious injury threatens; unknown counts as yes."
)
_AWARE = click.option(
    "--aware-at", type=moment_type, help="When it was known, where that is not the earliest on record."
)
_WHY = click.option("--why", default="", help="Why a later moment than that is right.")


@click.group("incident")
def incident_group() -> None:
    """Incidents and near misses: opened, kept up, contained, resolved, closed.

    \b
    Example:
        safecase respond incident open my-case --title "Bypass" --kind misuse --severity 3 --by reviewer-1
        safecase respond incident contain my-case i-0123456789ab --stop --reason "it goes on" --key watch.pem --by ana
        safecase respond incident close my-case i-0123456789ab --by reviewer-1
    """


@incident_group.command("open")
@case_argument
@click.option("--title", required=True, help="In a line; no names.")
@click.option("--kind", "kinds", required=True, multiple=True, type=click.Choice(_KINDS), help="All that fit.")
@click.option("--severity", required=True, type=click.IntRange(1, 4), help="1 nuisance to 4 mass harm.")
@click.option("--owner", help="Who answers for it; whoever opens it by default.")
@click.option("--report", "reports", multiple=True, help="A report that it follows from.")
@click.option("--alert", "alerts", multiple=True, metavar="ID=moment_type", help="An alert, and when it was raised.")
@click.option("--context", "contexts", multiple=True, help="A deployment context that it touches.")
@click.option("--scenario", help="Threat scenario of the framework.")
@click.option("--near-miss", is_flag=True, help="Nothing was harmed; no clock runs.")
@click.option("--similar-to", help="Another provider's model, where it happened elsewhere.")
@_IMMINENT
@_AWARE
@_WHY
@by_option
@json_option
@guarded
def open_command(
    case: Path,
    title: str,
    kinds: Any,
    severity: Any,
    owner: str | None,
    reports: tuple[str, ...],
    alerts: tuple[str, ...],
    contexts: tuple[str, ...],
    scenario: str | None,
    near_miss: bool,
    similar_to: str | None,
    imminent: bool | None,
    aware_at: Any,
    why: str,
    by: str,
    as_json: bool,
) -> None:
    """Open an incident; its clocks start from the earliest proof that it was known.

    \b
    Example:
        safecase respond incident open my-case --title "Bypass" --kind misuse --severity 3 --by reviewer-1
    """
    from safecase.assess import utc_now
    from safecase.respond import open_incident

    with desk_of(case) as desk:
        made = open_incident(
            desk,
            title=title,
            kinds=kinds,
            severity=severity,
            by=by,
            at=utc_now(),
            owner=owner,
            reports=reports,
            alerts={name: moment_type(at) for name, at in _pairs(alerts, "--alert").items()},
            contexts=contexts,
            scenario=scenario,
            imminent=imminent,
            near_miss=near_miss,
            aware_at=aware_at,
            why=why,
            similar_to=similar_to,
        )
        _show(desk, made, as_json=as_json)


@incident_group.command("update")
@case_argument
@_INCIDENT
@click.option("--what", default="", help="A line for the timeline.")
@click.option("--fact", "facts", multiple=True, metavar="NAME=TEXT", help="A field of law; `unknown` is a value.")
@click.option("--kind", "kinds", multiple=True, type=click.Choice(_KINDS), help="A kind to add.")
@click.option("--report", "reports", multiple=True, help="A report to link.")
@click.option("--severity", type=click.IntRange(1, 4), help="1 nuisance to 4 mass harm.")
@click.option("--owner", help="Who answers for it from now on.")
@click.option("--harmed", is_flag=True, help="What was thought a near miss was none; its clocks start.")
@click.option("--not-owed", multiple=True, metavar="REGIME=WHY", help="A law that does not ask for it, and why.")
@_IMMINENT
@_AWARE
@_WHY
@by_option
@json_option
@guarded
def update_command(
    case: Path,
    incident: str,
    what: str,
    facts: tuple[str, ...],
    kinds: Any,
    reports: tuple[str, ...],
    severity: Any,
    owner: str | None,
    harmed: bool,
    not_owed: tuple[str, ...],
    imminent: bool | None,
    aware_at: Any,
    why: str,
    by: str,
    as_json: bool,
) -> None:
    """Add to an incident; its clocks follow.

    \b
    Example:
        safecase respond incident update my-case i-0123456789ab --fact harm=unknown --what "asked users" --by ana
    """
    from safecase.assess import utc_now
    from safecase.respond import update_incident

    with desk_of(case) as desk:
        done = update_incident(
            desk,
            incident,
            by=by,
            at=utc_now(),
            what=what,
            facts=_pairs(facts, "--fact"),
            kinds=kinds,
            reports=reports,
            severity=severity,
            owner=owner,
            imminent=imminent,
            harmed=harmed,
            aware_at=aware_at,
            why=why,
            not_owed=_pairs(not_owed, "--not-owed"),
        )
        _show(desk, done, as_json=as_json)


@incident_group.command("contain")
@case_argument
@_INCIDENT
@click.option("--stop/--narrow", default=True, show_default=True, help="Revoke the permit, or narrow it.")
@click.option("--context", "contexts", multiple=True, help="Only these; the incident's own by default.")
@click.option("--share", type=float, help="Narrow: serve at most this share of the accounts.")
@click.option("--where", multiple=True, metavar="NAME=VALUE", help="Narrow: suspend accounts with this attribute.")
@click.option("--reason", required=True, help="Why; whoever is refused is told of it.")
@click.option("--key", "key_file", required=True, type=click.Path(path_type=Path), help="Of a role that may narrow.")
@by_option
@json_option
@guarded
def contain_command(
    case: Path,
    incident: str,
    stop: bool,
    contexts: tuple[str, ...],
    share: float | None,
    where: tuple[str, ...],
    reason: str,
    key_file: Path,
    by: str,
    as_json: bool,
) -> None:
    """Stop or narrow the permit of the incident's contexts, in one action. A gateway notices by itself.

    \b
    Example:
        safecase respond incident contain my-case i-0123456789ab --stop --reason "it goes on" --key watch.pem --by ana
    """
    from safecase.assess import utc_now
    from safecase.respond import PermitContainer, contain

    with desk_of(case) as desk:
        container = PermitContainer(case=desk.case, key_file=key_file, share=share, where=_pairs(where, "--where"))
        done = contain(
            desk,
            incident,
            action="stop" if stop else "narrow",
            contexts=contexts,
            reason=reason,
            by=by,
            at=utc_now(),
            container=container,
        )
        _show(desk, done, as_json=as_json)


@incident_group.command("resolve")
@case_argument
@_INCIDENT
@click.option("--what", required=True, help="How it was resolved.")
@by_option
@json_option
@guarded
def resolve_command(case: Path, incident: str, what: str, by: str, as_json: bool) -> None:
    """Say that it is over; the clock of the final report starts.

    \b
    Example:
        safecase respond incident resolve my-case i-0123456789ab --what "the layer was mended" --by ana
    """
    from safecase.assess import utc_now
    from safecase.respond import resolve_incident

    with desk_of(case) as desk:
        _show(desk, resolve_incident(desk, incident, by=by, at=utc_now(), what=what), as_json=as_json)


@incident_group.command("close")
@case_argument
@_INCIDENT
@by_option
@json_option
@guarded
def close_command(case: Path, incident: str, by: str, as_json: bool) -> None:
    """Close a resolved incident that owes nothing more and whose root cause is on record.

    \b
    Example:
        safecase respond incident close my-case i-0123456789ab --by ana
    """
    from safecase.assess import utc_now
    from safecase.respond import close_incident

    with desk_of(case) as desk:
        _show(desk, close_incident(desk, incident, by=by, at=utc_now()), as_json=as_json)


@incident_group.command("list")
@case_argument
@by_option
@json_option
@guarded
def list_command(case: Path, by: str, as_json: bool) -> None:
    """The incidents that a person may know of, the latest first.

    \b
    Example:
        safecase respond incident list my-case --by ana
    """
    from safecase.respond import incidents

    with desk_of(case) as desk:
        found = incidents(desk, by=by)
    lines = [f"{'incident':16} {'opened':16} {'status':10} {'sev':>3} {'owner':16} title"]
    lines += [
        f"{one.id:16} {one.opened:%Y-%m-%d %H:%M} {one.status:10} {one.severity:>3} {one.owner:16.16} {one.title}"
        for one in found
    ]
    emit([one.model_dump(mode="json") for one in found], as_json=as_json, lines=lines)


@incident_group.command("show")
@case_argument
@_INCIDENT
@by_option
@json_option
@guarded
def show_command(case: Path, incident: str, by: str, as_json: bool) -> None:
    """One incident with its record, timeline and clocks.

    \b
    Example:
        safecase respond incident show my-case i-0123456789ab --by ana
    """
    from safecase.respond import incident_for

    with desk_of(case) as desk:
        _show(desk, incident_for(desk, incident, by), as_json=as_json, whole=True)


def _show(desk: "Desk", incident: "Incident", *, as_json: bool, whole: bool = False) -> None:
    from safecase.assess import utc_now
    from safecase.respond import clocks

    owed = [one for one in clocks(desk, now=utc_now()) if one.obligation.about == incident.id]
    lines = [f"{incident.id} ({incident.status}, severity {incident.severity}): {incident.title}"]
    lines.append(f"aware since {incident.awareness.at.isoformat()}: {incident.awareness.evidence}")
    if whole:
        lines += [f"{name}: {value}" for name, value in incident.facts.model_dump(mode="json").items()]
        lines += [f"{step.at:%Y-%m-%d %H:%M} {step.by}: {step.what}" for step in incident.timeline]
    lines += [f"{one.state:9} {span(one.left):>14}  {one.obligation.id}" for one in owed]
    value = {**incident.model_dump(mode="json"), "owed": [one.obligation.model_dump(mode="json") for one in owed]}
    emit(value, as_json=as_json, lines=lines)


def _pairs(given: Iterable[str], option: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or not name or not value:
            fail(f"{option} is {one!r}; give NAME=VALUE", BAD_INPUT)
        found[name] = value
    return found
