"""What was noticed of seeds: shares by account, four ways of being absent, lags with intervals that cover."""

import numpy as np
import pytest

from safecase.measure import ABSENT, SeedOutcome, detections


def _seed(number, *, account=None, status="answered", flagged=None, escalated=None, category="privacy"):
    return SeedOutcome(
        seed=f"{number:04d}",
        category=category,
        account=number if account is None else account,
        status=status,
        flagged_s=flagged,
        escalated_s=escalated,
    )


def test_what_was_not_answered_is_absent_and_never_missed():
    absent = [_seed(100 + number, status=status) for number, status in enumerate(ABSENT)]

    (found, _) = detections([*(_seed(number, flagged=1.0) for number in range(20)), *absent])

    assert (found.planned, found.answered, found.recall.value) == (25, 20, 1.0)
    assert found.absent == dict.fromkeys(ABSENT, 1)


def test_nothing_answered_is_no_rate():
    (found, _) = detections([_seed(number, status="failed") for number in range(5)])

    assert found.recall.value is None
    assert found.escalated.low is None
    assert found.flag_lag[0.5].value is None


def test_an_absent_seed_cannot_have_been_noticed():
    with pytest.raises(ValueError, match="nothing can have noticed"):
        _seed(1, status="timed-out", flagged=1.0)


def test_categories_stand_for_themselves():
    rows = [_seed(number, flagged=1.0, category="privacy") for number in range(10)]
    rows += [_seed(number, category="violence") for number in range(10, 20)]

    found = {one.group: one.recall.value for one in detections(rows)}

    assert found == {"all": 0.5, "privacy": 1.0, "violence": 0.0}


def test_a_quantile_that_the_accounts_cannot_bound_from_above_has_no_upper_end():
    (found, _) = detections([_seed(number, flagged=float(number)) for number in range(5)])

    assert found.flag_lag[0.9].high is None
    assert found.flag_lag[0.5].value == 2.0


@pytest.mark.parametrize("runs", [15, pytest.param(30, marks=pytest.mark.slow)])
def test_intervals_cover_although_the_seeds_of_an_account_are_alike(runs):
    """Thirty accounts of eight seeds, all of an account noticed or none, lags with a term of the account's own.

    Intervals over seeds cover half as often as they say, which fifteen runs show; more are for what is a little narrow.
    """
    rng = np.random.default_rng(5)
    covered, by_seed, median = 0, 0, 0
    for _ in range(runs):
        noticed, slow = rng.random(30) < 0.7, rng.exponential(10.0, 30)
        rows = [
            _seed(8 * account + number, account=account, flagged=slow[account] + rng.exponential(1.0) if yes else None)
            for account, yes in enumerate(noticed)
            for number in range(8)
        ]
        found = detections(rows)[0]
        covered += found.recall.low <= 0.7 <= found.recall.high
        naive = 1.96 * np.sqrt(0.7 * 0.3 / 240)
        by_seed += abs(noticed.mean() - 0.7) <= naive
        truth = 7.98  # median of an exponential of mean 10 plus one of mean 1, by 10**7 draws
        lag = found.flag_lag[0.5]
        median += lag.low <= truth <= (lag.high if lag.high is not None else np.inf)

    assert covered / runs >= 0.93
    assert by_seed / runs < 0.7  # what counting seeds as if they were independent would cover
    assert median / runs >= 0.93
