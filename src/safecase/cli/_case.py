"""Commands on a whole case: demo, new, assess, verify."""

import dataclasses
from pathlib import Path
from typing import Any

import click

from safecase.cli._cluster import cluster_options, open_cluster
from safecase.cli._common import NOT_SUPPORTED, NOT_VERIFIED, emit, guarded, json_option, note

_SHOWN = 10
"""Problems of a check that `verify` prints in words."""


@click.command("demo")
@click.argument("directory", type=click.Path(path_type=Path), default="demo-case")
@json_option
@guarded
def demo_command(directory: Path, as_json: bool) -> None:
    """Assess the embedded model end to end: over 600 trials before and after safeguards, gates, decision, report.

    Run it again after a stop and it goes on where it was. It ends with 0 whatever the verdict.

    \b
    Example:
        safecase demo
        safecase demo /tmp/demo-case --json
    """
    from safecase.assess import demo
    from safecase.cli._progress import progress_bar
    from safecase.models import run_to_end

    with progress_bar("trials") as on_progress:
        outcome = run_to_end(demo(directory, on_progress=on_progress, say=note))
    emit(_outcome(outcome), as_json=as_json, lines=_outcome_lines(outcome))


@click.command("new")
@click.argument("directory", type=click.Path(path_type=Path))
@json_option
@guarded
def new_command(directory: Path, as_json: bool) -> None:
    """Start a case: a directory with a `safecase.yaml` that runs as it is.

    \b
    Example:
        safecase new my-case
    """
    from safecase.assess import new_case

    path = new_case(directory)
    emit({"case": str(directory), "file": str(path)}, as_json=as_json, lines=[str(path)])


@click.command("assess")
@click.argument("case", type=click.Path(path_type=Path))
@click.option("--model", help="Another target than the case names.")
@click.option("--workers", type=click.IntRange(1), help="Attempts in flight.")
@click.option("--assume-frontier", is_flag=True, help="Apply every catastrophic gate, whatever the compute.")
@cluster_options
@json_option
@guarded
def assess_command(
    case: Path,
    model: str | None,
    workers: int | None,
    assume_frontier: bool,
    ray: str | None,
    processes: int | None,
    storage: str | None,
    shards: int | None,
    as_json: bool,
) -> None:
    """Compose, run, measure, decide and report; only what is missing is done.

    Exit code 3 when the evidence does not support every context that the case asks for.

    \b
    Example:
        safecase assess my-case
        safecase assess my-case --model openai/qwen@http://127.0.0.1:8000/v1 --json
    """
    from safecase.assess import assess, open_case
    from safecase.cli._progress import progress_bar
    from safecase.models import run_to_end

    cluster = open_cluster(ray=ray, processes=processes, storage=storage, shards=shards)
    with progress_bar("trials") as on_progress:
        outcome = run_to_end(
            assess(
                open_case(case),
                model_name=model,
                workers=workers,
                assume_frontier=assume_frontier,
                cluster=cluster,
                on_progress=on_progress,
                say=note,
            )
        )
    emit(_outcome(outcome), as_json=as_json, lines=_outcome_lines(outcome))
    if any(proposal.choice != "approve" for proposal in outcome.decided.proposals):
        raise click.exceptions.Exit(NOT_SUPPORTED)


@click.command("verify")
@click.argument("case", type=click.Path(path_type=Path))
@click.option("--trust", type=click.Path(path_type=Path), help="A roster that you kept elsewhere.")
@click.option("--head", help="A ledger head that you kept elsewhere.")
@json_option
@guarded
def verify_command(case: Path, trust: Path | None, head: str | None, as_json: bool) -> None:
    """Recompute every judgement, estimate, finding and report number, and check every digest and signature. Offline.

    Exit code 4 when anything does not hold; each problem names its file. Without --trust and --head the best verdict is
    "self-consistent, not authenticated", because whoever holds a local key could have written all of it anew.

    \b
    Example:
        safecase verify my-case
        safecase verify my-case --trust roster.json --head 5f2c...
    """
    from safecase.assess import verify_path

    found = verify_path(case, trust=trust, head=head)
    value = {**dataclasses.asdict(found), "holds": found.holds, "verdict": found.sentence}
    lines = [
        f"{'ok ' if not check.problems else 'BAD'} {check.name} ({check.looked_at} looked at)" for check in found.checks
    ]
    for check in found.checks:
        lines += [f"    {problem}" for problem in check.problems[:_SHOWN]]
        if len(check.problems) > _SHOWN:
            lines.append(f"    and {len(check.problems) - _SHOWN} more in {check.name!r}; --json lists them all")
    lines += [f"note: {text}" for text in found.notes]
    lines += [f"ledger head {found.head}" if found.head else "", found.sentence]
    emit(value, as_json=as_json, lines=[line for line in lines if line])
    if not found.holds:
        raise click.exceptions.Exit(NOT_VERIFIED)


def _outcome(outcome: Any) -> dict[str, Any]:
    return {
        "case": str(outcome.case),
        "trials": outcome.run.trials,
        "skipped": outcome.run.skipped,
        "stopped": outcome.run.stopped,
        "seconds": round(outcome.seconds, 1),
        "proposal": [dataclasses.asdict(p) for p in outcome.decided.proposals],
        "findings": [dataclasses.asdict(f) for f in outcome.decided.findings],
        "report": [str(path) for path in outcome.report],
        "ledger_head": outcome.head,
    }


def _outcome_lines(outcome: Any) -> list[str]:
    lines = [f"{'context':12} {'proposal':20} why"]
    for proposal in outcome.decided.proposals:
        more = f" (and {len(proposal.reasons) - 1} more)" if len(proposal.reasons) > 1 else ""
        lines.append(f"{proposal.context:12} {proposal.choice:20} {proposal.reasons[0]}{more}")
    seen: dict[tuple[str, str], Any] = {}
    for finding in outcome.decided.findings:
        if finding.verdict in {"pass", "fail", "inconclusive", "provisional-high"}:
            seen.setdefault((finding.gate, finding.arm), finding)
    if seen:
        lines += ["", f"{'gate':32} {'arm':8} {'verdict':13} why"]
        lines += [f"{gate:32} {arm:8} {f.verdict:13} {f.reason}" for (gate, arm), f in seen.items()]
    else:
        lines += ["", f"no gate was measured; `safecase decide {outcome.case}` says why of each"]
    run = outcome.run
    lines += ["", f"{run.trials} trials run, {run.skipped} were there already; {outcome.seconds:.0f} s in all"]
    lines += [f"stopped: {run.stopped}"] if run.stopped else []
    lines += [f"report: {path}" for path in outcome.report]
    return [*lines, f"ledger head (keep it elsewhere): {outcome.head}"]


COMMANDS = {
    "demo": demo_command,
    "new": new_command,
    "assess": assess_command,
    "verify": verify_command,
}
