"""The bandit finds more, keeps each cell's order, and leaves nothing out."""

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from safecase.compose import Intent, load_shipped_bank
from safecase.declare import CaseSpec, load_framework
from safecase.evidence import Identity, Judgement, Trial
from safecase.measure._sequence import lower_bound
from safecase.run import BanditSchedule, Plan, PlannedTrial, Target, make_plan, planned_trials
from safecase.run._trial import make_trial
from safecase.safeguard import empty_stack

FRAMEWORK = load_framework("scaling-v2")
BANK = load_shipped_bank()
GATES = ["policy.violence.unsafe", "policy.privacy.unsafe", "policy.overrefusal"]


def plan_of(bank: Sequence[Intent] = BANK, **sampling: object) -> Plan:
    chosen = {"gates": GATES, "intents": 30, "attacks": ["none", "authority", "fiction", "role-play"], **sampling}
    spec = CaseSpec.model_validate(
        {
            "id": "test",
            "title": "test",
            "framework": "scaling-v2",
            "model": {"name": "scripted/fake", "title": "fake", "safeguard_state": "full"},
            "contexts": ["closed"],
            "sampling": chosen,
        }
    )
    identity = Identity(kind="name-only", model="scripted/fake", digest=None, details={})
    arms = {"bare": empty_stack(), "guarded": replace(empty_stack(), id="also none")}
    return make_plan(
        spec, FRAMEWORK, bank, targets=dict.fromkeys(arms, Target(model="scripted/fake", identity=identity)), arms=arms
    )


def schedule_of(plan: Plan, **options: object) -> BanditSchedule:
    return BanditSchedule(plan, FRAMEWORK, BANK, **options)  # type: ignore[arg-type]


def outcome(planned: PlannedTrial, *, is_unsafe: bool) -> tuple[Trial, Judgement]:
    row = make_trial(planned, None, status="error", error="not asked", seconds=0.0, vault=None).trial
    verdict = "compliance" if is_unsafe else "refusal"
    return row, Judgement(trial_id=row.trial_id, judge="embedded", judge_digest="0", verdict=verdict)


def play(schedule: BanditSchedule, weak: set[tuple[str, str]], *, most: int = 10**9) -> list[PlannedTrial]:
    """Hand out trials; the cells in `weak` answer unsafely, all others do not."""
    handed: list[PlannedTrial] = []
    while len(handed) < most and (planned := schedule.next()) is not None:
        handed.append(planned)
        scenario = planned.scenario
        schedule.learn(*outcome(planned, is_unsafe=(scenario.attack, scenario.category) in weak))
    return handed


def units(handed: list[PlannedTrial]) -> dict[tuple[str, str, bool], list[str]]:
    cells: dict[tuple[str, str, bool], list[str]] = defaultdict(list)
    for t in handed:
        s = t.scenario
        intents = cells[s.attack, s.category, s.harmful]
        if not intents or intents[-1] != s.intent_id:
            intents.append(s.intent_id)
    return cells


WEAK = {("fiction", "violence")}


def test_every_planned_trial_comes_once_and_is_the_planned_one():
    plan = plan_of(repetitions=2)

    handed = play(schedule_of(plan), WEAK)

    planned = {t.trial_id: t for t in planned_trials(plan, FRAMEWORK, BANK)}
    assert len(handed) == len(planned)
    assert {t.trial_id: t for t in handed} == planned


def test_a_cell_keeps_the_order_of_the_plan_whatever_was_answered():
    """A confidence sequence over a cell rests on this."""
    plan = plan_of()
    as_planned = units(list(planned_trials(plan, FRAMEWORK, BANK)))

    for weak in (WEAK, {("none", "privacy"), ("role-play", "violence")}, set()):
        handed = units(play(schedule_of(plan), weak, most=150))
        assert handed
        for cell, intents in handed.items():
            assert intents == as_planned[cell][: len(intents)]


def test_an_intent_is_run_whole():
    handed = play(schedule_of(plan_of(repetitions=2)), WEAK)

    for start in range(0, len(handed), 4):
        unit = handed[start : start + 4]
        assert len({t.scenario.scenario_id for t in unit}) == 1
        assert {(t.arm.name, t.repetition) for t in unit} == {(a, r) for a in ("bare", "guarded") for r in (0, 1)}


def test_the_budget_goes_where_answers_were_unsafe():
    handed = play(schedule_of(plan_of()), WEAK, most=120)
    found = sum((t.scenario.attack, t.scenario.category) in WEAK for t in handed)
    uniform = 120 * 30 / 270

    assert found > 2.5 * uniform


@pytest.mark.parametrize("floor", [0.2, 0.5, 1.0])
def test_every_cell_gets_the_declared_floor(floor: float):
    schedule = schedule_of(plan_of(), floor=floor)

    for _ in range(100):
        play(schedule, WEAK, most=2)
        taken = sum(cell.taken for cell in schedule.cells)
        for cell in schedule.cells:
            assert cell.taken >= min(cell.planned, floor * cell.share * taken - 2)


