"""The desk over HTTP: a page, a small JSON API, and nothing else.

Every error is `{"error": {"code", "message", "retry_after_s"?}}`. A key travels in `Authorization: Bearer`, never in a
cookie or an address, so no other page can use it and no log keeps it.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import Field

from safecase.assess import Case, Clock, identify, utc_now
from safecase.evidence import TrialStore
from safecase.models import Model, open_model, told_to_stop
from safecase.redteam._campaign import Declared, keep_declared, load_campaign
from safecase.redteam._desk import Desk, Gate
from safecase.redteam._errors import AlreadyOpen
from safecase.redteam._events import EventStore
from safecase.redteam._keys import KeyRecord, KeyRing
from safecase.redteam._page import load_page
from safecase.redteam._recorder import SECTION, Recorder
from safecase.web import Body, Handler, Refused, answer, is_loopback, json_answer, listen, read_json

_GOODBYE_S = 30.0
"""How long answers in flight are waited for when the server stops."""
_WAITING_PER_LINE = 16
_BODY_BYTES_PER_CHARACTER = 12  # a character as JSON escapes of its two halves
_LOG = logging.getLogger(__name__)

Name = Annotated[str, Field(max_length=120)]


class _Start(Body):
    category: Name
    vector: Name
    language: Name = "en"
    consent: Name


class _Message(Body):
    text: str


class _Finding(Body):
    category: Name
    severity: Literal[1, 2, 3, 4]
    vector: Name
    comment: str = ""
    index: Annotated[int, Field(ge=0)] | None = None


class Server:
    """HTTP in front of a desk.

    Args:
        keys: who may talk.
        monotonic: seconds, for looking at the key file again.
    """

    def __init__(self, desk: Desk, keys: KeyRing, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._desk, self._keys, self._monotonic = desk, keys, monotonic
        self._page = load_page(desk.declared.campaign)
        self._ready = True

    def app(self) -> web.Application:
        """The aiohttp application."""
        most = self._desk.declared.campaign.limits.characters_per_message
        size = 64 * 1024 + most * _BODY_BYTES_PER_CHARACTER
        app = web.Application(middlewares=[self._plain_errors], client_max_size=size)
        app.add_routes(
            [
                web.get("/", self._show_page),
                web.get("/health", self._health),
                web.get("/v1/me", self._me),
                web.get("/v1/scope", self._scope),
                web.post("/v1/conversations", self._start),
                web.post("/v1/conversations/{id}/messages", self._send),
                web.post("/v1/conversations/{id}/finding", self._file),
            ]
        )
        return app

    def stop_taking(self) -> None:
        """From now on every request but `/health` is turned away; those in flight go on."""
        self._ready = False

    @web.middleware
    async def _plain_errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        async def ready(request: web.Request) -> web.StreamResponse:
            self._must_be_ready(request)
            return await handler(request)

        return await answer(request, ready, log=_LOG)

    def _must_be_ready(self, request: web.Request) -> None:
        if not self._ready and request.path != "/health":
            raise Refused(503, "closing", "the server is stopping; try again in a minute", retry_after_s=60.0)

    def _who(self, request: web.Request) -> KeyRecord:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        found = self._keys.find(key.strip(), monotonic_s=self._monotonic()) if scheme.lower() == "bearer" else None
        if found is None:
            raise Refused(401, "no-key", "send a valid key as `Authorization: Bearer <key>`")
        return found

    async def _show_page(self, _: web.Request) -> web.Response:
        headers = {"Content-Security-Policy": self._page.policy}
        return web.Response(text=self._page.html, content_type="text/html", headers=headers)

    async def _health(self, _: web.Request) -> web.Response:
        return json_answer({"status": "open" if self._ready else "closing"}, status=200 if self._ready else 503)

    async def _me(self, request: web.Request) -> web.Response:
        return json_answer(self._desk.me(self._who(request)))

    async def _scope(self, request: web.Request) -> web.Response:
        return json_answer(self._desk.scope(self._who(request)))

    async def _start(self, request: web.Request) -> web.Response:
        who = self._who(request)
        body = await read_json(request, _Start)
        talk = self._desk.start(who, **body.model_dump())
        return json_answer({"conversation": talk.id}, status=201)

    async def _send(self, request: web.Request) -> web.Response:
        who = self._who(request)
        body = await read_json(request, _Message)
        reply = await self._desk.send(who, request.match_info["id"], body.text)
        return json_answer({"index": reply.index, "reply": reply.text, "left": self._desk.me(who)["left"]})

    async def _file(self, request: web.Request) -> web.Response:
        who = self._who(request)
        body = await read_json(request, _Finding)
        finding = await self._desk.file(who, request.match_info["id"], **body.model_dump())
        return json_answer({"finding": finding}, status=201)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A campaign that is being served.

    Attributes:
        url: where the page is.
        notes: what whoever opened it should know, in sentences.
    """

    url: str
    declared: Declared
    server: Server
    recorder: Recorder
    notes: tuple[str, ...]


