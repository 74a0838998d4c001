"""`safecase respond watch`, `reopened`, `learned` and `shared`: what closes a permit, and what is learned from it."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from safecase.cli._common import emit, guarded, json_option, note
from safecase.cli._respond_common import by_option, case_argument, desk_of, must_be_installed, safe

if TYPE_CHECKING:
    from safecase.respond import LearnedScenario, Reopening

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_KEY = click.option("--key", "key_file", required=True, type=_FILE, help="Of a role that may `narrow`.")
_TLP = click.Choice(["clear", "green", "amber", "amber+strict"])


@click.command("watch")
@case_argument
@_KEY
@click.option("--once/--follow", default=True, help="Look once (the default), or every second until stopped.")
@json_option
@guarded
def watch_command(case: Path, key_file: Path, once: bool, as_json: bool) -> None:
    """Hold incidents, the monitor's alerts, the clock and the declarations against every permit; close what breaks.

    With --follow, what goes wrong after the first look (a declaration half edited, a registry that is busy) is told,
    and the next look tries again.

    \b
    Example:
        safecase respond watch my-case --key watch.pem --follow
    """
    from safecase.declare import DeclareError
    from safecase.evidence import EvidenceError
    from safecase.registry import RegistryError

    with desk_of(case, banner=False) as desk:
        made, told = _look(desk, key_file), ""
        while True:
            if made or once:
                emit([_row(one) for one in made], as_json=as_json, lines=[_line(one) for one in made])
            if once:
                return
            time.sleep(1.0)
            try:
                made, told = _look(desk, key_file), ""
            except (DeclareError, EvidenceError, RegistryError) as fault:
                made, trouble = [], f"nothing is watched: {fault}; trying again"
                if trouble != told:
                    note(trouble)
                told = trouble


@click.group("reopened")
def reopened_group() -> None:
    """Decisions that are open again.

    \b
    Example:
        safecase respond reopened list my-case
        safecase respond reopened accept my-case re-0123456789ab --in my-case-2 --by ana
    """


@reopened_group.command("list")
@case_argument
@json_option
@guarded
def reopened_list(case: Path, as_json: bool) -> None:
    """Every decision that was reopened, and why, the latest first.

    \b
    Example:
        safecase respond reopened list my-case
    """
    from safecase.respond import reopenings

    with desk_of(case) as desk:
        found = reopenings(desk)
    emit([_row(one) for one in found], as_json=as_json, lines=[_line(one) for one in found])


@reopened_group.command("accept")
@case_argument
@click.argument("reopening")
@click.option(
    "--in", "successor", type=click.Path(path_type=Path), help="Folder for the case's successor, where it is run."
)
@by_option
@json_option
@guarded
def reopened_accept(case: Path, reopening: str, successor: Path | None, by: str, as_json: bool) -> None:
    """Take a re-assessment up. With --in it is run in a successor, and the gateway goes on; without, it stops here.

    \b
    Example:
        safecase respond reopened accept my-case re-0123456789ab --in my-case-2 --by ana
    """
    from safecase.assess import utc_now
    from safecase.respond import accept_reassessment

    with desk_of(case) as desk:
        done = accept_reassessment(desk, reopening, by=by, at=utc_now(), successor=successor)
    lines = [f"accepted; now `safecase assess {successor or case}`"]
    if successor is None:
        lines.append("its gateway stops at the first of these steps, until people have signed again")
    emit(_row(done), as_json=as_json, lines=lines)


@click.group("learned")
def learned_group() -> None:
    """Scenarios that came back from live use.

    \b
    Example:
        safecase respond learned propose my-case r-0123456789abcdef --by ana
        safecase respond learned accept my-case ls-0123456789ab --by ben
    """


@learned_group.command("list")
@case_argument
@json_option
@guarded
def learned_list(case: Path, as_json: bool) -> None:
    """Every learned scenario with its wording, the earliest first.

    \b
    Example:
        safecase respond learned list my-case
    """
    from safecase.respond import frame_of, scenarios, wording

    with desk_of(case) as desk:
        rows = [_learned(one, wording(desk, one.id), frame_of(desk, one.id)) for one in scenarios(desk)]
    lines = [
        line
        for one in rows
        for line in (
            f"{one['id']} {one['status']:9} {one['category']:20} {safe(one['wording'])}",
            *([f"{'':15} frame: {safe(one['frame'])}"] if one["frame"] else []),
        )
    ]
    emit(rows, as_json=as_json, lines=lines)


@learned_group.command("propose")
@case_argument
@click.argument("report")
@click.option("--text", help="The request in your own words; reworded by rule without them.")
@click.option("--frame", help="In your own words how it asks, with {} where the request stands; it is then an attack.")
@by_option
@json_option
@guarded
def learned_propose(case: Path, report: str, text: str | None, frame: str | None, by: str, as_json: bool) -> None:
    """Propose the request of a confirmed report as a scenario, in other words and without personal data.

    \b
    Example:
        safecase respond learned propose my-case r-0123456789abcdef --by ana
        safecase respond learned propose my-case r-0123456789abcdef --frame "An exam asks: {} Mark it." --by ana
    """
    from safecase.assess import utc_now
    from safecase.respond import frame_of, learn_from_report, wording

    with desk_of(case) as desk:
        made = learn_from_report(desk, report, by=by, at=utc_now(), text=text, frame=frame)
        row = _learned(made, wording(desk, made.id), frame_of(desk, made.id))
    emit(row, as_json=as_json, lines=[f"{made.id}: {safe(row['wording'])}"])


@learned_group.command("accept")
@case_argument
@click.argument("scenario")
@click.option("--text", help="The wording as you mend it.")
@click.option("--frame", help='The frame as you mend it; "" leaves it out.')
@by_option
@json_option
@guarded
def learned_accept(case: Path, scenario: str, text: str | None, frame: str | None, by: str, as_json: bool) -> None:
    """Take a proposed scenario into the case's bank; every later plan runs it.

    With a frame it is an attack too: every gate's intents meet it, and each gate keeps to its line under it.

    \b
    Example:
        safecase respond learned accept my-case ls-0123456789ab --by ben
    """
    from safecase.assess import utc_now
    from safecase.respond import accept_scenario, frame_of, wording

    with desk_of(case) as desk:
        done = accept_scenario(desk, scenario, by=by, at=utc_now(), text=text, frame=frame)
        attack = frame if frame is not None else frame_of(desk, done.id)
        row = _learned(done, text or wording(desk, done.id), attack or None)
    also = ", and an attack on every gate's intents" if attack else ""
    emit(row, as_json=as_json, lines=[f"{done.scenario}: planned from now on{also}"])


@learned_group.command("reject")
@case_argument
@click.argument("scenario")
@by_option
@json_option
@guarded
def learned_reject(case: Path, scenario: str, by: str, as_json: bool) -> None:
    """Say that a proposal is no scenario.

    \b
    Example:
        safecase respond learned reject my-case ls-0123456789ab --by ben
    """
    from safecase.assess import utc_now
    from safecase.respond import reject_scenario

    with desk_of(case) as desk:
        done = reject_scenario(desk, scenario, by=by, at=utc_now())
    emit({"id": done.id, "status": done.status}, as_json=as_json, lines=["rejected"])


@click.group("shared")
def shared_group() -> None:
    """Exchange with others, as STIX 2.1 under a TLP marking; flaw reports as JSON.

    \b
    Example:
        safecase respond shared out my-case --tlp green --organisation Ours --out bundle.json --by ana
        safecase respond shared in my-case theirs.json --origin Them
        safecase respond shared flaw my-case i-0123456789ab --out flaw.json --by ana
    """


@shared_group.command("out")
@case_argument
@click.option("--tlp", required=True, type=_TLP, help="Marking of everything in it.")
@click.option("--most-open", type=_TLP, default="green", show_default=True, help="Widest marking of your policy.")
@click.option("--wording", "with_wording", is_flag=True, help="Reworded scenarios go out too, from AMBER on.")
@click.option("--organisation", required=True, help="Who shares it.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="File to write.")
@by_option
@json_option
@guarded
def shared_out(
    case: Path, tlp: Any, most_open: Any, with_wording: bool, organisation: str, out: Path, by: str, as_json: bool
) -> None:
    """Write every accepted scenario as an attempt to get round safeguards.

    \b
    Example:
        safecase respond shared out my-case --tlp amber --wording --organisation Ours --out bundle.json --by ana
    """
    from safecase.assess import utc_now
    from safecase.evidence import write_atomic
    from safecase.respond import SharingPolicy, scenarios, share_out

    must_be_installed("stix2")
    policy = SharingPolicy(organisation=organisation, most_open=most_open, with_wording=with_wording)
    with desk_of(case) as desk:
        accepted = [one for one in scenarios(desk) if one.status == "accepted"]
        write_atomic(out, share_out(desk, policy=policy, tlp=tlp, scenarios=accepted, by=by, at=utc_now()))
    emit({"file": str(out), "scenarios": len(accepted)}, as_json=as_json, lines=[str(out)])


@shared_group.command("in")
@case_argument
@click.argument("bundle", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--origin", required=True, help="Who sent it.")
@json_option
@guarded
def shared_in(case: Path, bundle: Path, origin: str, as_json: bool) -> None:
    """Keep somebody's bundle as a report, which waits for a person like any other.

    \b
    Example:
        safecase respond shared in my-case theirs.json --origin Them
    """
    from safecase.assess import utc_now
    from safecase.respond import MOST_BYTES, take_in

    with desk_of(case) as desk, bundle.open("rb") as file:
        receipt = take_in(desk, file.read(MOST_BYTES + 1), origin=origin, at=utc_now())
    emit({"report": receipt.report}, as_json=as_json, lines=[receipt.report])


@shared_group.command("flaw")
@case_argument
@click.argument("incident")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="File to write.")
@by_option
@json_option
@guarded
def shared_flaw(case: Path, incident: str, out: Path, by: str, as_json: bool) -> None:
    """Write an incident as a flaw report, without a word of any user.

    \b
    Example:
        safecase respond shared flaw my-case i-0123456789ab --out flaw.json --by ana
    """
    from safecase.assess import utc_now
    from safecase.evidence import write_atomic
    from safecase.respond import flaw_report, incident_for

    with desk_of(case) as desk:
        write_atomic(out, flaw_report(desk, incident_for(desk, incident, by), by=by, at=utc_now()))
    emit({"file": str(out)}, as_json=as_json, lines=[str(out)])


def _look(desk: Any, key_file: Path) -> "list[Reopening]":  # respond.Desk, loaded late
    """Hold everything that is on record against every permit."""
    from safecase.assess import utc_now
    from safecase.respond import tick

    return [*tick(desk, key_file=key_file, at=utc_now()), *_alerted(desk, key_file)]


def _alerted(desk: Any, key_file: Path) -> "list[Reopening]":  # respond.Desk, loaded late
    """What the ledger's latest alerts break; the monitor names every alert there."""
    from safecase.assess import utc_now
    from safecase.respond import AlertSignal, react

    made: list[Reopening] = []
    for entry in desk.case.ledger.entries():
        if entry.action == "alerted":
            said = {name: str(entry.subject[name]) for name in ("kind", "series", "what")}
            signal = AlertSignal(id=entry.subject["alert_id"], at=entry.at, **said)
            made += react(desk, signal, key_file=key_file, at=utc_now())
    return made


def _row(one: "Reopening") -> dict[str, Any]:
    return one.model_dump(mode="json")


def _line(one: "Reopening") -> str:
    return f"{one.id} {one.at:%Y-%m-%d %H:%M} {one.status:8} {one.context}: {one.then} ({one.condition}), {one.why}"


def _learned(one: "LearnedScenario", said: str, frame: str | None) -> dict[str, Any]:
    return {**one.model_dump(mode="json", exclude={"content", "frame"}), "wording": said, "frame": frame}
