"""Estimates from columns are the estimates of the plain way, and only whole, in-order evidence bets."""

import dataclasses
import random

import pytest
from scipy.stats import binom

from safecase.declare import load_framework
from safecase.evidence import Estimate
from safecase.measure import Measurement, Slot, estimate_gates, estimate_rates, gather
from tests.measure import worlds
from tests.measure.reference import Reference

FRAMEWORK = load_framework("scaling-v2")


def plain(estimate: Estimate) -> Estimate:
    """Without what the reference does not work out: how far the planned intents could reach."""
    kept = {name: value for name, value in estimate.scope.items() if name in {"name", "group", "arm", "alpha"}}
    return dataclasses.replace(estimate, scope=kept)


def measure(trials, judgements, places) -> Measurement:
    return gather(trials, judgements, judge_digest=worlds.DIGEST, planned=iter(places), card=worlds.card())


def imports(count: int):
    for number in range(count):
        place = Slot(
            trial_id=f"import-{number}",  # not 24 hex digits
            scenario_id=f"s{number}",
            intent_id=f"elsewhere-{number % 7}-é",
            harmful=True,
            domain="content-policy",
            category="privacy",
            subcategory="imported",
            language="en",
            attack="none",
            family="imported",
            arm="bare",
            model="imported/file",
            repetition=0,
        )
        yield place


@pytest.mark.parametrize(
    ("seed", "intents", "imported", "dropped"),
    [
        (1, 12, 0, 0),  # a small complete run
        (2, 18, 0, 0),
        (3, 12, 20, 0),  # with imported trials behind the plan's
        (4, 0, 30, 0),  # nothing but an import
        (5, 14, 5, 20),  # a run cut short
    ],
)
def test_columns_give_the_estimates_of_the_plain_way(seed: int, intents: int, imported: int, dropped: int) -> None:
    places = worlds.slots(intents=intents)
    everything = [*places, *imports(imported)]
    trials, judgements = worlds.campaign(seed, everything)
    trials = trials[: len(places) - dropped] + trials[len(places) :]
    random.Random(seed).shuffle(trials)

    reference = Reference(trials, judgements, places, worlds.card())
    whole = measure(trials, judgements, places)
    rates = estimate_rates(whole)
    gates = [e for e in estimate_gates(whole, FRAMEWORK, FRAMEWORK.gates) if e.group != "worst"]

    assert [plain(e) for e in rates] == list(reference.rates())
    assert [plain(e) for e in gates] == list(reference.gates(FRAMEWORK, FRAMEWORK.gates))
    assert rates


def test_trials_of_no_plan_do_not_count() -> None:
    places = worlds.slots(intents=6)
    trials, judgements = worlds.campaign(1, places)
    strange = dataclasses.replace(trials[0], trial_id="f" * 24)

    assert estimate_rates(measure([*trials, strange], judgements, places)) == estimate_rates(
        measure(trials, judgements, places)
    )


def test_a_later_judgement_stands_for_an_earlier_one_and_another_judge_counts_for_nothing() -> None:
    places = worlds.slots(intents=3, benign=False)
    rows = [worlds.trial(place) for place in places]
    first = [worlds.said(row, "compliance") for row in rows]
    later = [worlds.said(row, "refusal") for row in rows]
    other = [worlds.said(row, "compliance", judge="llm/other", digest="e" * 64) for row in rows]

    (rate,) = (e for e in estimate_rates(measure(rows, [*first, *later, *other], places)) if e.estimate_id == SAFE)

    assert rate.observed == 1.0


SAFE = "safe_rate/bare/all"


def test_an_intent_bets_only_behind_completed_ones() -> None:
    """What overtook a slow intent is no random sample: answers that come fast may be refusals."""
    places = worlds.slots(intents=10, arms=("bare",), attacks=("none",), benign=False)
    rows = [worlds.trial(place) for place in places]
    judgements = [worlds.said(row, "refusal") for row in rows]

    (whole,) = (e for e in estimate_rates(measure(rows, judgements, places)) if e.estimate_id == SAFE)
    (gap,) = (e for e in estimate_rates(measure(rows[:4] + rows[5:], judgements, places)) if e.estimate_id == SAFE)

    assert (whole.clusters, gap.clusters) == (10, 4)


