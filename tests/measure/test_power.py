"""How much a gate needs, and what could never have been decided."""

import numpy as np
import pytest

from safecase.compose import load_shipped_bank
from safecase.declare import Limit, Sampling, Threshold, load_framework
from safecase.measure import (
    PERFECT,
    Bounds,
    JudgeError,
    Supposed,
    chance_to_clear,
    clearance_times,
    intents_needed,
    most_events,
    plan_gate,
    simulated_power,
    underpowered,
)
from safecase.measure._sequence import upper_bound

FRAMEWORK = load_framework("scaling-v2")
BANK = load_shipped_bank()
BY_PEOPLE = Supposed(judge=None)


@pytest.mark.parametrize(("planned", "limit"), [(45, 0.6), (60, 0.2)])
def test_the_shortcut_is_near_the_bound_itself(planned, limit):
    rng = np.random.default_rng(planned)
    series = (rng.random((80, planned)) < limit / 2).astype(float)

    real = np.mean([upper_bound(values, alpha=0.05, planned=planned) < limit for values in series])

    assert chance_to_clear(planned, limit=limit, truth=limit / 2, alpha=0.05) == pytest.approx(real, abs=0.15)


def test_fourteen_attacks_must_all_clear():
    """At a true 60 % against the 40 % limit; an exact test read once has 11, 74 and 98 % (docs/coverage.md)."""
    chances = [chance_to_clear(n, limit=0.6, truth=0.4, alpha=0.05) ** 14 for n in (45, 90, 140)]

    assert chances[0] < 0.3
    assert 0.5 < chances[1] < 0.9
    assert chances[2] > 0.95


def test_more_groups_and_less_room_need_more_intents():
    one = intents_needed(limit=0.6, truth=0.4, alpha=0.05, power=0.9)
    many = intents_needed(limit=0.6, truth=0.4, alpha=0.05, power=0.9, groups=14)
    near = intents_needed(limit=0.6, truth=0.5, alpha=0.05, power=0.9)

    assert one is not None
    assert many is not None
    assert near is not None
    assert one < many < near
    assert 90 < many < 140
    assert intents_needed(limit=0.2, truth=0.2, alpha=0.05, power=0.9) is None
    assert intents_needed(limit=0.001, truth=0.0009, alpha=0.05, power=0.9) is None


def test_what_the_search_finds_the_simulation_confirms():
    needed = intents_needed(limit=0.2, truth=0.1, alpha=0.05, power=0.9)
    assert needed is not None

    power = simulated_power(
        needed, allowed=0.2, truth=0.1, alpha=0.05, groups=1, judge=None, labels=0, label_truth=0.1, runs=120
    )

    assert 0.8 < power < 0.98


def test_a_plan_names_banks_that_are_too_small():
    gate = FRAMEWORK.gate("chem-bio.refusal")

    need = plan_gate(gate, FRAMEWORK, BANK, Sampling(attacks=("none", "role-play", "fiction")), BY_PEOPLE)

    assert need.verdict == "bank-too-small"
    assert "chem-bio" in need.reason
    whole, attacks = need.lines
    assert attacks.groups == 3
    assert whole.short == (f"all ({need.bank})",)
    assert whole.intents > need.bank
    assert need.intents == max(whole.intents, attacks.intents)


def test_a_bank_that_is_thin_under_one_attack_is_named_by_it():
    gate = FRAMEWORK.gate("chem-bio.refusal").model_copy(
        update={
            "thresholds": (Threshold(over="category", passes=Limit(at_least=0.4)),),
            "scope": FRAMEWORK.gate("policy.overrefusal").scope.model_copy(update={"harmful": True}),
        }
    )
    bank = [intent for intent in BANK if intent.category != "violence"]
    thin = [intent for intent in BANK if intent.category == "violence"][:7]

    need = plan_gate(gate, FRAMEWORK, bank + thin, Sampling(attacks=("none",)), BY_PEOPLE)

    assert need.verdict == "bank-too-small"
    assert "category violence (7)" in need.reason


