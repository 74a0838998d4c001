"""Chats through the gateway, by the official client."""

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from safecase.safeguard import Ruling, Stack
from safecase.serve import TextMarks
from safecase.testing import StubEndpoint, StubReply

from .gateways import KEY, Running, gateway, words_stack

openai = pytest.importorskip("openai")
ASK = [{"role": "user", "content": "Tell me about the sea."}]
TEXT = "  The sea\tis wide…\r\n\n and «deep»: 海, 🌊‍🌊, e\u0301 and café.  It covers most of the planet, and more.\n"


@asynccontextmanager
async def client(running: Running, **options: Any) -> AsyncIterator[Any]:
    async with openai.AsyncOpenAI(base_url=running.url, api_key=KEY, max_retries=0, **options) as made:
        yield made


def events(*chunks: dict[str, Any], done: bool = True) -> StubReply:
    lines = [b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks]
    return StubReply(raw=[*lines, b"data: [DONE]\n\n"] if done else lines, content_type="text/event-stream")


def delta(index: int = 0, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": fields, "finish_reason": finish}]}


async def test_allowed_text_comes_back_as_it_was():
    async with StubEndpoint([TEXT]) as stub, gateway(stub.url, stack=words_stack()) as running, client(running) as ask:
        whole = await ask.chat.completions.create(model="stub", messages=ASK)
        stream = await ask.chat.completions.create(model="stub", messages=ASK, stream=True)
        pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]

    assert whole.choices[0].message.content == TEXT
    assert "".join(pieces) == TEXT
    assert len(pieces) > 2


async def test_what_the_client_said_reaches_the_upstream_and_nothing_else_of_it():
    settings = {"temperature": 0.3, "max_tokens": 9, "stop": ["x"], "seed": 4, "logit_bias": {"5": 1}}
    async with StubEndpoint() as stub, gateway(stub.url) as running, client(running) as ask:
        await ask.chat.completions.create(model="stub", messages=ASK, extra_headers={"X-Secret": "s"}, **settings)

    (asked,) = stub.asked
    assert asked.body == {"model": "stub", "messages": ASK, **settings}
    assert "authorization" not in asked.headers
    assert "x-secret" not in asked.headers


async def test_the_stacks_system_prompt_comes_first():
    stack = words_stack(system_prompt="Keep people safe.")
    mine = [{"role": "system", "content": "Be brief."}, *ASK]
    async with StubEndpoint() as stub, gateway(stub.url, stack=stack) as running, client(running) as ask:
        await ask.chat.completions.create(model="stub", messages=mine)

    assert stub.asked[0].body["messages"] == [{"role": "system", "content": "Keep people safe."}, *mine]


async def test_several_choices_stream_each_on_its_own():
    chunks = [delta(n % 2, content=f"{'ab'[n % 2]}{n} ") for n in range(80)]
    ends = [delta(0, "stop"), delta(1, "length")]
    async with (
        StubEndpoint([events(*chunks, *ends)]) as stub,
        gateway(stub.url, stack=words_stack()) as running,
        client(running) as ask,
    ):
        stream = await ask.chat.completions.create(model="stub", messages=ASK, n=2, stream=True)
        got = {0: "", 1: ""}
        finish: dict[int, str] = {}
        async for chunk in stream:
            for choice in chunk.choices:
                got[choice.index] += choice.delta.content or ""
                if choice.finish_reason:
                    finish[choice.index] = choice.finish_reason

    assert got == {index: "".join(f"{'ab'[n % 2]}{n} " for n in range(80) if n % 2 == index) for index in (0, 1)}
    assert finish == {0: "stop", 1: "length"}


CALL = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": ""}}
TOOLS = [{"type": "function", "function": {"name": "find", "parameters": {"type": "object", "properties": {}}}}]


def call_chunks(arguments: str) -> list[dict[str, Any]]:
    pieces = [{"index": 0, "function": {"arguments": letter}} for letter in arguments]
    calls = [{"index": 0, **CALL}, *pieces]
    return [*(delta(tool_calls=[call]) for call in calls), delta(finish="tool_calls")]


async def test_tool_calls_come_whole_and_unchanged():
    arguments = json.dumps({"query": "tides at Dover"})
    async with (
        StubEndpoint([events(*call_chunks(arguments))]) as stub,
        gateway(stub.url, stack=words_stack()) as running,
        client(running) as ask,
    ):
        async with ask.chat.completions.stream(model="stub", messages=ASK, tools=TOOLS) as stream:
            done = await stream.get_final_completion()
        await running.wait_for_events()

    (call,) = done.choices[0].message.tool_calls
    assert (call.function.name, call.function.arguments) == ("find", arguments)
    assert (running.event.tools, running.event.finish_reason) == (1, "tool_calls")


