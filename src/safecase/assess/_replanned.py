"""How often a case was sampled anew: every other plan is another chance to clear a gate."""

from collections.abc import Iterator

from safecase.assess._case import Case
from safecase.evidence import digest_value
from safecase.run import Plan, load_plan


def samples_run(case: Case, plan: Plan | None) -> int:
    """How many ways of sampling, generating or judging were run on an arm of this plan, its own among them.

    The ledger says of each run what it ran. Plans of another model or another stack are another assessment and do not
    count; nor does what was learned since, which is in no sample.
    """
    if plan is None:
        return 0
    arms = {arm.digest for arm in plan.arms}
    return len({_way(plan)} | {_way(one) for one in _plans_run(case) if arms & {arm.digest for arm in one.arms}})


def _plans_run(case: Case) -> Iterator[Plan]:
    digests = dict.fromkeys(str(entry.subject["plan"]) for entry in case.ledger.entries() if entry.action == "ran")
    files = (case.path / "plans" / f"{digest[:12]}.json" for digest in digests)
    return (load_plan(path) for path in files if path.exists())


def _way(plan: Plan) -> str:
    sampling = {name: value for name, value in plan.sampling.items() if name != "gates"}  # each gate samples for itself
    return digest_value([sampling, plan.generation, plan.judge])
