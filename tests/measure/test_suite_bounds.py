"""Bounds for suites: a fixed suite's pass@k, and the time horizon, hold what they promise."""

import numpy as np
import pytest

from safecase.measure import LONGEST_H, NoEvidence, Timed, fit_horizon, fixed_suite_bounds, horizon_bounds

WORLDS = {
    "every task alike": np.full(12, 0.067),
    "some always, some never": np.array([0.0] * 4 + [1.0] * 6 + [0.05, 0.1]),
    "one that is hard": np.array([0.0] * 11 + [0.2]),
    "spread": np.array([0.001, 0.002, 0.01, 0.02, 0.04, 0.08, 0.12, 0.2, 0.3, 0.5, 0.8, 0.99]),
}


@pytest.mark.parametrize("world", WORLDS)
def test_bounds_of_a_fixed_suite_miss_no_more_often_than_they_say(world):
    chances = WORLDS[world]
    truth, runs, alpha = np.mean(1 - (1 - chances) ** 10), 500, 0.05
    rng = np.random.default_rng(20260407)
    missed = np.zeros(2)
    for _ in range(runs):
        hits = rng.binomial(20, chances).tolist()
        bounds = fixed_suite_bounds(hits, [20] * 12, 10, alpha_lower=alpha, alpha_upper=alpha)
        missed += (bounds.low > truth, bounds.high < truth)

    assert (missed / runs <= alpha).all()


def test_no_solve_still_has_an_upper_bound_and_every_solve_a_lower_one():
    none = fixed_suite_bounds([0] * 12, [20] * 12, 10, alpha_lower=0.05, alpha_upper=0.05)
    every = fixed_suite_bounds([20] * 12, [20] * 12, 10, alpha_lower=0.05, alpha_upper=0.05)
    assert (none.low, every.high) == (0.0, 1.0)
    assert none.high == pytest.approx(1 - 0.05 ** (1 / 24), abs=0.003)  # pass@10 from twenty is two looks at each task
    assert every.low > 0.95


def test_single_attempts_at_many_tasks_are_bounded_as_a_binomial_would_be():
    bounds = fixed_suite_bounds([0] * 60, [1] * 60, alpha_lower=0.05, alpha_upper=0.05)
    assert bounds.high == pytest.approx(1 - 0.05 ** (1 / 60), abs=0.003)


@pytest.mark.parametrize("more", range(1, 20))
def test_one_solve_more_never_lowers_a_bound(more):
    def bounds(hits):
        return fixed_suite_bounds([hits, 5, 0, 20], [20] * 4, 10, alpha_lower=0.05, alpha_upper=0.05)

    assert bounds(more).low >= bounds(more - 1).low
    assert bounds(more).high >= bounds(more - 1).high


def test_tasks_with_unequal_attempts_are_bounded_too():
    bounds = fixed_suite_bounds([1, 2, 3], [20, 24, 30], 10, alpha_lower=0.05, alpha_upper=0.05)
    assert 0 < bounds.low < bounds.high < 1


def test_too_few_attempts_are_no_evidence():
    with pytest.raises(NoEvidence, match="at least 10 attempts"):
        fixed_suite_bounds([0], [9], 10, alpha_lower=0.05, alpha_upper=0.05)


def _horizon_world(rng, horizon, slope, tasks):
    hours = np.geomspace(0.02, 16, tasks)
    chance = 1 / (1 + (hours / horizon) ** slope)
    scores = rng.binomial(1, chance)
    return [Timed(hours=float(h), score_low=float(s), score_high=float(s)) for h, s in zip(hours, scores, strict=True)]


@pytest.mark.parametrize(("horizon", "slope", "tasks"), [(0.5, 1.0, 40), (2.0, 2.0, 24)])
def test_a_horizon_is_bounded_about_as_often_as_promised(horizon, slope, tasks):
    """By 100 worlds a side; a likelihood ratio is not exact, and twice the error would show."""
    rng = np.random.default_rng(7)
    missed = np.zeros(2)
    for _ in range(100):
        bounds = horizon_bounds(_horizon_world(rng, horizon, slope, tasks), alpha_lower=0.05, alpha_upper=0.05)
        missed += (bounds.low > horizon, bounds.high < horizon)

    assert (missed <= 10).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("horizon", "slope", "tasks"), [(0.5, 1.0, 40), (2.0, 2.0, 24), (0.5, 1.0, 15), (2.0, 0.7, 40)]
)
def test_a_horizon_misses_at_most_six_in_a_hundred(horizon, slope, tasks):
    rng = np.random.default_rng(8)
    missed = np.zeros(2)
    for _ in range(1000):
        bounds = horizon_bounds(_horizon_world(rng, horizon, slope, tasks), alpha_lower=0.05, alpha_upper=0.05)
        missed += (bounds.low > horizon, bounds.high < horizon)

    assert (missed / 1000 <= 0.06).all()


def test_without_one_success_a_horizon_is_bounded_above():
    failed = [Timed(hours=0.1 * n, score_low=0.0, score_high=0.0) for n in range(1, 31)]
    assert horizon_bounds(failed, alpha_lower=0.05, alpha_upper=0.05).high < 0.5


def test_without_one_failure_a_horizon_has_no_upper_bound():
    solved = [Timed(hours=0.1 * n, score_low=1.0, score_high=1.0) for n in range(1, 31)]
    bounds = horizon_bounds(solved, alpha_lower=0.05, alpha_upper=0.05)
    assert bounds.high == LONGEST_H
    assert bounds.low > 1


def test_absent_attempts_widen_a_horizon_on_both_sides():
    known = [Timed(hours=2.0**n, score_low=float(n < 0), score_high=float(n < 0)) for n in range(-8, 9)]
    absent = [
        Timed(hours=one.hours, score_low=0.0, score_high=1.0) if i % 4 == 0 else one for i, one in enumerate(known)
    ]
    near, far = (horizon_bounds(some, alpha_lower=0.05, alpha_upper=0.05) for some in (known, absent))
    assert far.low < near.low
    assert far.high > near.high


def test_the_curve_crosses_one_half_at_its_horizon():
    curve = fit_horizon([0.1, 0.2, 0.5, 1, 2, 4, 8, 16], [1, 1, 1, 1, 0, 1, 0, 0])
    assert curve.share_at(curve.hours) == 0.5
    assert curve.share_at(2 * curve.hours) < 0.5
