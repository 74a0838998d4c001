"""`safecase monitor proposals` and `confirm`: actions against accounts, which a person decides on."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from safecase.cli._common import BAD_INPUT, emit, fail, guarded, json_option

if TYPE_CHECKING:
    from safecase.assess import Case
    from safecase.monitor import MonitorStore

_case = click.argument("case", type=click.Path(path_type=Path))
_state = click.option("--state", type=click.Path(path_type=Path), help="The monitor's file, where it is not the usual.")


@click.command("proposals")
@_case
@_state
@json_option
@guarded
def proposals_command(case: Path, state: Path | None, as_json: bool) -> None:
    """Actions that are proposed against accounts and wait for a person, the highest risk first.

    \b
    Example:
        safecase monitor proposals my-case
    """
    from safecase.assess import validations
    from safecase.monitor import open_proposals

    with _looked_into(case, state) as (opened, store):
        sown = frozenset(name for one in validations(opened) for name in one.accounts)
        waiting = open_proposals(store, opened.ledger, without=sown)
    value = [{"account": one.account, "action": one.action, "alert": dataclasses.asdict(one.alert)} for one in waiting]
    lines = [f"{one.alert.alert_id} {one.account}: {one.alert.what}" for one in waiting]
    emit(value, as_json=as_json, lines=lines or ["nothing waits"])


@click.command("confirm")
@_case
@click.option("--alert", "alert_id", required=True, help="Id of the proposal.")
@click.option("--action", required=True, type=click.Choice(["warn", "limit", "suspend", "refer", "none"]))
@click.option("--by", required=True, help="Who decides; the ledger names them.")
@click.option("--why", required=True, help="In your words.")
@_state
@json_option
@guarded
def confirm_command(
    case: Path, alert_id: str, action: Any, by: str, why: str, state: Path | None, as_json: bool
) -> None:
    """Decide on a proposal, as proposed or otherwise. It is written down; nothing acts by itself.

    \b
    Example:
        safecase monitor confirm my-case --alert 5c1f --action limit --by ana --why "probes every night"
    """
    from safecase.monitor import decide_proposal

    with _looked_into(case, state) as (opened, store):
        done = decide_proposal(store, opened.ledger, alert_id, action=action, actor=by, why=why)
    line = f"{done.account}: {action}, {done.action} was proposed{_NEXT.get(action, '')}"
    emit({"account": done.account, "action": action, "proposed": done.action}, as_json=as_json, lines=[line])


_NEXT = {
    "limit": "; `safecase serve keys grant` sets its limits",
    "suspend": "; `safecase serve keys revoke` ends its keys",
}


@contextmanager
def _looked_into(case: Path, state: Path | None) -> "Iterator[tuple[Case, MonitorStore]]":
    from safecase.assess import open_case
    from safecase.monitor import MonitorStore

    opened = open_case(case)
    path = state or state_file(opened)
    if not path.exists():
        fail(f"{path}: no monitor has watched this case; run `safecase monitor {case} --events ...`", BAD_INPUT)
    store = MonitorStore(path, is_reading=True)
    try:
        yield opened, store
    finally:
        store.close()


def state_file(case: "Case") -> Path:
    """The monitor's usual file; the room is loaded late."""
    from safecase.monitor import state_file as usual

    return usual(case)


def aside_folder(state: Path) -> Path:
    """Where the accounts lie that this monitor's rates leave out."""
    return state.with_name(f"{state.name}.aside")


COMMANDS = {"proposals": proposals_command, "confirm": confirm_command}
