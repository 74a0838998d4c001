"""The trials of a plan that gates draw, their places as estimates read them, and what was imported beside a plan."""

from collections.abc import Iterator

from safecase.assess._case import Case
from safecase.compose import LEARNED, POLITICAL
from safecase.evidence import Trial
from safecase.measure import Slot, is_imported
from safecase.run import (
    Plan,
    PlannedTrial,
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
