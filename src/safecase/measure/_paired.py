"""Paired differences: two or more answers of one cluster held against each other, bounded cluster by cluster.

A cluster (an intent, a pair of political requests) answers under several conditions. What differs between clusters is
the same on both sides of a difference and falls out of it, so a paired difference needs far fewer answers than two
separate rates.

Two kinds. `contrast_bounds` is for what a fallible judge sees (yes or no per answer): every tally enters with a weight,
and the judge's error is carried as in `_judged`, by the corner of its box that is worst for that side. `paired_bounds`
is for bounded quantities that need no judge (lengths, counts, leanings). Both are betting sequences over clusters, so
they hold at any stopping time, and in a plain fixed sample as well.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from safecase.evidence import CALIBRATIONS, Verdict
from safecase.measure._bounds import Bounds
from safecase.measure._calibration import (
    PERFECT,
    UNKNOWN,
    Event,
    JudgeCard,
    JudgeError,
    agreement,
    happened,
    judge_error,
)
from safecase.measure._judged import Tally, observed_rate, point_rate
from safecase.measure._sequence import lower_bound, upper_bound

_BOX_SHARE = 0.4
"""Share of a bound's alpha that the judge's error boxes may spend, as for rates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One condition of a contrast.

    Attributes:
        weight: its share in the contrast; +1 and -1 make a difference.
        tallies: one per cluster, in the same order in every term.
        error: the judge's error on these answers; its box must hold the truth.
    """

    weight: float
    tallies: Sequence[Tally]
    error: JudgeError


def paired_bounds(
    low_values: Sequence[float],
    high_values: Sequence[float] | None = None,
    *,
    reach: float,
    alpha_lower: float,
    alpha_upper: float,
    planned: int | None = None,
) -> Bounds:
    """One-sided anytime-valid bounds of the mean of a paired difference; each alone holds with its own error.

    Args:
        low_values: one per cluster in the seeded random order, each in [-reach, reach]; what is missing at its least.
        high_values: the same with what is missing at its most; None when nothing is missing.
        reach: the largest size a difference can have.
        alpha_lower, alpha_upper: error of each bound, in (0, 1).
        planned: clusters planned before the first answer was seen; None without a plan.

    Returns:
        Bounds in [-reach, reach]; both ends at the reach without values.

    Raises:
        ValueError: a value lies outside [-reach, reach], or is not a number.

    >>> bounds = paired_bounds([0.2] * 60, reach=1.0, alpha_lower=0.05, alpha_upper=0.05, planned=60)
    >>> 0.1 < bounds.low < 0.2 < bounds.high < 0.3
    True
    """
    least, most = (_unit(v, reach) for v in (low_values, low_values if high_values is None else high_values))
    return Bounds(
        low=2 * reach * lower_bound(least, alpha=alpha_lower, planned=planned) - reach,
        high=2 * reach * upper_bound(most, alpha=alpha_upper, planned=planned) - reach,
    )


def contrast_bounds(
    terms: Sequence[Term], *, alpha_lower: float, alpha_upper: float, planned: int | None = None
) -> Bounds:
    """One-sided anytime-valid bounds of a weighted sum of true rates, paired by cluster.

    With weights +1 and -1 this is `difference_bounds`; with four terms it is a change of a difference.

    Args:
        terms: at least one; tallies of the same clusters in the same order.
        alpha_lower, alpha_upper: error of each bound, the boxes' own error aside.
        planned: as for `paired_bounds`.

    Returns:
        Bounds within what rates in [0, 1] can give; those very ends where a judge tells nothing apart.
    """
    most = sum(term.weight for term in terms if term.weight > 0)
    least = sum(term.weight for term in terms if term.weight < 0)
    upper = _end(terms, alpha=alpha_upper, planned=planned, is_upper=True)
    lower = _end(terms, alpha=alpha_lower, planned=planned, is_upper=False)
    return Bounds(
        low=least if lower is None else max(least, min(most, lower)),
        high=most if upper is None else min(most, max(least, upper)),
    )


def point_contrast(terms: Sequence[Term]) -> float | None:
    """The weighted sum of corrected point estimates; None where one of them has none."""
    points = [point_rate(term.tallies, term.error) for term in terms]
    return _weighted(terms, points)


def observed_contrast(terms: Sequence[Term]) -> float | None:
    """The weighted sum of rates as the judge saw them; None where one of them has none."""
    return _weighted(terms, [observed_rate(term.tallies) for term in terms])


def _weighted(terms: Sequence[Term], rates: Sequence[float | None]) -> float | None:
    known = [rate for rate in rates if rate is not None]
    if len(known) < len(terms):
        return None
    return sum(term.weight * rate for term, rate in zip(terms, known, strict=True))


def _end(terms: Sequence[Term], *, alpha: float, planned: int | None, is_upper: bool) -> float | None:
    """One bound, or None where some judge is no better than chance, nothing was seen, or no rate fits the boxes."""
    if not terms or not terms[0].tallies:
        return None
    total = np.zeros(len(terms[0].tallies))
    low = high = 0.0
    for term in terms:
        is_high = is_upper == (term.weight > 0)  # whether this term's own rate is wanted at its most
        found, miss = term.error.sensitivity, term.error.specificity
        se, false = (found.low, 1.0 - miss.high) if is_high else (found.high, 1.0 - miss.low)
        if se <= false:
            return None
        yes, no = (1.0 - false) / (se - false), -false / (se - false)
        total += term.weight * np.array([_score(tally, yes, no, missing=float(is_high)) for tally in term.tallies])
        ends = sorted((term.weight * yes, term.weight * no))
        low, high = low + ends[0], high + ends[1]
    unit = np.clip((total - low) / (high - low), 0.0, 1.0)
    end = (upper_bound if is_upper else lower_bound)(unit, alpha=alpha, planned=planned)
    return float(low + end * (high - low))


def _score(tally: Tally, yes: float, no: float, *, missing: float) -> float:
    return (tally.known_yes + tally.flagged * yes + tally.unflagged * no + tally.missing * missing) / tally.total


def _unit(values: Sequence[float], reach: float) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.size and not (array.min() >= -reach and array.max() <= reach):
        raise ValueError(f"differences must lie in [-{reach:g}, {reach:g}], got {array.min()!r} to {array.max()!r}")
    return np.asarray((array + reach) / (2 * reach))


class JudgedRow(Protocol):
    """What a judge's error is read from: one answer with its verdict, and a person's label where there is one."""

    @property
    def domain(self) -> str: ...
    @property
    def language(self) -> str: ...
    @property
    def verdict(self) -> Verdict | None: ...
    @property
    def known(self) -> bool: ...
    @property
    def label(self) -> Verdict | None: ...


def term_error(
    rows: Iterable[JudgedRow], event: Event, *, card: JudgeCard, alpha: float, terms: int
) -> tuple[JudgeError, float]:
    """The judge's error on one term's answers, and what is left of `alpha` for the contrast.

    People's labels of these very answers come first, then the card for their domain and language. A judge may find the
    refusals of one side easier than the other's, so labels of one term never calibrate another.

    Args:
        terms: how many terms share the alpha.
    """
    mine = [row for row in rows if row.verdict is not None and not row.known]
    strata = sorted({(row.domain, row.language) for row in mine})
    if not strata:
        return PERFECT, alpha
    share = alpha * _BOX_SHARE / 2 / len(strata) / terms
    errors = [
        judge_error(
            own=agreement(
                event,
                [
                    (row.label, row.verdict)
                    for row in mine
                    if (row.domain, row.language) == (domain, language) and row.label and row.verdict
                ],
            ),
            transferred=card.transferred(event, domain=domain, language=language),
            margin=card.margin,
            alpha=share,
        )
        for domain, language in strata
    ]
    if any(error.level == "none" for error in errors):
        return UNKNOWN, alpha
    points = [error.point for error in errors if error.point is not None]
    return (
        JudgeError(
            level=max((error.level for error in errors), key=CALIBRATIONS.index),
            sensitivity=Bounds(
                low=min(e.sensitivity.low for e in errors), high=max(e.sensitivity.high for e in errors)
            ),
            specificity=Bounds(
                low=min(e.specificity.low for e in errors), high=max(e.specificity.high for e in errors)
            ),
            point=(sum(p[0] for p in points) / len(points), sum(p[1] for p in points) / len(points)),
        ),
        alpha * (1 - _BOX_SHARE),
    )


def tally_of(rows: Iterable[JudgedRow], event: Event) -> Tally:
    """Count the answers of one cluster under one condition."""
    counts = dict.fromkeys(("known_yes", "known_no", "flagged", "unflagged", "missing"), 0)
    for row in rows:
        if row.verdict is None:
            counts["missing"] += 1
            continue
        yes = happened(event, row.verdict)
        counts[("known_yes" if yes else "known_no") if row.known else ("flagged" if yes else "unflagged")] += 1
    return Tally(**counts)
