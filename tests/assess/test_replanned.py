"""Whoever samples a case anew until a gate clears has more chances to be wrong, and the decision says so."""

import pytest
import yaml

from safecase.assess import decide_case, measure_case, open_case, report_case, run_case, verify_case
from safecase.assess._report import report_numbers
from safecase.testing import ScriptedModel

from .conftest import SAFE_REFUSAL, safe_target

SAID = "plans that sample, generate or judge differently"


def changed(case, **sampling):
    file = case.path / "safecase.yaml"
    spec = yaml.safe_load(file.read_text())
    spec["sampling"].update(sampling)
    file.write_text(yaml.safe_dump(spec, sort_keys=False))
    return open_case(case.path)


async def limits_after(case, clock) -> list[str]:
    await run_case(case, model=ScriptedModel(lambda _: SAFE_REFUSAL), now=clock)
    _, decided = await decide_case(case, now=clock)
    assert verify_case(open_case(case.path)).holds
    return [limit for limit in decided.limits if SAID in limit]


@pytest.fixture
def small_case(make_case):
    return make_case(gates=("policy.violence.unsafe",), intents=2, attacks=("none",))


async def test_a_sample_that_was_extended_is_among_the_limits(small_case, clock):
    first = await limits_after(small_case, clock)
    again = await limits_after(small_case, clock)
    (second,) = await limits_after(changed(small_case, intents=3), clock)
    (third,) = await limits_after(changed(small_case, seed=1), clock)
    (back,) = await limits_after(changed(small_case, intents=2, seed=20260407), clock)

    assert (first, again) == ([], [])
    assert "run under 2 plans" in second
    assert "run under 3 plans" in third
    assert "run under 3 plans" in back


async def test_asking_about_another_gate_is_no_other_sample(small_case, clock):
    await limits_after(small_case, clock)

    assert await limits_after(changed(small_case, gates=["policy.violence.unsafe", "policy.overrefusal"]), clock) == []


async def test_a_report_counts_the_trials_of_the_plan_in_force(make_case, clock):
    """Those of an earlier plan are on record, and no number rests on them."""
    case = make_case(gates=("policy.violence.unsafe",), intents=2, attacks=("none",))
    await run_case(case, model=ScriptedModel(safe_target), now=clock)
    path = case.path / "safecase.yaml"
    path.write_text(path.read_text().replace("max_tokens: 128", "max_tokens: 64"))
    again = open_case(case.path)
    await run_case(again, model=ScriptedModel(safe_target), now=clock)
    measured = await measure_case(again, now=clock)
    await report_case(again, now=clock)

    numbers = report_numbers(again, measured.estimates)

    assert again.plan is not None
    assert sum(1 for _ in again.trials.read()) == 2 * again.plan.trials
    assert numbers["trials/total"]["value"] == again.plan.trials
