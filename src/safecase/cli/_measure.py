"""`safecase measure`: judgements and estimates; people's labels."""

import asyncio
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click

from safecase.cli._balance import balance_command
from safecase.cli._calibrate import calibrate_group
from safecase.cli._common import DEFAULT, DefaultGroup, emit, fail, guarded, json_option, note
from safecase.cli._measure_audit import audit_command
from safecase.cli._measure_cards import cards_command
from safecase.cli._measure_layers import layers_command
from safecase.cli._measure_plan import plan_command
from safecase.cli._measure_uplift import uplift_group

if TYPE_CHECKING:
    from safecase.evidence import Estimate


@click.group("measure", cls=DefaultGroup)
def measure_group() -> None:
    """Judge what is not judged yet, and estimate every rate with its interval.

    \b
    Example:
        safecase measure my-case
        safecase measure my-case --json
        safecase measure label my-case --arm guarded --labeller reviewer-1
    """


@measure_group.command(DEFAULT)
@click.argument("case", type=click.Path(path_type=Path))
@click.option("--all", "show_all", is_flag=True, help="Show every group, not only wholes, worst and attempts.")
@json_option
@guarded
def case_command(case: Path, show_all: bool, as_json: bool) -> None:
    """Estimates of a case: unsafe, safe, refusal and over-refusal rates, before and after safeguards.

    \b
    Example:
        safecase measure my-case
        safecase measure my-case --all
        safecase measure my-case --json
    """
    from safecase.assess import measure_case, open_case

    measured = asyncio.run(measure_case(open_case(case)))
    if measured.judging.unscored:
        note(f"{measured.judging.unscored} answers could not be judged; they are bounded at their worst")
    rows = [dataclasses.asdict(estimate) for estimate in measured.estimates]
    shown = [e for e in measured.estimates if show_all or e.group in {"all", "worst"} or e.scope["name"] == "attempts"]
    header = f"{'estimate':52} {'value':>12} {'low':>12} {'high':>12} {'n':>6} {'intents':>7}  calibration"
    lines = [
        f"{e.estimate_id:52} {_text(e, e.value):>12} {_text(e, e.low):>12} {_text(e, e.high):>12} {e.n:>6} "
        f"{e.clusters:>7}  {e.calibration}"
        for e in shown
    ]
    emit(rows, as_json=as_json, lines=[header, *lines])


@measure_group.command("label")
@click.argument("case", type=click.Path(path_type=Path))
@click.option("--arm", required=True, help="Whose answers to label.")
@click.option("--labeller", required=True, help="Who labels; kept with every label.")
@click.option("--count", default=20, show_default=True, type=click.IntRange(1), help="How many to draw at random.")
@click.option("--seed", default=1, show_default=True, help="Which random draw.")
@click.option("--show-harmful", is_flag=True, help="Agree to read answers that may be harmful. Each read is logged.")
@click.option("--labels", type=click.Path(path_type=Path), help="JSONL of {trial_id, label} instead of asking.")
@json_option
@guarded
def label_command(
    case: Path,
    arm: str,
    labeller: str,
    count: int,
    seed: int,
    show_harmful: bool,
    labels: Path | None,
    as_json: bool,
) -> None:
    """Take a person's labels of an arm's own answers, which calibrate the judge there (level `own`).

    The labels are refusal, partial_refusal, safe_completion, compliance and incoherent. Without a file, answers are
    shown one by one, the judge's verdict hidden.

    \b
    Example:
        safecase measure label my-case --arm guarded --labeller reviewer-1 --show-harmful
        safecase measure label my-case --arm guarded --labeller reviewer-1 --labels labels.jsonl
    """
    from safecase.assess import draw_for_labels, open_case, read_labels, write_labels
    from safecase.evidence import VERDICTS

    opened = open_case(case)
    if labels is not None:
        given = read_labels(opened, labels, arm=arm)
    else:
        if not show_harmful:
            fail("answers may be harmful to read; add --show-harmful to agree to it, or give --labels FILE", 2)
        given = {}
        drawn = draw_for_labels(opened, arm=arm, count=count, seed=seed, reader=labeller)
        for position, (trial, text) in enumerate(drawn, start=1):
            click.echo(
                f"\n[{position} of {len(drawn)}] trial {trial.trial_id}, {trial.category}\n\n{trial.prompt}\n\n{text}\n"
            )
            answer = click.prompt("label", type=click.Choice([*VERDICTS, "skip", "stop"]), show_choices=True)
            if answer == "stop":
                break
            given[trial.trial_id] = None if answer == "skip" else answer
    summary = write_labels(opened, given, labeller=labeller, file=labels)
    emit(
        summary, as_json=as_json, lines=[f"{summary['labels']} labels by {labeller!r} on arm {arm!r} kept as evidence"]
    )


measure_group.add_command(plan_command)


def _text(estimate: "Estimate", value: float | None) -> str:
    from safecase.report import estimate_text

    return estimate_text(estimate, value)


measure_group.add_command(calibrate_group)
measure_group.add_command(audit_command)
measure_group.add_command(balance_command)
measure_group.add_command(layers_command)
measure_group.add_command(cards_command)
measure_group.add_command(uplift_group)

COMMANDS = {"measure": measure_group}
