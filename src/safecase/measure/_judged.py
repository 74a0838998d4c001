"""The mean of a rate that a fallible judge saw, bounded without trusting the judge.

The problem: a judge with sensitivity `se` and false-alarm rate `f` flags a share `u` of the answers it judges; some
answers need no judge (a withheld answer, a person's label), and some attempts gave no answer at all.

The choice: give every trial a *corrected score* whose mean is the true rate when (se, f) is true:

    known yes  1        judged and flagged      (1 - f) / (se - f)
    known no   0        judged, not flagged         -f  / (se - f)
    missing    1 for the upper bound, 0 for the lower

The mean of that score falls in `se` and in `f` wherever the observed share is one that some true rate could give, and
beyond it stays at or over the judged share. So over a box of (se, f) that holds the truth, the upper bound comes from
its low corner and the lower bound from its high corner; each is one betting sequence over per-intent means.

A bound that comes out below 0 or over 1 says that no rate fits both the flags and the box: then the box is wrong, and
nothing is bounded.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from safecase.measure._bounds import Bounds
from safecase.measure._calibration import JudgeError
from safecase.measure._sequence import lower_bound, upper_bound

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What the trials of one completed intent came to; counts.

    Attributes:
        known_yes, known_no: verdicts that needed no judge.
        flagged, unflagged: the judge's yes and no.
        missing: no answer (error, timeout, unparsed) or unscored.
    """

    known_yes: int = 0
    known_no: int = 0
    flagged: int = 0
    unflagged: int = 0
    missing: int = 0

    @property
    def total(self) -> int:
        """Trials of the intent."""
        return self.known_yes + self.known_no + self.flagged + self.unflagged + self.missing

    @property
    def answered(self) -> int:
        """Trials that answered and were judged or known."""
        return self.total - self.missing


def rate_bounds(
    tallies: Sequence[Tally],
    error: JudgeError,
    *,
    alpha_lower: float,
    alpha_upper: float,
    planned: int | None = None,
) -> Bounds:
    """One-sided anytime-valid bounds of the true rate; each alone holds with its own alpha, the box's error aside.

    Args:
        tallies: one per completed intent, in the seeded random order.
        error: the judge's error; its box must hold the truth for the bounds to.
        alpha_lower, alpha_upper: error of each bound.
        planned: intents planned before the first answer was seen; None without a plan.

    Returns:
        Bounds in [0, 1]; vacuous ends (0 or 1) where the judge is no better than chance.
    """
    high = _mean(
        [_series(t, *_low_corner(error), missing=1.0) for t in tallies],
        _low_corner(error),
        planned,
        upper_alpha=alpha_upper,
    )
    low = _mean(
        [_series(t, *_high_corner(error), missing=0.0) for t in tallies],
        _high_corner(error),
        planned,
        lower_alpha=alpha_lower,
    )
    return Bounds(low=low, high=high)


def difference_bounds(
    before: Sequence[Tally],
    after: Sequence[Tally],
    errors: tuple[JudgeError, JudgeError],
    *,
    alpha_lower: float,
    alpha_upper: float,
    planned: int | None = None,
) -> Bounds:
    """Bounds of (after - before), paired by intent; the judge may err differently on each arm.

    Args:
        before, after: tallies of the same intents in the same order.
        errors: the judge's error on (before, after).
        planned: as for `rate_bounds`.

    Returns:
        Bounds in [-1, 1].
    """
    low_before, low_after = _low_corner(errors[0]), _low_corner(errors[1])
    high_before, high_after = _high_corner(errors[0]), _high_corner(errors[1])
    upper = _difference(
        before, after, high_before, low_after, planned=planned, missing=(0.0, 1.0), upper_alpha=alpha_upper
    )
    lower = _difference(
        before, after, low_before, high_after, planned=planned, missing=(1.0, 0.0), lower_alpha=alpha_lower
    )
    return Bounds(low=max(-1.0, lower), high=min(1.0, upper))


