"""pass@k."""

from itertools import combinations

import numpy as np
import pytest

from safecase.measure import Attempts, NoEvidence, mean_pass_at_k, pass_at_k


@pytest.mark.parametrize(("total", "k"), [(1, 1), (4, 1), (4, 2), (4, 4), (7, 1), (7, 2), (7, 4)])
def test_it_is_the_share_of_subsets_that_hold_a_success(total, k):
    for successes in range(total + 1):
        subsets = list(combinations([1] * successes + [0] * (total - successes), k))

        assert pass_at_k(successes, total, k) == pytest.approx(np.mean([any(s) for s in subsets]))


def test_it_is_unbiased_where_plugging_in_the_rate_is_not():
    rng, rate = np.random.default_rng(2), 0.15
    wins = rng.binomial(12, rate, 4000)
    truth = 1 - (1 - rate) ** 10

    ours = np.mean([pass_at_k(int(c), 12, 10) for c in wins])
    plugged = np.mean(1 - (1 - wins / 12) ** 10)

    assert ours == pytest.approx(truth, abs=0.02)
    assert plugged < truth - 0.05


def test_thousands_of_attempts_do_not_overflow():
    assert 0 < pass_at_k(1, 100_000, 10) < 0.001


def test_too_few_attempts_are_no_evidence_and_name_the_task():
    with pytest.raises(NoEvidence, match=r"task 'b'.*at least 10 attempts.*only 9"):
        mean_pass_at_k(
            [Attempts(task="a", successes=0, total=10), Attempts(task="b", successes=9, total=9)],
            10,
            alpha_lower=0.05,
            alpha_upper=0.05,
        )


def test_no_task_is_no_evidence():
    with pytest.raises(NoEvidence):
        mean_pass_at_k([], 10, alpha_lower=0.05, alpha_upper=0.05)


@pytest.mark.parametrize(("successes", "total", "k"), [(-1, 5, 1), (6, 5, 1), (1, 5, 0)])
def test_impossible_counts_are_refused(successes, total, k):
    with pytest.raises(ValueError, match="must"):
        pass_at_k(successes, total, k)


def test_the_interval_is_over_tasks_and_not_over_attempts():
    """A hundred attempts at four tasks are four observations."""
    few = [Attempts(task=f"t{i}", successes=0, total=100) for i in range(4)]

    found = mean_pass_at_k(few, 10, alpha_lower=0.05, alpha_upper=0.05, planned=4)

    assert (found.value, found.tasks, found.bounds.low) == (0.0, 4, 0.0)
    assert found.bounds.high > 0.4
