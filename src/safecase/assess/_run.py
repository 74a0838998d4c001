"""Plan a case and run what is missing of the plan."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from itertools import islice
from pathlib import Path

from safecase.assess._case import Case, Clock, utc_now
from safecase.assess._judge import CaseJudge
from safecase.assess._kept import ACTOR, keep_plan
from safecase.assess._running import only_one
from safecase.assess._targets import closing, opened_targets, prices_of
from safecase.compose import planned_attacks
from safecase.declare import Budget
from safecase.evidence import (
    HAZARDOUS_DOMAINS,
    Identity,
)
from safecase.measure import (
    Judge,
    JudgeCard,
    must_be_independent,
    standing_verdicts,
)
from safecase.models import PROBES, AttemptFailed, Model, PlatformFailed, fingerprint, open_model
from safecase.run import (
    AnswerCache,
    Extras,
    Judging,
    NoWatch,
    Plan,
    PlannedTrial,
    Progress,
    RunSummary,
    Schedule,
    SuiteLine,
    Target,
    Watch,
    make_plan,
    planned_domains,
    run_trials,
)


async def plan_case(case: Case, *, model: Model | None = None, model_name: str | None = None) -> Plan:
    """Resolve the case against a model, without writing or asking anything but the model's identity."""
    async with opened_targets(case, model, model_name) as targets:
        return await plan_targets(case, targets)


async def plan_targets(case: Case, targets: Mapping[str, Model]) -> Plan:
    """The same with the arms' models open."""
    planned_attacks(case.spec.sampling)  # a name that nobody knows is told before a model is asked who it is
    known = {id(model): await identify(case, model) for model in targets.values()}
    asked = {arm: Target(model=model.name, identity=known[id(model)]) for arm, model in targets.items()}
    return make_plan(
        case.spec,
        case.framework,
        (*case.intents, *case.learned),
        targets=asked,
        arms=case.arms,
        suites=_suites(case, asked),
    )


async def identify(case: Case, model: Model) -> Identity:
    """The best identity that a target can prove: weights, attested by a roster's key, fingerprint, or a name.

    A run that goes on keeps the identity its plan has, unless a stable fingerprint shows another model: an endpoint
    whose batches make it waver would otherwise start the run anew each time.

    Raises:
        PlatformFailed: the case's attestation is not about this endpoint, or nobody on the roster signed it; or a probe
            of the fingerprint failed.
    """
    identity = await model.identity()
    if identity.kind in {"weights", "attested"}:
        return identity
    try:
        fresh, plan = await fingerprint(model), case.plan
    except AttemptFailed as fault:
        raise PlatformFailed(
            f"{fault}; this was one of {len(PROBES)} harmless questions that tell which model answers, and nothing is "
            "run without it: mend the endpoint and run the same command again"
        ) from fault
    kept = next((one.identity for one in plan.targets.values() if one.model == model.name), None) if plan else None
    if kept is None:
        return fresh
    return fresh if fresh.kind == kept.kind == "fingerprint" and fresh.digest != kept.digest else kept


