"""What an upstream or a safeguard can do wrong, and what becomes of the call: a clean error, nothing unchecked."""

import asyncio
import gzip
import json
from typing import Any

import aiohttp
import pytest

from safecase.safeguard import Golden, Ruling, Stack, exchange_of
from safecase.serve import Upstream
from safecase.testing import StubEndpoint, StubReply

from .gateways import KEY, Running, gateway, words_stack
from .test_chat import delta, events

CHAT = {"model": "stub", "messages": [{"role": "user", "content": "Hello"}]}
SECRET = "unchecked words of the upstream"


def patient(url: str, **fields: Any) -> Upstream:
    return Upstream(base_url=url, serves="stub", **fields)


IMPATIENT = {"first_byte_timeout_s": 0.3, "connect_timeout_s": 0.3, "idle_timeout_s": 0.4}


async def ask(running: Running, *, key: str = KEY, **fields: Any) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{running.url}/chat/completions", json={**CHAT, **fields}, headers={"Authorization": f"Bearer {key}"}
        ) as got,
    ):
        return got.status, await got.text()


REPLIES: dict[str, tuple[StubReply, int, str]] = {
    "answers 500": (StubReply(status=500, text=SECRET), 502, "upstream-error"),
    "answers 404": (StubReply(status=404, text=SECRET), 502, "upstream-error"),
    "refuses our key": (StubReply(status=401, text=SECRET), 502, "upstream-key"),
    "is busy": (StubReply(status=429, text=SECRET, headers={"Retry-After": "7"}), 429, "upstream-busy"),
    "redirects": (StubReply(status=302, headers={"Location": "http://127.0.0.1:1/"}), 502, "upstream-error"),
    "hangs": (StubReply(delay_s=30), 504, "upstream-timeout"),
    "drops the connection": (StubReply(then="drop", raw=[b"x"]), 502, "upstream-broke"),
    "breaks off": (StubReply(then="drop", raw=[b'{"choices', b": 1}"]), 502, "upstream-broke"),
    "sends no JSON": (StubReply(raw=[SECRET.encode()]), 502, "upstream-malformed"),
    "sends a list": (StubReply(raw=[b"[1]"]), 502, "upstream-error"),
    "sends JSON that is not UTF-8": (
        StubReply(raw=[b'{"choices": [{"message": {"content": "\xff"}}]}']),
        502,
        "upstream-malformed",
    ),
    "sends JSON nested 300 deep": (
        StubReply(raw=[b'{"x": ' + b"[" * 300 + b"]" * 300 + b', "choices": [{"message": {}}]}']),
        502,
        "upstream-malformed",
    ),
    "sends calls that are none": (
        StubReply(raw=[b'{"choices": [{"message": {"tool_calls": ["x"]}}]}']),
        502,
        "upstream-malformed",
    ),
    "sends another type of content": (StubReply(raw=[b"<html>"], content_type="text/html"), 502, "upstream-malformed"),
    "hangs in the middle": (StubReply(raw=[b'{"choices"', b": []}"], pause_s=30), 504, "upstream-timeout"),
    "sends a head of 100 kB": (StubReply(headers={"X-A": "x" * 100_000}), 502, "upstream-broke"),
    "sends no choices": (StubReply(raw=[b'{"choices": []}']), 502, "upstream-malformed"),
    "sends a choice that is none": (StubReply(raw=[b'{"choices": [1]}']), 502, "upstream-malformed"),
    "sends an error as an answer": (StubReply(raw=[b'{"error": {"message": "no"}}']), 502, "upstream-error"),
    "sends sound": (
        StubReply(raw=[b'{"choices": [{"message": {"content": null, "audio": {"data": "AA"}}}]}']),
        502,
        "upstream-unreadable",
    ),
    "sends 100 MB": (StubReply(raw=[b" " * 1_000_000] * 100), 502, "upstream-too-large"),
    "packs 100 MB into 100 kB": (
        StubReply(raw=[gzip.compress(b" " * 100_000_000, 1)], headers={"Content-Encoding": "gzip"}),
        502,
        "upstream-malformed",
    ),
    "sends compressed bytes": (
        StubReply(raw=[b"x"], headers={"Content-Encoding": "gzip"}),
        502,
        "upstream-malformed",
    ),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("fault", REPLIES)
async def test_an_upstream_that(fault: str, stream: bool):
    reply, status, reason = REPLIES[fault]
    times = IMPATIENT if reason == "upstream-timeout" else {}
    async with (
        StubEndpoint([reply]) as stub,
        gateway(patient(stub.url, most_bytes=1_000_000, **times), stack=words_stack()) as running,
    ):
        got, text = await ask(running, stream=stream)
        await running.wait_for_events()

    assert (got, json.loads(text)["error"]["code"]) == (status, reason)
    assert SECRET not in text
    assert (running.event.outcome, running.event.reason, running.event.status) == ("failed", reason, status)
    assert running.limiter.inside == 0


def stream_of(*pieces: bytes, **fields: Any) -> StubReply:
    first = b"data: " + json.dumps(delta(content="The tide comes in. " * 6)).encode() + b"\n\n"
    held = b"data: " + json.dumps(delta(content=SECRET)).encode() + b"\n\n"
    return StubReply(raw=[first, held, *pieces], content_type="text/event-stream", **fields)


BROKEN: dict[str, tuple[StubReply, str]] = {
    "drops in the middle": (stream_of(b"never sent", then="drop"), "upstream-broke"),
    "ends without an end": (stream_of(), "upstream-broke"),
    "sends malformed events": (stream_of(b"data: {\n\n"), "upstream-malformed"),
    "sends an event that is no object": (stream_of(b"data: 7\n\n"), "upstream-malformed"),
    "sends an error as an event": (stream_of(b'data: {"error": {"message": "no"}}\n\n'), "upstream-error"),
    "stands still": (stream_of(b"data: [DONE]\n\n", pause_s=1.0), "upstream-timeout"),
    "sends sound": (
        stream_of(b'data: {"choices": [{"index": 0, "delta": {"audio": {"data": "AA"}}}]}\n\n'),
        "upstream-unreadable",
    ),
    "sends an event that is no choice": (stream_of(b'data: {"choices": [1]}\n\n'), "upstream-malformed"),
    "sends an event that is not UTF-8": (stream_of(b'data: {"x": "\xff"}\n\n'), "upstream-malformed"),
    "sends calls that are none, streaming": (
        stream_of(b'data: {"choices": [{"index": 0, "delta": {"tool_calls": {"a": 1}}}]}\n\n'),
        "upstream-malformed",
    ),
    "sends a line of 100 MB": (stream_of(*[b"x" * 1_000_000] * 100), "upstream-too-large"),
}


@pytest.mark.parametrize("fault", BROKEN)
async def test_a_stream_that(fault: str):
    reply, reason = BROKEN[fault]
    times = {"idle_timeout_s": 0.4} if reason == "upstream-timeout" else {}
    async with (
        StubEndpoint([reply]) as stub,
        gateway(patient(stub.url, most_bytes=3_000_000, **times), stack=words_stack()) as running,
    ):
        status, text = await ask(running, stream=True)
        await running.wait_for_events()

    *shown, error, done, rest = text.split("\n\n")
    assert (status, done, rest) == (200, "data: [DONE]", "")
    assert json.loads(error.removeprefix("data: "))["error"]["code"] == reason
    assert "".join(shown).count("The tide comes in.") == 5  # all but what is held back
    assert SECRET not in text
    assert (running.event.outcome, running.event.reason, running.event.status) == ("cut", reason, 200)


async def test_an_upstream_that_is_not_there():
    async with gateway(patient("http://127.0.0.1:9/v1")) as running:
        status, text = await ask(running)

    assert (status, json.loads(text)["error"]["code"]) == (502, "upstream-unreachable")


async def test_an_upstream_that_keeps_failing_is_left_alone_and_tried_again():
    replies = [StubReply(status=500)] * 3 + [StubReply()]
    async with (
        StubEndpoint(replies) as stub,
        gateway(patient(stub.url, failures=3, cooldown_s=0.3)) as running,
    ):
        statuses = [(await ask(running))[0] for _ in range(5)]
        async with aiohttp.ClientSession() as session, session.get(running.url.replace("/v1", "/readyz")) as ready:
            told = await ready.json()
        asked = len(stub.asked)
        await asyncio.sleep(0.35)
        after = [(await ask(running))[0] for _ in range(2)]

    assert statuses == [502, 502, 502, 503, 503]
    assert asked == 3
    assert told == {"status": "unready", "reasons": ["upstream-down:chat"]}
    assert after == [200, 200]


async def test_chats_stay_ready_while_the_model_of_vectors_keeps_failing():
    async with StubEndpoint() as chats, StubEndpoint([StubReply(status=500)] * 2) as vectors:
        embeddings = Upstream(base_url=vectors.url, serves="embedder", model="e5", failures=2)
        async with (
            gateway(chats.url, embeddings=embeddings) as running,
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as session,
        ):
            for _ in range(2):
                async with session.post(f"{running.url}/embeddings", json={"model": "embedder", "input": "a"}) as reply:
                    assert reply.status == 502
            async with session.get(running.url.replace("/v1", "/readyz")) as ready:
                told = (ready.status, await ready.json())
            answered, _ = await ask(running)

    assert told == (200, {"status": "ready", "reasons": ["upstream-down:embeddings"]})
    assert answered == 200


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_hangs_up_ends_its_call_upstream(stream: bool):
    hung_up = asyncio.Event()

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]))
        if stream:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        await reader.read()
        hung_up.set()
        writer.close()

    server = await asyncio.start_server(upstream, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    async with server, gateway(url, stack=words_stack()) as running:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await ask(running, stream=stream)
        await running.wait_for_events()
        await asyncio.wait_for(hung_up.wait(), 5)

    assert (running.event.outcome, running.event.reason) == ("cut", "client-gone")
    assert running.event.status == (200 if stream else 499)
    assert running.limiter.inside == 0


async def test_what_an_upstream_says_of_a_bad_request_is_passed_on_where_the_stack_allows_it():
    replies = [StubReply(status=400, text=text) for text in ("max_tokens is too large", "no zanziscope here")]
    async with StubEndpoint(replies) as stub, gateway(stub.url, stack=words_stack()) as running:
        first, second = [await ask(running) for _ in range(2)]

    assert (first[0], json.loads(first[1])["error"]["message"]) == (400, "max_tokens is too large")
    assert second[0] == 400
    assert "zanziscope" not in second[1]


class Breaking:
    """A safeguard that fails in one of several ways."""

    name, digest, reach = "breaking", "breaking", 10

    def __init__(self, stage: str, how: str) -> None:
        self.stage, self.how = stage, how

    async def check(self, exchange: Any) -> Ruling:
        if self.how == "raises":
            raise RuntimeError(SECRET)
        await asyncio.sleep(30)
        return Ruling(action="allow")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("stage", ["input", "output"])
@pytest.mark.parametrize("how", ["raises", "hangs"])
async def test_a_safeguard_that_fails_withholds(how: str, stage: str, stream: bool):
    stack = Stack(id="b", layers=(Breaking(stage, how),), system_prompt=None, timeout_s=0.2, digest="b")
    async with StubEndpoint(["All is well. " * 20]) as stub, gateway(stub.url, stack=stack) as running:
        status, text = await ask(running, stream=stream)
        await running.wait_for_events()

    assert status == 200
    assert "content_filter" in text
    assert "All is well" not in text
    assert SECRET not in text
    assert (running.event.outcome, running.event.reason) == ("withheld", "safeguard-failed")


async def test_a_stack_that_rules_otherwise_than_it_should_answers_nothing():
    harmless = Golden(exchange=exchange_of({"messages": [{"role": "user", "content": "Hi"}]}), layer="words-input")
    async with StubEndpoint() as stub, gateway(stub.url, stack=words_stack(golden=(harmless,))) as running:
        status, text = await ask(running)
        async with aiohttp.ClientSession() as session, session.get(running.url.replace("/v1", "/readyz")) as ready:
            told = await ready.json()

    assert (status, json.loads(text)["error"]["code"]) == (503, "safeguards-failed")
    assert told["reasons"] == ["safeguards-failed"]
    assert stub.asked == []


async def test_a_fault_of_ours_ends_one_call_without_its_words(caplog: pytest.LogCaptureFixture):
    class Broken:
        def find(self, token: str) -> None:
            raise KeyError(SECRET)

    async with StubEndpoint() as stub, gateway(stub.url, keys=Broken()) as running:
        status, text = await ask(running)
        await running.wait_for_events()

    assert (status, json.loads(text)["error"]["code"]) == (500, "internal")
    assert "KeyError" in caplog.text
    assert SECRET not in caplog.text + text
    assert running.event.reason == "internal"


async def test_a_connection_that_was_closed_while_idle_is_opened_anew():
    """An upstream may close a kept connection at the very moment in which it is used again."""
    asked = 0

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        for turn in range(2):
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            asked += 1
            if turn == 1:
                break  # taken, and hung up without a word
            body = json.dumps({"choices": [{"index": 0, "message": {"content": "Well."}, "finish_reason": "stop"}]})
            fields = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            writer.write(f"HTTP/1.1 200 OK\r\n{fields}\r\n{body}".encode())
        writer.close()

    server = await asyncio.start_server(upstream, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, gateway(f"http://127.0.0.1:{port}/v1") as running:
        assert [(await ask(running))[0] for _ in range(2)] == [200, 200]
    assert asked == 3


async def test_events_unknown_to_us_are_held_and_checked():
    odd = {"object": "mystery", "note": "about a zanziscope"}
    async with (
        StubEndpoint([events(delta(content="Well. " * 20), odd, delta(finish="stop"))]) as stub,
        gateway(stub.url, stack=words_stack()) as running,
    ):
        _, text = await ask(running, stream=True)

    assert "content_filter" in text
    assert "zanziscope" not in text
