"""Send scenarios through arms and keep every trial.

Takes:  a case, a framework, banks, models, safeguard stacks, a judge.
Gives:  a `Plan` whose digest names the run, and `Trial`s with their judgements in evidence.
Does not own: composing, what a judge says, what the numbers mean, deciding.
"""

from safecase.run._bandit import BanditSchedule, Cell
from safecase.run._cache import AnswerCache
from safecase.run._engine import Extras, Judging, PlanOrder, Watch, attempt, run_trials
from safecase.run._episode import run_episode
from safecase.run._errors import EndpointGone, NothingAnswered, NothingPlanned, RunError
from safecase.run._plan import (
    ArmPlan,
    Plan,
    PlannedTrial,
    case_intents,
    load_plan,
    make_plan,
    planned_domains,
    planned_gates,
    planned_trials,
    stacks,
)
from safecase.run._ports import Schedule, Sink
from safecase.run._progress import Progress, RunSummary
from safecase.run._trial import Attempted, make_trial

__all__ = [
    "AnswerCache",
    "ArmPlan",
    "Attempted",
    "BanditSchedule",
    "Cell",
    "EndpointGone",
    "Extras",
    "Judging",
    "NothingAnswered",
    "NothingPlanned",
    "Plan",
    "PlanOrder",
    "PlannedTrial",
    "Progress",
    "RunError",
    "RunSummary",
    "Schedule",
    "Sink",
    "Watch",
    "attempt",
    "case_intents",
    "load_plan",
    "make_plan",
    "make_trial",
    "planned_domains",
    "planned_gates",
    "planned_trials",
    "run_episode",
    "run_trials",
    "stacks",
]
