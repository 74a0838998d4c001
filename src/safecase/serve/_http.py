"""HTTP/1.1 to an upstream, as much of it as a gateway needs: a POST, and the answer's head and body as they come.

aiohttp's client takes more time on a call than everything else that a gateway does. What it offers beyond this
(cookies, redirects, proxies, compression, forms) is what a gateway must not do. Bytes are parsed by httptools (llhttp),
as the server's are. Timing is the caller's: who stops waiting is cancelled, and the connection is closed with it.

    Unreachable(OSError)   no connection
    Lost(OSError)          the connection was closed before a byte of the answer
    BrokenOff(OSError)     the answer ended before its end, or is no HTTP
"""

import asyncio
import ssl
from contextlib import suppress
from typing import cast

import httptools
from yarl import URL

_MOST_HEAD = 64 << 10
_MOST_WAITING = 256 << 10  # bytes of a body that nobody has read, from which on the upstream has to wait


class Unreachable(OSError):
    """No connection to the upstream."""


class Lost(OSError):
    """The upstream closed the connection before it answered at all."""


class BrokenOff(OSError):
    """The answer is not whole, or is no HTTP."""


class Answer:
    """An upstream's answer, of which the head has come.

    Attributes:
        status: 200 and up. headers: by name in small letters.
        is_whole: all of the body has come.
        received: bytes of the body so far.
    """

    __slots__ = (
        "_fault",
        "_line",
        "_pieces",
        "_waiter",
        "_waiting",
        "has_head",
        "headers",
        "is_whole",
        "received",
        "status",
    )

    def __init__(self, line: "_Line") -> None:
        self._line = line
        self._pieces: list[bytes] = []
        self._waiting = 0
        self._waiter: asyncio.Future[None] | None = None
        self._fault: OSError | None = None
        self.status = self.received = 0
        self.headers: dict[bytes, bytes] = {}
        self.has_head = self.is_whole = False

    @property
    def content_type(self) -> str:
        """Without its parameters, in small letters."""
        return self.headers.get(b"content-type", b"").partition(b";")[0].strip().lower().decode("latin-1")

    @property
    def content_length(self) -> int:
        """As announced; 0 where nothing is."""
        length = self.headers.get(b"content-length", b"")
        return int(length) if length.isdigit() else 0

    async def head(self) -> None:
        """Wait for the head.

        Raises:
            Lost, BrokenOff: it does not come.
        """
        while not self.has_head:
            await self._more()

    async def piece(self) -> bytes:
        """What has come and was not read; b"" at the end.

        Raises:
            BrokenOff: the rest does not come.
        """
        while not self._pieces and not self.is_whole:
            await self._more()
        return self.read_now()

    def read_now(self) -> bytes:
        """What has come and was not read, without waiting."""
        pieces, self._pieces, self._waiting = self._pieces, [], 0
        self._line.go_on()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        """Give up what has not come."""
        if not self.is_whole:
            self._line.abort()

    async def _more(self) -> None:
        if self._fault is not None:
            raise self._fault
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    # -- what the connection tells

    def take(self, data: bytes) -> bool:
        """Take a piece of the body; whether the rest had better wait."""
        self._pieces.append(data)
        self._waiting += len(data)
        self.received += len(data)
        return self._waiting > _MOST_WAITING

    def fail(self, fault: OSError) -> None:
        """Note that the rest does not come."""
        self._fault = fault
        self.wake()

    def wake(self) -> None:
        """Something has come."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class _Line(asyncio.Protocol):
    """A connection; one answer at a time."""

    def __init__(self, pool: "Pool") -> None:
        self._pool = pool
        self._parser = httptools.HttpResponseParser(self)
        self._answer: Answer | None = None
        self._is_paused = self._is_over = self._is_lasting = False
        self._head_bytes = self._headers_bytes = 0  # all that came before a body; of headers alone
        self.is_closed = False
        self.idle_since = 0.0

    async def ask(self, request: bytes) -> Answer:
        """Send a request; its answer once the head is there."""
        answer = self._answer = Answer(self)
        self._head_bytes = self._headers_bytes = 0
        self._transport.write(request)
        try:
            await answer.head()
        except BaseException:
            self.abort()
            raise
        return answer

    def abort(self) -> None:
        """Close at once."""
        self.is_closed = True
        self._pool.forget(self)
        self._transport.abort()

    def go_on(self) -> None:
        """Read again, where reading was stopped."""
        if self._is_paused:
            self._is_paused = False
            if not self.is_closed:
                self._transport.resume_reading()

    # -- what the transport tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)  # of a stream, since this protocol is one's

    def data_received(self, data: bytes) -> None:
        """Parse what has come."""
        answer = self._answer
        if answer is None:  # nobody asked
            self.abort()
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._break(answer, "is no HTTP")
            return
        self._head_bytes += 0 if answer.has_head else len(data)
        if max(self._head_bytes, self._headers_bytes) > _MOST_HEAD:
            answer.has_head = answer.is_whole = False  # it may have come whole, in this very piece
            self._break(answer, "has too large a head")
            return
        if self._is_over:
            self._end()
        answer.wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits."""
        self.is_closed = True
        self._pool.forget(self)
        answer, self._answer = self._answer, None
        if answer is None:
            return
        headers = answer.headers
        if answer.has_head and exc is None and b"content-length" not in headers and b"transfer-encoding" not in headers:
            answer.is_whole = True  # its end is that of the connection
            answer.wake()
        elif answer.has_head or self._head_bytes:
            answer.fail(BrokenOff("the connection was closed in the middle of an answer"))
        else:
            answer.fail(Lost("the connection was closed before an answer"))

    def _break(self, answer: Answer, what: str) -> None:
        self._answer = None
        self.abort()
        answer.fail(BrokenOff(f"the answer {what}"))

    def _end(self) -> None:
        self._answer, self._is_over = None, False
        if self._is_lasting and not self.is_closed:
            self.go_on()
            self._pool.keep(self)
        else:
            self.is_closed = True
            self._pool.forget(self)
            self._transport.close()

    # -- what the parser tells

    def on_message_begin(self) -> None:
        """A second answer to one request is none."""
        if self._is_over:
            self.is_closed = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; what comes after a body is passed over."""
        if self._answer is not None and not self._answer.has_head:
            self._headers_bytes += len(name) + len(value)
            self._answer.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """The head is there, but for one that only says to wait."""
        answer, status = self._answer, self._parser.get_status_code()
        if answer is None or self._is_over:
            return
        if status < 200:
            answer.headers.clear()
        else:
            answer.status, answer.has_head = status, True

    def on_body(self, data: bytes) -> None:
        """Pass it on; stop reading where nobody takes it."""
        if self._answer is not None and not self._is_over and self._answer.take(data) and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        """The answer is whole."""
        if self._answer is not None and self._answer.has_head:
            self._answer.is_whole = self._is_over = True
            self._is_lasting = self._parser.should_keep_alive()  # the parser forgets it as soon as this returns


class Pool:
    """Connections to one server, used again while they are open.

    Args:
        url: whose origin is asked.
        headers: sent with every request.
        connect_timeout_s: until a connection stands.
        idle_s: after which an unused connection is closed.
    """

    def __init__(self, url: URL, headers: dict[str, str], *, connect_timeout_s: float, idle_s: float) -> None:
        self._host, self._port = url.host or "", url.port or 80
        self._ssl = ssl.create_default_context() if url.scheme == "https" else None
        self._connect_timeout_s, self._idle_s = connect_timeout_s, idle_s
        if any(sign in value for value in headers.values() for sign in "\r\n\0"):
            raise ValueError("a header for the upstream holds a line end; look at its key")
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._headers = f"Host: {url.host_port_subcomponent}\r\n{lines}".encode("latin-1")
        self._heads: dict[str, bytes] = {}
        self._idle: list[_Line] = []
        self._lines: set[_Line] = set()
        self._loop = asyncio.get_running_loop()
        self._sweeping: asyncio.TimerHandle | None = None

    async def post(self, path: str, body: bytes) -> Answer:
        """Ask.

        Args:
            path: as it goes on the wire.

        Raises:
            Unreachable, Lost, BrokenOff: no answer.
        """
        head = self._heads.get(path)
        if head is None:
            head = self._heads[path] = b"POST %s HTTP/1.1\r\n%sContent-Length: " % (path.encode("ascii"), self._headers)
        request = b"%s%d\r\n\r\n%s" % (head, len(body), body)
        if self._idle:
            try:
                return await self._idle.pop().ask(request)
            except Lost:  # closed while it lay idle: nothing was done with the request
                pass
        return await (await self._connected()).ask(request)

    def close(self) -> None:
        """Close all connections."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        for line in list(self._lines):
            line.abort()

    async def _connected(self) -> _Line:
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                _, line = await self._loop.create_connection(lambda: _Line(self), self._host, self._port, ssl=self._ssl)
        except OSError as error:
            raise Unreachable(str(error)) from None
        self._lines.add(line)
        return line

    # -- what connections tell

    def keep(self, line: _Line) -> None:
        """It may be used again."""
        line.idle_since = self._loop.time()
        self._idle.append(line)
        if self._sweeping is None:
            self._sweeping = self._loop.call_later(self._idle_s, self._sweep)

    def forget(self, line: _Line) -> None:
        """It is closed."""
        self._lines.discard(line)
        with suppress(ValueError):
            self._idle.remove(line)

    def _sweep(self) -> None:
        """Close what was idle too long; the one used last is the last in the list."""
        long_ago = self._loop.time() - self._idle_s
        while self._idle and self._idle[0].idle_since <= long_ago:
            self._idle[0].abort()
        self._sweeping = self._loop.call_later(self._idle_s / 2, self._sweep) if self._idle else None
