"""Exact bounds of a proportion."""

import pytest
from scipy.stats import binom

from safecase.measure import clopper_pearson, exact_lower, exact_upper
from safecase.measure._errors import NoEvidence


@pytest.mark.parametrize(("hits", "trials"), [(0, 20), (1, 20), (58, 60), (60, 60), (7, 400)])
def test_the_truth_at_a_bound_makes_the_sample_just_too_extreme(hits, trials):
    upper, lower = exact_upper(hits, trials, alpha=0.05), exact_lower(hits, trials, alpha=0.05)

    if hits < trials:
        assert binom.cdf(hits, trials, upper) == pytest.approx(0.05, rel=1e-6)
    if hits:
        assert binom.sf(hits - 1, trials, lower) == pytest.approx(0.05, rel=1e-6)


@pytest.mark.parametrize("rate", [0.002, 0.02, 0.1, 0.4, 0.8])
@pytest.mark.parametrize("trials", [10, 60])
def test_coverage_is_exact_over_every_outcome(rate, trials):
    chances = binom.pmf(range(trials + 1), trials, rate)
    uppers = [exact_upper(hits, trials, alpha=0.05) for hits in range(trials + 1)]

    missed = sum(chance for chance, upper in zip(chances, uppers, strict=True) if upper < rate)

    assert missed <= 0.05


def test_two_sides_share_the_error():
    both = clopper_pearson(3, 50, alpha=0.1)

    assert (both.low, both.high) == (exact_lower(3, 50, alpha=0.05), exact_upper(3, 50, alpha=0.05))


def test_nothing_measured_is_an_error_and_not_a_rate():
    for bound in (exact_lower, exact_upper, clopper_pearson):
        with pytest.raises(NoEvidence, match="never measured"):
            bound(0, 0, alpha=0.05)


@pytest.mark.parametrize(("hits", "alpha", "message"), [(-1, 0.05, "hits"), (21, 0.05, "hits"), (3, 0.0, "alpha")])
def test_impossible_counts_are_named(hits, alpha, message):
    with pytest.raises(ValueError, match=message):
        exact_upper(hits, 20, alpha=alpha)
