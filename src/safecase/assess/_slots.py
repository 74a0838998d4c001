"""The trials of a plan that gates draw, their places as estimates read them, and what was imported beside a plan."""

from collections.abc import Callable, Iterator

from safecase.assess._case import Case
from safecase.compose import LEARNED, POLITICAL
from safecase.evidence import Trial
from safecase.measure import Slot, is_imported
from safecase.run import (
    Plan,
    PlannedTrial,
    attempt_id,
)


def sampled(case: Case, plan: Plan) -> Iterator[PlannedTrial]:
    """What gates draw: neither political nor learned."""
    return (
        trial
        for trial in case.planned(plan)
        if trial.scenario.category not in POLITICAL and trial.scenario.subcategory != LEARNED
    )


def is_counted_import(trial: Trial, plan: Plan | None) -> bool:
    """Whether a trial was imported into an arm that the plan does not run.

    Into one that it runs, it is on record and no number rests on it: a plan draws its intents, whoever imports chooses.
    """
    return is_imported(trial) and (plan is None or all(arm.name != trial.arm for arm in plan.arms))


def of_the_plan(case: Case) -> Callable[[Trial], bool]:
    """Tells the trials of the plan in force, further attempts among them, and imports into arms that it lacks.

    In a case without a plan, every one.
    """
    plan = case.plan
    if plan is None:
        return lambda _: True
    first = {
        (one.arm.name, one.scenario.scenario_id, one.arm.model, one.repetition): one.trial_id
        for one in case.planned(plan)
    }

    def is_of_it(trial: Trial) -> bool:
        planned = first.get((trial.arm, trial.scenario_id, trial.model, trial.repetition))
        own = planned is not None and attempt_id(planned, trial.attempt) == trial.trial_id
        return own or is_counted_import(trial, plan)

    return is_of_it


def slot(planned: PlannedTrial) -> Slot:
    """The place of a planned trial, as estimates and early stopping read it."""
    scenario = planned.scenario
    return Slot(
        trial_id=planned.trial_id,
        scenario_id=scenario.scenario_id,
        intent_id=scenario.intent_id,
        harmful=scenario.harmful,
        domain=scenario.domain,
        category=scenario.category,
        subcategory=scenario.subcategory,
        language=scenario.language,
        attack=scenario.attack,
        family=scenario.family,
        arm=planned.arm.name,
        model=planned.arm.model,
        repetition=planned.repetition,
    )
