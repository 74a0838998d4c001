"""What a client can do wrong below HTTP and in it: never a hang, a leak, or somebody else's answer."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from safecase.serve import GatewayProtocol, Limits, Upstream
from safecase.testing import StubEndpoint, StubReply

from .gateways import KEY, Running, gateway, words_stack

BODY = json.dumps({"model": "stub", "messages": [{"role": "user", "content": "Hello"}]}).encode()


def head(*fields: bytes, length: int | None = len(BODY), path: bytes = b"/v1/chat/completions") -> bytes:
    lines = [b"POST " + path + b" HTTP/1.1", b"Host: x", b"Authorization: Bearer " + KEY.encode(), *fields]
    lines += [b"Content-Length: %d" % length] if length is not None else []
    return b"\r\n".join(lines) + b"\r\n\r\n"


@asynccontextmanager
async def connected(
    running: Running, *, receive_bytes: int = 0
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    port = int(running.url.rsplit(":", 1)[1].partition("/")[0])
    sock = socket.socket()
    if receive_bytes:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=sock)
    try:
        yield reader, writer
    finally:
        writer.close()


async def said(running: Running, data: bytes, *, wait_s: float = 5.0) -> bytes:
    """All that comes back until the gateway closes, or for so long."""
    got = b""
    async with connected(running) as (reader, writer):
        writer.write(data)
        try:
            async with asyncio.timeout(wait_s):
                while piece := await reader.read(65_536):
                    got += piece
        except (TimeoutError, ConnectionError):
            pass
    return got


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience of a test."""
    monkeypatch.setattr(GatewayProtocol, "head_s", 0.4)
    monkeypatch.setattr(GatewayProtocol, "linger_s", 0.3)


SMUGGLED = {
    "length and chunks": head(b"Transfer-Encoding: chunked") + b"0\r\n\r\n" + BODY,
    "two lengths": head(b"Content-Length: 3") + BODY,
    "chunks that are none": head(b"Transfer-Encoding: xchunked", length=None) + BODY,
    "chunks, spelled oddly": head(b"Transfer-Encoding : chunked", length=None) + b"0\r\n\r\n",
    "a length with a sign": head(b"Content-Length: +5", length=None) + BODY,
    "a length of hex": head(b"Content-Length: 0x10", length=None) + BODY,
    "a chunk of no size": head(b"Transfer-Encoding: chunked", length=None) + b"zz\r\nabc\r\n0\r\n\r\n",
    "a line folded": head(b"X-A: b\r\n c: d") + BODY,
    "a zero byte in a field": head(b"X-A: b\x00c") + BODY,
    "no HTTP at all": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n",
}


@pytest.mark.parametrize("shape", SMUGGLED)
@pytest.mark.usefixtures("quick")
async def test_a_request_that_two_readers_may_cut_differently(shape: str):
    """It is refused and its connection closed, or read as one request: never as two."""
    async with StubEndpoint() as stub, gateway(stub.url) as running:
        got = await said(running, SMUGGLED[shape] + head(b"X-Second: 1") + BODY)
        after = await said(running, head(b"Connection: close") + BODY)

    assert got.count(b"HTTP/1.1 200") <= (1 if shape == "a line folded" else 0)
    assert got.startswith(b"HTTP/1.1 4") or shape == "a line folded"
    assert after.startswith(b"HTTP/1.1 200")


async def test_pipelined_requests_are_answered_in_order_each_with_its_own():
    async with (
        StubEndpoint(lambda body: StubReply(text=body["messages"][0]["content"])) as stub,
        gateway(stub.url) as running,
    ):
        bodies = [json.dumps({"model": "stub", "messages": [{"role": "user", "content": f"<{n}>"}]}) for n in range(20)]
        data = b"".join(head(length=len(body)) + body.encode() for body in bodies)
        got = await said(running, data, wait_s=3.0)
        await running.wait_for_events(20)

    answers = [got.find(f"<{n}>".encode()) for n in range(20)]
    assert -1 not in answers
    assert answers == sorted(answers)


ENDLESS = {
    "fields": (head()[:-2], b"X-A: b\r\n" * 2_000),
    "one field": (head()[:-2] + b"X-A: ", b"b" * 16_000),
    "an address": (b"POST /v1/", b"a" * 16_000),
    "trailers": (head(b"Transfer-Encoding: chunked", length=None) + b"0\r\n", b"X-A: b\r\n" * 2_000),
    "one-byte chunks": (head(b"Transfer-Encoding: chunked", length=None), b"1;x=yyyyyyyy\r\na\r\n" * 1_000),
}


@pytest.mark.parametrize("what", ENDLESS)
async def test_what_has_no_end_is_cut_off(what: str):
    begin, more = ENDLESS[what]
    sent = 0
    async with StubEndpoint() as stub, gateway(stub.url) as running, connected(running) as (reader, writer):
        writer.write(begin)
        try:
            while sent < 50_000_000:
                writer.write(more)
                await asyncio.wait_for(writer.drain(), 5)
                sent += len(more)
                await asyncio.sleep(0)
                if reader.at_eof() or writer.transport.is_closing():
                    break
        except (ConnectionError, TimeoutError):
            pass
        after = await said(running, head(b"Connection: close") + BODY)

    assert sent < 20_000_000
    assert after.startswith(b"HTTP/1.1 200")


