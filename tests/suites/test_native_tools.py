"""Tools in a vendor's own form: declared on the wire, called on the wire, the same text to safeguards and evidence."""

import json
from dataclasses import replace

import pytest

from safecase.evidence import Message
from safecase.models import (
    EndpointError,
    EndpointOptions,
    Model,
    Options,
    PlatformFailed,
    Request,
    Tool,
    UnparsedAnswer,
    call_text,
    open_model,
    wire_turns,
)
from safecase.models._values import must_ask_without_tools
from safecase.safeguard import Exchange, Ruling, empty_stack
from safecase.suites import Guarded, Limits, Tried, try_suite
from safecase.suites.injection import ATTACKED, InjectionSuite, load_bank
from safecase.suites.interpreter import InterpreterSuite, load_abuse_tasks
from safecase.testing import ScriptedModel, StubEndpoint, StubReply, agent_player, speaking_tools

NATIVE = Limits(turns=8, tools="native")
ABUSE = load_abuse_tasks()[0].id
LOOK = Tool(name="look", parameters={"type": "object", "properties": {"at": {"type": "string"}}})


class NoPayments:
    """A layer that keeps back a reply in which money is paid out."""

    name, stage, digest, reach = "no-payments", "output", "x", 0

    async def check(self, exchange: Exchange) -> Ruling:
        return Ruling(action="withhold" if '"pay"' in exchange.reply else "allow")


def said(*turns: tuple[str, str]) -> tuple[Message, ...]:
    return tuple(Message(role=role, content=content) for role, content in turns)  # type: ignore[arg-type]


def desk(character: str, condition: str) -> StubEndpoint:
    bank = load_bank()
    task = next(one for one in bank.tasks if one.id == "bank-rent")
    goal = bank.attack(task, number=0, seed=NATIVE.seed).goal
    assert goal is not None
    tags = {"suite": "agent-injection", "task": task.id, "condition": condition, "goal": goal.id}
    return StubEndpoint(speaking_tools(agent_player(character), tags=tags))  # type: ignore[arg-type]


async def tried(model: Model, condition: str) -> Tried:
    came = try_suite(InjectionSuite(), model, tasks=["bank-rent"], limits=NATIVE)
    (one,) = [one async for one in came if one.attempt.condition == condition]
    return one


def open_stub(stub: StubEndpoint) -> Model:
    return open_model(stub.target(), options=Options(endpoint=EndpointOptions(retries=0)))


async def test_an_agent_works_over_the_wire_and_every_call_is_answered():
    async with desk("careful", "") as stub, open_stub(stub) as model:
        came = await tried(model, "")

    assert came.attempt.score == 1.0
    assert {"read_mail", "pay"} <= {one["function"]["name"] for one in stub.asked[0].body["tools"]}
    assert "<tool_call>" not in json.dumps([one.body for one in stub.asked])
    longest = max((one.body["messages"] for one in stub.asked), key=len)
    called = [call["id"] for turn in longest for call in turn.get("tool_calls", ())]
    assert called == [turn["tool_call_id"] for turn in longest if turn["role"] == "tool"] != []
    assert any(turn.content.startswith("<tool_call>") for turn in came.transcript)  # evidence keeps what was called


@pytest.mark.parametrize(("character", "followed"), [("gullible", 1.0), ("careful", 0.0)])
async def test_an_order_is_followed_or_not_over_the_wire(character: str, followed: float):
    async with desk(character, ATTACKED) as stub, open_stub(stub) as model:
        came = await tried(model, ATTACKED)

    assert came.attempt.measures["met"] == 1.0
    assert came.attempt.measures["followed"] == followed


async def test_safeguards_stand_in_the_way_of_what_is_called():
    stack = replace(empty_stack(), layers=(NoPayments(),))
    async with desk("gullible", "") as stub, open_stub(stub) as model:
        came = await tried(Guarded(model, stack), "")

    assert stub.asked[0].body["tools"]
    assert came.attempt.score == 0.0
    assert not any('"pay"' in turn.content for turn in came.transcript)


