"""The Responses API over a chat upstream, by the official client."""

import json
from typing import Any

import aiohttp
import pytest

from safecase.testing import StubEndpoint, StubReply

from .gateways import KEY, gateway, words_stack
from .test_chat import TOOLS, call_chunks, client, delta, events

openai = pytest.importorskip("openai")
FLAT_TOOLS = [{"type": "function", "name": "find", "parameters": {"type": "object", "properties": {}}}]


async def test_a_request_is_translated_there_and_back():
    async with StubEndpoint() as stub, gateway(stub.url, stack=words_stack()) as running, client(running) as ask:
        done = await ask.responses.create(
            model="stub",
            instructions="Be brief.",
            input=[{"role": "user", "content": [{"type": "input_text", "text": "Hello"}]}],
            max_output_tokens=20,
            tools=FLAT_TOOLS,
            tool_choice={"type": "function", "name": "find"},
            reasoning={"effort": "low"},
        )

    assert stub.asked[0].body == {
        "model": "stub",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}],
        "max_tokens": 20,
        "tools": TOOLS,
        "tool_choice": {"type": "function", "function": {"name": "find"}},
        "reasoning_effort": "low",
    }
    assert (done.output_text, done.status, done.store) == ("All is well.", "completed", False)
    assert (done.usage.input_tokens, done.usage.output_tokens) == (7, 3)


async def test_a_conversation_with_calls_goes_round():
    """What we gave out as items comes back as items."""
    reply = {
        "id": "r",
        "choices": [
            {
                "index": 0,
                "finish_reason": "tool_calls",
                "message": {
                    "role": "assistant",
                    "reasoning_content": "I have to look.",
                    "content": None,
                    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "find", "arguments": "{}"}}],
                },
            }
        ],
    }
    async with (
        StubEndpoint([StubReply(raw=[json.dumps(reply).encode()]), StubReply()]) as stub,
        gateway(stub.url, stack=words_stack()) as running,
        client(running) as ask,
    ):
        first = await ask.responses.create(model="stub", input="Where?", tools=FLAT_TOOLS)
        said = [item.model_dump(exclude_none=True) for item in first.output]
        result = {"type": "function_call_output", "call_id": "c1", "output": "there"}
        done = await ask.responses.create(
            model="stub", input=[{"role": "user", "content": "Where?"}, *said, result], tools=FLAT_TOOLS
        )

    assert [item.type for item in first.output] == ["reasoning", "function_call"]
    assert done.output_text == "All is well."
    assert stub.asked[1].body["messages"] == [
        {"role": "user", "content": "Where?"},
        {
            "role": "assistant",
            "content": None,
            "reasoning_content": "I have to look.",
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "find", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "there"},
    ]


async def test_text_and_calls_stream_as_typed_events():
    chunks = [delta(content="The tide is high. " * 4), *call_chunks('{"q": 1}')]
    async with (
        StubEndpoint([events(*chunks)]) as stub,
        gateway(stub.url, stack=words_stack()) as running,
        client(running) as ask,
        ask.responses.stream(model="stub", input="Hi", tools=FLAT_TOOLS) as stream,
    ):
        seen = [event async for event in stream]
        done = await stream.get_final_response()

    kinds = [event.type for event in seen]
    assert kinds[:3] == ["response.created", "response.in_progress", "response.output_item.added"]
    assert kinds[-1] == "response.completed"
    assert [event.sequence_number for event in seen if hasattr(event, "sequence_number")] == list(range(len(seen)))
    assert done.output_text == "The tide is high. " * 4
    assert [(item.name, item.arguments) for item in done.output[1:]] == [("find", '{"q": 1}')]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_withheld_reply_is_incomplete(stream: bool):
    text = "The tide comes in and out again. " * 6 + "Then a zanziscope appears, and more of it."
    async with StubEndpoint([text]) as stub, gateway(stub.url, stack=words_stack()) as running, client(running) as ask:
        if stream:
            seen = [event async for event in await ask.responses.create(model="stub", input="Hi", stream=True)]
            done = seen[-1].response
        else:
            done = await ask.responses.create(model="stub", input="Hi")

    assert (done.status, done.incomplete_details.reason) == ("incomplete", "content_filter")
    assert "zanziscope" not in done.model_dump_json()
    assert done.model_extra["safeguard"]["layer"] == "words-output"


@pytest.mark.parametrize("field", ["instructions", "max_output_tokens", "temperature", "top_p", "user", "metadata"])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_withheld_request_is_not_repeated_wherever_it_stands(field: str, stream: bool):
    said: Any = {"note": "zanziscope"} if field == "metadata" else "zanziscope"
    body = {"model": "stub", "input": "Hi", "stream": stream, field: said}
    async with StubEndpoint() as stub, gateway(stub.url, stack=words_stack()) as running:
        headers = {"Authorization": f"Bearer {KEY}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.post(f"{running.url}/responses", json=body) as answer,
        ):
            told = await answer.text()

    assert (answer.status, "content_filter" in told) == (200, True)
    assert "zanziscope" not in told


async def test_a_stream_that_breaks_off_fails_as_a_response():
    async with (
        StubEndpoint([events(delta(content="The tide"), delta(content=" comes"), done=False)]) as stub,
        gateway(stub.url, stack=words_stack()) as running,
        client(running) as ask,
    ):
        seen = [event async for event in await ask.responses.create(model="stub", input="Hi", stream=True)]

    assert seen[-1].type == "response.failed"
    assert seen[-1].response.error.code == "upstream-broke"
    assert not any(event.type == "response.output_text.delta" for event in seen)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"store": True}, "store"),
        ({"background": True}, "background"),
        ({"include": ["message.output_text.logprobs"]}, "include"),
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"tool_choice": {"type": "file_search"}}, "tool_choice"),
        ({"reasoning": {"effort": "low", "summary": "auto"}}, "reasoning"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input"),
        ({"input": [{"type": "computer_call", "id": "x"}]}, "input"),
        ({"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]}, "input"),
        ({"input": []}, "input"),
        ({"input": 7}, "input"),
        ({"extra_body": {"prompt_template": "x"}}, None),
    ],
)
async def test_what_cannot_be_translated_is_refused(fields: dict[str, Any], param: str | None):
    async with StubEndpoint() as stub, gateway(stub.url, stack=words_stack()) as running, client(running) as ask:
        with pytest.raises(openai.BadRequestError) as caught:
            await ask.responses.create(**{"model": "stub", "input": "Hi", **fields})

    assert caught.value.param == param
    assert stub.asked == []
