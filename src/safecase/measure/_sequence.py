"""Anytime-valid bounds of a mean in [0, 1], by betting.

The problem: people look at results while they come in and stop when they like what they see. An ordinary interval is
then wrong more often than it says.

The choice: a gambler bets, round by round, that the mean lies below m. If the mean really is m or more, no strategy
grows wealth in expectation, so wealth ever reaching 1/alpha has probability at most alpha (Ville's inequality). Every m
under which the gambler grows that rich is ruled out, whenever one stops.

    wealth after x_1..x_t, betting a fraction c of what can be lost:   prod (1 + c (m - x_i) / (1 - m))

One fraction is best for one truth; the mean of several wealths is again a fair wealth, so a fixed grid of fractions is
mixed and nothing is tuned to the data. Wealth grows with m for every fraction, so the set ruled out is [upper, 1] and
bisection finds its edge. The lower bound is the upper bound of 1 - x, mirrored.

The fine print: the values must be exchangeable rounds with one conditional mean, which completed intents in a seeded
random order are, and trials of one intent are not.

Source: Waudby-Smith and Ramdas, Estimating means of bounded random variables by betting, JRSS B 86:1 (2024).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from safecase.measure._bounds import Bounds

_FRACTIONS = np.concatenate([np.geomspace(0.005, 0.5, 20), np.linspace(0.55, 0.99, 12)])
_STEPS = 50


def mean_bounds(
    values: Sequence[float] | NDArray[np.float64], *, alpha_lower: float, alpha_upper: float
) -> Bounds:
    """One-sided bounds of the mean; each holds alone, at any stopping time, with its own error.

    Args:
        values: shape (clusters,), each in [0, 1], in the random order in which intents were completed.
        alpha_lower, alpha_upper: error of each bound, in (0, 1).

    Returns:
        Bounds in [0, 1]; (0, 1) without values.

    Raises:
        ValueError: a value lies outside [0, 1] or is not a number.

    >>> bounds = mean_bounds([0.0] * 60, alpha_lower=0.05, alpha_upper=0.05)
    >>> bounds.low, round(bounds.high, 3)
    (0.0, 0.077)
    """
    array = np.asarray(values, dtype=np.float64)
    if array.size and not (array.min() >= 0 and array.max() <= 1):
        raise ValueError(f"values must lie in [0, 1], got {array.min()!r} to {array.max()!r}")
    return Bounds(low=1 - _upper(1 - array, alpha_lower), high=_upper(array, alpha_upper))


def _upper(values: NDArray[np.float64], alpha: float) -> float:
    """The smallest mean that the mixed wealth rules out."""
    if not values.size:
        return 1.0
    distinct, counts = np.unique(values, return_counts=True)
    goal = -np.log(alpha)

    def log_wealth(mean: float) -> float:
        growth = np.log1p(_FRACTIONS[None, :] * (mean - distinct[:, None]) / (1 - mean))
        logs = (counts[:, None] * growth).sum(axis=0)
        top = logs.max()
        return float(top + np.log(np.exp(logs - top).mean()))

    low, high = 0.0, 1.0 - 1e-12
    if log_wealth(high) < goal:
        return 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if log_wealth(middle) < goal else (low, middle)
    return high
