"""`safecase monitor look`, `forget`, `sweep`: what becomes of the content of calls."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click

from safecase.cli._common import BAD_INPUT, emit, fail, guarded, json_option

if TYPE_CHECKING:
    from safecase.evidence import CallEvent
    from safecase.monitor import Look

_case = click.argument("case", type=click.Path(path_type=Path))
_by = click.option("--by", required=True, help="Who answers for it; the ledger names them.")


@click.command("look")
@_case
@click.option("--events", required=True, type=click.Path(path_type=Path, exists=True), help="A gateway's events.")
@click.option("--event", "wanted", multiple=True, required=True, help="Event id, or how it begins; repeat.")
@_by
@click.option("--why", required=True, help="What for, in your words.")
@json_option
@guarded
def look_command(case: Path, events: Path, wanted: tuple[str, ...], by: str, why: str, as_json: bool) -> None:
    """Show the content of calls to a person. The ledger has who, when, why and which before a word is shown.

    \b
    Example:
        safecase monitor look my-case --events run/events --event 0196 --by ana --why "alert 5c1f"
    """
    from safecase.assess import open_case
    from safecase.monitor import look

    found = _events(events, wanted)
    looks = look(open_case(case), found, actor=by, purpose=why)
    emit(
        [dataclasses.asdict(one) for one in looks],
        as_json=as_json,
        lines=[line for one in looks for line in _said(one)],
    )


@click.command("forget")
@_case
@click.option("--account", required=True, help="The pseudonym, as events name it.")
@_by
@json_option
@guarded
def forget_command(case: Path, account: str, by: str, as_json: bool) -> None:
    """Destroy the key to an account's content. Counts, decision records and the ledger stay as they are.

    \b
    Example:
        safecase monitor forget my-case --account acme --by ana
    """
    from safecase.assess import open_case
    from safecase.monitor import content_vault

    opened = open_case(case)
    done = content_vault(opened).forget(account, ledger=opened.ledger, actor=by)
    line = f"destroyed, receipt {done.key}" if done.key else "no content of this account is kept"
    emit(dataclasses.asdict(done), as_json=as_json, lines=[line])


@click.command("sweep")
@_case
@_by
@json_option
@guarded
def sweep_command(case: Path, by: str, as_json: bool) -> None:
    """Destroy the keys of content that is past its time, and end deletions that were interrupted.

    \b
    Example:
        safecase monitor sweep my-case --by cron
    """
    from safecase.assess import open_case
    from safecase.monitor import content_vault

    opened = open_case(case)
    done = content_vault(opened).sweep(ledger=opened.ledger, actor=by)
    line = f"{done.days} keys of a day were destroyed; of {done.accounts} accounts nothing is left"
    emit(dataclasses.asdict(done), as_json=as_json, lines=[line])


def _events(folder: Path, wanted: tuple[str, ...]) -> "list[CallEvent]":
    """The events that are asked for, each once; every prefix names exactly one."""
    from safecase.evidence import EventRow, read_events

    found: dict[str, CallEvent] = {}
    for row in read_events(folder):
        if isinstance(row, EventRow) and row.event.event_id.startswith(wanted):
            found[row.event.event_id] = row.event
    for prefix in wanted:
        count = sum(event_id.startswith(prefix) for event_id in found)
        if count != 1:
            fail(f"--event {prefix}: {count} events of {folder} begin so; give the id of one", BAD_INPUT)
    return list(found.values())


def _said(one: "Look") -> list[str]:
    if one.why_not:
        return [f"{one.event_id}: {one.why_not}"]
    return [one.event_id, f"  asked: {one.prompt}", f"  got: {one.reply if one.reply is not None else '(not kept)'}"]


COMMANDS = {"look": look_command, "forget": forget_command, "sweep": sweep_command}
