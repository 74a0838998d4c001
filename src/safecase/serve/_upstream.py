"""The way to an upstream: one attempt, bounded in time and size, behind a circuit breaker.

Nothing is tried again, but for a connection that had been closed while it lay idle: an answer may have been charged,
and a gateway that repeats what an upstream cannot do makes an overload worse.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable

import aiohttp
from yarl import URL

from safecase.models import must_be_reachable
from safecase.serve._breaker import Breaker
from safecase.serve._config import Upstream
from safecase.serve._faults import Fault, failed
from safecase.serve._flights import NEVER, Flight
from safecase.serve._http import Answer, Pool, Unreachable

_IDLE_S = 15.0  # an unused connection is closed after it; servers commonly wait longer
_MOST_DIGITS = 6  # of the seconds to wait


class Client:
    """Calls one upstream. To be opened and closed in the loop that it is used in.

    Raises:
        PlatformFailed: the address leaves this machine where that is not allowed.
    """

    def __init__(self, upstream: Upstream, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.upstream = upstream
        must_be_reachable(URL(upstream.base_url), name=upstream.serves)
        self.breaker = Breaker(failures=upstream.failures, cooldown_s=upstream.cooldown_s, clock=clock)
        self._paths: dict[str, str] = {}
        self._pool: Pool | None = None

    def open(self) -> None:
        """Make the pool; connections come with the first call."""
        # Compressed replies are not asked for: a small one may unpack to any size.
        headers = {"Accept-Encoding": "identity", "Content-Type": "application/json", "User-Agent": "safecase"}
        headers["Accept"] = "application/json, text/event-stream"
        if self.upstream.key:
            headers["Authorization"] = f"Bearer {self.upstream.key}"
        upstream = self.upstream
        self._pool = Pool(upstream.url(""), headers, connect_timeout_s=upstream.connect_timeout_s, idle_s=_IDLE_S)

    async def close(self) -> None:
        """Close the connections."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    async def post(self, path: str, body: bytes, flight: Flight) -> Answer:
        """Ask; give the answer of any status below 300 with its body still to be read.

        Raises:
            Fault: no answer, or an error.
            UpstreamRefused: the upstream calls the request wrong.
        """
        if (wait_s := self.breaker.wait_s()) is not None:
            raise failed(503, "upstream-down", "the model cannot be reached at present", retry_after_s=wait_s)
        try:
            response = await self._asked(path, body, flight)
        except Fault:
            self.breaker.failed()
            raise
        except (
            BaseException
        ) as fault:  # what ended the call from outside; only waiting too long is the upstream's fault
            if isinstance(fault, asyncio.CancelledError) and isinstance(flight.cause, Fault):
                self.breaker.failed()
            else:
                self.breaker.undecided()
            raise
        flight.deadline = NEVER
        if response.status >= 500:
            self.breaker.failed()
        else:
            self.breaker.succeeded()
        if response.status >= 300:
            raise await self._refusal(response, flight)
        return response

    async def read(self, response: Answer, flight: Flight) -> bytes:
        """The whole body."""
        if response.content_length > self.upstream.most_bytes:
            response.close()
            raise self._too_large()
        if response.is_whole and response.received <= self.upstream.most_bytes and _is_plain(response):
            return response.read_now()  # a short answer has come with its head
        return b"".join([piece async for piece in self.pieces(response, flight)])

    async def pieces(self, response: Answer, flight: Flight) -> AsyncGenerator[bytes]:
        """The body as it arrives.

        Raises:
            Fault: it breaks off, stands still, or grows too large.
        """
        size, most, idle_s = 0, self.upstream.most_bytes, self.upstream.idle_timeout_s
        now = flight.task.get_loop().time
        if not _is_plain(response):
            response.close()
            raise failed(502, "upstream-malformed", "the model's answer is compressed, which was not asked for")
        is_whole = False
        try:
            while True:
                flight.deadline, flight.overdue = now() + idle_s, self._stands_still
                piece = await response.piece()
                flight.deadline = NEVER  # what is done with a piece takes its own time
                if not piece:
                    break
                size += len(piece)
                if size > most:
                    raise self._too_large()
                yield piece
            is_whole = True
        except OSError:
            self.breaker.failed()
            raise failed(502, "upstream-broke", "the model's answer broke off before its end") from None
        finally:
            flight.deadline = NEVER
            if not is_whole:
                response.close()

    async def fetch(self, url: URL, *, most_bytes: int) -> bytes:
        """What an address of the upstream's holds; neither the key nor a redirect goes along.

        Raises:
            aiohttp.ClientError, OSError: it cannot be had.
            Fault: it is too large, or no answer at all.
        """
        timeout = aiohttp.ClientTimeout(total=self.upstream.idle_timeout_s)
        async with (
            aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.get(url, allow_redirects=False) as response,
        ):
            if response.status != 200:
                raise failed(502, "upstream-error", f"the model's server answered HTTP {response.status}")
            data = bytearray()
            async for piece in response.content.iter_any():
                data += piece
                if len(data) > most_bytes:
                    raise failed(502, "upstream-too-large", f"a picture is larger than {most_bytes} bytes")
            return bytes(data)

    async def _asked(self, path: str, body: bytes, flight: Flight) -> Answer:
        """One attempt."""
        upstream, now = self.upstream, flight.task.get_loop().time()
        flight.end = now + upstream.total_timeout_s
        flight.deadline = now + upstream.connect_timeout_s + upstream.first_byte_timeout_s
        flight.overdue = self._is_late
        if self._pool is None:
            raise failed(503, "closed", "the gateway is closing")
        wire = self._paths.get(path)
        if wire is None:
            wire = self._paths[path] = upstream.url(path).raw_path_qs
        try:
            return await self._pool.post(wire, body)
        except Unreachable:
            raise failed(502, "upstream-unreachable", "the model cannot be reached") from None
        except OSError:
            raise failed(502, "upstream-broke", "the model gave no answer that can be read") from None

    async def _refusal(self, response: Answer, flight: Flight) -> Exception:
        """What an error of the upstream becomes. Its words are kept apart: they are as unchecked as any answer."""
        status = response.status
        if status in (400, 404, 413, 422):
            return UpstreamRefused(status, await self.read(response, flight))
        wait = response.headers.get(b"retry-after", b"")[:_MOST_DIGITS].decode("latin-1")
        response.close()
        if status == 429:
            wait_s = float(wait) if wait.isascii() and wait.isdigit() else None
            return failed(429, "upstream-busy", "the model takes no more requests now", retry_after_s=wait_s)
        if status in (401, 402, 403):
            return failed(502, "upstream-key", "the model's server does not accept the gateway's key")
        return failed(502, "upstream-error", f"the model's server answered HTTP {status}")

    def _is_late(self) -> Fault:
        return failed(504, "upstream-timeout", "the model gave no answer in time")

    def _stands_still(self) -> Fault:
        self.breaker.failed()
        return failed(504, "upstream-timeout", "the model stopped in the middle of its answer")

    def _too_large(self) -> Fault:
        return failed(502, "upstream-too-large", f"the model's answer is larger than {self.upstream.most_bytes} bytes")


def _is_plain(response: Answer) -> bool:
    return response.headers.get(b"content-encoding", b"identity") == b"identity"


class UpstreamRefused(Exception):
    """The upstream calls the request wrong.

    Attributes:
        status: of its error. body: what it says, unchecked.
    """

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        self.body = body
