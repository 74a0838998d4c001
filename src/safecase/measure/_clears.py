"""When does a rate clear its limit? The question of every early stop, asked of many runs at once.

`_sequence.upper_bound` answers for one series at one time, and finds the whole bound to do so. Here only one limit is
asked about, at all times together: the bound is under the limit once the gambler has ruled out the limit itself *and*
every cell of means above it. The stakes are those of `_sequence`; a property test holds both beside each other.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from safecase.measure._sequence import (
    _ALMOST_ONE,
    _CELLS,
    _OVERSHOOT,
    _PLANNER,
    _PRECISION,
    _PRIOR_EVENTS,
    _STAKE_WEIGHTS,
    _STAKES,
    _check,
    _hazard,
    _information,
    _rounds,
)

Floats = NDArray[np.float64]

_EDGES = np.sin(np.linspace(0.0, np.pi / 2, _CELLS + 1)) ** 2
_BATCH = 2_000_000
"""Values x games worked on at once, so that memory stays flat."""


def clears_at(
    values: Sequence[float] | Floats,
    *,
    limit: float,
    alpha: float,
    planned: int | None = None,
    population: int | None = None,
) -> int | None:
    """How many values it takes until `upper_bound` lies under a limit; None when it never does.

    It stays there: looking again never loosens a bound. Ask with `1 - values` and `1 - limit` for a floor.

    Args:
        values: shape (clusters,), each in [0, 1], in the random order in which intents were completed.
        limit: in (0, 1].
        alpha, planned, population: as for `upper_bound`.

    Raises:
        ValueError: as `upper_bound`.

    >>> clears_at([0.0] * 60, limit=0.2, alpha=0.05, planned=60)
    23
    >>> clears_at([0.0] * 10, limit=0.2, alpha=0.05, planned=60) is None
    True
    """
    array = np.asarray(values, dtype=np.float64)
    _check(array, alpha, planned, population)
    first = float(_first(array[None, :], np.array([limit]), alpha, planned, population)[0])
    if population is not None and array.size:
        # What is certain in a finite bank needs no bet.
        certain = (np.cumsum(array) + population - np.arange(1, array.size + 1)) / population < limit
        first = min(first, float(np.argmax(certain)) + 1 if certain.any() else np.inf)
    return None if np.isinf(first) else int(first)


def clearance_times(
    series: Floats, *, limits: float | Floats, alpha: float, planned: int | None = None, at_limit_alone: bool = False
) -> Floats:
    """`clears_at` for many series of one length, as simulations ask it.

    Args:
        series: shape (runs, clusters).
        limits: one for all, or one for each run.
        alpha, planned: as for `upper_bound`.
        at_limit_alone: ask only whether the limit itself is ruled out. A hundred times faster and never later than
            the bound, so false clearances are counted in full; by the same inequality they too are at most alpha.

    Returns:
        Shape (runs,); infinity where a run never clears.
    """
    each = np.broadcast_to(np.asarray(limits, dtype=np.float64), (series.shape[0],))
    return _first(series, each, alpha, planned, None, at_limit_alone=at_limit_alone)


def _first(
    series: Floats,
    limits: Floats,
    alpha: float,
    planned: int | None,
    population: int | None,
    *,
    at_limit_alone: bool = False,
) -> Floats:
    """First times, (runs,). The bound is found to `_PRECISION`, so a limit is cleared with twice that to spare."""
    tested = np.minimum(limits - 2 * _PRECISION, _ALMOST_ONE)
    cells = np.clip(np.searchsorted(_EDGES, tested, side="right") - 1, 0, _CELLS - 1)
    starts = np.maximum(_EDGES[:-1], _EDGES[1] / 2)
    times = _hits(series.T, tested, starts[cells], alpha, planned, population)
    if at_limit_alone or planned is None:  # without a planner wealth rises with the mean throughout
        return times
    for run in np.flatnonzero(np.isfinite(times)):
        above = np.arange(cells[run] + 1, _CELLS)
        if above.size:
            column = np.broadcast_to(series[run][:, None], (series.shape[1], above.size))
            later = _hits(column, _EDGES[above], starts[above], alpha, planned, population)
            times[run] = max(times[run], later.max())
    return times


def _hits(
    values: Floats, means: Floats, aimed: Floats, alpha: float, planned: int | None, population: int | None
) -> Floats:
    """When each game ruled out its mean, (games,); infinity where it never did.

    Args:
        values: (values, games).
        means: betted against, (games,).
        aimed: means that the planner works its stakes out for, (games,).
    """
    count, games = values.shape
    size = max(1, _BATCH // max(1, count))
    parts = [
        _hits_of_batch(
            values[:, at : at + size], means[at : at + size], aimed[at : at + size], alpha, planned, population
        )
        for at in range(0, games, size)
    ]
    return np.concatenate(parts)


def _hits_of_batch(
    values: Floats, means: Floats, aimed: Floats, alpha: float, planned: int | None, population: int | None
) -> Floats:
    if not values.size:
        return np.full(means.size, np.inf)
    zeal = _zeal(values.shape[0], population)[:, None]
    odds = (1.0 - values) / (1.0 - _left(values, means, population))
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        wealth = np.zeros(values.shape)
        for weight, stake in zip(_STAKE_WEIGHTS, _STAKES, strict=True):
            share = np.minimum(1.0, stake * zeal)
            wealth += weight * np.multiply.accumulate(1.0 - share + share * odds, axis=0)
        if planned is not None:
            shares = _shares(values, aimed, 1.0 / alpha, planned, population)
            wealth *= 1.0 - _PLANNER
            wealth += _PLANNER * np.multiply.accumulate(1.0 - shares + shares * odds, axis=0)
    out = wealth >= 1.0 / alpha
    return np.where(out.any(axis=0), out.argmax(axis=0) + 1.0, np.inf)


def _shares(values: Floats, means: Floats, goal: float, planned: int, population: int | None) -> Floats:
    """The planner's stakes in every game, (values, games), as `_sequence` sets them."""
    count = values.shape[0]
    left, zeal = np.broadcast_to(_left(values, means, population), values.shape), _zeal(count, population)
    odds = (1.0 - values) / (1.0 - left)
    sums, squares = np.cumsum(values, axis=0), np.cumsum(values**2, axis=0)
    events = _PRIOR_EVENTS / (means * (1.0 - means))
    goal = goal / _PLANNER
    shares = np.empty(values.shape)
    wealth, variance = np.ones(means.size), means * (1.0 - means)
    for start, stop, horizon in _rounds(count, planned):
        if start:
            around = squares[start - 1] - 2.0 * means * sums[start - 1] + start * means**2
            variance = (_PRIOR_EVENTS + around) / (events + start)
        chance = np.clip(wealth / (goal * _OVERSHOOT), 1e-200, 1.0 - 1e-9)
        stake = _hazard(chance) * zeal[start] / np.sqrt(variance * _information(start, horizon, population))
        share = np.where(wealth >= goal, 0.0, np.minimum(1.0, stake * (1.0 - left[start])))
        shares[start:stop] = share
        wealth = wealth * (1.0 - share + share * odds[start:stop]).prod(axis=0)
    return shares


def _left(values: Floats, means: Floats, population: int | None) -> Floats:
    """Mean of what is unseen before each value, (values | 1, games)."""
    if population is None:
        return means[None, :]
    seen = np.arange(values.shape[0], dtype=np.float64)[:, None]
    before = np.cumsum(values, axis=0) - values
    return np.asarray(np.clip((population * means[None, :] - before) / (population - seen), 0.0, _ALMOST_ONE))


def _zeal(count: int, population: int | None) -> Floats:
    if population is None:
        return np.ones(count)
    return np.asarray(population / (population - np.arange(count, dtype=np.float64)))
