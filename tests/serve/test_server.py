"""How answers go out: whole in one piece, apps of every make, and a connection that is left alone for long."""

import asyncio
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn

from safecase.serve import server_config

CLOSE = b"Connection: close\r\n"
GET = b"GET / HTTP/1.1\r\nHost: x\r\n%s\r\n"


@asynccontextmanager
async def served(app: Any, **options: Any):
    """An app on a free port, which it gives."""
    server = uvicorn.Server(server_config(app, port=0, loop="none", lifespan="off", log_level="critical", **options))
    server.install_signal_handlers = lambda: None  # type: ignore[method-assign]  # the loop is the test's
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.005)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await task


async def got(port: int, request: bytes, *, wait_s: float = 0.3) -> bytes:
    """All that comes back until the server closes, or for so long."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    data = b""
    try:
        async with asyncio.timeout(wait_s):
            while piece := await reader.read(65_536):
                data += piece
    except TimeoutError:
        pass
    writer.close()
    return data


def answering(*pieces: bytes, headers: list[tuple[bytes, bytes]], status: int = 200) -> Any:
    """An app that gives this head and these pieces."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for number, piece in enumerate(pieces, start=1):
            await send({"type": "http.response.body", "body": piece, "more_body": number < len(pieces)})

    return app


@pytest.mark.parametrize("pieces", [(b"abcdef",), (b"abc", b"def"), (b"abcdef", b"")], ids=["one", "two", "empty last"])
@pytest.mark.parametrize("more", [b"", CLOSE], ids=["kept", "closed"])
async def test_an_answer_of_known_length_comes_whole_in_however_many_pieces(pieces: tuple[bytes, ...], more: bytes):
    headers = [(b"content-length", b"6"), (b"x-of", b"us")]
    async with served(answering(*pieces, headers=headers)) as port:
        twice = await got(port, GET % more + (b"" if more else GET % CLOSE))

    count = 1 if more else 2
    assert twice.count(b"HTTP/1.1 200 OK\r\n") == twice.count(b"\r\n\r\nabcdef") == twice.count(b"x-of: us") == count


@pytest.mark.parametrize("pieces", [(b"abc", b"def"), (b"abc", b"def", b"")], ids=["two", "empty last"])
async def test_a_stream_to_a_client_of_http_1_0_ends_with_its_connection_and_has_no_chunks(pieces: tuple[bytes, ...]):
    async with served(answering(*pieces, headers=[(b"x-of", b"us")])) as port:
        old = await got(port, b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")
        new = await got(port, GET % CLOSE)

    head, _, body = old.partition(b"\r\n\r\n")
    assert body == b"abcdef"
    assert b"chunked" not in head
    assert b"connection: close" in head
    assert b"chunked" in new


@pytest.mark.parametrize(
    ("name", "value"), [(b"x-a", b"b\r\nx-c: d"), (b"x-a", b"b\nx-c: d"), (b"x\r\ny", b"b"), (b"x-a", b"\0")]
)
async def test_a_header_that_would_end_its_line_is_not_sent(name: bytes, value: bytes):
    async with served(answering(b"abcdef", headers=[(b"content-length", b"6"), (name, value)])) as port:
        data = await got(port, GET % b"")

    assert b"x-c" not in data
    assert b"abcdef" not in data


@pytest.mark.parametrize("body", [b"abc", b"abcdefghi"], ids=["shorter", "longer"])
async def test_a_body_of_another_length_than_its_head_says_reaches_no_second_answer(body: bytes):
    """A client would take what is left for the beginning of the next answer."""
    async with served(answering(body, headers=[(b"content-length", b"6")])) as port:
        data = await got(port, GET % b"" + GET % b"")

    assert data.count(b"HTTP/1.1") <= 1
    assert body[6:] == b"" or body not in data


async def test_an_answer_follows_the_word_to_go_on_when_that_was_asked_for():
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 413, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"no"})

    request = b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx"
    async with served(app) as port:
        data = await got(port, request)

    assert data.index(b"100 Continue") < data.index(b"413")


async def test_a_connection_is_closed_when_it_was_left_alone_for_so_long_and_not_before():
    async with served(answering(b"ok", headers=[(b"content-length", b"2")]), timeout_keep_alive=1) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        began = asyncio.get_running_loop().time()
        for _ in range(3):  # in use beyond the time of the first answer
            writer.write(GET % b"")
            assert b"ok" in await reader.readuntil(b"ok")
            await asyncio.sleep(0.5)
        is_open = not reader.at_eof()
        async with asyncio.timeout(5):
            rest = await reader.read()
        took = asyncio.get_running_loop().time() - began
        writer.close()

    assert is_open
    assert rest == b""
    assert 1.9 < took < 4
