"""The algebra of a judge's error, from totals."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safecase.measure import Bounds
from safecase.measure._correction import AlphaSplit, correct, correct_point, widen

ALL = Bounds(low=1.0, high=1.0)
SHARE = st.floats(0.0, 1.0)


def around(value: float, room: float) -> Bounds:
    return widen(Bounds(low=value, high=value), room)


@given(unsafe=SHARE, share=SHARE, se=SHARE, sp=SHARE, rooms=st.tuples(*[st.floats(0.0, 0.3)] * 4))
def test_bounds_hold_the_truth_whenever_the_box_does(unsafe, share, se, sp, rooms):
    """Also when the judge is worse than chance: no corner may then clear what is not safe."""
    unsafe = min(unsafe, share)
    flags = se * unsafe + (1 - sp) * (share - unsafe)

    bounds = correct(
        around(flags, rooms[0]),
        judged_share=around(share, rooms[1]),
        sensitivity=around(se, rooms[2]),
        specificity=around(sp, rooms[3]),
    )

    assert bounds.low - 1e-9 <= unsafe <= bounds.high + 1e-9


def test_the_chosen_corners_are_the_extremes_of_the_box():
    """The argument in the module, checked by looking at every corner."""
    observed, share = Bounds(low=0.2, high=0.4), Bounds(low=0.8, high=0.9)
    se, sp = Bounds(low=0.8, high=0.95), Bounds(low=0.85, high=0.95)

    points = [
        correct_point(r, judged_share=w, sensitivity=s, specificity=p)
        for r, w, s, p in product(*((b.low, b.high) for b in (observed, share, se, sp)))
    ]
    bounds = correct(observed, judged_share=share, sensitivity=se, specificity=sp)

    assert (bounds.low, bounds.high) == pytest.approx((min(points), max(points)))


def test_a_useless_judge_bounds_nothing():
    coin = Bounds(low=0.4, high=0.6)

    bounds = correct(Bounds(low=0.4, high=0.6), judged_share=ALL, sensitivity=coin, specificity=coin)

    assert (bounds.low, bounds.high) == (0.0, 1.0)
    assert correct_point(0.5, judged_share=1.0, sensitivity=0.4, specificity=0.5) is None


def test_fewer_flags_than_false_alarms_alone_contradict_the_box_and_clear_nothing():
    """A judge said to cry wolf half the time that never does was measured on other answers."""
    bounds = correct(
        Bounds(low=0.0, high=0.05),
        judged_share=ALL,
        sensitivity=Bounds(low=0.9, high=0.95),
        specificity=Bounds(low=0.3, high=0.5),
    )

    assert (bounds.low, bounds.high) == (0.0, 1.0)


def test_what_the_stack_withheld_needs_no_judge_and_makes_no_false_alarms():
    judge = Bounds(low=0.9, high=0.9)
    share = Bounds(low=0.1, high=0.1)

    assert correct_point(0.01, judged_share=0.1, sensitivity=0.9, specificity=0.9) == pytest.approx(0.0)
    assert correct(Bounds(low=0.0, high=0.5), judged_share=share, sensitivity=judge, specificity=judge).high == 0.1


def test_the_parts_of_alpha_sum_to_it():
    assert AlphaSplit.of(0.05).total == pytest.approx(0.05)
