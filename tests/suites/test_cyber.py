"""The suite: attempts of a player that solves all, some or none; resuming; and refusing where no sandbox holds."""

import asyncio
import gc
import importlib.util
from collections import Counter
from collections.abc import Callable

import pytest

from safecase.decide import read_gate
from safecase.declare import load_framework
from safecase.measure import SuiteEvidence, estimate_suite
from safecase.models import EndpointError, LocalOptions, Options, PlatformFailed, open_model
from safecase.suites import Limits, NoSandbox, Subject, Suite, Tried, Uncontained, load_suite, plan_attempts
from safecase.suites.cyber import TASKS, ctf_suite, inspect_task, run_cyber
from safecase.suites.cyber import _suite as suite_module
from safecase.testing import ScriptedModel, check_suite, ctf_player
from tests.suites.sandboxes import NEEDS_SANDBOX

LIMITS = Limits(turns=3, tokens=5000, seconds=60)
SOME = ("shifted-alphabet", "quoted-name", "next-door")

Solves = Callable[[str, int], bool]


def player(solves: Solves) -> ScriptedModel:
    return ScriptedModel(ctf_player(solves), concurrency=4)


async def tried(model: ScriptedModel, **options: object) -> list[Tried]:
    options = {"tasks": SOME, "attempts": 2, "limits": LIMITS, **options}
    return [one async for one in run_cyber(model, **options)]  # type: ignore[arg-type]


def test_it_is_a_suite_that_ships_under_the_packs_id():
    suite = load_suite("ctf-simple")

    assert isinstance(suite, Suite)
    assert suite.grader == "exact"
    assert suite.domain == "cyber"
    assert [task.task for task in suite.tasks()] == [task.task_id for task in TASKS]
    assert {task.human_time for task in suite.tasks()} == {"estimated"}


def test_a_change_of_tasks_or_agent_makes_another_suite(monkeypatch: pytest.MonkeyPatch):
    before = ctf_suite().digest
    sources = dict(suite_module._sources())
    assert before == ctf_suite().digest
    assert {"_agent.py", "_suite.py", "_web.py", "_task.py"} <= sources.keys()
    monkeypatch.setattr(suite_module, "_sources", lambda: {**sources, "_web.py": "changed"})

    assert ctf_suite().digest != before


async def test_an_unknown_task_is_named():
    with pytest.raises(ValueError, match="no task 'nowhere' in ctf-simple"):
        await tried(player(lambda *_: True), tasks=("nowhere",))


@pytest.mark.parametrize("fault", [NoSandbox("no sandbox"), Uncontained("bubblewrap: what runs inside can leave")])
async def test_without_a_sandbox_that_holds_nothing_is_run(fault: Exception, monkeypatch: pytest.MonkeyPatch):
    def refuse() -> None:
        raise fault

    monkeypatch.setattr("safecase.suites._sandbox_probe.find_engine", refuse)
    model = player(lambda *_: True)

    with pytest.raises(PlatformFailed, match=f"suite ctf-simple: {fault}"):
        await tried(model)
    assert model.asked == []


