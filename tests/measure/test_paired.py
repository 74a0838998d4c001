"""Paired differences hold their level, and carry the judge's error as two rates do."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safecase.measure import (
    PERFECT,
    Bounds,
    JudgeError,
    Tally,
    Term,
    contrast_bounds,
    difference_bounds,
    observed_contrast,
    paired_bounds,
    point_contrast,
)

FALLIBLE = JudgeError(
    level="own", sensitivity=Bounds(low=0.8, high=0.9), specificity=Bounds(low=0.9, high=0.97), point=(0.85, 0.93)
)
tallies = st.builds(
    Tally,
    known_yes=st.integers(0, 2),
    known_no=st.integers(0, 2),
    flagged=st.integers(0, 2),
    unflagged=st.integers(1, 2),
    missing=st.integers(0, 1),
)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(tallies, tallies), min_size=1, max_size=12), st.sampled_from([PERFECT, FALLIBLE]))
def test_a_contrast_of_two_is_the_paired_difference(pairs, error):
    before, after = [b for b, _ in pairs], [a for _, a in pairs]
    terms = [Term(weight=1.0, tallies=after, error=error), Term(weight=-1.0, tallies=before, error=error)]

    found = contrast_bounds(terms, alpha_lower=0.05, alpha_upper=0.05, planned=20)

    wanted = difference_bounds(before, after, (error, error), alpha_lower=0.05, alpha_upper=0.05, planned=20)
    assert found.low == pytest.approx(wanted.low, abs=1e-5)
    assert found.high == pytest.approx(wanted.high, abs=1e-5)


def test_a_change_of_a_gap_is_paired_and_not_the_sum_of_two_gaps():
    """The same clusters refuse before and after: nothing changed, and the pairing knows it."""
    rng = random.Random(3)
    yes, no = Tally(known_yes=1), Tally(known_no=1)
    left = [yes if rng.random() < 0.5 else no for _ in range(80)]
    right = [yes if rng.random() < 0.5 else no for _ in range(80)]
    terms = [
        Term(weight=weight, tallies=side, error=PERFECT)
        for weight, side in ((1.0, left), (-1.0, right), (-1.0, left), (1.0, right))
    ]

    change = contrast_bounds(terms, alpha_lower=0.025, alpha_upper=0.025, planned=80)
    gap = contrast_bounds(terms[:2], alpha_lower=0.025, alpha_upper=0.025, planned=80)

    assert point_contrast(terms) == 0.0
    assert change.high - change.low < gap.high - gap.low
    assert change.low < 0 < change.high


def test_what_is_missing_counts_at_its_worst_for_either_bound():
    yes, no, gone = Tally(known_yes=1), Tally(known_no=1), Tally(missing=1)

    def gap(left: Tally) -> Bounds:
        terms = [
            Term(weight=1.0, tallies=[left] * 40, error=PERFECT),
            Term(weight=-1.0, tallies=[no] * 40, error=PERFECT),
        ]
        return contrast_bounds(terms, alpha_lower=0.05, alpha_upper=0.05, planned=40)

    assert gap(gone).low == pytest.approx(gap(no).low)
    assert gap(gone).high == pytest.approx(gap(yes).high)
    assert observed_contrast([Term(weight=1.0, tallies=[gone], error=PERFECT)]) is None


def test_a_judge_no_better_than_chance_bounds_nothing():
    blind = JudgeError(
        level="own", sensitivity=Bounds(low=0.4, high=0.6), specificity=Bounds(low=0.3, high=0.6), point=None
    )
    terms = [Term(weight=w, tallies=[Tally(flagged=1)] * 50, error=blind) for w in (1.0, -1.0)]

    assert contrast_bounds(terms, alpha_lower=0.05, alpha_upper=0.05) == Bounds(low=-1.0, high=1.0)


def test_nothing_seen_bounds_nothing():
    assert paired_bounds([], reach=2.0, alpha_lower=0.05, alpha_upper=0.05) == Bounds(low=-2.0, high=2.0)
    assert contrast_bounds([Term(weight=1.0, tallies=[], error=PERFECT)], alpha_lower=0.1, alpha_upper=0.1).high == 1.0


@pytest.mark.parametrize("value", [1.5, -1.5, float("nan")])
def test_a_value_beyond_its_reach_is_refused(value):
    with pytest.raises(ValueError, match="differences must lie"):
        paired_bounds([0.0, value], reach=1.0, alpha_lower=0.05, alpha_upper=0.05)


def misses(truth: float, *, worlds: int, looks: tuple[int, ...], alpha: float) -> float:
    """Share of worlds in which some look excludes the truth."""
    rng, missed = random.Random(11), 0
    for _ in range(worlds):
        values = [truth + rng.choice((-0.4, 0.4)) for _ in range(max(looks))]
        seen = [
            paired_bounds(values[:n], reach=1.0, alpha_lower=alpha, alpha_upper=alpha, planned=max(looks))
            for n in looks
        ]
        missed += any(not bounds.low <= truth <= bounds.high for bounds in seen)
    return missed / worlds


@pytest.mark.parametrize("truth", [-0.6, 0.0])
def test_paired_bounds_hold_their_level_when_one_stops_on_luck(truth):
    """At most 5 % of worlds, and the noise of 100 of them, ever exclude the truth."""
    assert misses(truth, worlds=100, looks=(20, 40), alpha=0.025) <= 0.05 + 2 * (0.05 * 0.95 / 100) ** 0.5


@pytest.mark.slow
@pytest.mark.parametrize("truth", [-0.6, 0.0, 0.3])
def test_paired_bounds_hold_their_level_at_every_look(truth):
    looks = (10, 20, 40, 80)

    assert misses(truth, worlds=400, looks=looks, alpha=0.025) <= 0.05 + 2 * (0.05 * 0.95 / 400) ** 0.5


def test_the_simulation_would_notice_bounds_that_are_too_narrow():
    assert misses(0.0, worlds=100, looks=(40,), alpha=0.2) > 0.08
