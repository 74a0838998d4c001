"""Whoever samples a case anew until a gate clears has more chances to be wrong, and the decision says so."""

import pytest
import yaml

from safecase.assess import decide_case, open_case, run_case, verify_case
from safecase.testing import ScriptedModel

from .conftest import SAFE_REFUSAL

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