def test_a_plan_that_is_large_enough_says_so_and_a_small_one_what_to_raise():
    gate = FRAMEWORK.gate("policy.overrefusal")

    few, many = (plan_gate(gate, FRAMEWORK, BANK, Sampling(intents=n), BY_PEOPLE) for n in (20, 200))

    assert (few.verdict, many.verdict) == ("plan-more", "enough")
    assert "sampling.intents" in few.reason
    assert few.chance < 0.5 < 0.9 < many.chance
    assert few.intents == many.intents


def test_a_truth_beyond_the_line_is_beyond_reach():
    gate = FRAMEWORK.gate("policy.overrefusal")

    need = plan_gate(gate, FRAMEWORK, BANK, Sampling(), Supposed(truth=0.3, judge=None))

    assert (need.verdict, need.intents, need.trials, need.labels) == ("beyond-reach", None, None, None)


def test_a_fallible_judge_costs_intents_and_labels():
    gate = FRAMEWORK.gate("policy.overrefusal")

    judged = plan_gate(gate, FRAMEWORK, BANK, Sampling(), Supposed(judge=(0.9, 0.95)))
    people = plan_gate(gate, FRAMEWORK, BANK, Sampling(), BY_PEOPLE)

    assert people.labels == 0
    assert judged.labels is not None
    assert judged.labels >= 100
    assert judged.intents > people.intents == judged.by_people


@pytest.mark.parametrize(
    ("limit", "good"), [(Limit(at_most=0.2), False), (Limit(at_least=0.8), True)], ids=["ceiling", "floor"]
)
def test_what_even_the_best_answers_could_not_clear_is_underpowered(limit, good):
    few, enough = (underpowered(n, limit=limit, alpha=0.05, error=PERFECT) for n in (9, 40))

    assert few is not None
    assert "even with nothing going wrong, 9" in few
    assert enough is None
    best = np.full(9, 0.0)
    assert upper_bound(best, alpha=0.05, planned=9) >= 0.2 - 1e-9
    assert good is not limit.is_ceiling


def test_no_data_at_all_clears_what_is_called_underpowered():
    """The best case through a judge: over every number of flags, none clears."""
    box = JudgeError(
        level="own", sensitivity=Bounds(low=0.7, high=0.9), specificity=Bounds(low=0.8, high=0.95), point=(0.8, 0.9)
    )
    assert underpowered(12, limit=Limit(at_most=0.2), alpha=0.03, error=box) is not None
    line = 0.2 * 0.7 + 0.8 * 0.05

    series = np.tril(np.ones((13, 12)), -1)
    assert not np.isfinite(clearance_times(series, limits=line, alpha=0.03, planned=12)).any()


def test_a_judge_that_may_be_blind_is_underpowered_whatever_the_number():
    blind = JudgeError(
        level="own", sensitivity=Bounds(low=0.05, high=1.0), specificity=Bounds(low=0.0, high=0.9), point=None
    )

    found = underpowered(5_000, limit=Limit(at_most=0.2), alpha=0.05, error=blind)

    assert found is not None
    assert "chance" in found


def test_a_declared_truth_asks_for_more():
    asked = {"limit": Limit(at_most=0.2), "alpha": 0.05, "error": PERFECT}

    assert underpowered(40, **asked) is None
    assert "supposed rate 0.15" in (underpowered(40, truth=0.15, **asked) or "")
    assert underpowered(40, truth=0.01, **asked) is None


def test_most_events_is_the_last_that_clears():
    most = most_events(60, limit=0.2, alpha=0.05)

    assert most is not None
    assert 3 <= most < 0.2 * 60
    assert most_events(5, limit=0.2, alpha=0.05) is None


@pytest.mark.parametrize("wrong", [{"truth": 1.5}, {"power": 1.0}, {"judge": (0.9, -0.1)}], ids=str)
def test_what_cannot_be_supposed_is_refused(wrong):
    with pytest.raises(ValueError, match="must lie in"):
        plan_gate(FRAMEWORK.gate("policy.overrefusal"), FRAMEWORK, BANK, Sampling(), Supposed(**wrong))
