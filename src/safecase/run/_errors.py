"""What stops a run. A failed attempt is data; these are failed platforms or wrong plans.

RunError
├── CacheTrouble     the cache of answers cannot be read or written
├── EndpointGone     an endpoint that did answer stopped answering
├── NothingAnswered  the endpoint is there, but its first attempts gave no answer
├── NothingPlanned   the plan holds no scenario
├── PlanDiffers      a worker makes another plan from the same inputs
├── ShardFailed      a shard met a fault that no retry mends
├── ShardLost        a shard's workers died again and again
├── UnheldBudget     a limit that this kind of run could not hold
└── NoCluster        Ray is not installed, or its cluster cannot be joined
"""


class RunError(Exception):
    """A run cannot go on."""


class CacheTrouble(RunError):
    """The file is no cache of answers, is on a full disk, or another process holds it."""


class EndpointGone(RunError):
    """An endpoint answered, then left many attempts in a row without any reply; the same command goes on."""


class NothingAnswered(RunError):
    """Every one of the first attempts of an arm failed; the attempts are not kept, so the same command repeats them."""


class NothingPlanned(RunError):
    """The gates, banks and languages of the case select no scenario."""


class PlanDiffers(RunError):
    """A worker makes another plan: another version of safecase, another bank, or other weights under the same name."""


class ShardFailed(RunError):
    """A shard met a fault that running it again does not mend; the line is the worker's own."""


class ShardLost(RunError):
    """The workers of a shard died as often as is allowed."""


class UnheldBudget(RunError, ValueError):
    """A limit on cost where the case names no prices, or over several processes, of which none knows the others'."""


class NoCluster(RunError):
    """Ray is not installed, or its cluster cannot be started or joined."""
