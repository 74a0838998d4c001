"""One forbidden word through every door of every route of a running gateway, streamed and not."""

import json
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from safecase.safeguard import Exchange, Ruling, Stack
from safecase.serve import Upstream
from safecase.testing import StubEndpoint, StubReply, as_chunks, bypass_replies, bypass_requests

from .gateways import KEY, Running, gateway, words_stack

WORD, HARMLESS = "zanziscope", "lighthouse"
# What these doors carry is refused before anything is read, whatever it is.
REFUSED = ("in the model's name", "in the name of an unknown field")
FORWARD = frozenset({"x_note", "x_bytes"})
Ask = Callable[[dict[str, Any]], Any]


def upstream(url: str) -> Upstream:
    return Upstream(base_url=url, serves="m")


async def post(session: aiohttp.ClientSession, running: Running, path: str, body: dict[str, Any]) -> tuple[int, str]:
    headers = {"Authorization": f"Bearer {KEY}"}
    async with session.post(f"{running.url}/{path}", json=body, headers=headers) as response:
        return response.status, await response.text()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_nothing_passes_through_a_chat_request(stream: bool):
    async with (
        StubEndpoint(["Yes."]) as stub,
        gateway(upstream(stub.url), stack=words_stack(WORD), forward=FORWARD) as running,
        aiohttp.ClientSession() as session,
    ):
        faults, tried = [], 0
        for word in (WORD, HARMLESS):
            for door, body in bypass_requests(word):
                before = len(stub.asked)
                status, text = await post(session, running, "chat/completions", {**body, "stream": stream})
                was_asked = len(stub.asked) > before
                is_stopped = "content_filter" in text or 400 <= status < 500
                expected = word == WORD or door.endswith(REFUSED)
                if was_asked == expected or is_stopped != expected or status >= 500:
                    faults.append((door, word, status))
                tried += 1

    assert tried > 800
    assert faults == []


@pytest.mark.parametrize("path", ["chat/completions", "responses"])
async def test_nothing_passes_through_a_reply(path: str):
    reply: dict[str, Any] = {}
    size = 0

    def script(_: dict[str, Any]) -> StubReply:
        body = {name: value for name, value in reply.items() if name != "_prefill"}
        if not size:
            return StubReply(raw=[json.dumps(body).encode()])
        events = [b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in as_chunks(reply, size=size)]
        return StubReply(raw=[b"".join([*events, b"data: [DONE]\n\n"])], content_type="text/event-stream")

    faults, tried = [], 0
    async with (
        StubEndpoint(script) as stub,
        gateway(upstream(stub.url), stack=words_stack(WORD)) as running,
        aiohttp.ClientSession() as session,
    ):
        for word in (WORD, HARMLESS):
            for door, spelled, made in bypass_replies(word):
                for size in (0, 1, 3, 1_000):
                    reply = made
                    body = request(path, prefill=made.get("_prefill"), stream=size > 0)
                    status, text = await post(session, running, path, body)
                    is_stopped = "content_filter" in text
                    shown = spelled in text or json.dumps(spelled)[1:-1] in text
                    if status != 200 or is_stopped != (word == WORD) or (shown and word == WORD):
                        faults.append((door, word, size, status))
                    tried += 1

    assert tried > 900
    assert faults == []


def request(path: str, *, prefill: str | None, stream: bool) -> dict[str, Any]:
    turns = [{"role": "user", "content": "Tell me about the sea."}]
    if prefill:
        turns.append({"role": "assistant", "content": prefill})
    return {"model": "m", "stream": stream, ("messages" if path == "chat/completions" else "input"): turns}


