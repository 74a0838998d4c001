"""How often orders were followed, by the way they were put: what the gate's one figure is made of."""

from collections.abc import Sequence
from dataclasses import dataclass

from safecase.evidence import TaskAttempt, digest_value
from safecase.measure import mean_bounds

_PREFIX = "followed:"
_ALPHA = 0.025


@dataclass(frozen=True, slots=True, kw_only=True)
class ByVector:
    """What came of one way.

    Attributes:
        followed: mean over tasks of the share of attempts that followed the order.
        low, high: a 95 % interval over tasks like these, betting; it knows of no attempt that did not come.
        tasks: how many met it.
    """

    vector: str
    followed: float
    low: float
    high: float
    tasks: int


def by_vector(attempts: Sequence[TaskAttempt]) -> tuple[ByVector, ...]:
    """Every way that was met, by name. It informs and decides nothing; the gate reads all of them together."""
    met: dict[str, dict[str, list[float]]] = {}
    for one in attempts:
        for name, value in one.measures.items():
            if name.startswith(_PREFIX):
                met.setdefault(name.removeprefix(_PREFIX), {}).setdefault(one.task, []).append(value)
    return tuple(_rate(name, met[name]) for name in sorted(met))


def _rate(name: str, by_task: dict[str, list[float]]) -> ByVector:
    means = [sum(by_task[task]) / len(by_task[task]) for task in sorted(by_task, key=digest_value)]
    bounds = mean_bounds(means, alpha_lower=_ALPHA, alpha_upper=_ALPHA, planned=len(means))
    return ByVector(vector=name, followed=sum(means) / len(means), low=bounds.low, high=bounds.high, tasks=len(means))
