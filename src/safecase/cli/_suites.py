"""`safecase suites`: what a model can do, and whether the controls work."""

import asyncio
import dataclasses
from pathlib import Path

import click

from safecase.cli._common import emit, fail, guarded, json_option, note
from safecase.cli._suites_arena import arena_command


@click.group("suites")
def suites_command() -> None:
    """Run the suites that a case asks for, review their flagged failures, take others' logs.

    \b
    Example:
        safecase suites list my-case
        safecase suites run my-case
    """


@suites_command.command("list")
@click.argument("case", type=click.Path(path_type=Path))
@click.option("--tasks", is_flag=True, help="Also every task, with its category and people's time.")
@json_option
@guarded
def list_command(case: Path, tasks: bool, as_json: bool) -> None:
    """What the framework's suites need, what is here, and what this case asks for.

    \b
    Example:
        safecase suites list my-case
        safecase suites list my-case --tasks --json
    """
    from safecase.assess import list_suites, open_case

    rows = list_suites(open_case(case))
    value = [dataclasses.asdict(row) if tasks else {**dataclasses.asdict(row), "tasks": len(row.tasks)} for row in rows]
    lines = [f"{'suite':24} {'asked':6} {'tasks':>6}  state"]
    for row in rows:
        lines.append(f"{row.suite:24} {'yes' if row.is_asked else 'no':6} {len(row.tasks):>6}  {row.state}")
        if tasks:
            lines += [f"    {task.task:40} {task.category:20} {_time(task)}" for task in row.tasks]
    emit(value, as_json=as_json, lines=lines)


@suites_command.command("run")
@click.argument("case", type=click.Path(path_type=Path))
@click.option("--suite", "only", multiple=True, help="Only this one; may be given several times.")
@click.option("--model", help="Another target than the case names.")
@click.option("--limit", type=click.IntRange(1), help="At most this many attempts now.")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="Start no more after this long.")
@json_option
@guarded
def run_command(
    case: Path, only: tuple[str, ...], model: str | None, limit: int | None, seconds: float | None, as_json: bool
) -> None:
    """Make every planned attempt that has no answer on record yet.

    Stop it at any time; the same command goes on where it was. `safecase assess` runs suites too.

    \b
    Example:
        safecase suites run my-case
        safecase suites run my-case --suite ctf-simple --limit 100 --json
    """
    from safecase.assess import open_case, run_suites
    from safecase.cli._progress import suites_bar

    opened = open_case(case)
    known = {asked.suite for asked in opened.spec.suites if asked.source == "run"}
    if unknown := sorted(set(only) - known):
        here = ", ".join(sorted(known)) or "none"
        file = opened.path / "safecase.yaml"
        fail(f"{file}: the case does not run suite {unknown[0]!r}; under `suites:` stand {here}", 2)
    if not known:
        fail(
            f"{opened.path / 'safecase.yaml'}: the case runs no suite; add one under `suites:` (see docs/suites.md)", 2
        )
    with suites_bar() as on_progress:
        summary = asyncio.run(
            run_suites(opened, model_name=model, only=only, limit=limit, seconds=seconds, on_progress=on_progress)
        )
    for suite, missing in summary.missing.items():
        note(f"not measured: suite {suite!r} cannot run here: {missing}")
    line = (
        f"{summary.attempts} attempts in {summary.seconds:.1f} s, {summary.failed} without an answer, {summary.tokens} "
        f"tokens, {summary.skipped} already there"
    )
    lines = [line, *([f"stopped: {summary.stopped}"] if summary.stopped else [])]
    emit(dataclasses.asdict(summary), as_json=as_json, lines=lines)


@suites_command.command("review")
@click.argument("case", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Write the sheet of flagged failures here.")
@click.option("--take", type=click.Path(path_type=Path, exists=True), help="Take a filled sheet.")
@click.option("--by", help="Who filled it in; needed with --take.")
@click.option("--suite", help="Only this one, for --out.")
@click.option("--most", type=click.IntRange(1), help="At most so many rows of a suite and arm, for --out.")
@click.option("--unseal", is_flag=True, help="Open sealed transcripts into the sheet; the ledger says who did.")
@json_option
@guarded
def review_command(
    case: Path,
    out: Path | None,
    take: Path | None,
    by: str | None,
    suite: str | None,
    most: int | None,
    unseal: bool,
    as_json: bool,
) -> None:
    """Have a person say which flagged failures were the test's fault. Spurious ones count as if never made.

    Write `yes` (spurious) or `no` (the model's own failure) in the last column, from the first row on.

    \b
    Example:
        safecase suites review my-case --out sheet.csv --most 60
        safecase suites review my-case --take sheet.csv --by ada
    """
    from safecase.assess import open_case, take_review, write_review

    opened = open_case(case)
    if (out is None) == (take is None):
        fail("give one of --out FILE and --take FILE", 2)
    if out is not None:
        if out.exists():
            fail(f"{out}: there already; name another file", 2)
        rows = write_review(opened, out, suite=suite, most=most, unseal=unseal)
        emit({"file": str(out), "rows": rows}, as_json=as_json, lines=[f"{out} ({rows} rows)"])
        return
    if take is None or not by:
        fail("say who filled the sheet in: --by NAME", 2)
    found = take_review(opened, take, by=by)
    line = f"{found.rows} reviewed, {found.spurious} spurious, {found.left} flagged failures left"
    emit(dataclasses.asdict(found), as_json=as_json, lines=[line])


@suites_command.command("import")
@click.argument("case", type=click.Path(path_type=Path))
@click.argument("log", type=click.Path(path_type=Path, exists=True))
@click.option("--suite", required=True, help="The suite of the framework that the log is an evaluation of.")
@click.option("--arm", type=click.Choice(["bare", "guarded"]), default="bare", show_default=True)
@json_option
@guarded
def import_command(case: Path, log: Path, suite: str, arm: str, as_json: bool) -> None:
    """Take an Inspect log (`.eval` or `.json`) as a suite's attempts, read as the pack's `inspect:` line says.

    \b
    Example:
        safecase suites import my-case logs/gpqa.eval --suite chem-bio-dual-use
    """
    from safecase.assess import import_suite, open_case

    found = import_suite(open_case(case), log, suite=suite, arm=arm)
    line = (
        f"{found.attempts} attempts at {found.tasks} tasks of {found.task}, {found.added} new, {found.failed} without "
        "a score"
    )
    emit(dataclasses.asdict(found), as_json=as_json, lines=[line])


def _time(task: object) -> str:
    minutes = getattr(task, "human_minutes", None)
    return "" if minutes is None else f"{minutes:g} min ({getattr(task, 'human_time', '')})"


suites_command.add_command(arena_command)
COMMANDS = {"suites": suites_command}
"""The group, for the main command."""
