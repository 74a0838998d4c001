"""Exact bounds of a proportion from a fixed sample of independent trials.

For what is counted once on a plain sample, as a judge's sensitivity and specificity are. A rate over intents that
people look at while it grows is bounded in `_sequence`.
"""

from dataclasses import dataclass

from safecase.measure._errors import NoEvidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """A lower and an upper bound."""

    low: float
    high: float


def exact_lower(hits: int, trials: int, *, alpha: float) -> float:
    """Lower bound of a success probability, one-sided at 1 - alpha.

    Args:
        hits: successes, 0 <= hits <= trials.
        trials: independent attempts, at least 1; their number must not depend on how they came out.
        alpha: error, in (0, 1).

    Raises:
        NoEvidence: `trials` is 0.
        ValueError: `hits` lies outside 0..trials, or `alpha` outside (0, 1).

    Source: Clopper and Pearson, Biometrika 26:404 (1934).

    >>> round(exact_lower(20, 20, alpha=0.05), 3)
    0.861
    """
    _check(hits, trials, alpha)
    return 0.0 if hits == 0 else _beta_quantile(hits, trials - hits + 1, alpha)


def exact_upper(hits: int, trials: int, *, alpha: float) -> float:
    """Upper bound of a success probability, one-sided at 1 - alpha; arguments and errors as `exact_lower`.

    >>> round(exact_upper(0, 20, alpha=0.05), 3)
    0.139
    """
    _check(hits, trials, alpha)
    return 1.0 if hits == trials else _beta_quantile(hits + 1, trials - hits, 1 - alpha)


def clopper_pearson(hits: int, trials: int, *, alpha: float) -> Bounds:
    """Two-sided exact interval at 1 - alpha, half the error on each side; arguments and errors as `exact_lower`.

    >>> clopper_pearson(0, 20, alpha=0.05).low
    0.0
    """
    return Bounds(low=exact_lower(hits, trials, alpha=alpha / 2), high=exact_upper(hits, trials, alpha=alpha / 2))


def _beta_quantile(a: float, b: float, probability: float) -> float:
    # Late: 0.2 s to import, and a run that only judges bounds nothing. scipy.stats has the same and takes a second.
    from scipy.special import betaincinv

    return float(betaincinv(a, b, probability))


def _check(hits: int, trials: int, alpha: float) -> None:
    if trials == 0:
        raise NoEvidence("no trials: cannot bound a rate that was never measured")
    if not 0 <= hits <= trials:
        raise ValueError(f"hits must lie in 0..{trials}, got {hits!r}")
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha is a probability of error and must lie in (0, 1), got {alpha!r}")
