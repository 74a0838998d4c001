"""The quick question "does it clear?" beside the bound that it stands for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safecase.measure import clearance_times, clears_at
from safecase.measure._sequence import upper_bound


@settings(max_examples=80, deadline=None)
@given(
    values=st.lists(st.sampled_from([0.0, 0.0, 0.0, 0.3, 1.0]), min_size=1, max_size=90),
    limit=st.sampled_from([0.05, 0.1, 0.2, 0.4, 0.6, 0.95]),
    planned=st.sampled_from([None, 20, 60, 90]),
    spare=st.sampled_from([None, 0, 40]),
)
def test_it_clears_exactly_when_the_bound_lies_under_the_limit(values, limit, planned, spare):
    game = {"alpha": 0.05, "planned": planned, "population": None if spare is None else len(values) + spare}

    first = clears_at(values, limit=limit, **game)

    if first is None:
        assert upper_bound(values, **game) >= limit - 1e-5
    else:
        assert upper_bound(values[:first], **game) < limit
        assert upper_bound(values, **game) < limit
        assert upper_bound(values[: first - 1], **game) >= limit - 1e-5


def test_many_series_at_once_come_out_as_each_alone():
    rng = np.random.default_rng(3)
    series = (rng.random((60, 80)) < 0.1).astype(float)
    limits = rng.choice([0.1, 0.2, 0.4], 60)

    together = clearance_times(series, limits=limits, alpha=0.05, planned=80)

    alone = [clears_at(row, limit=limit, alpha=0.05, planned=80) for row, limit in zip(series, limits, strict=True)]
    assert together.tolist() == [np.inf if first is None else first for first in alone]
    assert 0 < np.isfinite(together).sum() < 60


def test_betting_against_the_limit_alone_never_clears_later():
    """So that false clearances counted by the quick way are all of them."""
    series = (np.random.default_rng(5).random((60, 80)) < 0.1).astype(float)

    quick = clearance_times(series, limits=0.2, alpha=0.05, planned=80, at_limit_alone=True)

    assert (quick <= clearance_times(series, limits=0.2, alpha=0.05, planned=80)).all()


def test_nothing_seen_clears_nothing():
    assert clears_at([], limit=0.5, alpha=0.05, planned=10) is None


def test_a_value_outside_its_range_is_refused():
    with pytest.raises(ValueError, match="must lie in"):
        clears_at([2.0], limit=0.5, alpha=0.05)
