"""Anytime-valid bounds of a mean in [0, 1], by betting.

The problem: people look at results while they come in and stop when they like what they see. An ordinary interval is
then wrong more often than it says.

The picture: a gambler bets, intent by intent, that the mean lies under m. If the mean is really m or more, no way of
betting makes money on average, so ever turning 1 into 1/alpha has probability at most alpha (Ville's inequality).
Every m at which the gambler got that rich is ruled out, whenever one looks and for whatever reason one stops.

    wealth after x_1..x_t, staking a share c of what the rules allow:    prod  1 - c + c (1 - x_i) / (1 - m)

Two gamblers share the starting capital, and what they own together counts:

* the **sprinter** (25 %) spreads over six fixed stakes. It gets rich early where the truth is far under m, and never
  needs to know how long the game goes on. Without a declared plan it plays alone, with everything.
* the **planner** (75 %) knows how many intents were planned. It buys, at every step, the bet whose outcome after the
  last planned intent is all or nothing, the way a trader replicates an option: stake = hazard(z) / (sd sqrt(left)),
  where z is the normal quantile of its wealth over its goal. It ends about as sharp as an exact fixed-sample bound.

Fine print. A share c that does not depend on m makes wealth rise with m, so the means ruled out are an interval
[upper, 1] and its end is found by bisection. The planner's stakes do depend on m; so [0, 1] is cut beforehand into
cells, within a cell all means use the stakes worked out for its lower end, and wealth again rises with m. Every mean is
then tested by one fair gamble, and the bound is the least mean above which all are ruled out.

A lower bound is the upper bound of 1 - x, mirrored.

Sources: Waudby-Smith and Ramdas, Estimating means of bounded random variables by betting, JRSS B 86:1 (2024), and for a
finite bank their Confidence sequences for sampling without replacement, NeurIPS 2020. The planner is quantile hedging
(Foellmer and Leukert, Finance and Stochastics 3:251, 1999), in the role of the recalculated stakes of Voracek and
Orabona, STaR-Bets (2025).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from safecase.measure._bounds import Bounds

Floats = NDArray[np.float64]

_STAKES = np.array([1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125])
"""The sprinter's shares; 1 - c is the ratio of truth to m for which a share c is best when values are 0 or 1."""
_STAKE_WEIGHTS = np.array([0.2, 0.25, 0.25, 0.15, 0.1, 0.05])
_PLANNER = 0.75
_OVERSHOOT = 1.1
"""The planner aims this far over its goal, so that it arrives instead of approaching for ever."""
_PRIOR_EVENTS = 3.0
"""Weight of the 0/1 variance m (1 - m) before any value is seen, in expected events."""
_CELLS = 128
"""Of [0, 1]; fewer are faster and blunt the planner. Narrower towards 0 and 1, as bounds are."""
_POINTS = 16
"""Means tried at once while the end is narrowed down."""
_PRECISION = 1e-6
_ALMOST_ONE = 1.0 - 1e-12
_ROOT_OF_TWO_PI = math.sqrt(2.0 * math.pi)


def mean_bounds(
    values: Sequence[float] | Floats,
    *,
    alpha_lower: float,
    alpha_upper: float,
    planned: int | None = None,
    population: int | None = None,
) -> Bounds:
    """One-sided bounds of the mean; each holds alone, at any stopping time, with its own error.

    Args:
        values: shape (clusters,), each in [0, 1], in the random order in which intents were completed.
        alpha_lower, alpha_upper: error of each bound, in (0, 1).
        planned: intents that were planned *before the first answer was seen* (for a plain fixed sample: all of them).
            It sharpens the bounds and never makes them wrong, as long as it is not moved afterwards: a plan that is
            extended keeps the first figure. None when no plan was declared.
        population: size of the bank when the mean *of this bank* is asked for and intents are drawn from it without
            replacement; None for the population that the bank stands for.

    Returns:
        Bounds in [0, 1]; (0, 1) without values.

    Raises:
        ValueError: a value lies outside [0, 1] or is not a number, an alpha lies outside (0, 1), `planned` is under 1,
            or there are more values than the bank holds.

    >>> bounds = mean_bounds([0.0] * 60, alpha_lower=0.05, alpha_upper=0.05, planned=60)
    >>> bounds.low, round(bounds.high, 3)
    (0.0, 0.052)
    >>> round(mean_bounds([0.0] * 60, alpha_lower=0.05, alpha_upper=0.05).high, 3)
    0.071
    >>> round(mean_bounds([0.0] * 60, alpha_lower=0.05, alpha_upper=0.05, planned=60, population=100).high, 3)
    0.034
    """
    return Bounds(
        low=lower_bound(values, alpha=alpha_lower, planned=planned, population=population),
        high=upper_bound(values, alpha=alpha_upper, planned=planned, population=population),
    )


