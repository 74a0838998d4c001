"""A rate seen through a fallible judge is bounded honestly: simulated from end to end."""

import numpy as np
import pytest
from scipy.stats import binom

from safecase.measure import (
    PERFECT,
    Agreement,
    Tally,
    difference_bounds,
    judge_error,
    observed_rate,
    point_rate,
    rate_bounds,
)

ALPHA = 0.05
RUNS = 300
# The chance that more misses than this come from bounds that hold is under 1 in 1,000.
ALLOWED = int(binom.ppf(0.999, RUNS, ALPHA))


def simulate(
    rng: np.random.Generator,
    *,
    rate: float,
    clusters: int = 60,
    size: int = 2,
    se: float = 0.9,
    sp: float = 0.9,
    withheld: float = 0.0,
    missing: float = 0.0,
    labels: int = 200,
):
    """Tallies of intents with strong within-intent correlation, and a judge's error drawn from labels."""
    strength = 1.0
    odds = rng.beta(max(rate * strength, 1e-9), max((1 - rate) * strength, 1e-9), clusters) if 0 < rate < 1 else None
    tallies = []
    for i in range(clusters):
        p = rate if odds is None else odds[i]
        counts = dict.fromkeys(("known_yes", "known_no", "flagged", "unflagged", "missing"), 0)
        for _ in range(size):
            unsafe = rng.random() < p
            if not unsafe and rng.random() < withheld:
                counts["known_no"] += 1  # the stack withheld it
            elif rng.random() < missing:
                counts["missing"] += 1
            else:
                flagged = rng.random() < (se if unsafe else 1 - sp)
                counts["flagged" if flagged else "unflagged"] += 1
        tallies.append(Tally(**counts))
    hits, rejections = rng.binomial(labels, se), rng.binomial(labels, sp)
    counted = Agreement(hits=hits, misses=labels - hits, rejections=rejections, false_alarms=labels - rejections)
    none = Agreement(hits=0, misses=0, rejections=0, false_alarms=0)
    error = judge_error(own=counted, transferred=none, margin=0.05, alpha=ALPHA * 0.2)
    return tallies, error


@pytest.mark.parametrize(
    "world",
    [
        {"rate": 0.0},
        {"rate": 0.02},
        {"rate": 0.1, "size": 10},
        {"rate": 0.4, "size": 3},
        {"rate": 0.8},
        {"rate": 0.1, "se": 0.7, "sp": 0.99},
        {"rate": 0.02, "se": 0.92, "sp": 0.39},  # the refusal detector of a widely used scanner
        {"rate": 0.1, "withheld": 0.7, "sp": 0.8},
        {"rate": 0.1, "missing": 0.2},
        {"rate": 0.3, "labels": 20},
    ],
    ids=str,
)
def test_one_sided_bounds_hold_at_their_level(world):
    rng = np.random.default_rng(20260407)
    too_low = too_high = 0
    for _ in range(RUNS):
        tallies, error = simulate(rng, **world)
        bounds = rate_bounds(tallies, error, alpha_lower=ALPHA * 0.6, alpha_upper=ALPHA * 0.6)
        too_low += bounds.high < world["rate"]
        too_high += bounds.low > world["rate"]

    assert too_low <= ALLOWED
    assert too_high <= ALLOWED


def test_uncorrected_the_scanner_would_call_a_safe_model_broken():
    """What the correction exists for: specificity 0.39 makes a perfectly safe model look 61 % unsafe."""
    rng = np.random.default_rng(1)
    tallies, error = simulate(rng, rate=0.0, clusters=400, se=0.92, sp=0.39, labels=5_000)

    assert observed_rate(tallies) == pytest.approx(0.61, abs=0.05)
    assert point_rate(tallies, error) == pytest.approx(0.0, abs=0.06)
    assert rate_bounds(tallies, error, alpha_lower=0.03, alpha_upper=0.03).low == 0.0


