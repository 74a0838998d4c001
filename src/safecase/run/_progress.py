"""Where a run stands, and what one call of the engine did."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a run stands.

    Attributes:
        done: planned trials run, an episode of several attempts as one.
        total: planned trials that this call will run, as far as is known.
        in_flight: attempts being answered.
        cost_usd: None where the case names no prices.
        seconds_left: of the time budget; None without one.
    """

    done: int
    total: int
    errors: int
    tokens: int
    seconds: float
    in_flight: int = 0
    cost_usd: float | None = None
    seconds_left: float | None = None

    @property
    def eta_s(self) -> float | None:
        """Seconds left at the pace so far, no more than the time budget allows; None before the first answer."""
        if not self.done:
            return None
        pace = self.seconds / self.done * max(0, self.total - self.done)
        return pace if self.seconds_left is None else min(pace, self.seconds_left)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """What one call of the engine did.

    Attributes:
        trials: rows written; skipped: planned trials that had their answer already.
        cached: trials answered from the cache.
        cost_usd: None where the case names no prices.
        stopped: why it ended before the plan did, else None.
        left_out: by target, settings that it refused; it answered with its own in their place.
    """

    trials: int
    skipped: int
    seconds: float
    errors: int
    tokens: int
    stopped: str | None
    cached: int = 0
    cost_usd: float | None = None
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def trials_per_s(self) -> float:
        """Trials per second of wall time; 0 when nothing was left to run."""
        return self.trials / self.seconds if self.seconds > 0 else 0.0