def lower_bound(
    values: Sequence[float] | Floats, *, alpha: float, planned: int | None = None, population: int | None = None
) -> float:
    """The lower of `mean_bounds` alone, with the same arguments and errors.

    >>> round(lower_bound([1.0] * 60, alpha=0.05, planned=60), 3)
    0.948
    """
    array = np.asarray(values, dtype=np.float64)
    return 1.0 - upper_bound(1.0 - array, alpha=alpha, planned=planned, population=population)


def upper_bound(
    values: Sequence[float] | Floats, *, alpha: float, planned: int | None = None, population: int | None = None
) -> float:
    """The upper of `mean_bounds` alone, with the same arguments and errors.

    >>> round(upper_bound([0.0] * 60, alpha=0.05, planned=60), 3)
    0.052
    """
    array = np.asarray(values, dtype=np.float64)
    _check(array, alpha, planned, population)
    if not array.size:
        return 1.0
    end = _end(array.tobytes(), 1.0 / alpha, planned, population)
    if population is None:
        return end
    unseen = population - array.size
    return float(min(end, (array.sum() + unseen) / population))


@lru_cache(maxsize=256)  # a gate and a group ask alike; then the report asks, and `verify`, for what decided
def _end(values: bytes, goal: float, planned: int | None, population: int | None) -> float:
    game = _Game(values=np.frombuffer(values), goal=goal, planned=planned, population=population)
    return _end_without_plan(game) if planned is None else _end_with_plan(game, planned)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Game:
    """What is bet on. `goal` is the wealth that rules a mean out."""

    values: Floats
    goal: float
    planned: int | None
    population: int | None

    def means_left(self, means: Floats) -> Floats:
        """Mean of what is still unseen before each value, were the whole mean `means`; (values | 1, means)."""
        if self.population is None:
            return means[None, :]
        seen = np.arange(self.values.size, dtype=np.float64)
        before = np.cumsum(self.values) - self.values
        left = (self.population * means[None, :] - before[:, None]) / (self.population - seen)[:, None]
        return np.clip(left, 0.0, _ALMOST_ONE)

    def zeal(self) -> Floats:
        """How much more a value tells than the first one, (values,): unseen means move apart as a bank is used up."""
        if self.population is None:
            return np.ones(self.values.size)
        return self.population / (self.population - np.arange(self.values.size, dtype=np.float64))


def _end_without_plan(game: _Game) -> float:
    return _narrow(game, None, 0.0, 1.0)


def _end_with_plan(game: _Game, planned: int) -> float:
    """Walk down from 1 to the first cell that is not ruled out whole; the end lies within it."""
    edges = np.sin(np.linspace(0.0, np.pi / 2, _CELLS + 1)) ** 2
    starts = edges[:-1]
    shares, arrived = _planner_shares(game, np.maximum(starts, edges[1] / 2), planned)
    for stop in range(int(np.flatnonzero(~arrived).max(initial=0)) + 1, 0, -_POINTS):
        some = np.arange(max(0, stop - _POINTS), stop)
        kept = np.flatnonzero(~_is_ruled_out(game, shares[:, some], starts[some]))
        if kept.size:
            cell = some[kept[-1]]
            return _narrow(game, shares[:, [cell]], float(edges[cell]), float(edges[cell + 1]))
    return 0.0


def _narrow(game: _Game, shares: Floats | None, low: float, high: float) -> float:
    """The end, from above, of the means in [low, high] that are ruled out; `high` when none is."""
    while high - low > _PRECISION:
        points = np.linspace(low, high, _POINTS + 1)[1:]
        points[-1] = min(points[-1], _ALMOST_ONE)
        out = _is_ruled_out(game, shares, points)
        if not out[-1]:
            return high
        first = int(np.argmax(out))
        low, high = low if first == 0 else float(points[first - 1]), float(points[first])
    return high


