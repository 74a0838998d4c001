"""How uvicorn is to run the gateway: what it would do for each call and nobody needs is left out.

uvicorn writes the head of an answer and its body one after the other, two system calls and two packets, looks at every
header with two expressions, and sets a timer for every answer. Here the head waits for the body that nearly always
follows at once, all headers are looked at together, and a connection has one timer as long as it lasts.

uvicorn also waits without end for a head that does not come, keeps as much of one as is sent, and keeps what a client
does not take. Here a connection that stands still in any of these ways is ended. What never became a request leaves no
event.
"""

import asyncio
import gc
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from safecase.serve._config import AsgiApp

_HEAD = b"HTTP/1.1 "
_HEAD_S = 20.0  # until the head of a request has come
_MOST_AROUND = 512 << 10  # bytes of a request that are not its body: its head, the frames of its chunks, trailers
_COLLECT_AFTER = 10_000  # objects more than before; a call makes some 150 and leaves none
_LINGER_S = 10.0  # a closed connection may take no byte for so long, and is then cut off


class _Corked:
    """A transport on which the head of an answer goes out with what is written next, at the latest in a moment.

    Closed, it sends what is left as long as the other side takes any of it.
    """

    __slots__ = ("_held", "_is_closed", "_linger_s", "_loop", "_transport")

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop, linger_s: float) -> None:  # or a fake of one
        self._transport, self._loop, self._held, self._is_closed = transport, loop, b"", False
        self._linger_s = linger_s

    def write_whole(self, data: bytes) -> None:
        """Write an answer that is whole, behind what is held."""
        held, self._held = self._held, b""
        self._transport.write(held + data if held else data)

    def write(self, data: bytes) -> None:
        """Write, or hold the head."""
        if self._held:
            data, self._held = self._held + data, b""
        elif data.startswith(_HEAD):
            self._held = data
            self._loop.call_soon(self._flush)
            return
        self._transport.write(data)

    def close(self) -> None:
        """Close when all is written."""
        self._flush()
        self._transport.close()
        if not self._is_closed and (left := self._transport.get_write_buffer_size()):
            self._loop.call_later(self._linger_s, self._linger, left)
        self._is_closed = True

    def _linger(self, before: int) -> None:
        left = self._transport.get_write_buffer_size()
        if left >= before:
            self._transport.abort()
        elif left:
            self._loop.call_later(self._linger_s, self._linger, left)

    def _flush(self) -> None:
        if self._held:
            held, self._held = self._held, b""
            if not self._transport.is_closing():
                self._transport.write(held)

    def __getattr__(self, name: str) -> Any:  # whatever a transport has
        return getattr(self._transport, name)


class _Cycle(RequestResponseCycle):
    """A request and its answer. What an app says before its last word is checked as uvicorn does, in other places."""

    _whole: tuple[bytes, int] | None = None  # a head that waits for its body, and how long that is
    _ends_with_connection = False  # HTTP/1.0 knows no chunks

    async def send(self, message: Any) -> None:  # an ASGI message
        """Send a head or a piece of a body; an answer that comes whole goes the short way."""
        if self.response_started:
            whole, self._whole = self._whole, None
            if whole is None:
                if self._ends_with_connection:
                    self.expected_content_length = len(message.get("body", b""))
                return await super().send(message)
            return await self._send_whole(*whole, message)
        is_plain = (
            self.keep_alive and self.scope["method"] != "HEAD" and not (self.default_headers or self.disconnected)
        )
        length = _length_of(message) if is_plain else -1
        if length < 0 or self.flow.write_paused:
            if self.scope["http_version"] == "1.0" and not any(
                name == b"content-length" for name, _ in message["headers"]
            ):
                self.chunked_encoding, self._ends_with_connection = False, True
            return await super().send(message)
        self.response_started, self.waiting_for_100_continue = True, False
        self._whole = _head_of(message), length
        return None

    async def _send_whole(self, head: bytes, length: int, message: Any) -> None:
        body = message.get("body", b"")
        if message["type"] != "http.response.body" or message.get("more_body") or len(body) != length:
            self.chunked_encoding, self.expected_content_length = False, length
            self.transport.write(head)
            return await super().send(message)
        if self.disconnected:
            return None
        self.transport.write_whole(head + body)  # type: ignore[attr-defined]  # it is corked
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:  # the server ends, and said so in the meantime
            self.transport.close()
        self.on_response()
        return None


