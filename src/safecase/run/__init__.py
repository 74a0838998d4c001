"""Send scenarios through arms and keep every trial.

Takes:  a case, a framework, banks, a model, safeguard stacks.
Gives:  a `Plan` whose digest names the run, and `Trial`s in evidence.
Does not own: composing, judging, deciding. It never reads an answer to decide what to run next.
"""

from safecase.run._engine import Progress, RunSummary, attempt, run_trials
from safecase.run._errors import (
    NoCluster,
    NothingAnswered,
    NothingPlanned,
    PlanDiffers,
    RunError,
    ShardFailed,
    ShardLost,
)
from safecase.run._local import LocalExecutor
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

__all__ = [
    "ArmPlan",
    "Executor",
    "Fault",
    "LocalExecutor",
    "Lost",
    "NoCluster",
    "NothingAnswered",
    "NothingPlanned",
    "PackedCase",
    "Plan",
    "PlanDiffers",
    "PlannedTrial",
    "Progress",
    "RayExecutor",
    "RunError",
    "RunSummary",
    "ShardFailed",
    "ShardJob",
    "ShardLost",
    "ShardReport",
    "ShardSummary",
    "Spread",
    "attempt",
    "case_intents",
    "load_plan",
    "make_plan",
    "pack_case",
    "planned_gates",
    "planned_trials",
    "run_shard",
    "run_shards",
    "run_trials",
    "shard_folder",
    "shards_of",
    "stacks",
]
