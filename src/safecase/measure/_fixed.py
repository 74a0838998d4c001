"""Bounds for a fixed suite: the tasks are all there are, and only the attempts at them are chance.

A framework that says "75 % of *this* suite" asks for theta = mean over its T tasks of f(p_t), with p_t the unknown
chance that one attempt at task t succeeds and f(p) = 1 - (1 - p)^k the chance that one of k does. Each task's n
attempts give an unbiased U_t (`pass_at_k`), and S is their sum. For any l > 0, by Markov's inequality and independence,

    P(S <= s)  <=  exp(l s) * prod_t E exp(-l U_t)  =  exp(l s + sum_t g_l(f(p_t)))  <=  exp(l s + T G_l(theta))

where g_l(q) is the log of the moment-generating function at f(p) = q, which is a sum over n + 1 outcomes, and G_l its
least concave majorant, so that the last step (Jensen) covers *every* way in which the tasks' chances can be spread
around theta. The least such value over l bounds the probability for every s, so it is a p-value; the bound is the least
theta that it rules out, and all above. No assumption on the p_t, no resampling, and with no success at all it is
1 - alpha^(1 / (T n / k)) where 1 - (1 - q)^(n / k) is concave.

Source: Chernoff's bound with the worst mixture; Hoeffding, JASA 58:13 (1963), theorem 1, is the case n = k = 1.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from safecase.measure._bounds import Bounds
from safecase.measure._errors import NoEvidence
from safecase.measure._passk import pass_at_k

Floats = NDArray[np.float64]

_GRID = 600  # theta and p are looked at in so many places
_TILTS = np.geomspace(0.05, 5_000.0, 72)


def fixed_suite_bounds(
    successes: Sequence[float], attempts: Sequence[int], k: int = 1, *, alpha_lower: float, alpha_upper: float
) -> Bounds:
    """One-sided bounds of the mean over these very tasks of pass@k, each with its own error.

    Args:
        successes: per task. For k = 1 a sum of scores in [0, 1] will do: a score between 0 and 1 varies less than an
            attempt that succeeds or not with the same mean.
        attempts: per task, made and counted; fixed beforehand.
        k: attempts allowed.
        alpha_lower, alpha_upper: error of each bound, in (0, 1).

    Raises:
        NoEvidence: no task, or one with fewer than k attempts.
        ValueError: a count or alpha is out of range.

    >>> bounds = fixed_suite_bounds([0] * 12, [20] * 12, 10, alpha_lower=0.05, alpha_upper=0.05)
    >>> bounds.low, round(bounds.high, 3)
    (0.0, 0.119)
    >>> fixed_suite_bounds([20] * 12, [20] * 12, 10, alpha_lower=0.05, alpha_upper=0.05).low > 0.85
    True
    """
    if not successes:
        raise NoEvidence("bounds over no task: nothing was measured")
    if not (0 < alpha_lower < 1 and 0 < alpha_upper < 1):
        raise ValueError(f"alpha must lie in (0, 1), got {alpha_lower!r} and {alpha_upper!r}")
    total = sum(_share(hits, made, k) for hits, made in zip(successes, attempts, strict=True))
    kinds, tasks = tuple(sorted(set(attempts))), len(successes)
    return Bounds(
        low=1.0 - _upper(tasks - total, tasks, kinds, k, alpha_lower, is_mirrored=True),
        high=_upper(total, tasks, kinds, k, alpha_upper, is_mirrored=False),
    )


def _share(hits: float, made: int, k: int) -> float:
    if k > 1:
        return pass_at_k(int(hits), made, k)
    if made < 1:
        raise NoEvidence("a task without an attempt has no rate; leave it out or count it as absent")
    if not 0 <= hits <= made:
        raise ValueError(f"successes must lie in 0..{made}, got {hits!r}")
    return hits / made


def _upper(total: float, tasks: int, kinds: tuple[int, ...], k: int, alpha: float, *, is_mirrored: bool) -> float:
    """The least theta that is ruled out with all above it; for `1 - U` when mirrored."""
    thetas, majorants = _majorants(kinds, k, is_mirrored)
    log_p = np.min(_TILTS[:, None] * total + tasks * majorants, axis=0)
    open_ones = np.flatnonzero((log_p > np.log(alpha)) | (thetas <= total / tasks))
    last = int(open_ones[-1]) if open_ones.size else 0
    return float(thetas[min(last + 1, thetas.size - 1)])


@lru_cache(maxsize=64)
def _majorants(kinds: tuple[int, ...], k: int, is_mirrored: bool) -> tuple[Floats, Floats]:
    """G_l on a grid of theta: shapes (grid,) and (tilts, grid). Mirrored, theta and U are counted from 1 downwards."""
    p = np.linspace(0.0, 1.0, _GRID)
    share = np.unique(np.concatenate([1.0 - (1.0 - p) ** k, p]))
    logs = np.max([_log_mgf(share, made, k, is_mirrored) for made in kinds], axis=0)
    grid = 1.0 - share[::-1] if is_mirrored else share
    return grid, np.array([_majorant(grid, row[::-1] if is_mirrored else row) for row in logs])


def _log_mgf(share: Floats, made: int, k: int, is_mirrored: bool) -> Floats:
    """log E exp(-l U), or of 1 - U, for pass@k = `share`: shape (tilts, shares)."""
    chance = 1.0 - (1.0 - share) ** (1.0 / k)
    hits = np.arange(made + 1)
    outcome = np.array([_share(int(c), made, k) for c in hits])
    outcome = 1.0 - outcome if is_mirrored else outcome
    ways = gammaln(made + 1) - gammaln(hits + 1) - gammaln(made - hits + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        yes = np.where(hits == 0, 0.0, hits * np.log(chance)[:, None])
        no = np.where(hits == made, 0.0, (made - hits) * np.log1p(-chance)[:, None])
    weights = np.exp(ways + yes + no)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(np.exp(-_TILTS[:, None] * outcome) @ weights.T))


def _majorant(x: Floats, y: Floats) -> Floats:
    """The least concave function over the points, where they are finite; -inf stays where nothing is above it."""
    finite = np.flatnonzero(np.isfinite(y))
    hull: list[int] = []
    for place in finite:
        while len(hull) > 1 and _turns_up(x, y, hull[-2], hull[-1], int(place)):
            hull.pop()
        hull.append(int(place))
    return np.interp(x, x[hull], y[hull], left=-np.inf, right=-np.inf)


def _turns_up(x: Floats, y: Floats, a: int, b: int, c: int) -> bool:
    return bool((y[b] - y[a]) * (x[c] - x[a]) <= (y[c] - y[a]) * (x[b] - x[a]))
