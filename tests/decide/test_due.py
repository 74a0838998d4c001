"""An assessment falls due by compute, checkpoint, capability or age, each alone."""

import pytest

from safecase.decide import assessment_due
from safecase.declare import load_framework

TRIGGERS = load_framework("scaling-v2").triggers
QUIET = {
    "operations_then": 1e21,
    "operations_now": 1e21,
    "capability_gain": 0.0,
    "checkpoint": False,
    "days_since": 1,
}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, None),
        ({"operations_now": 1e21 * TRIGGERS.compute_multiple}, "compute grew"),
        ({"operations_now": 1e21 * TRIGGERS.compute_multiple * 0.99}, None),
        ({"operations_then": None}, "unknown"),
        ({"checkpoint": True}, "checkpoint"),
        ({"capability_gain": TRIGGERS.capability_gain}, "gained"),
        ({"days_since": TRIGGERS.max_age_months * 30}, "days went by"),
        ({"days_since": TRIGGERS.max_age_months * 30 - 1}, None),
    ],
)
def test_each_trigger_alone_makes_it_due(change, words):
    reasons = assessment_due(TRIGGERS, **{**QUIET, **change})

    assert (words is None and reasons == ()) or (len(reasons) == 1 and words in reasons[0])
