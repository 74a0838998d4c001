"""The run stage over several processes or machines: the same plan, the same trials, the same ledger."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from safecase.assess._case import Case, Clock, home, utc_now
from safecase.assess._kept import ACTOR, keep_plan
from safecase.assess._run import plan_targets
from safecase.assess._running import only_one
from safecase.assess._targets import opened_targets, target_names
from safecase.declare import Budget
from safecase.evidence import HAZARDOUS_DOMAINS, PostKey, digest_bytes
from safecase.measure import must_be_independent
from safecase.models import Model, open_model
from safecase.run import (
    Executor,
    Plan,
    Progress,
    RunSummary,
    ShardSummary,
    Spread,
    UnheldBudget,
    pack_case,
    planned_domains,
    run_shards,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Where a case's shards run and write.

    Attributes:
        storage: path or URL that this machine and every worker reach; a folder of this machine by default, which is
            cleared when all of it has been collected.
        shards: how many; four for each slot of the executor by default.
    """

    executor: Executor
    storage: str | None = None
    shards: int | None = None


async def run_case_distributed(
    case: Case,
    *,
    cluster: Cluster,
    model_name: str | None = None,
    budget: Budget | None = None,
    workers: int | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
    say: Callable[[str], None] = lambda _: None,
    opens: Callable[[str], Model] = open_model,
    now: Clock = utc_now,
) -> RunSummary:
    """Run what is missing of the plan, in shards; the case is then what `run_case` would have made of it.

    Args:
        model_name: another target than the case names; every worker opens it, with keys of its own machine.
        budget: hard limits; the case's own by default.
        workers: attempts in flight in each shard; the target's advice by default.
        say: told in a line what takes its time, and when a worker is lost.
        opens: how a worker opens the target.

    Raises:
        UnheldBudget: a limit on cost.
        JudgeNotIndependent: the judge is the model that attacks ask.
        CaseBusy: another process runs the case.
    """
    limits = budget or case.spec.budget
    if limits.cost_usd is not None:
        raise UnheldBudget(
            f"a limit of {limits.cost_usd:g} USD cannot be held over several processes; take `cost_usd` out of the "
            "case's budget and limit tokens instead, or run in one process"
        )
    must_be_independent(case.spec.judge, attacker=case.spec.sampling.attacker)
    if limits.stop_when_decided:
        say("a run over several processes does not stop when gates are decided; it runs the whole plan")
    if case.spec.sampling.allocation != "plan-order":
        say("a run over several processes takes the plan in its own order; the bandit is for one process")
    async with only_one(case):
        async with opened_targets(case, None, model_name) as targets:
            plan = await plan_targets(case, targets)
        keep_plan(case, plan, now)
        is_hazardous = bool(planned_domains(plan, case.framework, case.intents_of(plan)) & HAZARDOUS_DOMAINS)
        run = run_folder(case, plan)
        staging = None if cluster.storage else _staging(case)
        storage = _absolute(cluster.storage or str(staging))
        summary = await run_shards(
            pack_case(case.spec, case.framework, case.model_spec, case.path, plan=plan),
            list(case.planned(plan)),
            executor=cluster.executor,
            spread=Spread(storage=storage, run=run, shards=cluster.shards),
            models=target_names(case, model_name),
            store=case.trials,
            post=PostKey(case.vault(create=True, now=now), run) if is_hazardous else None,
            budget=limits,
            workers=workers,
            now=now,
            on_progress=on_progress,
            say=say,
            opens=opens,
        )
        _record(case, plan, summary, now)
        for line in _remarks(summary):
            say(line)
        if staging is not None and not summary.damaged:
            shutil.rmtree(staging / run, ignore_errors=True)  # every row of it is in the case now
        return summary.run


def run_folder(case: Case, plan: Plan) -> str:
    """The folder of a run on shared storage: the plan's digest, and the first line of the ledger, which no other case
    has; so two cases with one plan may share a storage and never take each other's answers."""
    first = next(iter(case.ledger.entries()))
    return f"{plan.digest[:12]}-{first.hash[:12]}"


def _staging(case: Case) -> Path:
    return home() / "shards" / digest_bytes(str(case.path.resolve()).encode())[:12]


def _absolute(storage: str) -> str:
    """A path that means the same in another process's working directory."""
    return storage if "://" in storage else str(Path(storage).expanduser().absolute())


def _record(case: Case, plan: Plan, summary: ShardSummary, now: Clock) -> None:
    run = summary.run
    if run.trials:
        done = {"trials": run.trials, "seconds": round(run.seconds, 1), "tokens": run.tokens}
        spread = {"shards": summary.shards, "lost": summary.lost, "doubled": summary.doubled}
        case.ledger.append("ran", actor=ACTOR, subject={"plan": plan.digest, **done, **spread}, at=now())


def _remarks(summary: ShardSummary) -> list[str]:
    lines = []
    if summary.lost:
        lines.append(f"{summary.lost} workers were lost; what they had not written ran again")
    if summary.doubled:
        lines.append(f"{summary.doubled} answers came twice, from a worker given up for lost; the first ones stand")
    if summary.damaged:
        names = ", ".join(summary.damaged[:3])
        lines.append(f"{len(summary.damaged)} segments on the storage are damaged and were left aside: {names}")
    return lines
