"""Evidence that a rate is over what was promised, that one may look at all the time.

The problem: whoever tests again every thousand calls, each time at 5 %, will alarm sooner or later; a third of all runs
do within 20 looks although nothing is wrong.

The picture: a gambler bets, observation by observation, that the mean is over p0. Where it is not, no way of betting
makes money on average, so ever turning 1 into 1/alpha has a chance of at most alpha (Ville's inequality).

    e-process     wealth after x_1..x_t  =  mean over stakes s of  prod  1 + s (x_i - p0)         never starts again
    e-detector    R_t = (1 + R_(t-1)) (1 + s (x_t - p0)),  R_0 = 0         a new gambler joins before every observation

The e-process says *the promise is broken* and keeps everything it ever saw; after a long good time it is far under 1
and slow. The e-detector says *something changed lately*: it never falls far, and while nothing is wrong it reaches A no
sooner than after A observations on average, whatever the law of the observations (Shiryaev and Roberts; e-detectors).

Fine print. An observation is worth x - p0 for x in [0, 1], or less in size; stakes are below 1/p0, so nobody goes
broke. Several stakes share the starting money, because what is best depends on the true rate: against p1 it is
(p1 - p0) / (p0 (1 - p0)), so 1 / (1 - p0) against a doubling, which has the largest share. A lone doubling costs
log(20) / 0.386 = 8 / p0 observations; sharing makes it 10 / p0.

Sources: Shin, Ramdas and Rinaldo, E-detectors, NEJSDS 2:2 (2024); Waudby-Smith and Ramdas, JRSS B 86:1 (2024).
"""

import math
from dataclasses import dataclass
from functools import cached_property
from operator import add

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_DOUBLING_SHARES = {0.5: 0.10, 1.0: 0.45, 2.0: 0.20, 4.0: 0.10}
"""Share of the starting money by stake; stakes from 8 on, doubled up to 1/p0, share the rest."""
_ALMOST, _MOST = 0.999, 1e300
_KNOWN_GAINS = 256


@dataclass(frozen=True)
class Stakes:
    """The stakes against one promised rate.

    Args:
        p0: promised rate, in (0, 1).
        weight: what an observation with the event mostly counts, in (0, 1]; stakes are that much higher. Any value is
            right; one that is far off makes detection slower.

    Raises:
        ValueError: p0 lies outside (0, 1), or the weight outside (0, 1].
    """

    p0: float
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 < self.p0 < 1.0:
            raise ValueError(f"a promised rate lies in (0, 1), got {self.p0!r}")
        if not 0.0 < self.weight <= 1.0:
            raise ValueError(f"a weight lies in (0, 1], got {self.weight!r}")

    @cached_property
    def stakes(self) -> Floats:
        """Shape (stakes,), ascending, each under 1/p0."""
        highest = _ALMOST / self.p0
        higher = (8.0 * 2.0**step for step in range(64) if 8.0 * 2.0**step < highest * self.weight)
        steps = [*_DOUBLING_SHARES, *higher]
        return np.minimum(np.array(steps) / (self.weight * (1.0 - self.p0)), highest)

    @cached_property
    def shares(self) -> Floats:
        """Share of the starting money by stake, (stakes,); they add up to 1."""
        rare = len(self.stakes) - len(_DOUBLING_SHARES)
        left = 1.0 - sum(_DOUBLING_SHARES.values())
        shares = np.array([*_DOUBLING_SHARES.values(), *([left / rare] * rare if rare else [])])
        return np.asarray(shares / shares.sum())

    def growth(self, rate: float) -> Floats:
        """Expected log of the factor per 0/1 observation at a true rate, by stake, (stakes,)."""
        return np.asarray(
            rate * np.log1p(self.stakes * (1.0 - self.p0)) + (1.0 - rate) * np.log1p(-self.stakes * self.p0)
        )

    def needed(self, multiple: float, *, goal: float) -> float | None:
        """Observations until the wealth reaches `goal`, about, where the true rate is `multiple` times p0.

        None where no stake grows: the rate is not over p0, or is no rate.

        >>> round(Stakes(0.002).needed(2.0, goal=20.0) * 0.002, 1)
        9.8
        """
        rate = multiple * self.p0
        if not self.p0 < rate <= 1.0:
            return None
        growth = self.growth(rate)
        counts = (math.log(goal) - np.log(self.shares[growth > 0])) / growth[growth > 0]
        return float(counts.min()) if counts.size else None

    def detectable(self, observations: float, *, goal: float) -> float | None:
        """The least multiple of p0 that so many observations would most likely have shown; None where there is none.

        >>> round(Stakes(0.002).detectable(20_000, goal=20.0), 1)
        1.6
        """
        low, high = 1.0, 1.0 / self.p0
        most = self.needed(high, goal=goal)
        if most is None or most > observations:
            return None
        while high / low > 1.005:
            middle = math.sqrt(low * high)
            needed = self.needed(middle, goal=goal)
            low, high = (low, middle) if needed is not None and needed <= observations else (middle, high)
        return high