FIRST = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
SLOW = {
    "says nothing": b"",
    "stops in the head": head()[:-2],
    "sends empty lines": b"\r\n",
    "rests in the head of a second request": FIRST + b"GET /hea",
    "sends empty lines after an answer": FIRST + b"\r\n",
}


@pytest.mark.parametrize("how", SLOW)
@pytest.mark.usefixtures("quick")
async def test_a_client_that_never_asks(how: str):
    async with StubEndpoint() as stub, gateway(stub.url) as running, connected(running) as (reader, writer):
        async with asyncio.timeout(4):
            if SLOW[how].startswith(FIRST):
                writer.write(FIRST)
                await reader.readuntil(b"alive")
            writer.write(SLOW[how].removeprefix(FIRST))
            got = await reader.read()

    assert got.endswith(b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    assert running.recorder.events == []


@pytest.mark.usefixtures("quick")
async def test_a_body_that_trickles_is_a_408_and_leaves_its_event():
    async with (
        StubEndpoint() as stub,
        gateway(stub.url, limits=Limits(body_timeout_s=0.3)) as running,
        connected(running) as (reader, writer),
    ):
        writer.write(head() + BODY[:5])
        async with asyncio.timeout(4):
            got = await reader.read()
        await running.wait_for_events()

    assert got.startswith(b"HTTP/1.1 408")
    assert running.event.reason == "slow-body"
    assert running.limiter.inside == 0


def endless(_: dict[str, Any]) -> StubReply:
    chunk = json.dumps({"choices": [{"index": 0, "delta": {"content": "x" * 4_000}}]}).encode()
    return StubReply(raw=[b"data: " + chunk + b"\n\n"] * 20_000, content_type="text/event-stream")


@pytest.mark.usefixtures("quick")
async def test_a_client_that_takes_nothing_loses_its_place():
    """Its stream stands still in the gateway's buffers, and so would its call."""
    async with StubEndpoint(endless) as stub:
        upstream = Upstream(base_url=stub.url, serves="stub", most_bytes=1 << 30)
        body = json.dumps({"model": "stub", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}).encode()
        limits = Limits(take_timeout_s=0.3)
        async with gateway(upstream, limits=limits) as running, connected(running, receive_bytes=4_096) as (_, writer):
            writer.transport.pause_reading()  # type: ignore[attr-defined]  # a StreamReader would take all of it
            writer.write(head(length=len(body)) + body)
            async with asyncio.timeout(15):
                await running.wait_for_events()
                while stub.in_flight:  # noqa: ASYNC110 - a stub tells nobody
                    await asyncio.sleep(0.05)
            assert running.limiter.inside == 0
            assert len(running.app._flights) == 0
    assert (running.event.outcome, running.event.status) == ("cut", 200)
    assert running.limiter.tokens[0] > 1_000  # what it made the model say is counted all the same


async def test_a_client_that_cuts_its_stream_short_pays_for_what_it_got():
    text = "word " * 4_000
    async with StubEndpoint([StubReply(text=text, pause_s=0.0005, usage=False)]) as stub, gateway(stub.url) as running:
        body = json.dumps({"model": "stub", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}).encode()
        async with connected(running) as (reader, writer):
            writer.write(head(length=len(body)) + body)
            got = b""
            while len(got) < 100_000:
                got += await reader.read(65_536)
        await running.wait_for_events()

    assert (running.event.outcome, running.event.reason) == ("cut", "client-gone")
    assert running.limiter.tokens[0] > got.count(b'"content"')


async def test_nothing_is_left_behind_by_clients_that_vanish():
    """Fifty clients hang up at every point of a call; no task, no place and no connection upstream is left."""
    async with (
        StubEndpoint([StubReply(text="word " * 200, pause_s=0.002)]) as stub,
        gateway(stub.url, stack=words_stack()) as running,
    ):
        before = len(asyncio.all_tasks())
        body = json.dumps({"model": "stub", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}).encode()
        whole = head(length=len(body)) + body
        for n in range(50):
            async with connected(running) as (reader, writer):
                writer.write(whole[: len(whole) * (n % 10 + 1) // 10])
                if n % 10 == 9:
                    await reader.read(1_000)
        async with asyncio.timeout(10):
            while running.limiter.inside or stub.in_flight or len(asyncio.all_tasks()) > before:  # noqa: ASYNC110
                await asyncio.sleep(0.05)

        assert (await said(running, head(b"Connection: close") + BODY)).startswith(b"HTTP/1.1 200")
        assert len(running.app._flights) == 0


async def test_an_allowance_is_told_in_the_headers():
    class Told:
        def enter(self, account: Any) -> None:
            return None

        def leave(self, account: Any, *, tokens: int) -> None:
            return None

        def headers(self, account: Any) -> list[tuple[bytes, bytes]]:
            return [(b"x-ratelimit-remaining-requests", b"7")]

    async with StubEndpoint() as stub, gateway(stub.url, limiter=Told()) as running:
        got = await said(running, head(b"Connection: close") + BODY)

    assert b"x-ratelimit-remaining-requests: 7\r\n" in got