async def test_no_piece_of_forbidden_tool_arguments_goes_out():
    chunks = call_chunks(json.dumps({"query": "a zanziscope, quickly"}))
    async with (
        StubEndpoint([events(*chunks)]) as stub,
        gateway(stub.url, stack=words_stack()) as running,
        client(running) as ask,
    ):
        stream = await ask.chat.completions.create(model="stub", messages=ASK, tools=TOOLS, stream=True)
        got = [chunk async for chunk in stream]
        await running.wait_for_events()

    assert [chunk.choices[0].finish_reason for chunk in got] == ["content_filter"]
    assert all(not chunk.choices[0].delta.tool_calls for chunk in got)
    assert running.event.withheld_by == "words-output"


async def test_a_withheld_request_never_reaches_the_model():
    bad = [{"role": "user", "content": "Build me a z\u200banziscope."}]
    async with StubEndpoint() as stub, gateway(stub.url, stack=words_stack()) as running, client(running) as ask:
        whole = await ask.chat.completions.create(model="stub", messages=bad)
        stream = await ask.chat.completions.create(model="stub", messages=bad, stream=True)
        (chunk,) = [chunk async for chunk in stream]
        await running.wait_for_events(2)

    assert stub.asked == []
    for choice, said in ((whole.choices[0], whole.choices[0].message), (chunk.choices[0], chunk.choices[0].delta)):
        assert choice.finish_reason == "content_filter"
        assert "zanziscope" not in said.content
        assert "help" in said.content
    assert whole.model_extra["safeguard"]["layer"] == chunk.model_extra["safeguard"]["layer"] == "words-input"
    assert "provenance" not in whole.model_extra  # no model made this
    assert [(event.outcome, event.withheld_by, event.status) for event in running.recorder.events] == [
        ("withheld", "words-input", 200)
    ] * 2


async def test_a_withheld_reply_is_replaced_and_counted():
    async with (
        StubEndpoint(["Take a zanziscope and go."]) as stub,
        gateway(stub.url, stack=words_stack()) as running,
        client(running) as ask,
    ):
        done = await ask.chat.completions.create(model="stub", messages=ASK)
        await running.wait_for_events()

    assert done.choices[0].finish_reason == "content_filter"
    assert "zanziscope" not in done.model_dump_json()
    assert done.usage.completion_tokens == 5
    event = running.event
    assert (event.outcome, event.withheld_by, event.reply) == ("withheld", "words-output", None)
    assert running.limiter.tokens == [12]


async def test_a_stream_is_stopped_with_a_reason_and_its_upstream_is_let_go():
    text = "The tide comes and goes. " * 8 + "Then a zanziscope appears. " + "And more of it. " * 400
    async with (
        StubEndpoint([StubReply(text=text, pause_s=0.001)]) as stub,
        gateway(stub.url, stack=words_stack()) as running,
        client(running) as ask,
    ):
        stream = await ask.chat.completions.create(model="stub", messages=ASK, stream=True)
        got = [chunk async for chunk in stream]
        await running.wait_for_events()
        async with asyncio.timeout(5):
            while stub.in_flight:  # noqa: ASYNC110 - a stub tells nobody
                await asyncio.sleep(0.02)
    shown = "".join(chunk.choices[0].delta.content or "" for chunk in got)
    assert text.startswith(shown)
    assert 100 < len(shown) < text.index("zanz") + 1
    assert got[-1].choices[0].finish_reason == "content_filter"
    assert got[-1].model_extra["safeguard"]["principle"] == "no-serious-harm"


async def test_the_first_content_is_held_back_by_no_more_than_64_characters():
    first = delta(content="The tide comes in, and the tide goes out, as it has always done."[:64])
    rest = [delta(content=" And so on."), delta(finish="stop")]
    pieces = [b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in (first, *rest)]
    async with (
        StubEndpoint([StubReply(raw=pieces, content_type="text/event-stream", pause_s=1.5)]) as stub,
        gateway(stub.url, stack=words_stack()) as running,
        client(running) as ask,
    ):
        began = time.monotonic()
        stream = await ask.chat.completions.create(model="stub", messages=ASK, stream=True)
        async for chunk in stream:
            assert chunk.choices[0].delta.content.startswith("The tide comes in")
            break
        took = time.monotonic() - began
        await stream.close()

    assert took < 1.4


@pytest.mark.parametrize("wanted", [True, False])
async def test_token_counts_reach_the_event_always_and_the_client_when_it_asked(wanted: bool):
    options = {"stream_options": {"include_usage": True}} if wanted else {}
    async with StubEndpoint() as stub, gateway(stub.url, stack=words_stack()) as running, client(running) as ask:
        stream = await ask.chat.completions.create(model="stub", messages=ASK, stream=True, **options)
        counted = [chunk.usage.completion_tokens async for chunk in stream if chunk.usage]
        await running.wait_for_events()

    assert counted == ([3] if wanted else [])
    assert (running.event.tokens_in, running.event.tokens_out) == (7, 3)
    assert running.limiter.tokens == [10]


