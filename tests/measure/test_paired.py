"""Differences under one shared judge error, and claims of failure side by side."""

import numpy as np
import pytest

from safecase.measure import Bounds, Tally, difference_bounds, judge_error
from safecase.measure._calibration import Agreement
from safecase.measure._paired import failure_adjusted, shared_difference_bounds

LABELS = Agreement(hits=180, misses=20, rejections=180, false_alarms=20)
ERROR = judge_error(own=LABELS, transferred=LABELS, margin=0.0, alpha=0.01)


def answers(rng: np.random.Generator, chances: np.ndarray, *, size: int, withheld: float = 0.0) -> list[Tally]:
    tallies = []
    for chance in chances:
        held = rng.binomial(size, withheld)
        unsafe = rng.binomial(size - held, chance)
        flagged = rng.binomial(unsafe, 0.9) + rng.binomial(size - held - unsafe, 0.1)
        tallies.append(Tally(known_no=held, flagged=flagged, unflagged=size - held - flagged))
    return tallies


def shared(before: list[Tally], after: list[Tally], alpha: float = 0.03) -> Bounds:
    return shared_difference_bounds(
        before,
        after,
        sensitivity=ERROR.sensitivity,
        specificity=ERROR.specificity,
        alpha_lower=alpha,
        alpha_upper=alpha,
        planned=len(before),
    )


@pytest.mark.parametrize("withheld", [0.0, 0.6])
def test_shared_error_bounds_hold_the_difference(withheld):
    rng = np.random.default_rng(11)
    wrong = 0
    for _ in range(60):
        chances = rng.beta(0.3, 0.3, 60)
        before = answers(rng, chances, size=5)
        bounds = shared(before, answers(rng, chances, size=5, withheld=withheld), alpha=0.05)
        wrong += not bounds.low <= -0.5 * withheld <= bounds.high

    assert wrong <= 12  # two sides of 5 % each; more has probability under 0.001


def test_a_shared_error_costs_less_than_one_error_an_arm():
    """What the assumption buys where the two arms differ little, and why it has to be stated."""
    rng = np.random.default_rng(12)
    chances = rng.beta(0.3, 0.3, 400)
    before, after = answers(rng, chances, size=10), answers(rng, chances, size=10)

    together = shared(before, after)
    apart = difference_bounds(before, after, (ERROR, ERROR), alpha_lower=0.03, alpha_upper=0.03)

    assert together.high - together.low < 0.8 * (apart.high - apart.low)


def test_missing_answers_count_at_their_worst_on_both_sides():
    rows = [Tally(known_no=1, missing=1)] * 200

    bounds = shared(rows, rows)

    assert bounds.low <= -0.5
    assert bounds.high >= 0.5


def test_nothing_paired_and_a_useless_judge_bound_nothing():
    coin = Bounds(low=0.4, high=0.6)
    rows = [Tally(flagged=1, unflagged=1)] * 50

    useless = shared_difference_bounds(
        rows, rows, sensitivity=coin, specificity=coin, alpha_lower=0.05, alpha_upper=0.05
    )

    assert (useless.low, useless.high) == (-1.0, 1.0)
    assert (shared([], []).low, shared([], []).high) == (-1.0, 1.0)


def test_unequal_arms_are_refused():
    with pytest.raises(ValueError, match="same intents"):
        shared([Tally(flagged=1)], [])


def test_fourteen_innocent_attacks_are_rarely_called_failing():
    """At 5 % each, some claim would be false in half of the runs; together it is at most 5 %."""
    rng = np.random.default_rng(13)

    def looks(draw: float):
        return lambda alpha: Bounds(low=0.2 if draw >= alpha else 0.3, high=1.0)  # a p-value, read as a bound

    runs = 400
    false = sum(
        any(failure_adjusted([looks(p) for p in rng.random(14)], [0.2] * 14, alpha=0.05).failed) for _ in range(runs)
    )

    assert false <= 34  # Binomial(400, 0.05) exceeds it with probability under 0.001


def test_a_clear_failure_leaves_more_error_to_the_next():
    def looks(draw: float):
        return lambda alpha: Bounds(low=0.2 if draw >= alpha else 0.3, high=1.0)

    claims = failure_adjusted([looks(0.001), looks(0.024), looks(0.3)], [0.2] * 3, alpha=0.05)

    assert claims.failed == (True, True, False)
    assert claims.bounds[1].low == 0.2  # alone, as one of three, it would not have been claimed
