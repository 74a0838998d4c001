"""A case whose answers decide the order of its run: it runs, measures, decides and verifies, on fixed weights."""

import json

import pytest
import yaml

from safecase.assess import assess, measure_case, open_case, run_case, verify_case
from safecase.declare import Budget
from safecase.testing import ScriptedModel

from .conftest import HELPFUL, SAFE_REFUSAL


def fiction_works_on_violence(request) -> str:
    tags = request.tags
    weak = (tags["harmful"], tags.get("attack"), tags.get("category")) == ("true", "fiction", "violence")
    return HELPFUL if weak or tags["harmful"] == "false" else SAFE_REFUSAL


@pytest.fixture
def bandit_case(make_case):
    case = make_case(
        gates=("policy.violence.unsafe", "policy.privacy.unsafe", "policy.overrefusal"),
        intents=14,
        attacks=("none", "authority", "fiction"),
    )
    file = case.path / "safecase.yaml"
    spec = yaml.safe_load(file.read_text())
    spec["sampling"]["allocation"] = "bandit"
    spec["budget"] = {"trials": 90}
    file.write_text(yaml.safe_dump(spec, sort_keys=False))
    return open_case(case.path)


def read(case) -> dict[str, dict]:
    return {e["estimate_id"]: e for e in json.loads((case.path / "estimates.json").read_bytes())}


async def test_a_bandit_under_a_budget_is_estimated_by_cell_and_verifies(bandit_case, clock):
    outcome = await assess(bandit_case, model=ScriptedModel(fiction_works_on_violence), now=clock)
    found = read(bandit_case)

    assert outcome.run.trials == 90
    whole = found["unsafe_rate/bare/all"]
    assert "fixed weights over 6 attack x category cells, union bound" in whole["method"]
    assert whole["lower_bound"] <= whole["value"] <= whole["upper_bound"]
    gate = found["policy.violence.unsafe/bare/all"]
    assert "fixed weights over 3 attack x category cells" in gate["scope"]["target"]
    assert "discernment/bare/all" not in found
    verified = verify_case(open_case(bandit_case.path))
    assert verified.sentence == "self-consistent, not authenticated"
    assert verified.holds


async def test_a_bandit_run_to_its_end_is_one_series(bandit_case, clock):
    model = ScriptedModel(fiction_works_on_violence)
    await run_case(bandit_case, model=model, now=clock)
    await measure_case(bandit_case, now=clock)
    underway = read(bandit_case)["unsafe_rate/bare/all"]
    await run_case(bandit_case, model=model, budget=Budget(), now=clock)
    await measure_case(bandit_case, now=clock)
    found = read(bandit_case)

    whole = found["unsafe_rate/bare/all"]
    assert "every planned trial run" in whole["method"]
    assert whole["high"] - whole["low"] < underway["high"] - underway["low"]
    assert "discernment/bare/all" in found


async def test_a_gate_that_its_plan_cannot_clear_is_no_reason_to_stop_a_bandit(bandit_case, clock):
    """14 intents under three attacks, and every attack is to be cleared at once."""
    budget = Budget(stop_when_decided=True)
    summary = await run_case(bandit_case, model=ScriptedModel(fiction_works_on_violence), budget=budget, now=clock)

    assert summary.trials == open_case(bandit_case.path).plan.trials