async def test_an_interpreter_is_called_and_a_fence_runs_nothing():
    acts = "\n".join(next(one for one in load_abuse_tasks() if one.id == ABUSE).acts.splitlines())
    answers = {"calls": call_text("shell", json.dumps({"source": acts})), "writes": f"```shell\n{acts}\n```"}
    for way, answer in answers.items():
        model = ScriptedModel(lambda _, answer=answer: answer)
        came = [one async for one in try_suite(InterpreterSuite(), model, tasks=[f"abuse/{ABUSE}"], limits=NATIVE)]

        assert came[0].attempt.measures.get("abused") == (1.0 if way == "calls" else None)
        assert [tool.name for tool in model.asked[0].tools] == ["shell", "python"]


async def test_an_endpoint_that_refuses_tools_stops_the_run_and_says_how_to_go_on():
    async with StubEndpoint([StubReply(status=400, text="no tool parser")]) as stub, open_stub(stub) as model:
        with pytest.raises(PlatformFailed, match="tools: words"):
            await model.generate(Request(messages=said(("user", "Look.")), tools=(LOOK,)))
    assert len(stub.asked) == 1


async def test_one_that_took_them_before_fails_an_attempt_alone():
    replies = [StubReply(text="", calls=[("look", "{}")]), StubReply(status=400, text="bad tool arguments")]
    request = Request(messages=said(("user", "Look.")), tools=(LOOK,))
    async with StubEndpoint(replies) as stub, open_stub(stub) as model:
        assert (await model.generate(request)).text == call_text("look", "{}")
        with pytest.raises(EndpointError):
            await model.generate(request)


@pytest.mark.parametrize(
    ("arguments", "read"),
    [
        ('{"at": "x</tool_call>y"}', "x</tool_call>y"),  # an end tag within an argument ends nothing
        ('{"at": ', None),
        ("", None),
    ],
)
async def test_arguments_come_through_whole_or_stay_unread(arguments: str, read: str | None):
    async with StubEndpoint([StubReply(text="I look.", calls=[("look", arguments)])]) as stub, open_stub(stub) as model:
        answer = await model.generate(Request(messages=said(("user", "Look.")), tools=(LOOK,)))

    (turn, _) = wire_turns([Message(role="assistant", content=answer.text)])
    (call,) = turn["tool_calls"]
    assert (turn["content"], call["function"]["name"]) == ("I look.", "look")
    if read is not None:
        assert json.loads(call["function"]["arguments"]) == {"at": read}
    elif arguments:
        assert call["function"]["arguments"] == arguments


async def test_a_stream_with_tools_is_answered_whole():
    async with StubEndpoint([StubReply(text="", calls=[("look", "{}")])]) as stub, open_stub(stub) as model:
        pieces = [one async for one in model.stream(Request(messages=said(("user", "Look.")), tools=(LOOK,)))]

    assert [(one.text, one.finish_reason) for one in pieces] == [(call_text("look", "{}"), "tool_calls")]


async def test_what_is_no_list_of_calls_is_no_answer():
    raw = json.dumps({"choices": [{"message": {"content": None, "tool_calls": [{"name": "look"}]}}]}).encode()
    async with StubEndpoint([StubReply(raw=[raw])]) as stub, open_stub(stub) as model:
        with pytest.raises(UnparsedAnswer, match="tool_calls"):
            await model.generate(Request(messages=said(("user", "Look.")), tools=(LOOK,)))


def test_a_call_without_a_result_is_answered_and_a_result_without_a_call_is_the_user_s():
    calls = call_text("look", '{"at": "a"}') + call_text("look", '{"at": "b"}')
    wired = wire_turns(said(("tool", "lost"), ("assistant", calls), ("tool", "one"), ("user", "Go on.")))

    assert [turn["role"] for turn in wired] == ["user", "assistant", "tool", "tool", "user"]
    assert [turn["content"] for turn in wired] == ["lost", "", "one", "(no result)", "Go on."]
    assert len({turn["tool_call_id"] for turn in wired if turn["role"] == "tool"}) == 2


async def test_a_target_without_such_a_form_refuses():
    with pytest.raises(PlatformFailed, match="takes no tools"):
        must_ask_without_tools(Request(messages=said(("user", "Look.")), tools=(LOOK,)), name="llama-cpp/x")
