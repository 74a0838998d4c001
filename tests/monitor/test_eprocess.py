"""Alarms by betting: the declared errors are kept under peeking and bursty accounts, and delays are as said."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safecase.monitor import EDetector, EProcess, OneSeries, Stakes

ALPHA = 0.05


def _peak(values, p0):
    """Largest wealth of each run, values (steps, runs)."""
    process = EProcess(Stakes(p0), runs=values.shape[1])
    for row in values:
        process.bet(row - p0)
    return np.exp(process.peak)


@pytest.mark.parametrize("p0", [0.002, 0.05, 0.5])
def test_a_kept_promise_is_seldom_called_broken_however_often_one_looks(p0):
    values = (np.random.default_rng(1).random((4000, 600)) < p0).astype(float)

    assert (_peak(values, p0) >= 1 / ALPHA).mean() <= ALPHA + 0.02  # two standard errors


def test_means_of_accounts_keep_the_error_although_their_calls_are_alike():
    """Accounts differ (a tenth of them holds all the risk) and are betted on once, by their mean."""
    rng = np.random.default_rng(2)
    risk = np.where(rng.random((3000, 400)) < 0.1, 0.2, 0.0)
    values = rng.binomial(5, risk) / 5

    assert (_peak(values, 0.02) >= 1 / ALPHA).mean() <= ALPHA + 0.02


def test_betting_call_by_call_alarms_falsely_under_bursty_accounts():
    """What the unit is for: the same accounts, every call a bet of its own, calls of an account in a row."""
    rng = np.random.default_rng(2)
    risk = np.where(rng.random((600, 400)) < 0.1, 0.2, 0.0)
    values = (rng.random((600, 40, 400)) < risk[:, None, :]).reshape(-1, 400).astype(float)

    assert (_peak(values[:8000], 0.02) >= 1 / ALPHA).mean() > 0.2


def test_a_doubling_is_found_about_when_it_is_said_to_be():
    stakes = Stakes(0.02)
    values = (np.random.default_rng(3).random((3000, 300)) < 0.04).astype(float)
    process = EProcess(stakes, runs=300)
    found = np.full(300, np.inf)
    for step, row in enumerate(values, start=1):
        late = np.exp(process.bet(row - 0.02)) >= 1 / ALPHA
        found[late & np.isinf(found)] = step

    said = stakes.needed(2.0, goal=1 / ALPHA)
    assert said is not None
    assert 0.6 * said < np.median(found) < 1.4 * said


def test_a_change_is_not_claimed_more_often_than_declared():
    """Mean time to a false alarm of the e-detector; runs that never alarm count with what they lasted."""
    declared, runs = 500.0, 300
    detector = EDetector(Stakes(0.05), runs=runs)
    rng, waited, alarms = np.random.default_rng(4), 0, 0
    for _ in range(3000):
        over = detector.bet((rng.random(runs) < 0.05) - 0.05) >= declared
        waited, alarms = waited + runs, alarms + int(over.sum())
        detector.values[over] = 0.0

    assert waited / alarms >= declared


def test_a_change_after_a_long_good_time_is_found_by_the_detector_long_before_the_e_process():
    rng = np.random.default_rng(5)
    process, detector = EProcess(Stakes(0.05), runs=50), EDetector(Stakes(0.05), runs=50)
    for _ in range(5000):
        gain = (rng.random(50) < 0.01) - 0.05
        process.bet(gain)
        detector.bet(gain)
    broken = changed = 0
    for _ in range(400):
        gain = (rng.random(50) < 0.15) - 0.05
        broken = int((process.bet(gain) >= np.log(1 / ALPHA)).sum())
        changed = max(changed, int((detector.bet(gain) >= 5000).sum()))

    assert changed >= 48
    assert broken < changed


@settings(max_examples=50, deadline=None)
@given(st.floats(0.0005, 0.9), st.lists(st.floats(0, 1), max_size=40), st.data())
def test_nobody_goes_broke_and_worse_news_never_lowers_the_wealth(p0, values, data):
    process, worse = EProcess(Stakes(p0)), EProcess(Stakes(p0))
    for value in values:
        more = data.draw(st.floats(value, 1))
        low, high = process.bet(value - p0), worse.bet(more - p0)

        assert np.isfinite(low).all()
        assert high[0] >= low[0] - 1e-9


def test_weights_below_one_keep_the_error():
    """An audit that draws likely cases more often and weighs them less."""
    rng = np.random.default_rng(6)
    suspect = rng.random((4000, 400)) < 0.1
    unsafe = rng.random((4000, 400)) < np.where(suspect, 0.15, 0.005 / 0.9)
    chance = np.where(suspect, 0.4, 0.02)
    drawn = rng.random((4000, 400)) < chance
    gains = np.where(drawn, 0.02 / chance * (unsafe - 0.02), 0.0)
    process = EProcess(Stakes(0.02), runs=400)
    for row in gains:
        process.bet(row)

    assert (process.peak >= np.log(1 / ALPHA)).mean() <= ALPHA + 0.02


def test_what_could_be_detected_gets_finer_with_observations():
    stakes = Stakes(0.01)
    found = [stakes.detectable(count, goal=20.0) for count in (50, 500, 5000, 50_000)]

    assert found == sorted(found, reverse=True)
    assert stakes.detectable(1, goal=20.0) is None
    assert stakes.needed(1.0, goal=20.0) is None


@pytest.mark.parametrize("p0", [0.0, 1.0, -0.1, float("nan")])
def test_what_is_no_rate_is_refused(p0):
    with pytest.raises(ValueError, match="lies in"):
        Stakes(p0)


@settings(max_examples=60, deadline=None)
@given(
    p0=st.sampled_from([0.002, 0.05, 0.5]),
    values=st.lists(st.sampled_from([0.0, 0.2, 0.5, 1.0]), min_size=1, max_size=60),
)
def test_one_series_by_itself_bets_as_many_side_by_side_do(p0, values):
    one = OneSeries(Stakes(p0), goal=3.0, change_goal=50.0)
    process, detector = EProcess(Stakes(p0)), EDetector(Stakes(p0))
    for value in values:
        wealth, change = process.bet(value - p0)[0], detector.bet(value - p0)[0]
        if min(abs(wealth - 3.0), abs(change - 50.0)) < 1e-6:
            return  # so near a goal the last bit decides

        assert (one.bet(value - p0), one.bet_on_change(value - p0)) == (wealth >= 3.0, change >= 50.0)
        assert one.total == pytest.approx(wealth, rel=1e-9, abs=1e-12)
        assert one.change == pytest.approx(change, rel=1e-9)
    assert one.peak == pytest.approx(process.peak[0], rel=1e-9, abs=1e-12)
