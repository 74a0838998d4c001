"""`safecase decide argument`, `concern` and `accept`: the safety-case argument and the doubts against it."""

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from safecase.cli._common import BAD_INPUT, emit, fail, guarded, json_option

if TYPE_CHECKING:
    from safecase.decide import Argument


@click.command("argument")
@click.argument("case", type=click.Path(path_type=Path))
@click.option("--context", help="The deployment context; the first of the case by default.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "mermaid", "svg"]),
    default="text",
    show_default=True,
    help="json: in the terms of SACM.",
)
@click.option("--part", help="Draw only what stands below this domain, outcome, scenario, area or gate (svg).")
@click.option("--out", type=click.Path(path_type=Path), help="Write it here instead of printing it.")
@click.option("--keep", is_flag=True, help="Decide anew and keep the argument in the case from now on.")
@click.option("--assume-frontier", is_flag=True, help="Apply every catastrophic gate, whatever the compute.")
@json_option
@guarded
def argument_command(
    case: Path,
    context: str | None,
    form: str,
    part: str | None,
    out: Path | None,
    keep: bool,
    assume_frontier: bool,
    as_json: bool,
) -> None:
    """The argument that a deployment is acceptably safe: claims, strategies, evidence, defeaters, confidence.

    Claims whose evidence moved since people last signed are marked as open again.

    \b
    Example:
        safecase decide argument my-case --context closed
        safecase decide argument my-case --context closed --format svg --part cyber-1 --out cyber-1.svg
        safecase decide argument my-case --keep
    """
    from safecase.assess import argue_case, argument_in, open_case

    made = asyncio.run(argue_case(open_case(case), assume_frontier=assume_frontier, keep=keep))
    argument = argument_in(made, context or made[0].context)
    text = _in_form(argument, "json" if as_json else form, part)
    if out is None:
        click.echo(text, nl=False)
        return
    out.write_text(text, encoding="utf-8")
    emit({"file": str(out)}, as_json=as_json, lines=[str(out)])


def _in_form(argument: "Argument", form: str, part: str | None) -> str:
    from safecase.decide import to_mermaid, to_sacm
    from safecase.report import draw_argument

    if part is not None and form != "svg":
        fail(f"--part {part!r} is for --format svg; the other forms hold the whole argument", BAD_INPUT)
    if form == "json":
        return json.dumps(to_sacm(argument), ensure_ascii=False, indent=1) + "\n"
    if form == "mermaid":
        return to_mermaid(argument)
    if form == "svg":
        try:
            return draw_argument(argument, part=part).svg + "\n"
        except KeyError:
            fail(f"--part {part!r} is no domain, outcome, scenario, area or gate of the argument", BAD_INPUT)
    return "\n".join(_lines(argument)) + "\n"


def _lines(argument: "Argument") -> list[str]:
    """Claims indented below what they support, down to gates, then the doubts that no evidence answers."""
    depth = {argument.top.node_id: 0}
    lines: list[str] = []
    for node in argument.nodes:
        for part in argument.supports(node.node_id):
            depth.setdefault(part, depth[node.node_id] + 1)
        if node.state is not None:
            again = f"   OPEN AGAIN: {'; '.join(node.moved)}" if node.moved else ""
            lines.append(f"{'  ' * depth[node.node_id]}{node.text} [{node.state}, {node.confidence}]{again}")
    doubts = [doubt for doubt in argument.defeaters if doubt.state != "rebutted"]
    lines += ["", f"{len(doubts)} defeaters that no evidence answers:" if doubts else "every defeater is answered"]
    lines += [
        f"  {doubt.defeater_id} ({doubt.state}{': ' + doubt.by if doubt.by else ''}): {doubt.text}" for doubt in doubts
    ]
    return lines


@click.command("concern")
@click.argument("case", type=click.Path(path_type=Path))
@click.option("--id", "concern_id", required=True, help="A short id of yours; the same id again changes it.")
@click.option("--kind", type=click.Choice(["incident", "condition"]), default="incident", show_default=True)
@click.option("--what", required=True, help="In a sentence.")
@click.option("--touches", multiple=True, help="Domain, outcome, scenario, area or gate; repeat. The whole by default.")
@click.option("--context", "contexts", multiple=True, help="Deployment context; repeat. Every one by default.")
@click.option("--closed", help="How it was closed, which rebuts the defeater.")
@click.option("--by", required=True, help="Who brings it; the ledger keeps it.")
@json_option
@guarded
def concern_command(
    case: Path,
    concern_id: str,
    kind: str,
    what: str,
    touches: tuple[str, ...],
    contexts: tuple[str, ...],
    closed: str | None,
    by: str,
    as_json: bool,
) -> None:
    """Bring an incident or a broken condition to the argument: the claims it touches are open again.

    \b
    Example:
        safecase decide concern my-case --id inc-7 --what "keys were printed" --touches privacy --by ana
    """
    from safecase.assess import note_concern, open_case
    from safecase.decide import Concern

    concern = Concern(
        concern_id=concern_id,
        kind=kind,  # type: ignore[arg-type]  # click checked
        what=what,
        touches=touches,
        contexts=contexts,
        closed=closed,
    )
    path = note_concern(open_case(case), concern, actor=by)
    emit({"concern": str(path)}, as_json=as_json, lines=[str(path)])


@click.command("accept")
@click.argument("case", type=click.Path(path_type=Path))
@click.option("--context", required=True, help="The deployment context.")
@click.option("--defeater", required=True, help="Its id, as `decide argument` lists it.")
@click.option("--reason", required=True, help="In your words; the report prints it.")
@click.option(
    "--key", "keys", multiple=True, required=True, type=click.Path(path_type=Path), help="Repeat: two people."
)
@click.option("--assume-frontier", is_flag=True, help="Apply every catastrophic gate, whatever the compute.")
@json_option
@guarded
def accept_command(
    case: Path, context: str, defeater: str, reason: str, keys: tuple[Path, ...], assume_frontier: bool, as_json: bool
) -> None:
    """Sign that an open doubt is lived with. No gate opens by it, confidence stays low, and other evidence ends it.

    \b
    Example:
        safecase decide accept my-case --context closed --defeater sandbagging:cyber-1 --reason "checked by hand" \\
            --key ana.pem --key ben.pem
    """
    from safecase.assess import accept_defeater, argue_case, argument_in, open_case, open_defeater

    opened = open_case(case)
    argument = argument_in(asyncio.run(argue_case(opened, assume_frontier=assume_frontier)), context)
    found = open_defeater(argument, defeater)
    path = accept_defeater(opened, found, context=context, reason=reason, key_files=keys)
    emit({"acceptance": str(path)}, as_json=as_json, lines=[str(path)])


ARGUMENT_COMMANDS = (argument_command, concern_command, accept_command)
