"""A rate from a few people's labels and many judge verdicts, where events are frequent enough for it.

The picture: the judge says what it thinks of everything, people say how far it is off on a random part.

    rate = mean over the unlabelled of t x judge    +    mean over the labelled of (people - t x judge)

Unbiased for any t and any judge, because the labelled intents are a random part; t, between 0 (people alone) and 1, is
chosen to make the variance least. It is sharper than the error box wherever the judge is good, and it needs no
assumption about how the judge errs.

Fine print. The interval rests on the central limit theorem. At a rate of 0.002 two hundred labels most often hold no
event at all; the interval then collapses to nothing and covers the truth in a third of all runs. So it is refused under
20 labelled intents with the event and 20 without. It reads a *fixed* sample: it is not for stopping early, and no gate
that may stop early reads it. An intent is one observation, whatever number of trials it has.

The interval is the wider of Student's and Wilson's, both with the degrees of freedom of the rarer kind of label: the
former misses above where events are few (skew), the latter below where the judge carries most of the weight.

Source: Angelopoulos, Duchi and Zrnic, PPI++: efficient prediction-powered inference, arXiv 2311.01453 (2023).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from safecase.measure._bounds import Bounds
from safecase.measure._errors import TooFewEvents

LEAST_LABELLED_EVENTS = 20
"""Labelled intents with the event, and as many without, before a prediction-powered estimate is given."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One completed intent.

    Attributes:
        flagged: share of its trials that the judge flags, in [0, 1]; of the labelled trials where only part of them
            is labelled.
        labelled: share of the same trials that people call the event; None where people did not look.
    """

    flagged: float
    labelled: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionPowered:
    """The estimate, with one-sided bounds for a fixed sample.

    Attributes:
        trust: the weight t of the judge, 0 where people's labels stand alone.
        labels: labelled intents; events: those among them with the event.
    """

    value: float
    bounds: Bounds
    trust: float
    labels: int
    events: int


def prediction_powered(seen: Sequence[Seen], *, alpha_lower: float, alpha_upper: float) -> PredictionPowered:
    """Estimate a rate over intents.

    Args:
        seen: every completed intent. Which ones people labelled was drawn at random among intents, and within an
            intent at random among its trials; a sample fixed beforehand, not one that grew until it looked well.
        alpha_lower, alpha_upper: error of each bound, in (0, 0.5).

    Raises:
        TooFewEvents: fewer than 20 labelled intents with the event, or without it.
        ValueError: a share lies outside [0, 1], or an alpha outside (0, 0.5).

    >>> labelled = [Seen(flagged=float(i % 5 == 0), labelled=float(i % 4 == 0)) for i in range(100)]
    >>> unlabelled = [Seen(flagged=float(i % 5 == 0)) for i in range(400)]
    >>> found = prediction_powered(labelled + unlabelled, alpha_lower=0.05, alpha_upper=0.05)
    >>> round(found.value, 2), found.events, found.bounds.low < 0.25 < found.bounds.high
    (0.25, 25, True)
    """
    people, judge, alone = _split(seen)
    _check(people, np.concatenate([judge, alone]), alpha_lower, alpha_upper)
    events, others = int((people > 0).sum()), int((people < 1).sum())
    if min(events, others) < LEAST_LABELLED_EVENTS:
        raise TooFewEvents(
            f"{people.size} labelled intents, {events} with the event and {others} without; a prediction-powered "
            f"estimate needs {LEAST_LABELLED_EVENTS} of each. Label more, or read the bounds of the judge's error box"
        )
    trust = _trust(people, judge, alone)
    rest = people - trust * judge
    carried = trust * float(alone.mean()) if alone.size else 0.0
    spread = trust**2 * float(alone.var(ddof=1)) / alone.size if alone.size > 1 else 0.0
    value = carried + float(rest.mean())
    variance = spread + float(rest.var(ddof=1)) / rest.size
    freedom = min(events, others) - 1
    low, _ = _interval(value, variance, float(stdtrit(freedom, 1 - alpha_lower)))
    _, high = _interval(value, variance, float(stdtrit(freedom, 1 - alpha_upper)))
    return PredictionPowered(
        value=min(1.0, max(0.0, value)),
        bounds=Bounds(low=min(1.0, max(0.0, low)), high=min(1.0, max(0.0, high))),
        trust=trust,
        labels=people.size,
        events=events,
    )


def _split(seen: Sequence[Seen]) -> tuple[Floats, Floats, Floats]:
    """(people's shares, the judge's on the same intents, the judge's on all others)."""
    both = np.array([(s.labelled, s.flagged) for s in seen if s.labelled is not None], dtype=np.float64).reshape(-1, 2)
    return both[:, 0], both[:, 1], np.array([s.flagged for s in seen if s.labelled is None], dtype=np.float64)


def _trust(people: Floats, judge: Floats, alone: Floats) -> float:
    """The t of least variance, cov(people, judge) / var(judge) / (1 + labelled / unlabelled), within [0, 1]."""
    if alone.size < 2:
        return 0.0
    variance = float(np.concatenate([judge, alone]).var(ddof=1))
    if variance == 0.0:
        return 0.0
    best = float(np.cov(people, judge)[0, 1]) / variance / (1.0 + people.size / alone.size)
    return min(1.0, max(0.0, best))


def _interval(value: float, variance: float, quantile: float) -> tuple[float, float]:
    """The wider of Student's interval and Wilson's, whose variance follows the rate as a binomial's does."""
    half = quantile * variance**0.5
    if not 0.0 < value < 1.0:
        return value - half, value + half
    ratio = quantile**2 * variance / (value * (1.0 - value))
    middle = (value + ratio / 2) / (1.0 + ratio)
    wilson = (ratio * value * (1.0 - value) + ratio**2 / 4) ** 0.5 / (1.0 + ratio)
    return min(value - half, middle - wilson), max(value + half, middle + wilson)


def _check(people: Floats, judge: Floats, *alphas: float) -> None:
    for shares in (people, judge):
        if shares.size and not (shares.min() >= 0 and shares.max() <= 1):
            raise ValueError(f"shares must lie in [0, 1], got {shares.min()!r} to {shares.max()!r}")
    for alpha in alphas:
        if not 0.0 < alpha < 0.5:
            raise ValueError(f"alpha is a probability of error and must lie in (0, 0.5), got {alpha!r}")
