"""Send scenarios through arms and keep every trial.

Takes:  a case, a framework, banks, models, safeguard stacks, a judge.
Gives:  a `Plan` whose digest names the run, and `Trial`s with their judgements in evidence.
Does not own: composing, what a judge says, what the numbers mean, deciding.
"""

from typing import TYPE_CHECKING

from safecase._face import lazy_face

if TYPE_CHECKING:
    from safecase.run._bandit import BanditSchedule, Cell
    from safecase.run._cache import AnswerCache
    from safecase.run._engine import Extras, Judging, NoWatch, PlanOrder, Watch, attempt, run_trials
    from safecase.run._episode import run_episode
    from safecase.run._errors import (
        CacheTrouble,
        EndpointGone,
        NoCluster,
        NothingAnswered,
        NothingPlanned,
        PlanDiffers,
        RunError,
        ShardFailed,
        ShardLost,
        UnheldBudget,
    )
    from safecase.run._local import LocalExecutor
    from safecase.run._plan import (
        LEARNED_BANK,
        ArmPlan,
        Plan,
        PlannedTrial,
        SuiteArm,
        SuiteLine,
        Target,
        case_intents,
        learned_intents,
        load_plan,
        make_plan,
        planned_domains,
        planned_gates,
        planned_trials,
        stacks,
    )
    from safecase.run._ports import Schedule, Sealer, Sink
    from safecase.run._progress import Progress, RunSummary
    from safecase.run._ray import RayExecutor
    from safecase.run._shards import (
        Fault,
        Lost,
        PackedCase,
        ShardJob,
        ShardReport,
        pack_case,
        run_shard,
        shard_folder,
        shards_of,
    )
    from safecase.run._spread import Executor, ShardSummary, Spread, run_shards
    from safecase.run._trial import Attempted, attempt_id, make_trial
else:
    __getattr__, __dir__ = lazy_face(__name__)

__all__ = [
    "LEARNED_BANK",
    "AnswerCache",
    "ArmPlan",
    "Attempted",
    "BanditSchedule",
    "CacheTrouble",
    "Cell",
    "EndpointGone",
    "Executor",
    "Extras",
    "Fault",
    "Judging",
    "LocalExecutor",
    "Lost",
    "NoCluster",
    "NoWatch",
    "NothingAnswered",
    "NothingPlanned",
    "PackedCase",
    "Plan",
    "PlanDiffers",
    "PlanOrder",
    "PlannedTrial",
    "Progress",
    "RayExecutor",
    "RunError",
    "RunSummary",
    "Schedule",
    "Sealer",
    "ShardFailed",
    "ShardJob",
    "ShardLost",
    "ShardReport",
    "ShardSummary",
    "Sink",
    "Spread",
    "SuiteArm",
    "SuiteLine",
    "Target",
    "UnheldBudget",
    "Watch",
    "attempt",
    "attempt_id",
    "case_intents",
    "learned_intents",
    "load_plan",
    "make_plan",
    "make_trial",
    "pack_case",
    "planned_domains",
    "planned_gates",
    "planned_trials",
    "run_episode",
    "run_shard",
    "run_shards",
    "run_trials",
    "shard_folder",
    "shards_of",
    "stacks",
]
