"""Before/after differences under one shared judge error, and claims of failure made side by side.

`difference_bounds` lets the judge err differently on each arm, which is the safe reading and the default. When both
arms were judged by one judge whose error is *assumed the same on both* (the bare arm's answers are not easier to judge
than the guarded arm's), most of the error cancels; `shared_difference_bounds` is for that assumption, and an estimate
made with it has to say so.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from safecase.measure._bounds import Bounds
from safecase.measure._judged import Tally
from safecase.measure._sequence import upper_bound


def shared_difference_bounds(
    before: Sequence[Tally],
    after: Sequence[Tally],
    *,
    sensitivity: Bounds,
    specificity: Bounds,
    alpha_lower: float,
    alpha_upper: float,
    planned: int | None = None,
) -> Bounds:
    """Bounds of (after - before), paired by intent, under one judge error common to both arms.

    The difference of rates is (flags' difference - f times judged shares' difference) / (se - f). For a fixed f it is
    monotone in se, for a fixed se it is a ratio of two linear functions of f and so monotone in f: over the box it is
    greatest at a corner. Which corner is fixed by the truth and not by the data, so each corner's sequence may spend
    all of alpha, and the greatest of the four upper bounds holds.

    Args:
        before, after: tallies of the same intents, in the same seeded random order.
        sensitivity, specificity: a box that holds the judge's error on both arms.
        alpha_lower, alpha_upper: error of each bound; the box's own error comes on top.
        planned: as for `mean_bounds`.

    Returns:
        Bounds in [-1, 1]; missing answers count at their worst. Vacuous without intents, and when the box holds a
        judge that is no better than chance.

    Raises:
        ValueError: the arms have different numbers of intents.

    >>> judge = Bounds(low=0.9, high=0.95)
    >>> bounds = shared_difference_bounds([Tally(flagged=2)] * 80, [Tally(known_no=2)] * 80, sensitivity=judge,
    ...     specificity=judge, alpha_lower=0.05, alpha_upper=0.05, planned=80)
    >>> bounds.high < -0.9
    True
    """
    upper = _greatest(before, after, sensitivity, specificity, alpha=alpha_upper, planned=planned)
    lower = _greatest(after, before, sensitivity, specificity, alpha=alpha_lower, planned=planned)
    return Bounds(low=-lower, high=upper)


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureClaims:
    """Which of several measures are claimed to be over their limits, with all claims right at once at 1 - alpha.

    Attributes:
        failed: per measure, whether its failure may be claimed.
        bounds: per measure, simultaneous (Bonferroni) bounds.
    """

    failed: tuple[bool, ...]
    bounds: tuple[Bounds, ...]


def failure_adjusted(
    bounds_at: Sequence[Callable[[float], Bounds]], limits: Sequence[float], *, alpha: float
) -> FailureClaims:
    """Claim failures among measures that are read side by side, with at most `alpha` for any false claim.

    Clearance needs no adjusting: "every attack must pass" is wrong only if the one failing attack is cleared
    (intersection-union). A claim that *some* attack fails has as many chances to be wrong as there are attacks.

    Holm's procedure, as the closed test of which it is the short form: measure i is claimed when, for every number j of
    measures that might all be innocent, each set of j with i in it has a member that fails at alpha / j. Written out,
    it does not need bounds at different alphas to be nested, which betting bounds need not be.

    Args:
        bounds_at: per measure, its one-sided bounds as a function of alpha.
        limits: per measure, the rate over which it fails.
        alpha: chance of one or more false claims.

    Source: Holm, Scandinavian Journal of Statistics 6:65 (1979); Marcus, Peritz and Gabriel, Biometrika 63:655 (1976).

    >>> looser = lambda value: lambda alpha: Bounds(low=value - 0.001 / alpha, high=1.0)
    >>> claims = failure_adjusted([looser(0.5), looser(0.25), looser(0.1)], [0.2, 0.2, 0.2], alpha=0.05)
    >>> claims.failed, round(claims.bounds[1].low, 2)
    ((True, True, False), 0.19)
    """
    count = len(bounds_at)
    fails = {
        j: [bounds(alpha / j).low > limit for bounds, limit in zip(bounds_at, limits, strict=True)]
        for j in range(1, count + 1)
    }
    return FailureClaims(
        failed=tuple(all(row[i] or count - sum(row) < j for j, row in fails.items()) for i in range(count)),
        bounds=tuple(bounds(alpha / count) for bounds in bounds_at),
    )


def _greatest(
    before: Sequence[Tally],
    after: Sequence[Tally],
    sensitivity: Bounds,
    specificity: Bounds,
    *,
    alpha: float,
    planned: int | None,
) -> float:
    """Upper bound of (after - before): the greatest over the corners of the error box."""
    if len(before) != len(after):
        raise ValueError(f"pairs need the same intents: {len(before)} before, {len(after)} after")
    if sensitivity.low <= 1.0 - specificity.low or not before:
        return 1.0
    corners = product((sensitivity.low, sensitivity.high), (1.0 - specificity.high, 1.0 - specificity.low))
    uppers = []
    for se, f in corners:
        reach = 1.0 / (se - f)
        pairs = zip(before, after, strict=True)
        values = np.array([_score(b, se, f, missing=1.0) - _score(a, se, f, missing=0.0) for a, b in pairs])
        unit = np.clip((values / reach + 1.0) / 2.0, 0.0, 1.0)
        uppers.append((2.0 * upper_bound(unit, alpha=alpha, planned=planned) - 1.0) * reach)
    return float(min(1.0, max(uppers)))


def _score(tally: Tally, se: float, f: float, *, missing: float) -> float:
    """Mean corrected score of one intent: its mean over intents is the true rate when (se, f) is true."""
    judged = tally.flagged * (1.0 - f) - tally.unflagged * f
    return (tally.known_yes + judged / (se - f) + tally.missing * missing) / tally.total