async def run_case(
    case: Case,
    *,
    model: Model | None = None,
    model_name: str | None = None,
    budget: Budget | None = None,
    workers: int | None = None,
    cache: Path | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
    now: Clock = utc_now,
) -> RunSummary:
    """Run what is missing of the plan. Another model or another case file makes another plan; older ones are kept.

    Args:
        model: an open target; the caller closes it.
        model_name: another target than the case names.
        budget: hard limits; the case's own by default.
        workers: most attempts in flight; the target's advice by default.
        cache: file of answers, from which identical requests are answered; none by default.

    Raises:
        CaseBusy: another process runs the case.
    """
    async with only_one(case), opened_targets(case, model, model_name) as targets:
        must_be_independent(case.spec.judge, attacker=case.spec.sampling.attacker)
        plan = await plan_targets(case, targets)
        keep_plan(case, plan, now)
        hazardous = planned_domains(plan, case.framework, case.intents_of(plan)) & HAZARDOUS_DOMAINS
        case.trials.open(at=now())
        limits = budget or case.spec.budget
        async with CaseJudge(case) as (judge, card), _attacker_of(case) as attacker, closing(case):
            with _opened_cache(cache) as answers:
                summary = await run_trials(
                    case.planned(plan),
                    model=targets,
                    arms=case.arms,
                    generation=case.spec.generation,
                    store=case.trials,
                    vault=case.vault(create=True, now=now) if hazardous else None,
                    budget=limits,
                    workers=workers,
                    now=now,
                    on_progress=on_progress,
                    extras=Extras(
                        judging=Judging(judge=judge, store=case.judgements),
                        cache=answers,
                        identities={one.model: one.identity for one in plan.targets.values()},
                        attacks={one.name: one for one in planned_attacks(case.spec.sampling)},
                        attacker=attacker,
                        schedule=_schedule(case, plan, judge),
                        watch=_watch(case, plan, card) if limits.stop_when_decided else NoWatch(),
                        prices=case.spec.model.prices,
                        prices_of=prices_of(case, targets),
                        total=_to_run(case, plan, limits.trials),
                    ),
                )
    if summary.trials:
        done: dict[str, object] = {
            "trials": summary.trials,
            "seconds": round(summary.seconds, 1),
            "tokens": summary.tokens,
        }
        if summary.stopped:
            done["stopped"] = summary.stopped
        if summary.left_out:
            done["left_out"] = {name: list(settings) for name, settings in summary.left_out.items()}
        case.ledger.append("ran", actor=ACTOR, subject={"plan": plan.digest, **done}, at=now())
    return summary


def _to_run(case: Case, plan: Plan, limit: int | None) -> int:
    """Planned trials that a run will ask, which may go on with an earlier one."""
    have = case.trials.ids(answered=True)
    if not have:
        return plan.trials if limit is None else min(plan.trials, limit)
    if case.spec.sampling.allocation == "plan-order":
        return sum(one.trial_id not in have for one in islice(case.planned(plan), limit))
    missing = sum(one.trial_id not in have for one in case.planned(plan))
    return missing if limit is None else max(0, min(missing, limit - (plan.trials - missing)))


def _suites(case: Case, targets: Mapping[str, Target]) -> tuple[SuiteLine, ...]:
    if not case.spec.suites:
        return ()
    from safecase.assess._suites_plan import plan_suites

    return plan_suites(case, targets=targets)


def _watch(case: Case, plan: Plan, card: JudgeCard) -> Watch:
    from safecase.assess._watch import GateWatch

    return GateWatch(case, plan, card)


@asynccontextmanager
async def _attacker_of(case: Case) -> AsyncIterator[Model | None]:
    """The model that adaptive attacks ask, closed afterwards; None where the plan names none."""
    name = case.spec.sampling.attacker
    if name is None:
        yield None
        return
    async with open_model(name) as model:
        yield model


def _schedule(case: Case, plan: Plan, judge: Judge) -> Callable[[Iterator[PlannedTrial]], Schedule] | None:
    """The bandit where the case asks for it, told what earlier runs found; None for the plan's order."""
    if case.spec.sampling.allocation == "plan-order":
        return None

    from safecase.run import BanditSchedule  # late, as all that only some cases ask for

    def make(wanted: Iterator[PlannedTrial]) -> Schedule:
        schedule = BanditSchedule(plan, case.framework, case.intents_of(plan), wanted=wanted)
        verdicts = standing_verdicts(case.judgements, judge_digest=judge.digest)
        for trial in case.trials.read():
            schedule.learn(trial, verdicts.get(trial.trial_id))
        return schedule

    return make


@contextmanager
def _opened_cache(path: Path | None) -> Iterator[AnswerCache | None]:
    cache = AnswerCache(path) if path is not None else None
    try:
        yield cache
    finally:
        if cache is not None:
            cache.close()
