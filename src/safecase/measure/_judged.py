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

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Tallies:
    """Tallies of several completed intents, in the seeded random order.

    Attributes:
        counts: shape (intents, 5), by the attributes of `Tally` in their order; each row sums to at least 1.
    """

    counts: NDArray[np.int64]

    @classmethod
    def of(cls, tallies: "Sequence[Tally] | Tallies") -> "Tallies":
        """Single tallies as one table."""
        if isinstance(tallies, Tallies):
            return tallies
        rows = [(t.known_yes, t.known_no, t.flagged, t.unflagged, t.missing) for t in tallies]
        return cls(counts=np.array(rows, dtype=np.int64).reshape(len(rows), 5))

    def __len__(self) -> int:
        return int(self.counts.shape[0])

    def __getitem__(self, which: slice | NDArray[np.int64]) -> "Tallies":
        """Some of the intents."""
        return Tallies(counts=self.counts[which])

    @property
    def answered(self) -> NDArray[np.int64]:
        """Trials of each intent that answered and were judged or known, (intents,)."""
        return np.asarray(self.counts[:, :4].sum(axis=1))

    @property
    def missing(self) -> NDArray[np.int64]:
        """Trials of each intent without an answer or a verdict, (intents,)."""
        return np.asarray(self.counts[:, 4])


@dataclass(frozen=True, slots=True)
class Ends:
    """Ends of betting sequences that were worked out already: several groups often hold the very same intents."""

    found: dict[tuple[bytes, str, float, int | None], float] = field(default_factory=dict)

    def end(self, values: Floats, *, upper: bool, alpha: float, planned: int | None) -> float:
        """The upper or lower bound of the mean of `values`, shape (intents,), each in [0, 1]."""
        key = (hashlib.sha256(values.tobytes()).digest(), "upper" if upper else "lower", alpha, planned)
        if key not in self.found:
            self.found[key] = (upper_bound if upper else lower_bound)(values, alpha=alpha, planned=planned)
        return self.found[key]


def rate_bounds(
    tallies: Sequence[Tally] | Tallies,
    error: JudgeError,
    *,
    alpha_lower: float | None,
    alpha_upper: float | None,
    planned: int | None = None,
    ends: Ends | None = None,
) -> Bounds:
    """One-sided anytime-valid bounds of the true rate; each alone holds with its own alpha, the box's error aside.

    Args:
        tallies: one per completed intent, in the seeded random order.
        error: the judge's error; its box must hold the truth for the bounds to.
        alpha_lower, alpha_upper: error of each bound; None leaves that one vacuous.
        planned: intents planned before the first answer was seen; None without a plan.
        ends: remembers what was worked out, for callers with many groups.

    Returns:
        Bounds in [0, 1]; vacuous ends (0 or 1) where the judge is no better than chance.
    """
    table, ends = Tallies.of(tallies), ends or Ends()
    low, high = _low_corner(error), _high_corner(error)
    return Bounds(
        low=0.0
        if alpha_lower is None
        else _mean(table, high, planned, ends, upper=False, missing=0.0, alpha=alpha_lower),
        high=1.0
        if alpha_upper is None
        else _mean(table, low, planned, ends, upper=True, missing=1.0, alpha=alpha_upper),
    )


def difference_bounds(
    before: Sequence[Tally] | Tallies,
    after: Sequence[Tally] | Tallies,
    errors: tuple[JudgeError, JudgeError],
    *,
    alpha_lower: float,
    alpha_upper: float,
    planned: int | None = None,
    ends: Ends | None = None,
) -> Bounds:
    """Bounds of (after - before), paired by intent; the judge may err differently on each arm.

    Args:
        before, after: tallies of the same intents in the same order.
        errors: the judge's error on (before, after).
        planned, ends: as for `rate_bounds`.

    Returns:
        Bounds in [-1, 1].
    """
    if len(before) != len(after):
        raise ValueError(f"a difference is paired by intent, got {len(before)} and {len(after)} intents")
    pair, ends = (Tallies.of(before), Tallies.of(after)), ends or Ends()
    low = (_low_corner(errors[0]), _low_corner(errors[1]))
    high = (_high_corner(errors[0]), _high_corner(errors[1]))
    upper = _difference(pair, (high[0], low[1]), planned, ends, upper=True, missing=(0.0, 1.0), alpha=alpha_upper)
    lower = _difference(pair, (low[0], high[1]), planned, ends, upper=False, missing=(1.0, 0.0), alpha=alpha_lower)
    return Bounds(low=max(-1.0, lower), high=min(1.0, upper))