def test_a_weakness_that_is_known_is_not_looked_for_again_first():
    """`fiction` and `role-play` are of one family: after the one, the other on the same intent finds nothing new."""
    weak = {("fiction", "violence"), ("role-play", "violence")}
    handed = play(schedule_of(plan_of(), floor=0.0), weak, most=160)
    mine = [t.scenario for t in handed if (t.scenario.attack, t.scenario.category) in weak]

    assert {s.family for s in mine} == {"perspective"}
    assert max(Counter(s.intent_id for s in mine).values()) <= 4
    twice = sum(1 for n in Counter(s.intent_id for s in mine).values() if n > 2)
    assert twice < len({s.intent_id for s in mine}) / 4


def test_the_same_answers_give_the_same_order_and_others_another():
    plan = plan_of()
    first, again, other = (
        [t.trial_id for t in play(schedule_of(plan), weak)] for weak in (WEAK, WEAK, {("none", "privacy")})
    )

    assert first == again
    assert first != other
    assert sorted(first) == sorted(other)


def test_what_is_on_record_is_not_handed_out_and_is_learned_from():
    plan = plan_of()
    before = play(schedule_of(plan), WEAK, most=101)
    have = {t.trial_id for t in before}
    wanted = (t for t in planned_trials(plan, FRAMEWORK, BANK) if t.trial_id not in have)
    schedule = schedule_of(plan, wanted=wanted)
    for t in before:
        schedule.learn(*outcome(t, is_unsafe=(t.scenario.attack, t.scenario.category) in WEAK))

    after = play(schedule, WEAK)

    assert not have & {t.trial_id for t in after}
    assert len(before) + len(after) == plan.trials


def test_only_what_is_wanted_is_handed_out():
    """A lane runs the arms of one endpoint, and both lanes see the whole plan."""
    plan = plan_of(repetitions=2)
    bare = [t for t in planned_trials(plan, FRAMEWORK, BANK) if t.arm.name == "bare" and t.repetition == 1]

    schedule = schedule_of(plan, wanted=iter(bare))

    assert sum(cell.planned for cell in schedule.cells) == sum(c.planned for c in schedule_of(plan).cells)
    assert {t.trial_id for t in play(schedule, WEAK)} == {t.trial_id for t in bare}


def test_absence_teaches_nothing():
    schedule = schedule_of(plan_of())
    planned = schedule.next()
    assert planned is not None
    row, judgement = outcome(planned, is_unsafe=True)

    schedule.learn(row, None)
    schedule.learn(row, replace(judgement, verdict=None))
    schedule.learn(replace(row, scenario_id="f" * 24), judgement)

    assert all(cell.unsafe == cell.safe == 0 for cell in schedule.cells)


def test_one_unsafe_answer_of_any_arm_counts_once():
    schedule = schedule_of(plan_of())
    bare = next(t for t in iter(schedule.next, None) if t.scenario.harmful)
    for is_unsafe in (False, True, True, False):
        schedule.learn(*outcome(bare, is_unsafe=is_unsafe))

    (seen,) = [cell for cell in schedule.cells if cell.unsafe or cell.safe]
    assert (seen.attack, seen.unsafe, seen.safe) == (bare.scenario.attack, 1, 0)


def test_shares_are_those_of_the_plan_and_benign_twins_have_cells_of_their_own():
    schedule = schedule_of(plan_of())

    assert sum(cell.share for cell in schedule.cells) == pytest.approx(1.0)
    assert {cell.attack for cell in schedule.cells if not cell.harmful} == {"none"}
    assert [cell.taken for cell in schedule.cells] == [0] * len(schedule.cells)


def test_a_floor_that_is_no_share_is_refused():
    with pytest.raises(ValueError, match="floor must lie in"):
        schedule_of(plan_of(), floor=1.5)


def test_bounds_of_a_cell_hold_however_the_bandit_got_there_and_the_pooled_mean_does_not():
    """The hard case: an intent answers alike under every attack, so other cells foretell what comes next in a cell."""
    rates = {"violence": 0.5, "privacy": 0.05}
    categories = [[i for i in BANK if i.category == category][:40] for category in rates]
    bank = [intent for many in categories for intent in many]
    missed = pooled = cells = 0
    for seed in range(60):
        rng = random.Random(seed)
        is_unsafe = {intent.id: rng.random() < rates[intent.category] for intent in bank}
        plan = plan_of(bank, gates=GATES[:2], intents=40, seed=seed)
        schedule = BanditSchedule(plan, FRAMEWORK, bank)
        seen: dict[tuple[str, str], list[float]] = defaultdict(list)
        for _ in range(70):
            (planned, _guarded) = (schedule.next(), schedule.next())
            assert planned is not None
            scenario = planned.scenario
            seen[scenario.attack, scenario.category].append(float(is_unsafe[scenario.intent_id]))
            schedule.learn(*outcome(planned, is_unsafe=is_unsafe[scenario.intent_id]))
        for (_, category), values in seen.items():
            cells += 1
            missed += lower_bound(np.array(values), alpha=0.05) > rates[category]
        answers = [value for values in seen.values() for value in values]
        pooled += lower_bound(np.array(answers), alpha=0.05) > sum(rates.values()) / 2

    assert cells > 400
    assert missed / cells <= 0.05
    assert pooled / 60 > 0.2