def test_a_group_that_was_planned_and_never_run_has_vacuous_bounds() -> None:
    """Else a run that stops before the worst attack would pass the others' gate."""
    gate = next(gate for gate in FRAMEWORK.gates if gate.id == "loss-of-control.refusal")
    places = worlds.slots(intents=8, categories=("loss-of-control",), domain="loss-of-control", benign=False)
    rows = [worlds.trial(place) for place in places if place.attack == "none"]
    judgements = [worlds.said(row, "refusal") for row in rows]

    found = {
        e.group: e for e in estimate_gates(measure(rows, judgements, places), FRAMEWORK, [gate]) if e.arm == "bare"
    }

    never = found["attack:roleplay"]
    assert (never.n, never.value, never.lower_bound, never.upper_bound) == (0, None, 0.0, 1.0)
    assert found["worst"].lower_bound == 0.0


def test_the_worst_attack_is_bounded_for_every_attack_at_once_and_says_what_choosing_it_did() -> None:
    gate = next(gate for gate in FRAMEWORK.gates if gate.id == "loss-of-control.refusal")
    attacks = tuple(f"a{number}" for number in range(6))
    places = worlds.slots(
        intents=60,
        attacks=attacks,
        arms=("bare",),
        categories=("loss-of-control",),
        domain="loss-of-control",
        benign=False,
    )
    rng = random.Random(4)
    rows = [worlds.trial(place) for place in places]
    verdicts = [rng.choice(["refusal", "compliance"]) for _ in rows]  # every attack is equally bad
    judgements = [worlds.said(row, v, judge="human", digest="h") for row, v in zip(rows, verdicts, strict=True)]

    found = {e.group: e for e in estimate_gates(measure(rows, judgements, places), FRAMEWORK, [gate])}

    worst, members = found["worst"], [e for group, e in found.items() if group.startswith("attack:")]
    assert worst.value == min(e.value for e in members)
    assert worst.lower_bound == min(e.lower_bound for e in members)  # an intersection-union test: uncorrected
    assert worst.upper_bound == min(e.failure_upper for e in members)  # a claim that some attack is that bad: corrected
    assert worst.scope["compared"] == 6
    assert worst.scope["selection_bias"] < 0  # the least of six equals looks worse than it is


def test_the_worst_of_equal_attacks_is_covered_on_both_sides() -> None:
    """The plain interval of the attack that happened to look worst would miss the truth in a third of the runs."""
    gate = next(gate for gate in FRAMEWORK.gates if gate.id == "loss-of-control.refusal")
    places = worlds.slots(
        intents=30,
        attacks=tuple(f"a{n}" for n in range(8)),
        arms=("bare",),
        categories=("loss-of-control",),
        domain="loss-of-control",
        benign=False,
    )
    rows, runs, missed = [worlds.trial(place) for place in places], 12, 0
    for seed in range(runs):
        rng = random.Random(seed)
        said = [worlds.said(r, rng.choice(["refusal", "compliance"]), judge="human", digest="h") for r in rows]
        whole = measure(rows, said, places)
        (worst,) = (e for e in estimate_gates(whole, FRAMEWORK, [gate]) if e.group == "worst")
        missed += not worst.low <= 0.5 <= worst.high

    assert missed <= binom.ppf(0.999, runs, 0.05)


def test_an_arm_of_which_nothing_was_judged_knows_no_error_of_its_judge() -> None:
    """A judge that was never needed is as good as perfect; one that read nothing is not known at all."""
    places = worlds.slots(intents=6)
    trials, judgements = worlds.campaign(1, places)
    failed = [dataclasses.replace(t, status="error", response=None) if t.arm == "guarded" else t for t in trials]
    lost = {t.trial_id for t in failed if t.status == "error"}

    rates = estimate_rates(measure(failed, [one for one in judgements if one.trial_id not in lost], places))

    assert {rate.calibration for rate in rates if rate.arm == "guarded" and not rate.n} == {"none"}
    assert {rate.n for rate in rates if rate.arm == "guarded"} == {0}
    assert "transferred" in {rate.calibration for rate in rates if rate.arm == "bare"}
