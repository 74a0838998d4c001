"""The trials of a plan that gates draw, and their places as estimates read them."""

from collections.abc import Iterator

from safecase.assess._case import Case
from safecase.compose import LEARNED, POLITICAL
from safecase.measure import (
    Slot,
)
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