@pytest.mark.parametrize("rates", [(0.5, 0.5), (0.6, 0.2), (0.1, 0.1)], ids=str)
def test_paired_differences_hold_at_their_level(rates):
    rng = np.random.default_rng(7)
    wrong = 0
    for _ in range(RUNS):
        before, error = simulate(rng, rate=rates[0])
        after, _ = simulate(rng, rate=rates[1], withheld=0.5)
        bounds = difference_bounds(before, after, (error, error), alpha_lower=ALPHA / 2, alpha_upper=ALPHA / 2)
        wrong += not bounds.low <= rates[1] - rates[0] <= bounds.high

    assert wrong <= ALLOWED


def test_a_useless_judge_decides_nothing():
    half = Agreement(hits=50, misses=50, rejections=50, false_alarms=50)
    error = judge_error(own=half, transferred=half, margin=0.0, alpha=0.01)

    bounds = rate_bounds([Tally(unflagged=2)] * 100, error, alpha_lower=0.03, alpha_upper=0.03)

    assert (bounds.low, bounds.high) == (0.0, 1.0)


def test_flags_that_no_rate_explains_bound_nothing():
    """Sixty answers and not one false alarm, from a judge said to raise them on most: the labels are wrong."""
    wolf = Agreement(hits=190, misses=10, rejections=60, false_alarms=140)
    error = judge_error(own=wolf, transferred=wolf, margin=0.0, alpha=0.01)

    bounds = rate_bounds([Tally(unflagged=1)] * 60, error, alpha_lower=0.03, alpha_upper=0.03)

    assert (bounds.low, bounds.high) == (0.0, 1.0)


def test_missing_answers_are_bounded_at_their_worst_and_never_dropped():
    rows = [Tally(known_no=1, missing=1)] * 200

    bounds = rate_bounds(rows, PERFECT, alpha_lower=0.05, alpha_upper=0.05)

    assert bounds.high >= 0.5
    assert bounds.low == 0.0


def test_zero_events_give_a_bound_never_zero():
    bounds = rate_bounds([Tally(known_no=2)] * 60, PERFECT, alpha_lower=0.05, alpha_upper=0.05)

    assert 0 < bounds.high < 0.1


def test_nothing_measured_is_none_and_vacuous():
    assert point_rate([], PERFECT) is None
    assert point_rate([Tally(missing=3)], PERFECT) is None
    assert observed_rate([Tally(missing=3)]) is None
    bounds = rate_bounds([], PERFECT, alpha_lower=0.05, alpha_upper=0.05)
    assert (bounds.low, bounds.high) == (0.0, 1.0)


def test_few_labels_are_no_calibration():
    few = Agreement(hits=9, misses=0, rejections=50, false_alarms=0)
    none = Agreement(hits=0, misses=0, rejections=0, false_alarms=0)

    assert judge_error(own=few, transferred=none, margin=0.05, alpha=0.01).level == "none"


def test_own_labels_win_over_transferred_ones_and_a_margin_widens_those():
    good = Agreement(hits=95, misses=5, rejections=95, false_alarms=5)
    none = Agreement(hits=0, misses=0, rejections=0, false_alarms=0)

    own = judge_error(own=good, transferred=good, margin=0.05, alpha=0.01)
    transferred = judge_error(own=none, transferred=good, margin=0.05, alpha=0.01)

    assert (own.level, transferred.level) == ("own", "transferred")
    assert transferred.sensitivity.low == pytest.approx(own.sensitivity.low - 0.05)
    assert (transferred.sensitivity.high, transferred.specificity.high) == (1.0, 1.0)


def test_nobody_is_cleared_by_false_alarms_seen_on_other_models():
    """A judge that cries wolf elsewhere may not do so here: zero flags must not look better than zero."""
    wolf = Agreement(hits=95, misses=5, rejections=60, false_alarms=40)
    none = Agreement(hits=0, misses=0, rejections=0, false_alarms=0)
    error = judge_error(own=none, transferred=wolf, margin=0.05, alpha=0.01)

    bounds = rate_bounds([Tally(unflagged=1)] * 60, error, alpha_lower=0.03, alpha_upper=0.03)
    plain = rate_bounds([Tally(known_no=1)] * 60, PERFECT, alpha_lower=0.03, alpha_upper=0.03)

    assert bounds.high > plain.high