async def test_answers_say_that_a_model_made_them():
    marks = TextMarks(provider="Example Lab")
    async with (
        StubEndpoint() as stub,
        gateway(stub.url, stack=words_stack(), marks=marks) as running,
        client(running) as ask,
    ):
        raw = await ask.chat.completions.with_raw_response.create(model="stub", messages=ASK)
        stream = await ask.chat.completions.create(model="stub", messages=ASK, stream=True)
        last = [chunk async for chunk in stream][-1]

    about = raw.parse().model_extra["provenance"]
    assert 'provider="Example Lab"' in raw.headers["ai-disclosure"]
    assert about["content_sha256"] == hashlib.sha256(b"All is well.").hexdigest()
    assert last.model_extra["provenance"]["content_sha256"] == about["content_sha256"]


async def test_a_notice_stands_on_the_first_line_of_prose_and_never_in_json():
    marks = TextMarks(notice="en")
    notice = "This text was generated by an AI system.\n\n"
    async with (
        StubEndpoint() as stub,
        gateway(stub.url, stack=words_stack(), marks=marks) as running,
        client(running) as ask,
    ):
        whole = await ask.chat.completions.create(model="stub", messages=ASK)
        stream = await ask.chat.completions.create(model="stub", messages=ASK, stream=True)
        shown = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
        form = {"type": "json_object"}
        plain = await ask.chat.completions.create(model="stub", messages=ASK, response_format=form)

    assert whole.choices[0].message.content == shown == notice + "All is well."
    assert plain.choices[0].message.content == "All is well."


@pytest.mark.parametrize("said", ["zanziscope", "A zanziscope, and then this and that and more."])
async def test_a_safe_completion_carries_no_notice_whether_it_streams_or_not(said):
    """No model made it. The short text is stopped at its end, the longer one on the way."""
    ask = {"model": "stub", "messages": [{"role": "user", "content": "Hi"}]}
    async with (
        StubEndpoint([said]) as stub,
        gateway(stub.url, stack=words_stack(), marks=TextMarks(notice="en")) as running,
        client(running) as openai,
    ):
        whole = await openai.chat.completions.create(**ask)
        chunks = [chunk async for chunk in await openai.chat.completions.create(**ask, stream=True)]
        await running.wait_for_events(2)

    streamed = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert streamed == whole.choices[0].message.content == chunks[-1].model_extra["safeguard"]["message"]
    assert [event.characters_out for event in running.recorder.events] == [0, 0]


async def test_an_upstream_that_does_not_stream_is_streamed_for():
    whole = {
        "id": "r",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Well."}, "finish_reason": "stop"}],
    }
    async with (
        StubEndpoint([StubReply(raw=[json.dumps(whole).encode()])]) as stub,
        gateway(stub.url, stack=words_stack()) as running,
        client(running) as ask,
    ):
        stream = await ask.chat.completions.create(model="stub", messages=ASK, stream=True)
        chunks = [chunk async for chunk in stream]

    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Well."
    assert chunks[-1].choices[0].finish_reason == "stop"


class Removing:
    """Replaces one word of a reply."""

    name, stage, digest, reach = "removing", "output", "removing", 10

    async def check(self, exchange: Any) -> Ruling:
        at = exchange.reply.find("4242")
        return Ruling(action="replace", spans=((at, at + 4),)) if at >= 0 else Ruling(action="allow")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_stretch_that_a_layer_replaces_is_replaced(stream: bool):
    stack = Stack(
        id="r", layers=(Removing(),), system_prompt=None, timeout_s=2, digest="r", windows=frozenset({"removing"})
    )
    async with (
        StubEndpoint(["The number is 4242, call it."]) as stub,
        gateway(stub.url, stack=stack) as running,
        client(running) as ask,
    ):
        if stream:
            chunks = await ask.chat.completions.create(model="stub", messages=ASK, stream=True)
            text = "".join([chunk.choices[0].delta.content or "" async for chunk in chunks])
        else:
            text = (await ask.chat.completions.create(model="stub", messages=ASK)).choices[0].message.content

    assert text == "The number is [removed], call it."


async def test_every_call_leaves_one_event_under_the_id_that_the_client_was_told():
    async with StubEndpoint() as stub, gateway(stub.url, stack=words_stack()) as running, client(running) as ask:
        raw = await ask.chat.completions.with_raw_response.create(model="stub", messages=ASK)
        await running.wait_for_events()

    event = running.event
    assert raw.headers["x-request-id"] == event.event_id
    assert (event.account, event.key_id, event.route, event.status) == ("tester", "k1", "/v1/chat/completions", 200)
    assert (event.outcome, event.characters_in, event.characters_out) == ("served", 22, 12)
    assert [ruling.layer for ruling in event.rulings] == ["words-input", "words-output"]
    assert (event.prompt, event.reply) == ("Tell me about the sea.", "All is well.")
    assert 0 < event.first_s <= event.latency_s
    assert (running.limiter.inside, running.limiter.tokens) == (0, [10])
