"""`safecase respond successor`: the next assessment of a case that is being served, beside the one that stands."""

from pathlib import Path

import click

from safecase.cli._common import emit, guarded, json_option
from safecase.cli._respond_common import by_option, case_argument

_SUCCESSOR = click.argument("successor", type=click.Path(path_type=Path))


@click.group("successor")
def successor_group() -> None:
    """The next assessment of a case that is being served, made in a copy and taken over once it is signed.

    \b
    Example:
        safecase respond successor begin my-case my-case-2 --by ana
        safecase assess my-case-2
        safecase decide sign my-case-2 --key ana.pem --position approve
        safecase respond successor take-over my-case my-case-2
    """


@successor_group.command("begin")
@case_argument
@_SUCCESSOR
@by_option
@json_option
@guarded
def successor_begin(case: Path, successor: Path, by: str, as_json: bool) -> None:
    """Copy the case; its gateway goes on under the permit that stands.

    \b
    Example:
        safecase respond successor begin my-case my-case-2 --by ana
    """
    from safecase.assess import begin_successor, open_case

    made = begin_successor(open_case(case), successor, by=by)
    emit({"successor": str(made.path)}, as_json=as_json, lines=[f"now edit and `safecase assess {made.path}`"])


@successor_group.command("update")
@case_argument
@_SUCCESSOR
@json_option
@guarded
def successor_update(case: Path, successor: Path, as_json: bool) -> None:
    """Bring what came to the case since: learned scenarios, concerns, restrictions.

    \b
    Example:
        safecase respond successor update my-case my-case-2
    """
    from safecase.assess import open_case, update_successor

    came = update_successor(open_case(case), open_case(successor))
    emit({"entries": came}, as_json=as_json, lines=[f"{came} entries of the ledger came, with their files"])


@successor_group.command("take-over")
@case_argument
@_SUCCESSOR
@json_option
@guarded
def successor_take_over(case: Path, successor: Path, as_json: bool) -> None:
    """Put the successor's signed decision in the place of the one that stands, and issue its permits.

    \b
    Example:
        safecase respond successor take-over my-case my-case-2
    """
    from safecase.assess import open_case, take_over

    done = take_over(open_case(case), open_case(successor))
    row = {
        "decision_sha256": done.decision_sha256,
        "entries": done.entries,
        "files": list(done.files),
        "permits": list(done.permits),
        "without": dict(done.without),
    }
    lines = [f"decision {done.decision_sha256[:16]} taken over, with {done.entries} entries of its ledger"]
    lines += [f"permit issued for {context}" for context in done.permits]
    lines += [f"no permit for {context} now: {why}" for context, why in done.without.items()]
    lines.append("a gateway that runs takes it up by itself, other safeguards too; now `safecase report`")
    emit(row, as_json=as_json, lines=lines)
