"""Send scenarios through arms and keep every trial.

Takes:  a case, a framework, banks, a model, safeguard stacks.
Gives:  a `Plan` whose digest names the run, and `Trial`s in evidence.
Does not own: composing, judging, deciding. It never reads an answer to decide what to run next.
"""

from safecase.run._bandit import BanditSchedule, Cell
from safecase.run._engine import Progress, RunSummary, attempt, run_trials
from safecase.run._episode import run_episode
from safecase.run._errors import NothingAnswered, NothingPlanned, RunError
from safecase.run._plan import (
    ArmPlan,
    Plan,
    PlannedTrial,
    case_intents,
    load_plan,
    make_plan,
    planned_gates,
    planned_trials,
    stacks,
)

__all__ = [
    "ArmPlan",
    "BanditSchedule",
    "Cell",
    "NothingAnswered",
    "NothingPlanned",
    "Plan",
    "PlannedTrial",
    "Progress",
    "RunError",
    "RunSummary",
    "attempt",
    "case_intents",
    "load_plan",
    "make_plan",
    "planned_gates",
    "planned_trials",
    "run_episode",
    "run_trials",
    "stacks",
]