class TestRuns:
    pytestmark = NEEDS_SANDBOX

    async def test_a_player_that_can_solves_every_attempt_with_its_own_flag(self):
        found = await tried(player(lambda *_: True))

        assert Counter((one.attempt.task, one.attempt.number) for one in found) == {
            (task, number): 1 for task in SOME for number in range(2)
        }
        assert {one.attempt.score for one in found} == {1.0}
        assert {one.attempt.flags for one in found} == {()}
        assert len({one.transcript[-1].content for one in found}) == 6  # a flag is of no use elsewhere

    async def test_it_keeps_the_promises_of_a_suite(self):
        await check_suite(ctf_suite())

    async def test_a_player_that_cannot_solves_none(self):
        found = await tried(player(lambda *_: False), attempts=1)

        assert [one.attempt.score for one in found] == [0.0] * 3
        assert {one.attempt.status for one in found} == {"answered"}

    async def test_what_is_on_record_is_not_tried_again(self):
        model = player(lambda task, number: number == 0)
        first = await tried(model, attempts=1)
        asked = len(model.asked)
        rest = await tried(model, attempts=2, done=[one.attempt.attempt_id for one in first])

        assert {one.attempt.number for one in rest} == {1}
        assert {one.attempt.score for one in rest} == {0.0}
        assert len(model.asked) - asked == 3 * LIMITS.turns

    async def test_another_limit_or_arm_is_another_attempt(self):
        model = player(lambda *_: True)
        ids = {
            one.attempt.attempt_id
            for options in ({}, {"arm": "guarded"}, {"limits": Limits(turns=4, tokens=5000)})
            for one in await tried(model, tasks=SOME[:1], attempts=1, **options)
        }

        assert len(ids) == 3

    async def test_a_failing_endpoint_leaves_an_error_and_no_score(self):
        def script(request: object) -> str:
            raise EndpointError("503", ours="the endpoint failed")

        found = await tried(ScriptedModel(script), tasks=SOME[:1], attempts=1)

        assert (found[0].attempt.status, found[0].attempt.score) == ("error", None)
        assert found[0].attempt.error == "the endpoint failed"

    async def test_a_sandbox_that_ends_leaves_an_error_for_a_person_to_see(self, monkeypatch: pytest.MonkeyPatch):
        opened = suite_module.open_sandbox

        async def dying(*args: object, **options: object) -> object:
            box = await opened(*args, **options)  # type: ignore[arg-type]
            box._process.kill()  # type: ignore[attr-defined]
            await box._process.wait()  # type: ignore[attr-defined]
            return box

        monkeypatch.setattr(suite_module, "open_sandbox", dying)
        found = await tried(player(lambda *_: True), tasks=SOME[:1], attempts=1)

        assert (found[0].attempt.status, found[0].attempt.flags) == ("error", ("tool-error",))

    async def test_stopping_early_leaves_no_sandbox_behind(self):
        before = len(asyncio.all_tasks())
        runs = run_cyber(player(lambda *_: True), tasks=SOME, attempts=3, limits=LIMITS)
        async for _ in runs:
            break
        await runs.aclose()
        await asyncio.sleep(0.1)

        assert len(asyncio.all_tasks()) == before

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("solves", "verdict"),
        [
            pytest.param(lambda task, number: True, "fail", id="all"),
            pytest.param(lambda task, number: False, "pass", id="none"),
            pytest.param(lambda task, number: number == 0 and task in SOME, "pass", id="a few, once"),
            pytest.param(
                lambda task, number: any(one.task_id == task and one.category == "web" for one in TASKS),
                "fail",
                id="one category",
            ),
        ],
    )
    async def test_the_gate_is_seen_to_pass_and_to_fail(self, solves: Solves, verdict: str):
        model, suite = player(solves), ctf_suite()
        limits = Limits(turns=2, tokens=5000, seconds=120)
        planned = tuple(plan_attempts(suite, arm="bare", arm_digest="d", model=model.name, attempts=20))
        subject = Subject(arm="bare", model=model, digest="d")
        found = [one.attempt async for one in suite.run(subject, planned, limits=limits)]
        gate = next(gate for gate in load_framework("scaling-v2").gates if gate.id == "cyber.simple-suite")
        evidence = SuiteEvidence(
            planned=planned,
            attempts={one.attempt_id: one for one in found},
            inputs=suite.inputs,
            fixed=True,
            calibration="own",
            grader="exact",
        )
        estimates = {one.estimate_id: one for one in estimate_suite(evidence, [gate], arm="bare")}
        reading = read_gate(gate, estimates, arm="bare", planned=True, available=True)

        assert reading.verdict == verdict

    @pytest.mark.slow
    @pytest.mark.local_model
    @pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="xllamacpp is not installed")
    async def test_the_embedded_model_is_tried_for_real(self):
        async with open_model("llama-cpp/smollm2-135m-instruct", options=Options(local=LocalOptions())) as model:
            limits = Limits(turns=2, tokens=300, answer_tokens=120, seconds=300)
            found = [one async for one in run_cyber(model, tasks=SOME, attempts=1, limits=limits)]

        assert [one.attempt.status for one in found] == ["answered"] * 3
        assert [one.attempt.score for one in found] == [0.0] * 3
        assert all(one.attempt.tokens_out for one in found)


@pytest.mark.suites
@pytest.mark.skipif(importlib.util.find_spec("inspect_ai") is None, reason="inspect-ai is not installed")
@pytest.mark.filterwarnings("ignore")  # Inspect's own dependencies warn
class TestInspect:
    pytestmark = NEEDS_SANDBOX

    def test_an_unknown_category_is_refused(self):
        with pytest.raises(ValueError, match="category 'nowhere'"):
            inspect_task(category="nowhere")

    def test_inspect_runs_the_suite_with_its_own_model(self, tmp_path):
        from inspect_ai import eval as inspect_eval
        from inspect_ai.model import ModelOutput, ModelUsage, get_model

        def answer(messages, tools, tool_choice, config):
            solution = next(task.solution for task in TASKS if task.prompt == messages[1].text)
            said = messages[-1].text.split("\n")[0]
            text = f"FLAG: {said}" if len(messages) > 2 else f"```python\n{solution}```"
            output = ModelOutput.from_content("mockllm/model", text)
            output.usage = ModelUsage(input_tokens=5, output_tokens=3, total_tokens=8)
            return output

        [log] = inspect_eval(
            inspect_task(category="web", limits=LIMITS),
            model=get_model("mockllm/model", memoize=False, custom_outputs=answer),
            sample_id=["quoted-name", "trusted-cookie"],
            log_dir=str(tmp_path),
            display="none",
        )

        gc.collect()  # what Inspect leaves open warns here, and not in somebody else's test

        assert log.status == "success", log.error
        assert log.results.scores[0].metrics["accuracy"].value == 1.0
        assert {sample.metadata["category"] for sample in log.samples} == {"web"}
