"""`safecase report`: write an edition."""

import asyncio
from pathlib import Path

import click

from safecase.cli._common import emit, guarded, json_option


@click.command("report")
@click.argument("case", type=click.Path(path_type=Path))
@click.option("--change", default="", help="What this edition changes, with the reason; kept in the change log.")
@json_option
@guarded
def report_command(case: Path, change: str, as_json: bool) -> None:
    """Write the Safety & Preparedness Report as HTML, PDF and JSON. Every number in it leads to its evidence.

    \b
    Example:
        safecase report my-case
        safecase report my-case --change "More intents on privacy: the gate was inconclusive"
    """
    from safecase.assess import open_case, report_case

    rendered = asyncio.run(report_case(open_case(case), change=change))
    paths = [str(path) for path in rendered.paths]
    emit({"paths": paths}, as_json=as_json, lines=paths)


COMMANDS = {"report": report_command}
