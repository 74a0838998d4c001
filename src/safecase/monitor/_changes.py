"""Many rates at once held against what is usual: each a Shiryaev-Roberts e-detector, side by side in one array.

    rising     more often than the upper bound of what was usual       inputs that drift, a layer that errs
    falling    less often than the lower bound                         a layer that fell silent

The unit of evidence is the settled account, as for promises. A rate that falls is a rate of *not* happening that rises:
with 1 - low in the place of p0 the bets are the same (`EDetector`), and only the stakes differ, since what counts is
how far a rate fell, from halved to gone.

Bounds of all rates of a stack hold together with 95 %. Where they do, and nothing changed, there is no more than one
false alarm in `CHANGE_EVERY` settled accounts on average, over all rates of a stack: each of n has n times as long.
This is beside what is spent on promises, and no part of their 5 %.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from safecase.assess import CHANGE_EVERY
from safecase.measure import mean_bounds
from safecase.monitor._eprocess import Floats, Stakes

Direction = Literal["rising", "falling"]

BOUND_ALPHA = 0.05
LEAST_ACCOUNTS = 50
"""Settled accounts under which nothing counts as usual."""
_SURELY = 1.0 - 1e-9  # a sum in another order differs by less
_NONE: NDArray[np.intp] = np.empty(0, np.intp)
_FALLS = {0.25: 0.10, 0.5: 0.20, 0.75: 0.20, 0.9: 0.20, 0.99: 0.30}
"""How far a rate fell, and the share of the starting money that bets on it."""


@dataclass(frozen=True)
class FallStakes(Stakes):
    """The stakes that a rate is under `1 - p0`: against a fall by a share f the best one is f / p0.

    >>> FallStakes(0.98).stakes.round(2).tolist()
    [0.26, 0.51, 0.77, 0.92, 1.01]
    """

    @cached_property
    def stakes(self) -> Floats:
        """Shape (stakes,), ascending, each under 1/p0."""
        return np.array(list(_FALLS)) / self.p0

    @cached_property
    def shares(self) -> Floats:
        """Share of the starting money by stake, (stakes,); they add up to 1."""
        return np.array(list(_FALLS.values()))


def delay(stakes: Stakes, rate: float, *, goal: float) -> float | None:
    """Accounts until an e-detector that begins now says so, about, at a true rate; None where it never does.

    A Shiryaev-Roberts statistic is the sum of what gamblers have who joined one after the other, so it is sooner there
    than one of them: after n accounts of growth g it is (e^(gn) - 1) / (1 - e^(-g)).

    >>> round(delay(FallStakes(0.98), 1.0, goal=50_000.0))  # what happened in 2 % of accounts ended
    405
    """
    growth = stakes.growth(min(rate, 1.0))
    grows = growth > 0
    if not grows.any():
        return None
    accounts = np.log1p(goal / stakes.shares[grows] * -np.expm1(-growth[grows])) / growth[grows]
    return float(accounts.min())


@dataclass(frozen=True, slots=True, kw_only=True)
class Usual:
    """A rate as it was in the controlled phase.

    Attributes:
        id: such as "silence/input-classifier", "drift/attack-like".
        bound: upper bound of a rate that may rise, lower bound of one that may fall.
        rate: mean over accounts then. accounts: how many.
    """

    id: str
    direction: Direction
    bound: float
    rate: float
    accounts: int

    @property
    def why_not(self) -> str:
        """Why it cannot be watched, "" where it can."""
        if self.accounts < LEAST_ACCOUNTS:
            return f"{self.accounts} accounts in the baseline; {LEAST_ACCOUNTS} are needed"
        if not 0.0 < self.bound < 1.0:
            return "too rare in the baseline for its end to be told" if self.bound == 0.0 else "it was everything"
        return ""

    @property
    def stakes(self) -> Stakes:
        """Against a rise over the bound, or a fall under it."""
        return Stakes(self.bound) if self.direction == "rising" else FallStakes(1.0 - self.bound)

    def needed(self, change: float, *, goal: float) -> float | None:
        """Accounts until a change shows, about: so many times the bound (rising), such a share of it lost (falling)."""
        if self.direction == "rising":
            rate = change * self.bound
            return delay(self.stakes, rate, goal=goal) if rate <= 1.0 else None
        return delay(self.stakes, 1.0 - self.bound * (1.0 - change), goal=goal)


def usual_rates(means: Sequence[tuple[str, Direction, Sequence[float]]]) -> tuple[Usual, ...]:
    """What was usual, with bounds that hold together.

    Args:
        means: id, direction, and the mean of every settled account, in [0, 1], in the order in which they settled.
    """
    alpha = BOUND_ALPHA / max(1, len(means))
    made = []
    for name, direction, values in means:
        bounds = mean_bounds(values, alpha_lower=alpha, alpha_upper=alpha)
        made.append(
            Usual(
                id=name,
                direction=direction,
                bound=bounds.high if direction == "rising" else bounds.low,
                rate=float(np.mean(values)) if len(values) else 0.0,
                accounts=len(values),
            )
        )
    return tuple(made)


class SideBySide:
    """E-detectors of several rates that take one observation of each at a time.

    Args:
        rates: that can be watched.

    Attributes:
        values: (rate, stake). goal: settled accounts between false alarms of one rate, at least, on average.
    """

    def __init__(self, rates: Sequence[Usual], *, of: int) -> None:
        self.rates = tuple(rates)
        self.goal = float(CHANGE_EVERY * of)
        every = [one.stakes for one in self.rates]
        widest = max((len(one.stakes) for one in every), default=0)
        self._stakes = np.array([_padded(one.stakes, widest) for one in every]).reshape(len(every), widest)
        self._shares = np.array([_padded(one.shares, widest) for one in every]).reshape(len(every), widest)
        self._ways = np.array([-1.0 if one.direction == "falling" else 1.0 for one in self.rates])
        self._bounds = np.array([one.bound for one in self.rates])
        self.values = np.zeros_like(self._stakes)

    def bet(self, hits: Floats, weight: float, divisor: float) -> NDArray[np.intp]:
        """Take a settled account.

        Args:
            hits: weighted sum of each outcome over its calls, (rate,); weight: sum of the weights; divisor: what makes
                a mean of them.

        Returns:
            The rates that alarm; they start again.
        """
        gains = (hits - self._bounds * weight) * self._ways / divisor
        factors = self._stakes * gains[:, None]
        factors += 1.0
        self.values += 1.0  # in place: this is done for every account
        self.values *= factors
        now = self.now
        if now.max(initial=0.0) < self.goal:
            return _NONE
        over = np.flatnonzero(now >= self.goal)
        self.values[over] = 0.0
        return over

    def bet_all(self, hits: Floats, weights: Floats, divisors: Floats) -> Iterator[tuple[int, NDArray[np.intp]]]:
        """Take many settled accounts, in their order: the same numbers as one by one, to the last bit.

        Args:
            hits: (account, rate); weights, divisors: (account,).

        Yields:
            Number of an account, and the rates that alarm at it.
        """
        gains = (hits - self._bounds * weights[:, None]) * self._ways / divisors[:, None]
        factors = self._stakes * gains[:, :, None]
        factors += 1.0
        values = self.values.copy()
        highest = np.zeros_like(values)
        with np.errstate(over="ignore"):  # what should have started again goes on here, and is reckoned below
            for factor in factors:
                values += 1.0
                values *= factor
                np.maximum(highest, values, out=highest)
        if (highest * self._shares).sum(axis=1).max(initial=0.0) < self.goal * _SURELY:
            self.values = values  # no statistic came near its goal, as nearly always
            return
        for number in range(len(hits)):
            over = self.bet(hits[number], float(weights[number]), float(divisors[number]))
            if len(over):
                yield number, over

    @property
    def now(self) -> Floats:
        """The statistic of each rate, (rate,)."""
        return np.asarray(np.einsum("rs,rs->r", self.values, self._shares))


def _padded(row: Floats, size: int) -> Floats:
    return np.concatenate((row, np.zeros(size - len(row))))
