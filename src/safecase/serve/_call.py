"""One call: what is known of it so far, what goes back to the client, and the event that it leaves."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256

from safecase.evidence import CallEvent, Explanation, Outcome, RulingRecord, quick_taker
from safecase.safeguard import Exchange
from safecase.serve._config import Receive, Scope, Send
from safecase.serve._faults import ClientGone, Fault, error_json, refused
from safecase.serve._flights import NEVER, Flight
from safecase.serve._values import Account, Standing

Header = tuple[bytes, bytes]
JSON: Header = (b"content-type", b"application/json")
EVENTS: Header = (b"content-type", b"text/event-stream; charset=utf-8")
_NO_STORE: Header = (b"cache-control", b"no-store")
_NO_BUFFER: Header = (b"x-accel-buffering", b"no")  # nginx would collect a stream before passing it on
_CHALLENGE: Header = (b"www-authenticate", b"Bearer")
_CLOSE: Header = (b"connection", b"close")
_CLIENT_GONE = 499  # nginx's word for a client that hung up; nobody gets it

_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}  # two bits are drawn, two are fixed


class _Random:
    """Random bytes, drawn by the block: a system call for each id costs more than the id. Not for secrets."""

    def __init__(self) -> None:
        self._block, self._at = b"", 0
        os.register_at_fork(after_in_child=self._forget)  # or two workers would give the same ids

    def take(self, count: int) -> bytes:
        """So many bytes, never the same twice."""
        end = self._at + count
        if end > len(self._block):
            self._block, self._at, end = os.urandom(_BLOCK), 0, count
        taken, self._at = self._block[self._at : end], end
        return taken

    def _forget(self) -> None:
        self._block, self._at = b"", 0


_BLOCK = 4_000
_RANDOM = _Random()


def new_id() -> str:
    """UUIDv7 in hex: sorts by time. Source: RFC 9562, section 5.7."""
    drawn = _RANDOM.take(10).hex()
    return f"{time.time_ns() // 1_000_000:012x}7{drawn[:3]}{_VARIANT[drawn[3]]}{drawn[4:19]}"


@dataclass(slots=True)
class Clock:
    """Writes instants; the part that changes once a second is kept."""

    second: int = -1
    text: str = ""

    def now(self) -> str:
        """ISO 8601, UTC, with microseconds."""
        nanoseconds = time.time_ns()
        second, rest = divmod(nanoseconds, 1_000_000_000)
        if second != self.second:
            self.second, self.text = second, datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S.")
        return f"{self.text}{rest // 1_000:06d}Z"


@dataclass(slots=True, kw_only=True, eq=False)
class Call:
    """One call through the gateway. The fields below `flight` fill as it goes on and become its event.

    Attributes:
        take_timeout_s: until the client takes a piece of a stream.
        limits: headers that tell the account what it has left.
        generated: characters that the upstream sent so far, whether they went out or not.
        exchanges: what was put to the stack, for a shadow; None where there is none.
        breaks: gives the bytes that end a stream which has begun; None before it has.
    """

    id: str
    at: str
    route: str
    began: float
    scope: Scope
    receive: Receive
    send: Send
    standing: Standing
    flight: Flight
    take_timeout_s: float = 30.0
    limits: Sequence[Header] = ()
    account: Account | None = None
    traceparent: bytes = b""
    outcome: Outcome = "served"
    status: int = 0
    reason: str = ""
    withheld_by: str | None = None
    rulings: list[RulingRecord] = field(default_factory=list)
    explanations: list[Explanation] = field(default_factory=list)
    streamed: bool = False
    tools: int = 0
    characters_in: int = 0
    characters_out: int = 0
    tokens_in: int | None = None
    tokens_out: int | None = None
    finish_reason: str | None = None
    latency_s: float | None = None
    first_s: float | None = None
    request_sha256: str = ""
    prompt: str | None = None
    reply: str | None = None
    generated: int = 0
    exchanges: list[Exchange] | None = None
    breaks: Callable[[Fault], bytes] | None = None
    has_ended: bool = False

    # -- what comes in

    async def body(self, *, most_bytes: int) -> bytes:
        """Read the request's body.

        Raises:
            Fault: it is too large, or the client stopped in the middle.
        """
        message = await self.receive()
        whole: bytes = message.get("body", b"")
        if message.get("more_body", False):
            whole = await self._rest(whole, most_bytes=most_bytes)
        elif message["type"] != "http.request":
            raise _broken_off()
        if len(whole) > most_bytes:
            raise _too_large(most_bytes)
        self.flight.deadline = NEVER
        self.flight.receive = self.receive
        self.request_sha256 = sha256(whole).hexdigest()
        return whole

    async def _rest(self, first: bytes, *, most_bytes: int) -> bytes:
        pieces, size = [first], len(first)
        while size <= most_bytes:
            message = await self.receive()
            if message["type"] != "http.request":
                raise _broken_off()
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            if not message.get("more_body", False):
                return b"".join(pieces)
        raise _too_large(most_bytes)

    # -- what goes out

    async def answer(self, body: bytes, *, status: int = 200, headers: tuple[Header, ...] = (JSON,)) -> None:
        """Send a whole answer."""
        self.status = status
        length = (b"content-length", str(len(body)).encode())
        await self._start((*headers, length))
        self.first_s = time.perf_counter() - self.began if status < 400 else None
        await self._end(body)

    async def open_stream(self, headers: tuple[Header, ...], breaks: Callable[[Fault], bytes]) -> None:
        """Begin a stream of events; from now on a fault is an event too."""
        self.status = 200
        await self._start((EVENTS, _NO_STORE, _NO_BUFFER, *headers))
        self.breaks = breaks

    async def pass_on(self, events: bytes) -> None:
        """Send events with content."""
        if self.first_s is None:
            self.first_s = time.perf_counter() - self.began
        await self.write(events)

    async def write(self, events: bytes) -> None:
        """Send more of a stream. A client that takes nothing ends its call: it would hold a place and its buffers."""
        flight = self.flight
        flight.deadline, flight.overdue = flight.task.get_loop().time() + self.take_timeout_s, ClientGone
        await self.send({"type": "http.response.body", "body": events, "more_body": True})
        flight.deadline = NEVER

    async def close_stream(self, events: bytes) -> None:
        """Send the last events."""
        await self._end(events)

    async def tell(self, fault: Fault) -> None:
        """Send a fault: as an error, or as an event where a stream has begun. Nothing follows an answer that is out."""
        if self.has_ended:
            return
        if self.breaks is not None:
            await self._end(self.breaks(fault))
            return
        if self.status:  # the head of an answer is out and its body is not: all that is left is to hang up
            return
        wait = fault.refusal.retry_after_s
        headers: tuple[Header, ...] = (JSON,) if wait is None else (JSON, (b"retry-after", b"%d" % max(1, round(wait))))
        if fault.refusal.status == 401:
            headers = (*headers, _CHALLENGE)
        headers = (*headers, *fault.headers)
        if fault.refusal.status in (401, 408, 413, 431):
            headers = (*headers, _CLOSE)  # the rest of what such a client sends is not read
        await self.answer(error_json(fault), status=fault.refusal.status, headers=headers)

    async def _start(self, headers: tuple[Header, ...]) -> None:
        request_id = (b"x-request-id", self.id.encode())
        sent = [request_id, *headers, *self.limits]
        await self.send({"type": "http.response.start", "status": self.status, "headers": sent})

    async def _end(self, body: bytes) -> None:
        self.has_ended = True
        self.latency_s = time.perf_counter() - self.began
        await self.send({"type": "http.response.body", "body": body, "more_body": False})

    # -- what is left of it

    def fail(self, fault: Fault) -> None:
        """Note why there is no answer."""
        self.outcome = "cut" if self.breaks is not None and fault.outcome == "failed" else fault.outcome
        self.reason = fault.refusal.reason

    def hang_up(self) -> None:
        """Note that nobody waits for the answer any more."""
        self.outcome, self.reason = "cut", "client-gone"
        self.status = self.status or _CLIENT_GONE

    def put_to_stack(self, exchange: Exchange) -> None:
        """Note what a shadow is to rule on too: the whole request, then the whole of every choice."""
        if self.exchanges is not None:
            self.exchanges.append(exchange)

    def withhold(self, ruling: RulingRecord) -> None:
        """Note which safeguard stopped it."""
        self.outcome, self.withheld_by = "withheld", ruling.layer
        self.reason = "safeguard-failed" if ruling.error else "safeguard"
        self.finish_reason = "content_filter"

    @property
    def tokens(self) -> int:
        """Tokens for the limits: as counted, a guess by length where the upstream did not count."""
        if self.tokens_in is None and self.tokens_out is None:
            return (self.characters_in + max(self.characters_out, self.generated) + 3) // 4
        return (self.tokens_in or 0) + (self.tokens_out or 0)

    def event(self) -> CallEvent:
        """The decision record."""
        account, standing = self.account, self.standing
        return _event(
            self,
            event_id=self.id,
            account=account.id if account else "",
            key_id=account.key_id if account else "",
            permit=standing.permit,
            context=standing.context,
            stack_digest=standing.stack_digest,
            model=standing.model,
            rulings=tuple(self.rulings),
            explanations=tuple(self.explanations),
            tiers=tuple(sorted(account.tiers)) if account and account.tiers else (),
            latency_s=time.perf_counter() - self.began if self.latency_s is None else self.latency_s,
        )


_SAME = (  # what a call and its event name alike
    "at",
    "route",
    "outcome",
    "status",
    "reason",
    "withheld_by",
    "streamed",
    "tools",
    "characters_in",
    "characters_out",
    "tokens_in",
    "tokens_out",
    "finish_reason",
    "first_s",
    "request_sha256",
    "prompt",
    "reply",
)
_event = quick_taker(CallEvent, *_SAME)


def _too_large(most_bytes: int) -> Fault:
    return refused(413, "too-large", f"the body is larger than {most_bytes} bytes; send less")


def _broken_off() -> Fault:
    return refused(400, "bad-request", "the body broke off before its end")
