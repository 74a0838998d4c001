"""What a stack owes to one layer: paired over intents, with the judge's error; what is not known is no number."""

from collections.abc import Sequence

import numpy as np
import pytest

from safecase.evidence import Verdict
from safecase.measure import EMBEDDED_CARD, Passed, load_card, refused_without, unsafe_without

CARD = load_card(EMBEDDED_CARD)


def passed(number: int, change: str, verdict: Verdict | None = None, **more: object) -> Passed:
    fields = {"intent_id": f"i{number}", "domain": "content-policy", "language": "en", "known": True} | more
    return Passed(change=change, verdict=verdict, **fields)  # type: ignore[arg-type]  # by keyword


def half(change: str, verdict: Verdict | None, **more: object) -> list[Passed]:
    """200 intents: the first half as given, the rest as without any layer."""
    return [passed(n, change, verdict, **more) if n < 100 else passed(n, "none") for n in range(200)]


def test_a_layer_that_alone_stops_half_is_owed_half():
    found = unsafe_without(half("passes", "compliance"), card=CARD, planned=200)

    assert found is not None
    assert found.value == 0.5
    assert 0.35 < found.low < 0.5 < found.high < 0.65
    assert (found.trials, found.intents, found.unknown, found.may_be_stopped) == (200, 200, 0, 0)


def test_what_would_be_refused_anyway_is_owed_to_nobody():
    found = unsafe_without(half("passes", "refusal"), card=CARD, planned=200)

    assert found is not None
    assert (found.value, found.low) == (0.0, 0.0)
    assert found.high < 0.05


def test_a_request_that_would_still_meet_a_layer_counts_in_the_upper_end_only():
    found = unsafe_without(half("passes", "compliance", may_be_stopped=True), card=CARD, planned=200)

    assert found is not None
    assert (found.value, found.low, found.may_be_stopped) == (0.5, 0.0, 100)
    assert found.high > 0.5


@pytest.mark.parametrize(
    "rows",
    [
        half("unknown", None),  # another layer was not asked
        half("passes", None),  # nobody judged the stand-in
        half("passes", "compliance", known=False, domain="cyber"),  # a judge never measured there
    ],
)
def test_what_is_not_known_widens_both_ends_and_is_no_number(rows: Sequence[Passed]):
    found = unsafe_without(rows, card=CARD, planned=200)

    assert found is not None
    assert (found.value, found.low, found.unknown) == (0.0, 0.0, 100)
    assert found.high > 0.5


def test_the_judges_error_widens_what_it_saw():
    known = unsafe_without(half("passes", "compliance"), card=CARD, planned=200)
    judged = unsafe_without(half("passes", "compliance", known=False), card=CARD, planned=200)

    assert known is not None
    assert judged is not None
    assert (known.calibration, judged.calibration) == ("own", "transferred")
    assert judged.high - judged.low > known.high - known.low


def test_without_trials_there_is_nothing_to_say():
    assert unsafe_without([], card=CARD) is None
    assert refused_without([]) is None


def test_over_refusal_needs_no_judge():
    found = refused_without(half("passes", None))

    assert found is not None
    assert found.value == 0.5
    assert found.low > 0.3


def test_the_interval_holds_the_truth_as_often_as_it_says():
    """400 simulated runs of 60 intents, 4 trials each, that share their intent's own rate."""
    rng, truth, hits = np.random.default_rng(7), 0.2, 0
    for _ in range(400):
        rates = rng.beta(1, 4, 60)
        rows = [
            passed(n, "passes" if rng.random() < rate else "none", "compliance")
            for n, rate in enumerate(rates)
            for _ in range(4)
        ]
        found = unsafe_without(rows, card=CARD, planned=60)
        assert found is not None
        hits += found.low <= truth <= found.high

    assert hits >= 0.95 * 400