def point_rate(tallies: Sequence[Tally] | Tallies, error: JudgeError) -> float | None:
    """Corrected point estimate over intents that answered; None without any, or when the judge tells nothing apart."""
    answered = _answers_only(tallies)
    if not len(answered):
        return None
    se, sp = error.point or (1.0, 1.0)
    if se + sp <= 1.0:
        return None
    return min(1.0, max(0.0, float(np.mean(_series(answered, se, 1 - sp, missing=0.0)))))


def observed_rate(tallies: Sequence[Tally] | Tallies) -> float | None:
    """Mean over intents of the share the judge (or a known verdict) calls yes, uncorrected; None without answers."""
    answered = _answers_only(tallies)
    if not len(answered):
        return None
    return float(np.mean((answered.counts[:, 0] + answered.counts[:, 2]) / answered.answered))


def _low_corner(error: JudgeError) -> tuple[float, float]:
    return error.sensitivity.low, 1.0 - error.specificity.high


def _high_corner(error: JudgeError) -> tuple[float, float]:
    return error.sensitivity.high, 1.0 - error.specificity.low


def _scores(se: float, f: float) -> tuple[float, float]:
    """Corrected score of a flagged and of an unflagged answer."""
    return (1.0 - f) / (se - f), -f / (se - f)


def _series(table: Tallies, se: float, f: float, *, missing: float) -> Floats:
    """Mean corrected score of each intent, (intents,); needs se > f."""
    yes, no = _scores(se, f)
    known_yes, _, flagged, unflagged, absent = table.counts.T
    total = known_yes + flagged * yes + unflagged * no + absent * missing
    return np.asarray(total / table.counts.sum(axis=1))


def _mean(
    table: Tallies,
    corner: tuple[float, float],
    planned: int | None,
    ends: Ends,
    *,
    upper: bool,
    missing: float,
    alpha: float,
) -> float:
    """One bound of the mean of corrected scores, scaled to [0, 1] for the bet and back."""
    vacuous = 1.0 if upper else 0.0
    if corner[0] <= corner[1] or not len(table):
        return vacuous
    yes, no = _scores(*corner)
    values = _series(table, *corner, missing=missing)
    end = _unscaled_end(values, no, yes, planned, ends, upper=upper, alpha=alpha)
    contradicted = end < 0.0 if upper else end > 1.0
    return vacuous if contradicted else min(1.0, max(0.0, end))


def _difference(
    pair: tuple[Tallies, Tallies],
    corners: tuple[tuple[float, float], tuple[float, float]],
    planned: int | None,
    ends: Ends,
    *,
    upper: bool,
    missing: tuple[float, float],
    alpha: float,
) -> float:
    if any(se <= f for se, f in corners) or not len(pair[0]):
        return 1.0 if upper else -1.0
    (yes_before, no_before), (yes_after, no_after) = (_scores(*corner) for corner in corners)
    before, after = (
        _series(table, *corner, missing=one) for table, corner, one in zip(pair, corners, missing, strict=True)
    )
    low, high = no_after - yes_before, yes_after - no_before
    return _unscaled_end(after - before, low, high, planned, ends, upper=upper, alpha=alpha)


def _unscaled_end(
    values: Floats, low: float, high: float, planned: int | None, ends: Ends, *, upper: bool, alpha: float
) -> float:
    unit = np.clip((values - low) / (high - low), 0.0, 1.0)
    return float(low + ends.end(unit, upper=upper, alpha=alpha, planned=planned) * (high - low))


def _answers_only(tallies: Sequence[Tally] | Tallies) -> Tallies:
    """The intents that answered, their missing trials left out."""
    table = Tallies.of(tallies)
    counts = table.counts[table.answered > 0].copy()
    counts[:, 4] = 0
    return Tallies(counts=counts)
