"""`safecase report`: write an edition."""

import asyncio
from pathlib import Path

import click

from safecase.cli._common import emit, fail, guarded, json_option


@click.command("report")
@click.argument("case", type=click.Path(path_type=Path))
@click.option("--change", default="", help="What this edition changes, with the reason; kept in the change log.")
@click.option(
    "--bundle", type=click.Path(path_type=Path), help="Instead, pack the case as a zip without sealed answers."
)
@json_option
@guarded
def report_command(case: Path, change: str, bundle: Path | None, as_json: bool) -> None:
    """Write the Safety & Preparedness Report as HTML, PDF and JSON. Every number in it leads to its evidence.

    \b
    Example:
        safecase report my-case
        safecase report my-case --change "More intents on privacy: the gate was inconclusive"
        safecase report my-case --bundle my-case.zip
    """
    from safecase.assess import bundle_case, open_case, report_case

    if bundle is not None:
        if bundle.exists():
            fail(f"{str(bundle)!r} exists; choose another name", 2)
        path, left_out = bundle_case(open_case(case), bundle)
        value = {"bundle": str(path), "left_out": list(left_out)}
        emit(value, as_json=as_json, lines=[str(path), f"{len(left_out)} segments of sealed answers left out"])
        return
    rendered = asyncio.run(report_case(open_case(case), change=change))
    paths = [str(path) for path in rendered.paths.values()]
    emit({"paths": paths}, as_json=as_json, lines=paths)


COMMANDS = {"report": report_command}
