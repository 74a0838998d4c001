"""A case is run by one process at a time; whoever comes second is told so and asks nothing."""

import asyncio
import dataclasses

import pytest

from safecase.assess import Cluster, open_case, run_case, run_case_distributed
from safecase.compose import UnknownAttack
from safecase.declare import Budget
from safecase.models import PlatformFailed
from safecase.run import LocalExecutor, Progress, RunError
from safecase.safeguard import load_stack
from safecase.testing import ScriptedModel, StubEndpoint, StubReply

from .conftest import SAFE_REFUSAL


async def test_a_second_run_of_a_case_is_refused_and_the_first_goes_on(make_case, clock):
    case = make_case(gates=("policy.violence.unsafe",), intents=4, attacks=("none",))
    slow, second = ScriptedModel(lambda _: SAFE_REFUSAL, delay_s=0.2), ScriptedModel(lambda _: SAFE_REFUSAL)
    first = asyncio.create_task(run_case(case, model=slow, now=clock))
    await asyncio.sleep(0.05)

    with pytest.raises(RunError, match="is being run already"):
        await run_case(open_case(case.path), model=second, now=clock)
    summary = await first

    assert case.plan is not None
    assert (summary.trials, len(second.asked)) == (case.plan.trials, 0)
    assert (await run_case(case, model=second, now=clock)).trials == 0


async def test_a_run_over_several_processes_is_refused_as_well(make_case, clock):
    case = make_case(gates=("policy.violence.unsafe",), intents=4, attacks=("none",))
    slow = ScriptedModel(lambda _: SAFE_REFUSAL, delay_s=0.2)
    first = asyncio.create_task(run_case(case, model=slow, now=clock))
    await asyncio.sleep(0.05)

    with pytest.raises(RunError, match="is being run already"):
        await run_case_distributed(open_case(case.path), cluster=Cluster(executor=LocalExecutor(1)), now=clock)
    await first


async def test_an_attack_that_nobody_knows_is_told_before_a_model_is_asked(make_case, clock):
    case = make_case(gates=("policy.violence.unsafe",), attacks=("none", "flattery"))

    async with StubEndpoint() as stub:
        with pytest.raises(UnknownAttack, match="flattery"):
            await run_case(case, model_name=stub.target(), now=clock)
        assert stub.asked == []


async def test_an_endpoint_that_gives_no_answer_to_the_probes_is_told_so(make_case, clock):
    case = make_case(gates=("policy.violence.unsafe",), attacks=("none",))

    async with StubEndpoint([StubReply(status=400, text="no such model")]) as stub:
        with pytest.raises(PlatformFailed, match=r"HTTP 400 .*harmless questions that tell which model answers"):
            await run_case(case, model_name=stub.target(), now=clock)
    assert case.trials.ids() == set()


async def test_a_stack_that_was_let_go_of_answers_no_later_run(make_case, clock, monkeypatch):
    """Models of layers cannot be asked once they are closed: a second run in one process opens its own."""
    opened: list[ScriptedModel] = []

    def opens(name: str, **_: object) -> ScriptedModel:
        def replies(_: object) -> str:
            return "the guard was closed" if guard.is_closed else "safe"

        guard = ScriptedModel(replies, name=name)
        opened.append(guard)
        return guard

    monkeypatch.setitem(load_stack.__kwdefaults__, "open_as", opens)
    case = make_case(gates=("policy.violence.unsafe",), intents=4, attacks=("none",))
    layer = "{name: guard, kind: guard-model, stage: input, model: openai/g@http://h/v1, format: words, allows: [safe],"
    (case.path / "stack.yaml").write_text(f"id: own\nversion: '1'\nlayers:\n  - {layer} withholds: [unsafe]}}\n")
    case = dataclasses.replace(case, spec=case.spec.model_copy(update={"safeguards": "stack.yaml"}))

    first = await run_case(case, model=ScriptedModel(lambda _: SAFE_REFUSAL), budget=Budget(trials=4), now=clock)
    second = await run_case(case, model=ScriptedModel(lambda _: SAFE_REFUSAL), now=clock)

    assert (first.errors, second.errors) == (0, 0)
    assert second.trials > 0
    assert len(opened) >= 2
    assert all(guard.is_closed for guard in opened if guard.asked)


async def test_settings_that_an_endpoint_refuses_are_left_out_and_stand_in_the_ledger(make_case, clock):
    case = make_case(gates=("policy.violence.unsafe",), intents=4, attacks=("none",))

    def script(body: dict[str, object]) -> StubReply:
        says = "Unsupported value: 'temperature' does not support 0 with this model."
        return StubReply(status=400, text=says) if "temperature" in body else StubReply(text=SAFE_REFUSAL)

    async with StubEndpoint(script) as stub:
        summary = await run_case(case, model_name=stub.target(), now=clock)

    assert summary.errors == 0
    assert summary.left_out == {stub.target(): ("temperature",)}
    assert list(case.ledger.entries())[-1].subject["left_out"] == {stub.target(): ["temperature"]}


@pytest.mark.parametrize("allocation", ["plan-order", "bandit"])
@pytest.mark.parametrize("attack", ["none", "retry-persuasion"])
async def test_progress_counts_what_is_left_also_where_an_earlier_run_is_gone_on_with(
    make_case, clock, allocation: str, attack: str
):
    """An episode of several attempts is one planned trial; what was there already is not waited for."""
    case = make_case(gates=("policy.violence.unsafe",), intents=6, attacks=(attack,))
    sampling = case.spec.sampling.model_copy(update={"allocation": allocation})
    case = dataclasses.replace(case, spec=case.spec.model_copy(update={"sampling": sampling}))
    first: list[Progress] = []
    second: list[Progress] = []

    await run_case(case, model=ScriptedModel(lambda _: SAFE_REFUSAL), budget=Budget(trials=5), on_progress=first.append)
    await run_case(case, model=ScriptedModel(lambda _: SAFE_REFUSAL), on_progress=second.append)

    assert case.plan is not None
    assert {(one.total, first[-1].done) for one in first} == {(5, 5)}
    assert {(one.total, second[-1].done) for one in second} == {(case.plan.trials - 5, case.plan.trials - 5)}
