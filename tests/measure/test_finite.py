"""Exact bounds of a share of a finite whole: as sure as they say, whatever the whole looks like."""

import numpy as np
import pytest
from scipy.stats import hypergeom

from safecase.measure import NoEvidence, clopper_pearson, finite_bounds


@pytest.mark.parametrize(("whole", "drawn"), [(30, 7), (200, 60), (50, 50), (40, 1), (2, 1)])
@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_bounds_hold_for_every_whole(whole: int, drawn: int, alpha: float) -> None:
    """Not a simulation: the chance of every draw from every whole, added up."""
    bounds = [finite_bounds(hits, drawn, whole, alpha=alpha) for hits in range(drawn + 1)]
    for having in range(whole + 1):
        chances = hypergeom(whole, having, drawn).pmf(np.arange(drawn + 1))
        inside = [one.low - 1e-12 <= having / whole <= one.high + 1e-12 for one in bounds]

        assert chances[inside].sum() >= 1 - alpha - 1e-9


def test_a_census_is_certain() -> None:
    found = finite_bounds(3, 20, 20, alpha=0.05)

    assert found.low == pytest.approx(found.high) == pytest.approx(0.15)


def test_a_large_whole_comes_to_clopper_and_pearson() -> None:
    found, binomial = finite_bounds(4, 60, 10_000_000, alpha=0.05), clopper_pearson(4, 60, alpha=0.05)

    assert found.low == pytest.approx(binomial.low, abs=1e-4)
    assert found.high == pytest.approx(binomial.high, abs=1e-4)


def test_what_was_not_read_counts_against_each_bound() -> None:
    """Absence is not agreement: whatever the unread would have been, the bounds hold it."""
    found = finite_bounds(3, 20, 100, alpha=0.05, unread=5)

    assert found.low == finite_bounds(3, 20, 100, alpha=0.05).low
    assert found.high == finite_bounds(8, 20, 100, alpha=0.05).high


def test_wrong_counts_are_refused() -> None:
    with pytest.raises(NoEvidence, match="never looked at"):
        finite_bounds(0, 0, 10, alpha=0.05)
    for hits, drawn, whole, unread in ((-1, 5, 10, 0), (6, 5, 10, 0), (3, 5, 4, 0), (3, 5, 10, 3), (0, 5, 10, -1)):
        with pytest.raises(ValueError, match="counts must fit together"):
            finite_bounds(hits, drawn, whole, alpha=0.05, unread=unread)
    with pytest.raises(ValueError, match="alpha"):
        finite_bounds(0, 5, 10, alpha=1.0)
