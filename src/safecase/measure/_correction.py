"""A rate corrected for its judge when only totals are left: bounds in, bounds out.

Where the trials are at hand, `rate_bounds` corrects them one by one and is sharper, because the flags and the share
that needed a judge are then bet on together. This is for results that came without trials, and the plain algebra that
`rate_bounds` is tested against.

The model. Let `u` be the rate of answers that are unsafe and were not withheld, `w` the share that a judge had to judge
(what the stack withheld is known to be no event), `se` the judge's sensitivity and `f` its false-alarm rate. Then

    observed rate of flags   r = se u + f (w - u),     0 <= u <= w

`r` rises with `se` and with `f` whatever `u` is, because neither u nor w - u is negative. So at the low corner of the
error box r >= se_lo u + f_lo (w - u), at the high corner r <= se_hi u + f_hi (w - u), and solving each for u gives

    (r - f_hi w) / (se_hi - f_hi)  <=  u  <=  (r - f_lo w) / (se_lo - f_lo)

No other property of the box is used; in particular se and f may differ from answer to answer, as long as their means
over the unsafe and over the other judged answers lie in the box.

Source: Rogan and Gladen, American Journal of Epidemiology 107:71 (1978), over a box of errors instead of a point.
"""

from dataclasses import dataclass

from safecase.measure._bounds import Bounds


@dataclass(frozen=True, slots=True, kw_only=True)
class AlphaSplit:
    """How the error of one bound is shared out over what it is made of; union bound, so the parts add up.

    Attributes:
        observed: for the observed rate.
        judged_share: for the share that needed a judge; 0 where it is known.
        sensitivity, specificity: for the corner of the judge's error that the bound uses.

    >>> split = AlphaSplit.of(0.05)
    >>> round(split.observed, 4), round(split.total, 4)
    (0.025, 0.05)
    """

    observed: float
    judged_share: float
    sensitivity: float
    specificity: float

    @classmethod
    def of(cls, alpha: float) -> "AlphaSplit":
        """Half to the observed rate, a tenth to the judged share, a fifth each to sensitivity and specificity."""
        return cls(observed=0.5 * alpha, judged_share=0.1 * alpha, sensitivity=0.2 * alpha, specificity=0.2 * alpha)

    @property
    def total(self) -> float:
        """Error of the bound that uses all parts."""
        return self.observed + self.judged_share + self.sensitivity + self.specificity


def correct(observed: Bounds, *, judged_share: Bounds, sensitivity: Bounds, specificity: Bounds) -> Bounds:
    """Bound the true rate from bounds of everything it is made of.

    Args:
        observed: rate of flags over all answers (a withheld answer is not flagged).
        judged_share: share of answers that a judge had to judge.
        sensitivity, specificity: the judge's.

    Returns:
        Bounds within [0, judged_share.high]. An end is vacuous where its corner of the error box is no better than
        chance. Both are where the evidence contradicts the box (fewer flags than the judge's false alarms alone must
        give, or more than it could give): the box was then measured on other answers, and nothing may be cleared by it.

    >>> share, judge = Bounds(low=1.0, high=1.0), Bounds(low=0.85, high=0.95)
    >>> bounds = correct(Bounds(low=0.05, high=0.14), judged_share=share, sensitivity=judge, specificity=judge)
    >>> bounds.low, round(bounds.high, 4)
    (0.0, 0.1125)
    """
    vacuous = Bounds(low=0.0, high=judged_share.high)
    least_alarms, most_alarms = 1.0 - specificity.high, 1.0 - specificity.low
    fewest = least_alarms * judged_share.low
    most = max(sensitivity.high, most_alarms) * judged_share.high
    if observed.high < fewest or observed.low > most:
        return vacuous
    low, high = vacuous.low, vacuous.high
    if sensitivity.low > least_alarms:
        high = (observed.high - fewest) / (sensitivity.low - least_alarms)
    if sensitivity.high > most_alarms:
        low = (observed.low - most_alarms * judged_share.high) / (sensitivity.high - most_alarms)
    return Bounds(low=_within(low, vacuous), high=_within(high, vacuous))


def correct_point(observed: float, *, judged_share: float, sensitivity: float, specificity: float) -> float | None:
    """The true rate when everything it is made of is known; None when the judge tells nothing apart.

    >>> correct_point(0.61, judged_share=1.0, sensitivity=0.92, specificity=0.39)
    0.0
    >>> correct_point(0.5, judged_share=1.0, sensitivity=0.5, specificity=0.5) is None
    True
    """
    alarms = 1.0 - specificity
    if sensitivity <= alarms:
        return None
    return _within((observed - alarms * judged_share) / (sensitivity - alarms), Bounds(low=0.0, high=judged_share))


def widen(bounds: Bounds, margin: float) -> Bounds:
    """Move both ends of a proportion apart by `margin`, for an error measured on other models' answers.

    >>> widen(Bounds(low=0.9, high=0.99), 0.05)
    Bounds(low=0.85, high=1.0)
    """
    return Bounds(low=max(0.0, bounds.low - margin), high=min(1.0, bounds.high + margin))


def _within(value: float, limits: Bounds) -> float:
    return min(limits.high, max(limits.low, value))
