"""A case is run by one process at a time; whoever comes second is told so and asks nothing."""

import asyncio

import pytest

from safecase.assess import Cluster, open_case, run_case, run_case_distributed
from safecase.compose import UnknownAttack
from safecase.models import PlatformFailed
from safecase.run import LocalExecutor, RunError
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
