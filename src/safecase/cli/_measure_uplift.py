"""`safecase measure uplift`: studies of people with and without the model."""

import dataclasses
from pathlib import Path

import click

from safecase.cli._common import emit, fail, guarded, json_option, note


@click.group("uplift")
def uplift_group() -> None:
    """Declare a study of people with and without the model, and take its results.

    \b
    Example:
        safecase measure uplift plan my-case study.yaml --sheet allocation.csv
        safecase measure uplift take my-case bench-study results.csv
    """


@uplift_group.command("plan")
@click.argument("case", type=click.Path(path_type=Path))
@click.argument("study", type=click.Path(path_type=Path, exists=True))
@click.option("--sheet", type=click.Path(path_type=Path), help="Write who is in which arm here, not for graders.")
@json_option
@guarded
def plan_command(case: Path, study: Path, sheet: Path | None, as_json: bool) -> None:
    """Put a study on record before its first participant, with its power and its allocation.

    \b
    Example:
        safecase measure uplift plan my-case study.yaml --sheet allocation.csv
    """
    from safecase.assess import declare_uplift, open_case, write_allocation
    from safecase.declare import load_study

    if sheet is not None and sheet.exists():
        fail(f"{sheet}: there already; name another file", 2)
    loaded = load_study(study)
    declared = declare_uplift(open_case(case), loaded)
    if sheet is not None:
        write_allocation(loaded, sheet)
    power = declared.power
    if min(power.detect, power.clear) < loaded.power:
        note(f"under-powered: {loaded.power:.0%} was asked for; more participants in each arm would mend it")
    lines = [
        f"{declared.study}: {loaded.per_arm} people in each arm, read by {', '.join(declared.gates)}",
        f"chance to find an uplift of {loaded.effect:g} if there is one: {power.detect:.0%}",
        f"chance to rule it out if there is none: {power.clear:.0%}",
    ]
    emit(dataclasses.asdict(declared), as_json=as_json, lines=lines)


@uplift_group.command("take")
@click.argument("case", type=click.Path(path_type=Path))
@click.argument("study")
@click.argument("table", type=click.Path(path_type=Path, exists=True))
@json_option
@guarded
def take_command(case: Path, study: str, table: Path, as_json: bool) -> None:
    """Take the results of a declared STUDY from a CSV or Parquet TABLE, whole or not at all, and once.

    \b
    Example:
        safecase measure uplift take my-case bench-study results.csv
    """
    from safecase.assess import open_case, take_uplift

    taken = take_uplift(open_case(case), study, table)
    blind = taken.blinding
    guessed = f"{blind.correct} of {blind.guesses} guesses of the arm were right"
    if not blind.holds:
        note(f"blinding was not shown to hold ({guessed}), so the study passes no gate; what it found stands")
    lines = [
        f"{taken.study}: {taken.counted} of {taken.counted + taken.absent} participants count, {taken.excluded} "
        f"excluded, {taken.absent} absent; {guessed}"
    ]
    emit(dataclasses.asdict(taken), as_json=as_json, lines=lines)