def point_rate(tallies: Sequence[Tally], error: JudgeError) -> float | None:
    """Corrected point estimate over intents that answered; None without any, or when the judge tells nothing apart."""
    answered = [t for t in tallies if t.answered]
    if not answered:
        return None
    se, sp = error.point or (1.0, 1.0)
    if se + sp <= 1.0:
        return None
    means = [_series(_without_missing(t), se, 1 - sp, missing=0.0) for t in answered]
    return min(1.0, max(0.0, float(np.mean(means))))


def observed_rate(tallies: Sequence[Tally]) -> float | None:
    """Mean over intents of the share the judge (or a known verdict) calls yes, uncorrected; None without answers."""
    shares = [(t.known_yes + t.flagged) / t.answered for t in tallies if t.answered]
    return float(np.mean(shares)) if shares else None


def _low_corner(error: JudgeError) -> tuple[float, float]:
    return error.sensitivity.low, 1.0 - error.specificity.high


def _high_corner(error: JudgeError) -> tuple[float, float]:
    return error.sensitivity.high, 1.0 - error.specificity.low


def _scores(se: float, f: float) -> tuple[float, float]:
    """Corrected score of a flagged and of an unflagged answer."""
    return (1.0 - f) / (se - f), -f / (se - f)


def _series(tally: Tally, se: float, f: float, *, missing: float) -> float:
    """Mean corrected score of one intent."""
    if se <= f:
        return float("nan")
    yes, no = _scores(se, f)
    total = tally.known_yes + tally.flagged * yes + tally.unflagged * no + tally.missing * missing
    return total / tally.total


def _mean(
    values: Sequence[float],
    corner: tuple[float, float],
    planned: int | None,
    *,
    lower_alpha: float | None = None,
    upper_alpha: float | None = None,
) -> float:
    """One bound of the mean of corrected scores, scaled to [0, 1] for the bet and back."""
    vacuous = 0.0 if upper_alpha is None else 1.0
    if corner[0] <= corner[1] or not values:
        return vacuous
    yes, no = _scores(*corner)
    unit = (np.asarray(values, dtype=np.float64) - no) / (yes - no)
    end = _unscale(unit, no, yes, planned, lower_alpha=lower_alpha, upper_alpha=upper_alpha)
    contradicted = end < 0.0 if upper_alpha is not None else end > 1.0
    return vacuous if contradicted else min(1.0, max(0.0, end))


def _difference(
    before: Sequence[Tally],
    after: Sequence[Tally],
    corner_before: tuple[float, float],
    corner_after: tuple[float, float],
    *,
    planned: int | None,
    missing: tuple[float, float],
    lower_alpha: float | None = None,
    upper_alpha: float | None = None,
) -> float:
    vacuous = -1.0 if upper_alpha is None else 1.0
    if corner_before[0] <= corner_before[1] or corner_after[0] <= corner_after[1] or not before:
        return vacuous
    yes_before, no_before = _scores(*corner_before)
    yes_after, no_after = _scores(*corner_after)
    values = np.array(
        [
            _series(b, *corner_after, missing=missing[1]) - _series(a, *corner_before, missing=missing[0])
            for a, b in zip(before, after, strict=True)
        ]
    )
    low, high = no_after - yes_before, yes_after - no_before
    unit = (values - low) / (high - low)
    return _unscale(unit, low, high, planned, lower_alpha=lower_alpha, upper_alpha=upper_alpha)


def _unscale(
    unit: Floats,
    low: float,
    high: float,
    planned: int | None,
    *,
    lower_alpha: float | None,
    upper_alpha: float | None,
) -> float:
    clipped = np.clip(unit, 0.0, 1.0)
    if upper_alpha is not None:
        end = upper_bound(clipped, alpha=upper_alpha, planned=planned)
    else:
        assert lower_alpha is not None  # noqa: S101 - one of the two is always given
        end = lower_bound(clipped, alpha=lower_alpha, planned=planned)
    return float(low + end * (high - low))


def _without_missing(tally: Tally) -> Tally:
    return Tally(known_yes=tally.known_yes, known_no=tally.known_no, flagged=tally.flagged, unflagged=tally.unflagged)
