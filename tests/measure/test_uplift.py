"""Uplift of people: allocation, bounds that cover, absence, blinding, power."""

import numpy as np
import pytest
from pydantic import ValidationError

from safecase.declare import UpliftStudy
from safecase.measure import UpliftResult, allocation, blinding_of, uplift_bounds, uplift_power

POINTS = {"scale": "points", "what": "score of a plan", "lowest": 0, "highest": 10}


def study(**more: object) -> UpliftStudy:
    said = {
        "id": "kitchen",
        "title": "Baking with and without the model",
        "suite": "bench-uplift",
        "control": "books",
        "treatment": "books and the model",
        "participants": "volunteers",
        "per_arm": 40,
        "seed": 11,
        "outcome": {"scale": "proportion", "what": "the bread rose"},
        "grading": "two bakers, who see photographs alone",
        "effect": 0.3,
        "control_mean": 0.2,
        "registration": "nowhere else",
    }
    return UpliftStudy.model_validate(said | more)


def result(participant: str, arm: str, outcome: float | None, guess: str = "unsure") -> UpliftResult:
    return UpliftResult(participant=participant, arm=arm, outcome=outcome, guess=guess)


@pytest.mark.parametrize("per_arm", [2, 7, 40])
def test_an_allocation_is_balanced_throughout_and_another_for_another_seed(per_arm):
    arms = list(allocation(study(per_arm=per_arm)).values())
    ahead = np.cumsum([1 if arm == "treatment" else -1 for arm in arms])

    assert ahead[-1] == 0
    assert len(arms) == 2 * per_arm
    assert max(abs(ahead)) <= 2
    assert allocation(study(seed=1)) != allocation(study(seed=2))


@pytest.mark.parametrize(
    ("outcome", "spread", "control", "effect"),
    [
        ({"scale": "proportion", "what": "w"}, None, 0.02, 0.0),  # hardly anybody succeeds
        ({"scale": "proportion", "what": "w"}, None, 0.3, 0.3),
        (POINTS, 2.0, 0.4, 0.2),
    ],
)
def test_bounds_miss_no_more_often_than_they_say(outcome, spread, control, effect):
    """At 5 %, 300 worlds expect 15 misses; more than 27 would come by chance once in 500 runs."""
    draw, n = np.random.default_rng(5), 25
    one = study(outcome=outcome, spread=spread, control_mean=control, effect=0.1, per_arm=n)
    worlds = 300 if spread is None else 60
    low = high = 0
    for _ in range(worlds):
        if spread is None:
            treated, plain = ((draw.random(n) < p).astype(float) for p in (control + effect, control))
        else:
            treated, plain = (draw.beta(8 * m, 8 * (1 - m), n) for m in (control + effect, control))
        found = uplift_bounds(one, list(treated), list(plain), alpha=0.05)
        low, high = low + (found.low > effect), high + (found.high < effect)
    assert max(low, high) <= 0.09 * worlds


def test_nobody_succeeding_does_not_show_that_nobody_can():
    found = uplift_bounds(study(), [0.0] * 40, [0.0] * 40, alpha=0.05)
    assert 0.05 < found.high < 0.12


def test_who_is_absent_counts_at_the_worst_for_each_bound_and_never_as_nought():
    whole = uplift_bounds(study(), [1.0] * 10 + [0.0] * 30, [0.0] * 40, alpha=0.05)
    holes = uplift_bounds(study(), [1.0] * 10 + [None] * 30, [0.0] * 40, alpha=0.05)

    assert holes.high > 0.99
    assert holes.low == pytest.approx(whole.low)


@pytest.mark.parametrize(
    ("guesses", "holds"),
    [
        (["control", "treatment"] * 10, True),  # half of them right
        (["right"] * 20, False),
        (["unsure"] * 20, True),
        ([""] * 20, False),  # never asked, so never shown
        (["unsure"] * 19 + [""], False),
    ],
)
def test_blinding_holds_where_every_guess_was_asked_for_and_none_beats_chance(guesses, holds):
    arms = ["control", "control", "treatment", "treatment"] * 5
    said = [arm if guess == "right" else guess for arm, guess in zip(arms, guesses, strict=True)]
    results = [result(f"p{n}", arm, 1.0, guess) for n, (arm, guess) in enumerate(zip(arms, said, strict=True))]
    assert blinding_of(results).holds is holds


def test_power_grows_with_people_and_is_small_for_a_small_study():
    small, large = uplift_power(study(), per_arm=8), uplift_power(study(), per_arm=80)
    assert small.detect < 0.4 < 0.9 < large.detect
    assert small.clear < large.clear


@pytest.mark.parametrize(
    "wrong",
    [
        {"control_mean": 0.9},  # control and effect go over 1
        {"spread": 0.1},  # a proportion has its own
        {"outcome": POINTS},  # points need a spread
        {"outcome": {"scale": "points", "what": "w", "lowest": 1, "highest": 1}, "spread": 1},
    ],
)
def test_a_study_that_does_not_fit_its_scale_is_refused(wrong):
    with pytest.raises(ValidationError):
        study(**wrong)
