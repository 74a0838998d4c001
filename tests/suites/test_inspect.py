"""Any Inspect task as a suite: run behind an arm, or read from a log."""

from pathlib import Path
from typing import Literal

import pytest

pytest.importorskip("inspect_ai")

from safecase.declare import InspectTask
from safecase.declare import Suite as DeclaredSuite
from safecase.evidence import PlannedAttempt
from safecase.models import BadKey, EndpointError, Model, open_model
from safecase.suites import (
    InspectSuite,
    Limits,
    Subject,
    SuiteMissing,
    UnreadableScore,
    plan_attempts,
    tried_of_sample,
)
from safecase.testing import ScriptedModel, StubEndpoint, StubReply

pytestmark = [pytest.mark.suites, pytest.mark.filterwarnings("ignore")]  # Inspect's own dependencies warn
TASKS = Path(__file__).with_name("inspect_tasks.py")


def suite(task: str, **line: object) -> InspectSuite:
    line.setdefault("judged", False)
    inspect = InspectTask(task=f"{TASKS}@{task}", **line)
    return InspectSuite(
        DeclaredSuite(id="asked", title="t", measures=("success_rate",), available=True, needs="n", inspect=inspect)
    )


async def tried(one: InspectSuite, model: Model, *, attempts: int = 1, tools: Literal["words", "native"] = "words"):
    planned = list(plan_attempts(one, arm="bare", arm_digest="0", model=model.name, attempts=attempts))
    subject = Subject(arm="bare", model=model, digest="0")
    return [done async for done in one.run(subject, planned, limits=Limits(turns=4, seconds=30, tools=tools))]


async def test_a_task_is_asked_through_our_door_and_scored_by_inspect():
    one = suite("questions", category="kind", human_minutes="minutes")
    model = ScriptedModel(lambda request: "yes" if request.messages[-1].content == "question 2" else "no")
    came = await tried(one, model, attempts=2)

    assert [task.category for task in one.tasks()[:2]] == ["even", "odd"]
    assert {task.human_minutes for task in one.tasks()} == {5.0}
    scores = {(t.attempt.task, t.attempt.number): t.attempt.score for t in came}
    assert len(scores) == 12
    assert {key for key, score in scores.items() if score == 1.0} == {("q2", 0), ("q2", 1)}
    assert {request.settings.seed for request in model.asked} == {7, 8}  # attempts at one task are not one attempt
    assert [turn.role for turn in came[0].transcript] == ["user", "assistant"]


async def test_tools_are_called_in_words():
    def script(request):
        last = request.messages[-1]
        if last.role == "tool":
            return f"It is {last.content[-2:]}."
        assert "lookup" in request.messages[0].content
        return 'Let me see.\n<tool_call>{"name": "lookup", "arguments": {"key": "x"}}</tool_call>'

    (came,) = await tried(suite("with_tool"), ScriptedModel(script))
    assert came.attempt.score == 1.0
    assert [turn.role for turn in came.transcript] == ["user", "assistant", "tool", "assistant"]


async def test_tools_are_declared_to_an_endpoint_where_the_limits_say_so():
    def reply(body):
        last = body["messages"][-1]
        assert body["tools"][0]["function"]["name"] == "lookup"
        assert body["tools"][0]["function"]["parameters"]["required"] == ["key"]
        if last["role"] == "tool":
            assert last["tool_call_id"] == body["messages"][-2]["tool_calls"][0]["id"]
            return StubReply(text=f"It is {last['content'][-2:]}.")
        return StubReply(text="", calls=[("lookup", '{"key": "x"}')])

    async with StubEndpoint(reply) as stub, open_model(stub.target()) as model:
        (came,) = await tried(suite("with_tool"), model, tools="native")
    assert came.attempt.score == 1.0
    assert [turn.role for turn in came.transcript] == ["user", "assistant", "tool", "assistant"]
    assert "lookup" not in stub.asked[0].body["messages"][0]["content"]


async def test_a_call_that_cannot_be_read_is_told_to_the_model_and_flagged():
    script = iter(["<tool_call>{lookup x}</tool_call>", "I give up."])
    (came,) = await tried(suite("with_tool"), ScriptedModel(lambda _: next(script)))
    assert (came.attempt.score, came.attempt.flags) == (0.0, ("tool-error",))


async def test_a_failing_endpoint_leaves_no_score_and_a_bad_key_stops_the_run():
    down = ScriptedModel(lambda _: EndpointError("down", ours="down"))
    assert {done.attempt.status for done in await tried(suite("questions"), down)} == {"error"}
    with pytest.raises(BadKey):
        await tried(suite("questions"), ScriptedModel(lambda _: BadKey("no key")))


def test_other_samples_make_another_suite():
    assert suite("questions").digest == suite("questions").digest
    assert suite("questions").digest != suite("questions", args={"count": 5}).digest


@pytest.mark.parametrize("task", ["nothing", "questions_of_nobody"])
def test_a_task_that_cannot_be_loaded_says_why(task):
    with pytest.raises(SuiteMissing, match=task):
        suite(task)


PLANNED = PlannedAttempt(
    attempt_id="0" * 24, suite="s", suite_digest="d", task="q", category="all", arm="bare", model="m", number=0
)


@pytest.mark.parametrize(
    ("scores", "line", "score"),
    [
        ({"a": {"value": "C"}}, {}, 1.0),
        ({"a": {"value": "P"}}, {}, 0.5),
        ({"a": {"value": True}}, {}, 1.0),
        ({"a": {"value": {"x": 0.25, "y": 1}}}, {"key": "x"}, 0.25),
        ({"a": {"value": 7}}, {"solved": 5}, 1.0),
        ({"a": {"value": 0}, "b": {"value": 1}}, {"score": "b"}, 1.0),
        ({"a": {"value": float("nan")}}, {}, None),  # Inspect's own mark of a sample without a score
    ],
)
def test_the_packs_line_says_which_number_counts(scores, line, score):
    came = tried_of_sample({"id": "q", "epoch": 1, "scores": scores}, PLANNED, InspectTask(task="p/t", **line))
    assert came.attempt.score == score
    assert came.attempt.status == ("answered" if score is not None else "unparsed")


@pytest.mark.parametrize(
    ("scores", "line", "words"),
    [
        ({"a": {"value": 1}, "b": {"value": 1}}, {}, "name one in the pack"),
        ({"a": {"value": 1}}, {"score": "z"}, "no score 'z'; it has a"),
        ({"a": {"value": 7}}, {}, "say from where on it counts"),
        ({"a": {"value": {"x": 1}}}, {}, "holds x"),
        ({"a": {"value": "maybe"}}, {}, "no number"),
    ],
)
def test_a_score_that_is_not_clear_is_refused(scores, line, words):
    with pytest.raises(UnreadableScore, match=words):
        tried_of_sample({"id": "q", "epoch": 1, "scores": scores}, PLANNED, InspectTask(task="p/t", **line))


def test_a_limit_and_a_tools_error_are_flagged():
    sample = {
        "id": "q",
        "epoch": 1,
        "scores": {"a": {"value": 0}},
        "limit": {"type": "message"},
        "messages": [{"role": "tool", "content": "", "error": {"message": "x"}}],
    }
    came = tried_of_sample(sample, PLANNED, InspectTask(task="p/t"))
    assert came.attempt.flags == ("tool-error", "truncated")
