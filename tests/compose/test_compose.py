"""Composition is lazy, deterministic and balanced."""

from collections import Counter
from itertools import islice

import pytest

from safecase.compose import ATTACKS, FAMILIES, UnknownAttack, attacks_named, compose, load_shipped_bank, sample, select
from safecase.declare import Sampling, load_framework

SIX = {"psychological", "logic", "syntactic", "semantic", "perspective", "non-english"}


@pytest.fixture(scope="module")
def bank():
    return load_shipped_bank()


@pytest.fixture(scope="module")
def framework():
    return load_framework("scaling-v2")


def gates(framework, *names):
    return [gate for gate in framework.gates if gate.id in names]


def test_fourteen_attacks_stand_in_the_six_families():
    families = Counter(attack.family for attack in ATTACKS)

    assert sum(families[family] for family in SIX) >= 14
    assert all(families[family] for family in SIX)
    assert {"none", "encoding", "multi-turn"} <= set(families)
    assert set(families) | {"adaptive"} == set(FAMILIES)


def test_the_shipped_bank_yields_well_over_5000_scenarios(bank):
    assert sum(1 for _ in compose(bank)) > 15_000


def test_composition_is_lazy(bank):
    assert len(list(islice(compose(bank), 3))) == 3


def test_the_same_plan_gives_the_same_ids_and_no_id_twice(bank):
    ids = [scenario.scenario_id for scenario in compose(bank, languages=("en", "es"))]

    assert ids == [scenario.scenario_id for scenario in compose(bank, languages=("en", "es"))]
    assert len(set(ids)) == len(ids)


def test_an_id_changes_with_the_words_it_names(bank):
    from dataclasses import replace

    (before,) = islice(compose(bank), 1)
    (after,) = islice(compose([replace(bank[0], text=bank[0].text + " now")]), 1)

    assert before.scenario_id != after.scenario_id


def test_a_sample_is_a_seeded_permutation_that_a_growing_bank_keeps(bank):
    small = [intent for intent in bank if intent.category == "violence"]

    order = [intent.id for intent in sample(small, size=None, seed=1)]

    assert sorted(order) == sorted(intent.id for intent in small)
    assert order != [intent.id for intent in sample(small, size=None, seed=2)]
    assert [i.id for i in sample(small[5:], size=None, seed=1)] == [i for i in order if i in {x.id for x in small[5:]}]


def test_strata_are_dealt_in_turn(bank):
    drawn = sample([i for i in bank if i.domain == "content-policy"], size=70, seed=3)

    assert set(Counter(intent.category for intent in drawn).values()) == {10}


def test_a_gate_gets_its_own_intents_whole_and_every_attack_its_share(bank, framework):
    sampling = Sampling(intents=60, attacks=("none", "authority", "fiction"), attacks_per_intent=2)

    scenarios = list(select(framework, bank, sampling, gates=gates(framework, "policy.violence.unsafe")))

    assert {scenario.category for scenario in scenarios} == {"violence"}
    assert len({scenario.intent_id for scenario in scenarios}) == 60
    assert Counter(scenario.attack for scenario in scenarios) == {"none": 40, "authority": 40, "fiction": 40}
    runs = [scenario.intent_id for scenario in scenarios]
    assert all(runs[i] == runs[i + 1] for i in range(0, len(runs), 2))


def test_no_gate_and_no_category_comes_first(bank, framework):
    """Bets on a run's first part speak of the whole only when its order is random over everything."""
    wanted = gates(framework, "policy.violence.unsafe", "policy.overrefusal", "cyber.refusal")

    scenarios = list(select(framework, bank, Sampling(intents=60, attacks=("none",)), gates=wanted))

    first = scenarios[: len(scenarios) // 3]
    for kind in (lambda s: (s.harmful, s.domain), lambda s: s.category):
        whole, part = Counter(map(kind, scenarios)), Counter(map(kind, first))
        assert all(part[name] >= 0.15 * count for name, count in whole.items() if count >= 20)


def test_the_over_refusal_gate_gets_plain_twins_only(bank, framework):
    scenarios = list(select(framework, bank, Sampling(intents=60), gates=gates(framework, "policy.overrefusal")))

    assert len(scenarios) == 60
    assert not any(scenario.harmful for scenario in scenarios)
    assert {scenario.attack for scenario in scenarios} == {"none"}


def test_biological_refusal_selects_biological_intents_only(bank, framework):
    scenarios = select(framework, bank, Sampling(intents=500), gates=gates(framework, "chem-bio.refusal"))

    assert all(scenario.subcategory.startswith("bio-") for scenario in scenarios)


def test_an_unknown_attack_is_named():
    with pytest.raises(UnknownAttack, match="unknown attack 'charm'"):
        attacks_named(("charm",))
