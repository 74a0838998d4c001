"""`safecase run`: trials, with progress."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from safecase.cli._cluster import cluster_options, open_cluster
from safecase.cli._common import emit, fail, guarded, json_option, note, rare_collections
from safecase.cli._measure_layers import layer_lines
from safecase.cli._progress import progress_bar

if TYPE_CHECKING:
    from safecase.assess import Case, LayerFigures
    from safecase.run import Plan


@click.command("run")
@click.argument("case", type=click.Path(path_type=Path))
@click.option("--model", help="Another target than the case names, e.g. openai/<model>@http://127.0.0.1:8000/v1.")
@click.option(
    "--limit", type=click.IntRange(1), help="At most this many planned trials, over all arms, those there included."
)
@click.option(
    "--workers", type=click.IntRange(1), help="Attempts in flight, in each shard; by default as suits the target."
)
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="Stop after this long.")
@click.option("--tokens", type=click.IntRange(1), help="Stop after this many tokens.")
@click.option("--usd", type=click.FloatRange(min=0, min_open=True), help="Stop before this much is spent.")
@click.option("--cache", type=click.Path(path_type=Path), help="Answer identical requests from this file.")
@click.option("--stop-when-decided", is_flag=True, help="Stop once every planned gate is decided on every arm.")
@click.option("--dry-run", is_flag=True, help="Resolve the plan and print it; ask no scenario.")
@cluster_options
@json_option
@guarded
@rare_collections()
def run_command(
    case: Path,
    model: str | None,
    limit: int | None,
    workers: int | None,
    seconds: float | None,
    tokens: int | None,
    usd: float | None,
    cache: Path | None,
    stop_when_decided: bool,
    dry_run: bool,
    ray: str | None,
    processes: int | None,
    storage: str | None,
    shards: int | None,
    as_json: bool,
) -> None:
    """Send the planned scenarios through every arm and keep each trial.

    Stop it at any time; the same command goes on where it was. At the end it says what each safeguard layer did, over
    everything the case holds (as `safecase measure layers` does; beyond 50,000 planned trials only that command).

    \b
    Example:
        safecase run my-case
        safecase run my-case --model openai/qwen@http://127.0.0.1:8000/v1 --workers 64 --limit 5000 --json
        safecase run my-case --usd 5 --cache answers.db --stop-when-decided
        safecase run my-case --ray
        safecase run my-case --ray 10.0.0.5:6379 --storage s3://evidence/my-case
    """
    from safecase.assess import open_case, plan_case, run_case
    from safecase.compose import planned_attacks
    from safecase.declare import Budget
    from safecase.models import run_to_end

    opened = open_case(case)
    if dry_run:
        plan = run_to_end(plan_case(opened, model_name=model))
        value = {**plan.model_dump(mode="json"), "digest": plan.digest}
        lines = [f"run {plan.digest[:12]}: {plan.scenarios} scenarios, {plan.trials} trials over {len(plan.arms)} arms"]
        plays = [one for one in planned_attacks(opened.spec.sampling) if one.attempts > 1]
        lines += [f"attack {one.name}: up to {one.attempts} attempts for each planned trial" for one in plays]
        emit(value, as_json=as_json, lines=[*lines, *(f"gate {gate}" for gate in plan.gates)])
        return
    budget = Budget(
        trials=limit or opened.spec.budget.trials,
        tokens=tokens or opened.spec.budget.tokens,
        seconds=seconds or opened.spec.budget.seconds,
        cost_usd=usd or opened.spec.budget.cost_usd,
        stop_when_decided=stop_when_decided or opened.spec.budget.stop_when_decided,
    )
    if (ray is not None or processes is not None) and (cache or usd or stop_when_decided):
        fail("--cache, --usd and --stop-when-decided are for a run in one process; leave out --ray and --processes", 2)
    if budget.cost_usd is not None and opened.spec.model.prices is None:
        file = str(opened.path / "safecase.yaml")
        fail(
            f"a limit of {budget.cost_usd:g} USD needs prices, and {file!r} names none; add "
            "`prices: {input: 0.50, output: 1.50}` (USD per million tokens) under `model:`",
            2,
        )
    before = opened.plan
    cluster = open_cluster(ray=ray, processes=processes, storage=storage, shards=shards)
    with progress_bar("trials") as on_progress:
        if cluster is None:
            running = run_case(
                opened, model_name=model, budget=budget, workers=workers, cache=cache, on_progress=on_progress
            )
        else:
            from safecase.assess import run_case_distributed

            running = run_case_distributed(
                opened,
                cluster=cluster,
                model_name=model,
                budget=budget,
                workers=workers,
                on_progress=on_progress,
                say=note,
            )
        summary = run_to_end(running)
    if changed := _changed(before, opened.plan):
        note(f"note: the plan is another one than before ({', '.join(changed)}); estimates read what this one asks for")
    is_large = opened.plan is not None and opened.plan.trials > _TABLE_UP_TO
    layers = _layers(opened) if "guarded" in opened.arms and not is_large else ()
    if is_large:
        note(f"what each layer did, over so many trials: `safecase measure layers {case}`")
    value = {
        "trials": summary.trials,
        "skipped": summary.skipped,
        "seconds": round(summary.seconds, 3),
        "trials_per_s": round(summary.trials_per_s, 3),
        "errors": summary.errors,
        "tokens": summary.tokens,
        "cached": summary.cached,
        "cost_usd": summary.cost_usd,
        "stopped": summary.stopped,
        "left_out": {name: list(settings) for name, settings in summary.left_out.items()},
        "layers": None if is_large else [one.to_json() for one in layers],
    }
    line = (
        f"{summary.trials} trials in {summary.seconds:.1f} s ({summary.trials_per_s:.1f}/s), {summary.errors} without "
        f"an answer, {summary.tokens} tokens, {summary.skipped} already there"
    )
    if summary.cached:
        line += f", {summary.cached} from the cache"
    if summary.cost_usd is not None:
        line += f", {summary.cost_usd:.4f} USD"
    lines = [line, *([f"stopped: {summary.stopped}"] if summary.stopped else [])]
    for name, settings in summary.left_out.items():
        lines.append(f"note: {name} refuses {', '.join(settings)} and answered with its own; the ledger says so too")
    emit(value, as_json=as_json, lines=[*lines, *(["", *layer_lines(layers)] if layers else [])])


_TABLE_UP_TO = 50_000  # planned trials; making the table of layers takes seconds beyond


def _layers(case: "Case") -> "tuple[LayerFigures, ...]":
    from safecase.assess import layer_figures

    return layer_figures(case)


def _changed(before: "Plan | None", after: "Plan | None") -> list[str]:
    """What of a plan is not as it was, in words."""
    if before is None or after is None or before.digest == after.digest:
        return []
    old, new = before.model_dump(mode="json"), after.model_dump(mode="json")
    words = {"arms": "the model, its identity or the safeguards"}
    derived = {"scenarios", "scenarios_digest", "trials"}
    return [words.get(key, key.replace("_", " ")) for key in sorted(new) if key not in derived and old[key] != new[key]]


COMMANDS = {"run": run_command}
