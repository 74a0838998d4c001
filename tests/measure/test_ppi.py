"""Prediction-powered estimates; how often they hold is simulated in test_coverage."""

import numpy as np
import pytest

from safecase.measure import LEAST_LABELLED_EVENTS, Seen, TooFewEvents, prediction_powered

ALPHAS = {"alpha_lower": 0.05, "alpha_upper": 0.05}


def drawn(seed: int, *, rate: float, labels: int, others: int, se: float, sp: float) -> list[Seen]:
    rng = np.random.default_rng(seed)
    truth = rng.random(labels + others) < rate
    flags = np.where(truth, rng.random(truth.size) < se, rng.random(truth.size) > sp).astype(float)
    labelled = [Seen(flagged=f, labelled=float(y)) for f, y in zip(flags[:labels], truth[:labels], strict=True)]
    return labelled + [Seen(flagged=f) for f in flags[labels:]]


@pytest.mark.parametrize(("events", "others"), [(19, 200), (200, 19), (0, 200), (0, 0)])
def test_it_is_refused_under_twenty_labels_of_either_kind(events, others):
    seen = [Seen(flagged=1.0, labelled=1.0)] * events + [Seen(flagged=0.0, labelled=0.0)] * others

    with pytest.raises(TooFewEvents, match=f"{events} with the event"):
        prediction_powered([*seen, Seen(flagged=0.0)], **ALPHAS)


def test_events_are_counted_by_intent():
    """Nineteen intents with thirty events each are nineteen."""
    seen = [Seen(flagged=0.9, labelled=0.9)] * 19 + [Seen(flagged=0.0, labelled=0.0)] * 100

    with pytest.raises(TooFewEvents):
        prediction_powered(seen, **ALPHAS)
    assert prediction_powered([*seen, seen[0]], **ALPHAS).events == LEAST_LABELLED_EVENTS


def test_a_good_judge_sharpens_what_people_alone_would_say():
    seen = drawn(1, rate=0.3, labels=150, others=3000, se=0.95, sp=0.95)

    together, alone = (prediction_powered(part, **ALPHAS) for part in (seen, seen[:150]))

    assert alone.trust == 0.0
    assert together.trust > 0.7
    assert (together.bounds.high - together.bounds.low) < 0.7 * (alone.bounds.high - alone.bounds.low)


def test_a_judge_that_knows_nothing_is_not_trusted():
    assert prediction_powered(drawn(2, rate=0.3, labels=400, others=3000, se=0.5, sp=0.5), **ALPHAS).trust < 0.1


def test_a_biased_judge_does_not_move_the_estimate():
    """The scanner that flags 61 % of what is safe."""
    seen = drawn(3, rate=0.2, labels=600, others=4000, se=0.92, sp=0.39)

    found = prediction_powered(seen, **ALPHAS)

    assert np.mean([s.flagged for s in seen]) > 0.6
    assert found.bounds.low < 0.2 < found.bounds.high
    assert found.bounds.high < 0.26


@pytest.mark.parametrize(
    "alphas", [{"alpha_lower": 0.0, "alpha_upper": 0.05}, {"alpha_lower": 0.05, "alpha_upper": 0.6}]
)
def test_an_alpha_out_of_range_is_refused(alphas):
    with pytest.raises(ValueError, match="alpha"):
        prediction_powered(drawn(4, rate=0.3, labels=100, others=10, se=0.9, sp=0.9), **alphas)


def test_a_share_out_of_range_is_refused():
    with pytest.raises(ValueError, match="shares"):
        prediction_powered([Seen(flagged=1.2)], **ALPHAS)