def _length_of(message: Any) -> int:
    """The length that a head promises, where its body follows in one piece and the connection stays; else -1."""
    length = -1
    for name, value in message.get("headers", ()):
        if name == b"content-length":
            length = int(value)
        elif name == b"connection" or name == b"transfer-encoding":
            return -1
    return length


def _head_of(message: Any) -> bytes:
    """The head of an answer.

    Raises:
        RuntimeError: a header would end its line, or begin another.
    """
    headers = message["headers"]
    lines = [b"%s: %s\r\n" % header for header in headers]
    head = b"".join((STATUS_LINE[message["status"]], *lines, b"\r\n"))
    ends = len(headers) + 2
    if head.count(b"\n") != ends or head.count(b"\r") != ends or head.find(b"\0") >= 0:
        raise RuntimeError("Invalid HTTP header.")
    return head


class GatewayProtocol(HttpToolsProtocol):
    """HTTP on one connection.

    Attributes:
        head_s, linger_s: see above; of the class, for tests.
    """

    head_s, linger_s = _HEAD_S, _LINGER_S
    _around = 0
    _late: asyncio.TimerHandle | None = None
    _idle_since: float | None = None

    def connection_made(self, transport: Any) -> None:  # as the base has it
        """Take a connection."""
        super().connection_made(transport)
        self.transport = _Corked(transport, self.loop, self.linger_s)  # type: ignore[assignment]  # all that is used
        self._late = self.loop.call_later(self.head_s, self._is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of a connection."""
        self._is_in_time()
        if self.timeout_keep_alive_task is not None:  # it holds this object as long as it runs
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read; what is no body is bounded, and a head that has begun has to come."""
        self._around += len(data)
        super().data_received(data)
        if self._around > _MOST_AROUND:
            self._refuse(b"431 Request Header Fields Too Large")
        elif self._late is None and (self.cycle is None or self.cycle.response_complete):
            self._late = self.loop.call_later(self.head_s, self._is_late)

    def on_message_begin(self) -> None:
        """A request begins."""
        self._around = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Its head is there."""
        self._is_in_time()
        super().on_headers_complete()
        if self.cycle is not None:  # made a moment ago, and not used before this task has its turn
            self.cycle.__class__ = _Cycle

    def on_response_complete(self) -> None:
        """An answer is out: the next request of this connection, or a while for one to come."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._wait_idle(self.timeout_keep_alive)

    def _unset_keepalive_if_required(self) -> None:
        """A request has come. The timer goes on, and finds the connection in use."""
        self._idle_since = None

    def _wait_idle(self, wait_s: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(wait_s, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that nobody used for long enough, or look again when it may be so."""
        self.timeout_keep_alive_task = None
        since = self._idle_since
        if self.transport.is_closing() or since is None:
            return
        left = self.timeout_keep_alive - (self.loop.time() - since)
        if left <= 0:
            self.transport.close()
        else:
            self._wait_idle(left)

    def on_body(self, body: bytes) -> None:
        """Take a piece of its body."""
        self._around -= len(body)
        super().on_body(body)

    def _is_in_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _is_late(self) -> None:
        self._late = None
        self._refuse(b"408 Request Timeout")

    def _refuse(self, status: bytes) -> None:
        """End the connection, with a word where no answer is on its way."""
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(_HEAD + status + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        self.transport.close()


def settle() -> None:
    """Leave what this process has loaded to itself: to be called once all is loaded, in a process that only serves.

    Garbage is looked for among all objects that live, a hundred thousand of them of modules and of weights, which stay;
    and among those of every call in flight again and again. Both are then left out, at a few megabytes at most.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 20, 20)


def server_config(app: AsgiApp, **options: Any) -> uvicorn.Config:
    """uvicorn's settings for a gateway.

    Args:
        options: further settings, or others; as `uvicorn.Config` takes them.
    """
    settings: dict[str, Any] = {
        "http": GatewayProtocol,
        "loop": "uvloop",
        "ws": "none",
        "lifespan": "on",
        "access_log": False,  # every call leaves an event
        "proxy_headers": False,  # who asks is told by a key and not by an address
        "server_header": False,
        "date_header": False,
        "log_level": "warning",
    }
    return uvicorn.Config(app, **{**settings, **options})