@contextlib.asynccontextmanager
async def open_campaign(
    case: Case,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    model: Model | None = None,
    model_name: str | None = None,
    lines: int | None = None,
    flush_s: float = 2.0,
    now: Clock = utc_now,
) -> AsyncIterator[Opening]:
    """Serve a campaign until the block ends; then wait for answers in flight and write what is left.

    Args:
        port: 0 takes a free one.
        model: an open target, left open. model_name: another target than the case names.
        lines: model calls at once; the target's advice by default. Sixteen times as many may wait.
        flush_s: seconds of chat that a kill may lose.

    Raises:
        NotDeclared, PackError: the case declares no campaign, or a wrong one.
        AlreadyOpen: another server holds it.
        NotKept: the last rows could not be written.
    """
    declared = load_campaign(case)
    notes: list[str] = []
    with _only_one(case):
        target = model or open_model(model_name or case.spec.model.name)
        try:
            keep_declared(case, declared, now=now)
            trials, events = TrialStore(case.path, section=SECTION).open(at=now()), EventStore(case.path)
            if adopted := events.adopt(now=now):
                notes.append(f"{adopted} segments of events that a crash had left unlisted are listed now")
            recorder = Recorder(trials, events, now=now, seconds=flush_s)
            at_once = lines or target.concurrency
            desk = Desk(
                declared,
                model=target,
                arms=case.arms,
                generation=case.spec.generation,
                vault=case.vault(create=True, now=now),
                recorder=recorder,
                gate=Gate(at_once=at_once, waiting=at_once * _WAITING_PER_LINE),
                now=now,
                history=list(events.read(declared.campaign.id)),
            )
            server = Server(desk, KeyRing(case.path, declared.campaign.id))
            notes += _files_note(sum(team.seats for team in declared.campaign.teams))
            await _log_opening(case, declared, target, now=now)
            recorder.start()
            runner = web.AppRunner(server.app(), access_log=None, shutdown_timeout=_GOODBYE_S)
            try:
                await runner.setup()
                url = await listen(runner, host, port, backlog=4096)
                if not is_loopback(host):
                    notes.append("keys travel in plain HTTP; put TLS in front of this address")
                yield Opening(url=url, declared=declared, server=server, recorder=recorder, notes=tuple(notes))
            finally:
                server.stop_taking()
                await runner.cleanup()
                await recorder.close()
                subject = {"campaign": declared.campaign.id}
                case.ledger.append("redteam-closed", actor="safecase", subject=subject, at=now())
        finally:
            if model is None:
                await target.aclose()


async def serve_until_told(opening: Opening, *, say: Callable[[str], None]) -> None:
    """Wait for SIGINT, SIGTERM or the campaign's end."""
    left = (opening.declared.campaign.closes - utc_now()).total_seconds()
    with told_to_stop() as stop, contextlib.suppress(TimeoutError):
        async with asyncio.timeout(max(0.0, left)):
            await stop.wait()
    say(f"closing: {opening.recorder.pending} rows left to write")


async def _log_opening(case: Case, declared: Declared, target: Model, *, now: Clock) -> None:
    identity = await identify(case, target)
    subject = {
        "campaign": declared.campaign.id,
        "declaration": declared.digest,
        "model": target.name,
        "identity": {"kind": identity.kind, "digest": identity.digest},
        "stacks": {arm: case.arms[arm].digest for arm in declared.campaign.arms},
    }
    case.ledger.append("redteam-opened", actor="safecase", subject=subject, at=now())


@contextlib.contextmanager
def _only_one(case: Case) -> Any:
    """Hold the campaign; the lock goes with the process, however it ends."""
    path = case.path / "redteam" / ".open"
    path.parent.mkdir(exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            line = f"another server holds the campaign of {str(case.path)!r}"
            raise AlreadyOpen(f"{line}; stop it first") from None
        yield
    finally:
        os.close(descriptor)


def _files_note(seats: int) -> list[str]:
    """Raise the limit of open files to what the seats may need, and say where it does not suffice."""
    import resource  # late: not on every platform

    wanted = 2 * seats + 256
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft != resource.RLIM_INFINITY and soft < wanted:
        return [f"{seats} seats may need {wanted} open files and this process may have {soft}; raise `ulimit -Hn`"]
    return []
