"""A clock that leaps forward and is set right again stops nothing: accounts are settled and alerts are said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safecase.monitor import Misuse, Rates, Unit
from safecase.monitor._clock import StreamClock

from .calls import DIGESTS, harmful, promises

YEAR_S = 366 * 86_400


def leaping(count, *, first=0, leap_s=YEAR_S, **fields):
    """Calls a second apart; one of them by a clock that is ahead."""
    for number in range(first, first + count):
        ahead = leap_s if number == first + 20 else 0
        yield harmful(number, seconds=number + ahead, **fields)


@pytest.mark.parametrize("leap_s", [3_000, 86_400, YEAR_S])
def test_a_promise_broken_after_a_leap_is_still_said(leap_s):
    rates = Rates(promises(), DIGESTS, unit=Unit(settle_s=5, filter_bits=14))

    said = [alert for call in leaping(300, leap_s=leap_s, is_unsafe=True) for alert in rates.saw(call)]

    (panel,) = (one for one in rates.panels() if one.id == "unsafe/any")
    assert panel.accounts >= 290
    assert [alert.kind for alert in said].count("promise-broken") == 1


def test_a_state_of_a_monitor_that_stood_still_goes_on():
    """Its file says that it is next year; calls of this one are settled all the same."""
    unit = Unit(settle_s=5, filter_bits=14)
    rates, again = (Rates(promises(), DIGESTS, unit=unit) for _ in range(2))
    for call in leaping(21, is_unsafe=True):
        list(rates.saw(call))

    again.restore(rates.state())
    for call in leaping(300, first=21, leap_s=0, is_unsafe=True):
        list(again.saw(call))

    assert next(one for one in again.panels() if one.id == "unsafe/any").accounts >= 310


def test_risks_of_accounts_go_on_calming_down_after_a_leap():
    """One that had its attempts by a clock that was ahead is not held to them for a year."""
    watch = Misuse()
    for call in leaping(40, account="one", is_unsafe=True):
        list(watch.saw(call))
    before = watch._accounts["one"].attempts

    list(watch.saw(harmful(50, account="one", seconds=10 * 86_400, is_unsafe=True)))

    assert watch._accounts["one"].attempts < before / 100 + 1


@given(st.lists(st.floats(0, 1e9), max_size=50))
def test_the_time_of_a_stream_never_goes_back(times):
    clock = StreamClock()

    seen = [clock.at(one) for one in times]

    assert seen == sorted(seen)
