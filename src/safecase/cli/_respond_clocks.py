"""`safecase respond clocks`, `calendar` and `filing`: what is owed by when."""

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from safecase.cli._common import DEFAULT, FAILED, DefaultGroup, emit, fail, guarded, json_option
from safecase.cli._respond_common import by_option, case_argument, desk_of, moment_type, must_be_installed, span

if TYPE_CHECKING:
    from safecase.respond import Standing

_TRIGGERS = ("framework-reviewed", "framework-changed", "report-published", "update-confirmed", "summary-sent")
_OBLIGATION = click.argument("obligation")


@click.group("clocks", cls=DefaultGroup)
def clocks_group() -> None:
    """What is owed by when. Ends with 1 where something is overdue.

    \b
    Example:
        safecase respond clocks my-case
        safecase respond clocks start my-case framework-reviewed --at 2026-11-01 --by ana
        safecase respond clocks met my-case o-i-0123456789ab-eu-cop.final-report-1 --reference R-17 --by ana
    """


@clocks_group.command(DEFAULT)
@case_argument
@click.option("--all", "everything", is_flag=True, help="Also what was met, or fell away.")
@click.option("--now", "moment", type=moment_type, help="As of this moment, keeping nothing; now by default.")
@json_option
@guarded
def list_command(case: Path, everything: bool, moment: dt.datetime | None, as_json: bool) -> None:
    """Every obligation, the earliest first. Ends with 1 where something is overdue.

    \b
    Example:
        safecase respond clocks my-case
    """
    from safecase.assess import utc_now
    from safecase.respond import clocks

    with desk_of(case, banner=False) as desk:
        found = clocks(desk, now=moment or utc_now(), everything=everything, foresee=moment is not None)
    lines = [f"{'state':9} {'left':>14}  {'due (UTC)':16}  obligation"]
    for one in found:
        owed = one.obligation
        lines.append(f"{one.state:9} {span(one.left):>14}  {owed.due.astimezone(dt.UTC):%Y-%m-%d %H:%M}  {owed.id}")
        lines.append(f"{'':27}{owed.what} ({owed.citation})")
    emit([_row(one) for one in found], as_json=as_json, lines=lines if found else ["nothing is owed"])
    late = [one for one in found if one.state == "overdue"]
    if late:
        fail(f"*** OVERDUE: {len(late)}, the first {late[0].obligation.id} by {span(late[0].left)} ***", FAILED)


@clocks_group.command("start")
@case_argument
@click.argument("trigger", type=click.Choice(_TRIGGERS))
@click.option("--at", "moment", type=moment_type, help="When it happened; now by default.")
@click.option("--reference", default="", help="What proves it.")
@by_option
@json_option
@guarded
def start_command(case: Path, trigger: str, moment: dt.datetime | None, reference: str, by: str, as_json: bool) -> None:
    """Say that something of the case happened: a review, a publication, a change. Its clocks start, or start again.

    \b
    Example:
        safecase respond clocks start my-case framework-reviewed --at 2026-11-01 --by ana
    """
    from safecase.assess import utc_now
    from safecase.respond import standing, start_clock

    now = utc_now()
    with desk_of(case) as desk:
        made = start_clock(desk, trigger, since=moment or now, by=by, now=now, reference=reference)
    found = [standing(one, now=now) for one in made]
    lines = [f"{one.obligation.id} is due {one.obligation.due.isoformat()}" for one in found]
    emit([_row(one) for one in found], as_json=as_json, lines=lines)


@clocks_group.command("met")
@case_argument
@_OBLIGATION
@click.option("--reference", required=True, help="What proves it, such as the authority's receipt number.")
@click.option("--at", "moment", type=moment_type, help="When it was done; now by default.")
@by_option
@json_option
@guarded
def met_command(
    case: Path, obligation: str, reference: str, moment: dt.datetime | None, by: str, as_json: bool
) -> None:
    """Say that something owed was done.

    \b
    Example:
        safecase respond clocks met my-case o-i-0123456789ab-eu-cop.final-report-1 --reference R-17 --by ana
    """
    from safecase.assess import utc_now
    from safecase.respond import meet, standing

    now = utc_now()
    with desk_of(case) as desk:
        met = meet(desk, obligation, by=by, at=moment or now, reference=reference, now=now)
    found = standing(met, now=now)
    emit(_row(found), as_json=as_json, lines=[f"{met.id}: {found.state}"])


@click.command("calendar")
@case_argument
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="The .ics file; replaced where it is there."
)
@json_option
@guarded
def calendar_command(case: Path, out: Path, as_json: bool) -> None:
    """Open obligations as an iCalendar file, with reminders.

    \b
    Example:
        safecase respond calendar my-case --out obligations.ics
    """
    from safecase.assess import utc_now
    from safecase.evidence import write_atomic
    from safecase.respond import calendar, clocks

    must_be_installed("icalendar")
    now = utc_now()
    with desk_of(case) as desk:
        found = clocks(desk, now=now)
        data = calendar(found, case=desk.case.spec.id, packs=desk.packs, now=now)
    write_atomic(out, data)
    emit({"file": str(out), "entries": len(found)}, as_json=as_json, lines=[f"{len(found)} entries: {out}"])


@click.command("filing")
@case_argument
@_OBLIGATION
@by_option
@json_option
@guarded
def filing_command(case: Path, obligation: str, by: str, as_json: bool) -> None:
    """Draft what an obligation asks for, from the record: Markdown and JSON. A person checks and sends it.

    \b
    Example:
        safecase respond filing my-case o-i-0123456789ab-eu-cop.first-report-harm-1 --by ana
    """
    from safecase.assess import utc_now
    from safecase.respond import write_filing

    with desk_of(case) as desk:
        text, data, filing = write_filing(desk, obligation, by=by, now=utc_now())
    unknown = f"{len(filing.unknown)} fields are unknown: {', '.join(filing.unknown)}" if filing.unknown else ""
    value: dict[str, Any] = {"markdown": str(text), "json": str(data), "unknown": list(filing.unknown)}
    emit(value, as_json=as_json, lines=[str(text), str(data), *([unknown] if unknown else [])])


def _row(one: "Standing") -> dict[str, Any]:
    left = None if one.left is None else int(one.left.total_seconds())
    return {**one.obligation.model_dump(mode="json"), "state": one.state, "left_s": left}
