"""Betting bounds: what must hold for every series. How often they hold is simulated in test_coverage."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safecase.measure import exact_upper, mean_bounds
from safecase.measure._sequence import lower_bound, upper_bound

PLANS = pytest.mark.parametrize("planned", [None, 60], ids=["no plan", "plan of 60"])
SERIES = st.lists(st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.0]), min_size=1, max_size=70)
ROUNDING = 1e-5


def some_values(seed: int, size: int, rate: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.binomial(4, rng.beta(rate, 1 - rate, size)) / 4


@PLANS
@pytest.mark.parametrize("population", [None, 150])
def test_looking_again_never_loosens_a_bound(planned, population):
    """What was decided stays decided, so looking after every intent is one test and not a hundred."""
    values = some_values(1, 100, 0.2)

    uppers = [upper_bound(values[:n], alpha=0.05, planned=planned, population=population) for n in range(0, 101, 5)]

    assert all(later <= earlier + ROUNDING for earlier, later in pairwise(uppers))
    assert uppers[0] == 1.0
    assert uppers[-1] < 0.5


@PLANS
@settings(max_examples=40, deadline=None)
@given(values=SERIES, data=st.data())
def test_a_worse_answer_never_lowers_the_bound(planned, values, data):
    """Adding evidence of harm never makes a decision more permissive."""
    worse = list(values)
    worse[data.draw(st.integers(0, len(values) - 1))] = 1.0

    before = upper_bound(values, alpha=0.05, planned=planned)

    assert upper_bound(worse, alpha=0.05, planned=planned) >= before - ROUNDING


@PLANS
@settings(max_examples=40, deadline=None)
@given(values=SERIES)
def test_bounds_hold_the_mean_between_them_and_mirror_each_other(planned, values):
    array = np.array(values)

    low, high = lower_bound(array, alpha=0.05, planned=planned), upper_bound(array, alpha=0.05, planned=planned)

    assert 0.0 <= low <= high <= 1.0
    assert low == pytest.approx(1 - upper_bound(1 - array, alpha=0.05, planned=planned))


@pytest.mark.parametrize("n", [60, 120, 400])
@pytest.mark.parametrize("rate", [0.0, 0.02, 0.1, 0.4])
def test_a_declared_plan_costs_little_beside_an_exact_single_look(n, rate):
    """At most 15 % of the margin over the truth (`benchmarks/coverage.py --only widths`), and room for noise."""
    rng = np.random.default_rng(n)
    samples = [(rng.random(n) < rate).astype(float) for _ in range(40 if rate else 1)]

    exact = np.mean([exact_upper(int(values.sum()), n, alpha=0.05) for values in samples])
    betting = np.mean([upper_bound(values, alpha=0.05, planned=n) for values in samples])

    assert betting - rate <= 1.25 * (exact - rate)


@pytest.mark.parametrize("planned", [None, 200])
def test_zero_events_give_a_bound_never_zero(planned):
    bounds = mean_bounds(np.zeros(200), alpha_lower=0.05, alpha_upper=0.05, planned=planned)

    assert bounds.low == 0.0
    assert exact_upper(0, 200, alpha=0.05) < bounds.high < 0.025


def test_a_plan_may_be_outrun_and_bounds_go_on_tightening():
    """An undecided run is extended without moving its plan; what it loses beside a plan made for the whole is small."""
    series = [some_values(seed, 240, 0.1) for seed in range(20)]

    at_plan = np.mean([upper_bound(values[:60], alpha=0.05, planned=60) for values in series])
    extended = np.mean([upper_bound(values, alpha=0.05, planned=60) for values in series])
    foreseen = np.mean([upper_bound(values, alpha=0.05, planned=240) for values in series])

    assert extended < at_plan - 0.02
    assert extended < foreseen + 0.03


def test_clusters_that_vary_little_are_bounded_sharper_than_counts():
    """Thirty independent trials an intent tell more than one; an exact bound over intents could not see it."""
    rng = np.random.default_rng(3)

    many = upper_bound(rng.binomial(30, 0.1, 60) / 30, alpha=0.05, planned=60)
    one = upper_bound(rng.binomial(1, 0.1, 60).astype(float), alpha=0.05, planned=60)

    assert many - 0.1 < 0.7 * (one - 0.1)


def test_a_bank_that_is_used_up_leaves_no_doubt_about_itself():
    values = some_values(4, 80, 0.3)

    whole = mean_bounds(values, alpha_lower=0.05, alpha_upper=0.05, planned=80, population=80)
    half = mean_bounds(values[:40], alpha_lower=0.05, alpha_upper=0.05, planned=40, population=80)
    endless = mean_bounds(values[:40], alpha_lower=0.05, alpha_upper=0.05, planned=40)

    assert whole.low == pytest.approx(values.mean())
    assert whole.high == pytest.approx(values.mean())
    assert endless.low < half.low < values.mean() < half.high < endless.high


def test_nothing_measured_bounds_nothing():
    bounds = mean_bounds([], alpha_lower=0.05, alpha_upper=0.05, planned=60)

    assert (bounds.low, bounds.high) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([0.5, 1.2], {}, "values must lie"),
        ([float("nan")], {}, "values must lie"),
        ([0.5], {"alpha": 0.0}, "alpha"),
        ([0.5], {"planned": 0}, "planned"),
        ([0.5, 0.5], {"population": 1}, "without replacement"),
    ],
    ids=lambda value: str(value),
)
def test_impossible_input_is_named(values, options, message):
    with pytest.raises(ValueError, match=message):
        upper_bound(values, **{"alpha": 0.05, **options})