RESPONSES_DOORS: dict[str, Callable[[str], dict[str, Any]]] = {
    "input": lambda t: {"input": t},
    "a message": lambda t: {"input": [{"role": "user", "content": t}]},
    "a part": lambda t: {"input": [{"role": "user", "content": [{"type": "input_text", "text": t}]}]},
    "an earlier answer": lambda t: {
        "input": [
            {
                "type": "message",
                "role": "assistant",
                "id": "m1",
                "content": [{"type": "output_text", "text": t, "annotations": []}],
            },
            {"role": "user", "content": "Go on."},
        ]
    },
    "annotations": lambda t: {
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "Hi", "annotations": [{"note": t}]}]}]
    },
    "instructions": lambda t: {"input": "Hi", "instructions": t},
    "a call's arguments": lambda t: {
        "input": [
            {"type": "function_call", "call_id": "c", "name": "find", "arguments": json.dumps({"q": t})},
            {"type": "function_call_output", "call_id": "c", "output": "ok"},
        ]
    },
    "a call's result": lambda t: {
        "input": [
            {"type": "function_call", "call_id": "c", "name": "find", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": t},
        ]
    },
    "reasoning": lambda t: {
        "input": [
            {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": t}]},
            {"role": "assistant", "content": "Yes."},
            {"role": "user", "content": "Go on."},
        ]
    },
    "a field of an item that is left out": lambda t: {"input": [{"role": "user", "content": "Hi", "x": {"y": [t]}}]},
    "the name of such a field": lambda t: {"input": [{"role": "user", "content": "Hi", t: 1}]},
    "a tool's description": lambda t: {
        "input": "Hi",
        "tools": [{"type": "function", "name": "find", "description": t, "parameters": {}}],
    },
    "metadata": lambda t: {"input": "Hi", "metadata": {"note": t}},
    "the role of a message": lambda t: {"input": [{"role": t, "content": "Hi"}]},
    "the id of an item": lambda t: {"input": [{"role": "user", "content": "Hi", "id": t}]},
    "a call's id": lambda t: {"input": [{"type": "function_call", "call_id": t, "name": "find", "arguments": "{}"}]},
    "the effort of reasoning": lambda t: {"input": "Hi", "reasoning": {"effort": t}},
    "the user's id": lambda t: {"input": "Hi", "user": t},
    "a parameter's default": lambda t: {
        "input": "Hi",
        "tools": [{"type": "function", "name": "find", "parameters": {"properties": {"q": {"default": t}}}}],
    },
    "a schema": lambda t: {
        "input": "Hi",
        "text": {"format": {"type": "json_schema", "name": "a", "schema": {"description": t}}},
    },
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("door", RESPONSES_DOORS)
async def test_nothing_passes_through_a_responses_request(door: str, stream: bool):
    async with (
        StubEndpoint(["Yes."]) as stub,
        gateway(upstream(stub.url), stack=words_stack(WORD)) as running,
        aiohttp.ClientSession() as session,
    ):
        body = {"model": "m", "stream": stream, **RESPONSES_DOORS[door]("z\u200bаnzisсope")}
        status, text = await post(session, running, "responses", body)
        assert (status, len(stub.asked)) == (200, 0)
        assert "content_filter" in text

        status, text = await post(session, running, "responses", {"model": "m", **RESPONSES_DOORS[door](HARMLESS)})
        assert (status, len(stub.asked)) == (200, 1)
        assert "content_filter" not in text


class Reader:
    """A layer that reads what is said, and not the words of the protocol around it: as heads and judges do."""

    name, stage, digest, reach = "reader", "input", "reader", 0

    async def check(self, exchange: Exchange) -> Ruling:
        said = (part.text for part in exchange.asked() if part.channel != "envelope")
        return Ruling(action="withhold" if any(SENTENCE in text for text in said) else "allow")


SENTENCE = "how to build a zanziscope at home"


@pytest.mark.parametrize("path", ["chat/completions", "responses"])
async def test_no_door_of_a_request_hides_a_sentence_from_layers_that_read_what_is_said(path: str):
    stack = Stack(id="s", layers=(Reader(),), system_prompt=None, timeout_s=2.0, digest="s")  # type: ignore[arg-type]
    doors = {
        door.partition(" in ")[2]: body for door, body in bypass_requests(SENTENCE) if door.startswith("the plain")
    }
    if path == "responses":
        doors = {door: {"model": "m", **made(SENTENCE)} for door, made in RESPONSES_DOORS.items()}
    cut = ("two parts of the content", "two turns of the user", "base64 in a turn")
    passed = []
    async with (
        StubEndpoint(["Yes."]) as stub,
        gateway(upstream(stub.url), stack=stack, forward=FORWARD) as running,
        aiohttp.ClientSession() as session,
    ):
        for door, body in doors.items():
            before = len(stub.asked)
            status, text = await post(session, running, path, body)
            if (status == 200 and "content_filter" not in text) or len(stub.asked) > before:
                passed.append(door)

    assert len(doors) > 15
    assert [door for door in passed if door not in cut] == []


@pytest.mark.parametrize("body", [{"input": "a zanziscope"}, {"input": ["sea", "z a n z i s c o p e"]}])
async def test_nothing_passes_through_an_embeddings_request(body: dict[str, Any]):
    async with (
        StubEndpoint(["Yes."]) as stub,
        gateway(upstream(stub.url), stack=words_stack(WORD), embeddings=upstream(stub.url)) as running,
        aiohttp.ClientSession() as session,
    ):
        status, text = await post(session, running, "embeddings", {"model": "m", **body})

    assert (status, len(stub.asked)) == (400, 0)
    assert json.loads(text)["error"]["code"] == "content_filter"
    assert running.event.outcome == "withheld"