def _is_ruled_out(game: _Game, shares: Floats | None, means: Floats) -> NDArray[np.bool_]:
    """Whether the wealth betting against each mean ever reached the goal.

    Args:
        shares: the planner's, (values, means | 1), or None without a planner.
        means: (means,).
    """
    odds = (1.0 - game.values)[:, None] / (1.0 - game.means_left(means))
    stakes = np.minimum(1.0, _STAKES[:, None] * game.zeal())
    # Wealth over 1e308 becomes infinite, and not a number once it is lost; it had reached the goal by then.
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        wealth = sum(w * _wealth(c[:, None], odds) for w, c in zip(_STAKE_WEIGHTS, stakes, strict=True))
        if shares is not None:
            wealth = (1.0 - _PLANNER) * wealth + _PLANNER * _wealth(shares, odds)
    return np.asarray((wealth >= game.goal).any(axis=0))


def _wealth(shares: Floats, odds: Floats) -> Floats:
    """Wealth after each value, (values, means)."""
    return np.asarray(np.multiply.accumulate(1.0 - shares + shares * odds, axis=0))


def _planner_shares(game: _Game, means: Floats, planned: int) -> tuple[Floats, NDArray[np.bool_]]:
    """Stakes of the planner against each mean, (values, means), each fixed before its value is seen.

    Also whether it arrived at the goal alone, (means,).
    """
    count = game.values.size
    left, zeal = np.broadcast_to(game.means_left(means), (count, means.size)), game.zeal()
    room = 1.0 - left
    odds = (1.0 - game.values)[:, None] / room
    sums, squares = np.cumsum(game.values), np.cumsum(game.values**2)
    twice, squared = 2.0 * means, means**2
    events = _PRIOR_EVENTS / (means * (1.0 - means))  # values worth of prior, so that rare events count as much
    goal = game.goal / _PLANNER
    shares = np.empty((count, means.size))
    wealth = np.ones(means.size)
    variance = means * (1.0 - means)
    for start, stop, horizon in _rounds(count, planned):
        if start:
            around = squares[start - 1] - twice * sums[start - 1] + start * squared
            variance = (_PRIOR_EVENTS + around) / (events + start)
        chance = np.minimum(np.maximum(wealth / (goal * _OVERSHOOT), 1e-200), 1.0 - 1e-9)  # `clip` takes thrice as long
        stake = _hazard(chance) * zeal[start] / np.sqrt(variance * _information(start, horizon, game.population))
        share = np.minimum(1.0, stake * room[start])
        share[wealth >= goal] = 0.0
        shares[start:stop] = share
        if stop == start + 1:
            wealth = wealth * (1.0 - share + share * odds[start])
        else:
            wealth = wealth * (1.0 - share + share * odds[start:stop]).prod(axis=0)
    return shares, wealth >= goal


def _hazard(chance: Floats) -> Floats:
    """Normal density over normal probability at the quantile of `chance`: the delta of an all-or-nothing claim."""
    quantile = ndtri(chance)
    return np.asarray(np.exp(-0.5 * (quantile * quantile)) / (_ROOT_OF_TWO_PI * chance))


def _information(start: int, horizon: int, population: int | None) -> float:
    """Sum of squared zeal over the steps start..horizon; a plain count in an endless population."""
    if population is None:
        return float(horizon - start)
    unseen = np.arange(max(population - horizon, 0) + 1, population - start + 1, dtype=np.float64)
    return float(((population / unseen) ** 2).sum())


def _rounds(values: int, planned: int) -> Iterator[tuple[int, int, int]]:
    """(start, stop, horizon) of each stretch played with one stake.

    Stretches grow with what was seen and shrink towards the horizon, which doubles whenever it is passed. They follow
    from the plan alone: if they followed from the number of values, looking again later would change old bets.
    """
    start, horizon = 0, planned
    while start < values:
        while horizon <= start:
            horizon *= 2
        stretch = max(1, min(start // 32, (horizon - start) // 8))
        stop = min(start + stretch, horizon)
        yield start, min(stop, values), horizon
        start = stop


def _check(values: Floats, alpha: float, planned: int | None, population: int | None) -> None:
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        raise ValueError(f"values must lie in [0, 1], got {values.min()!r} to {values.max()!r}")
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha is a probability of error and must lie in (0, 1), got {alpha!r}")
    if planned is not None and planned < 1:
        raise ValueError(f"planned counts intents and must be at least 1, got {planned!r}")
    if population is not None and values.size > population:
        raise ValueError(f"{values.size} values drawn without replacement from a bank of {population}")
