"""Exact bounds of a share of a finite whole, from a part of it drawn at random without putting back.

The whole is fixed: the only chance is the draw. So answers may be as alike as they like, and nothing is said of any
other answers.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from safecase.measure._bounds import Bounds
from safecase.measure._errors import NoEvidence


def finite_bounds(hits: int, drawn: int, whole: int, *, alpha: float, unread: int = 0) -> Bounds:
    """Bounds of a share of `whole` things, two-sided at 1 - alpha, half the error on each side.

    Args:
        hits: drawn things that were seen to have the property.
        drawn: how many were drawn, each set of that size as likely as any other; at least 1.
        whole: how many there are; `drawn` of them at least.
        alpha: error, in (0, 1).
        unread: drawn things of which nothing is known; they count against each bound.

    Raises:
        NoEvidence: nothing was drawn.
        ValueError: counts that do not fit together, or an alpha outside (0, 1).

    Source: the hypergeometric tails, inverted; Buonaccorsi, The American Statistician 41:215 (1987).

    >>> finite_bounds(0, 100, 100, alpha=0.05)
    Bounds(low=0.0, high=0.0)
    >>> round(finite_bounds(0, 50, 1000, alpha=0.05).high, 3)
    0.069
    """
    _check(hits, drawn, whole, alpha, unread)
    low = _lower(hits, drawn, whole, alpha / 2) / whole
    high = 1 - _lower(drawn - hits - unread, drawn, whole, alpha / 2) / whole
    return Bounds(low=low, high=high)


def _lower(hits: int, drawn: int, whole: int, alpha: float) -> int:
    """The least number with the property under which `hits` or more are not rarer than alpha, by bisection."""
    if hits == 0:
        return 0
    low, high = hits, whole - (drawn - hits)  # what the draw leaves possible
    while low < high:
        middle = (low + high) // 2
        if _at_least(hits, drawn, whole, middle) > alpha:
            high = middle
        else:
            low = middle + 1
    return low


def _at_least(hits: int, drawn: int, whole: int, having: int) -> float:
    """Chance of `hits` or more, `having` of the whole with the property."""
    seen = np.arange(max(hits, drawn - (whole - having)), min(drawn, having) + 1)
    if not seen.size:
        return 0.0
    logs = _choose(having, seen) + _choose(whole - having, drawn - seen) - _choose(whole, np.array([drawn]))
    return min(1.0, float(np.exp(logs).sum()))


def _choose(n: int, k: NDArray[np.int_]) -> NDArray[np.float64]:
    """Logarithm of the binomial coefficients."""
    found: NDArray[np.float64] = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return found


def _check(hits: int, drawn: int, whole: int, alpha: float, unread: int) -> None:
    if drawn == 0:
        raise NoEvidence("nothing was drawn: cannot bound a share that was never looked at")
    if not (hits >= 0 <= unread and hits + unread <= drawn <= whole):
        raise ValueError(f"counts must fit together, got {hits!r} hits and {unread!r} unread of {drawn!r} of {whole!r}")
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha is a probability of error and must lie in (0, 1), got {alpha!r}")
