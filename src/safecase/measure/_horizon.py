"""The time horizon: how long a task, in a skilled person's time, the model does every other time.

The share solved falls with the time that people need: share(t) = 1 / (1 + (t / h) ** b), the logistic curve in log time
with the horizon h where it crosses one half and the slope b >= 0. A bound on h is found by asking which h the data rule
out: a likelihood ratio with b free. Each task enters once, with the mean score of its attempts, however many there
were; a mean of scores varies at most as much as one attempt does, so that attempts at one task, which are alike, do not
pass for independent ones. Without one success the horizon still has an upper bound: failures at short tasks rule out
long horizons.

Source: the curve of Kwa et al., Measuring AI ability to complete long tasks, arXiv 2503.14499 (2025), section 4; the
interval is by profile likelihood where they resample.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from safecase.measure._bounds import Bounds
from safecase.measure._errors import NoEvidence

Floats = NDArray[np.float64]

SHORTEST_H, LONGEST_H = 1 / 3600, 100_000.0
"""Ends of the horizons that are told apart, in hours; a bound that lies there is *no bound*."""

_STEEPEST = 8.0  # in powers of the time; steeper curves are steps
_HORIZONS = np.geomspace(SHORTEST_H, LONGEST_H, 313)  # steps of 6.5 %; bounds are rounded outwards
_SLOPES = np.concatenate([[0.0], np.geomspace(0.05, _STEEPEST, 32)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """One task: people's hours, and the mean score of its attempts with every absent one at 0 and at 1."""

    hours: float
    score_low: float
    score_high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Horizon:
    """The curve as fitted.

    Attributes:
        hours: where it crosses one half; None where the data give no crossing.
        slope: b, per factor e of time.
    """

    hours: float | None
    slope: float

    def share_at(self, hours: float) -> float | None:
        """The share solved of tasks that take people so long."""
        return None if self.hours is None else float(1.0 / (1.0 + (hours / self.hours) ** self.slope))


def fit_horizon(hours: Sequence[float], scores: Sequence[float]) -> Horizon:
    """The most likely curve.

    Raises:
        NoEvidence: there is no task.
        ValueError: a time is not positive, or a score outside [0, 1].

    >>> curve = fit_horizon([0.1, 0.2, 0.5, 1, 2, 4, 8, 16], [1, 1, 1, 1, 0, 1, 0, 0])
    >>> 1 < curve.hours < 5
    True
    >>> fit_horizon([1.0, 2.0], [0.0, 0.0]).hours is None
    True
    """
    values = _log_likelihood(hours, scores)
    if not 0 < np.mean(scores) < 1:
        return Horizon(hours=None, slope=0.0)
    place = int(np.argmax(values))
    slope = float(_SLOPES[place // _HORIZONS.size])
    return Horizon(hours=None if slope == 0 else float(_HORIZONS[place % _HORIZONS.size]), slope=slope)


def horizon_bounds(tasks: Sequence[Timed], *, alpha_lower: float, alpha_upper: float) -> Bounds:
    """One-sided bounds of the horizon in hours, each with its own error; an end of the scale stands for no bound.

    Raises:
        NoEvidence: there is no task.
        ValueError: a time is not positive, a score outside [0, 1], or an alpha outside (0, 1/2).

    >>> short = [Timed(hours=0.1 * n, score_low=0.0, score_high=0.0) for n in range(1, 31)]
    >>> bounds = horizon_bounds(short, alpha_lower=0.05, alpha_upper=0.05)
    >>> bounds.low == SHORTEST_H, bounds.high < 1
    (True, True)
    """
    for alpha in (alpha_lower, alpha_upper):
        if not 0 < alpha < 0.5:
            raise ValueError(f"alpha must lie in (0, 1/2), got {alpha!r}")
    hours = [task.hours for task in tasks]
    least, most = [task.score_low for task in tasks], [task.score_high for task in tasks]
    low = _kept(hours, least, alpha_lower)
    high = low if (least, alpha_lower) == (most, alpha_upper) else _kept(hours, most, alpha_upper)
    last = _HORIZONS.size - 1
    return Bounds(low=float(_HORIZONS[max(low[0] - 1, 0)]), high=float(_HORIZONS[min(high[-1] + 1, last)]))


def _kept(hours: Sequence[float], scores: Sequence[float], alpha: float) -> NDArray[np.int64]:
    """Places of the horizons that the data do not rule out at a one-sided error.

    The quantile is that of half the error: over 15 to 40 tasks with one attempt each, the ratio's limiting law misses
    up to twice as often as it says (a simulation in tests/measure has it).
    """
    profile = _log_likelihood(hours, scores).max(axis=0)
    drop = 2.0 * (profile.max() - profile)
    return np.flatnonzero(drop <= float(ndtri(1.0 - alpha / 2)) ** 2)


def _log_likelihood(hours: Sequence[float], scores: Sequence[float]) -> Floats:
    """Over slopes and horizons: shape (slopes, horizons)."""
    time, share = np.asarray(hours, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if not time.size:
        raise NoEvidence("a time horizon over no task: nothing was measured")
    if not (time > 0).all() or not ((share >= 0) & (share <= 1)).all():
        raise ValueError("a time horizon takes positive times and scores in [0, 1]")
    steps = np.log(time)[:, None] - np.log(_HORIZONS)[None, :]
    found = np.empty((_SLOPES.size, _HORIZONS.size))
    for place, slope in enumerate(_SLOPES):
        odds = slope * steps
        lost = np.logaddexp(0.0, odds)
        found[place] = -(share @ lost + (1.0 - share) @ (lost - odds))
    return found