class EProcess:
    """Wealth of those who bet that the mean is over p0.

    Args:
        runs: how many independent ones are kept side by side (for simulation).

    Attributes:
        log_wealth: by run and stake, (runs, stakes). peak: the largest log wealth of each run ever, (runs,).
    """

    def __init__(self, stakes: Stakes, *, runs: int = 1) -> None:
        self._stakes = stakes
        self._log_shares = np.log(stakes.shares)
        self.log_wealth = np.zeros((runs, len(stakes.stakes)))
        self.peak = np.zeros(runs)

    def bet(self, gain: Floats | float) -> Floats:
        """Take one observation x - p0 of each run, (runs,), each in [-p0, 1 - p0]; log wealth afterwards, (runs,)."""
        self.log_wealth += np.log1p(self._stakes.stakes * np.reshape(gain, (-1, 1)))
        now = self.total
        np.maximum(self.peak, now, out=self.peak)
        return now

    @property
    def total(self) -> Floats:
        """Log wealth over all stakes, (runs,)."""
        return np.asarray(np.logaddexp.reduce(self.log_wealth + self._log_shares, axis=1))


class EDetector:
    """Shiryaev-Roberts statistic of the same bets; the mean time until it reaches A is at least A.

    Attributes:
        values: by run and stake, (runs, stakes).
    """

    def __init__(self, stakes: Stakes, *, runs: int = 1) -> None:
        self._stakes = stakes
        self.values = np.zeros((runs, len(stakes.stakes)))

    def bet(self, gain: Floats | float) -> Floats:
        """Take one observation x - p0 of each run; the statistic afterwards, (runs,)."""
        self.values = np.minimum((1.0 + self.values) * (1.0 + self._stakes.stakes * np.reshape(gain, (-1, 1))), _MOST)
        return np.asarray(self.values @ self._stakes.shares)

    def start_again(self) -> None:
        """Forget everything, after an alarm."""
        self.values[:] = 0.0


class OneSeries:
    """The same two for one series, bet by bet: plain numbers, since calling numpy takes longer than eight additions.

    What is asked at every bet is whether a goal is reached. The mixture of all stakes is never more than the best of
    them, so while that one is under the goal nothing else is reckoned.

    Args:
        goal: log wealth at which the promise counts as broken; change_goal: of the e-detector.

    Attributes:
        log_wealth: by stake. peak: the largest log wealth of the mixture ever. values: of the e-detector, by stake.
    """

    def __init__(self, stakes: Stakes, *, goal: float, change_goal: float) -> None:
        self._stakes, self._shares = stakes.stakes.tolist(), stakes.shares.tolist()
        self._goal, self._change_goal = goal, change_goal
        self.log_wealth, self.values, self.peak = [0.0] * len(self._stakes), [0.0] * len(self._stakes), 0.0
        self._known: dict[float, tuple[list[float], list[float]]] = {}

    def bet(self, gain: float) -> bool:
        """Take one observation x - p0 for the e-process; whether the goal is reached now."""
        added, _ = self._of(gain)
        self.log_wealth = wealth = list(map(add, self.log_wealth, added))
        best = max(wealth)
        if best > self.peak:
            self.peak = max(self.peak, self.total)
        return best >= self._goal and self.total >= self._goal

    def bet_on_change(self, gain: float) -> bool:
        """Take one observation for the e-detector; whether it says so now."""
        _, factors = self._of(gain)
        values = [(1.0 + value) * factor for value, factor in zip(self.values, factors)]  # noqa: B905 - as long
        best = max(values)
        if best > _MOST:
            values = [min(value, _MOST) for value in values]
        self.values = values
        return best >= self._change_goal and self.change >= self._change_goal

    def start_again(self) -> None:
        """Let the e-detector forget everything, after an alarm."""
        self.values = [0.0] * len(self._stakes)

    @property
    def total(self) -> float:
        """Log wealth over all stakes."""
        top = max(self.log_wealth)
        parts = zip(self._shares, self.log_wealth, strict=True)
        return top + math.log(sum(share * math.exp(wealth - top) for share, wealth in parts))

    @property
    def change(self) -> float:
        """The e-detector's statistic."""
        return float(sum(share * value for share, value in zip(self._shares, self.values, strict=True)))

    def _of(self, gain: float) -> tuple[list[float], list[float]]:
        """What is added to each log wealth, and what each value is multiplied by; kept, for means take few values."""
        found = self._known.get(gain)
        if found is None:
            if len(self._known) >= _KNOWN_GAINS:
                self._known.clear()
            added = [math.log1p(stake * gain) for stake in self._stakes]
            found = self._known[gain] = added, [1.0 + stake * gain for stake in self._stakes]
        return found
