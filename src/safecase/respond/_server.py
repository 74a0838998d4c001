"""The desk over HTTP: a form without script, a JSON API, security.txt, and nothing else.

Errors of the API are `{"error": {"code", "message", "retry_after_s"?}}`. A token travels in `Authorization: Bearer`
or in the body of a form, never in an address or a cookie. Addresses of senders are written nowhere.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from aiohttp import BodyPartReader, web
from pydantic import Field

from safecase.assess import Clock, utc_now
from safecase.models import told_to_stop
from safecase.registry import RegistryError, Source
from safecase.respond._attachments import File
from safecase.respond._desk import Desk, IntakeLimits
from safecase.respond._followup import FollowUp, add_word, follow
from safecase.respond._intake import CHANNELS, Receipt, Submission, is_app_key, take
from safecase.respond._pace import Pace
from safecase.respond._page import load_pages
from safecase.respond._security import security_txt
from safecase.web import Body, Handler, Refused, answer, is_loopback, json_answer, listen, read_form, read_json

_FIELD_BYTES_PER_CHARACTER = 12  # a character as JSON escapes of its two halves
_GOODBYE_S = 10.0
_LOG = logging.getLogger(__name__)

Short = Annotated[str, Field(max_length=500)]


class _Report(Body):
    channel: Short
    text: str
    title: Short = ""
    request: str = ""
    answer: str = ""
    contact: Short = ""
    confidentiality: Literal["open", "confidential", "anonymous"] = "open"
    accused: list[Short] = Field(default_factory=list)
    context: Short | None = None
    event_ids: list[Short] = Field(default_factory=list)
    trial_id: Short | None = None


class _Feedback(Body):
    rating: Literal["up", "down"]
    text: str = ""
    event_id: Short | None = None
    context: Short | None = None


class _Word(Body):
    text: str


class Server:
    """HTTP in front of a desk.

    Args:
        behind_proxy: take the sender from the last `X-Forwarded-For`, which the proxy in front of us wrote.
        monotonic: seconds, for the pace of senders.
    """

    def __init__(
        self,
        desk: Desk,
        *,
        behind_proxy: bool = False,
        now: Clock = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._desk, self._behind_proxy, self._now = desk, behind_proxy, now
        self._pace = Pace(desk.spec.limits, monotonic=monotonic)
        self._looks = Pace(desk.spec.limits.model_copy(update={"per_minute": 60}), monotonic=monotonic)
        self._pages = load_pages(desk)

    def app(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(middlewares=[self._plain_errors], client_max_size=_most_bytes(self._desk.spec.limits))
        app.add_routes(
            [
                web.get("/", self._show_form),
                web.post("/", self._post_form),
                web.get("/follow", self._show_follow),
                web.post("/follow", self._post_follow),
                web.get("/health", self._health),
                web.get("/.well-known/security.txt", self._security_txt),
                web.post("/v1/reports", self._post_report),
                web.post("/v1/feedback", self._post_feedback),
                web.get("/v1/reports/mine", self._mine),
                web.post("/v1/reports/mine/messages", self._say_more),
            ]
        )
        return app

    @web.middleware
    async def _plain_errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        async def kept(request: web.Request) -> web.StreamResponse:
            try:
                return await handler(request)
            except RegistryError:
                _LOG.exception("a request to %s could not be kept", request.path)
                told = "your report could not be kept; send it again"
                raise Refused(503, "not-kept", told, retry_after_s=30.0) from None

        return await answer(request, kept, log=_LOG)

    # --- Pages --------------------------------------------------------------------------------------------------------

    async def _show_form(self, _: web.Request) -> web.Response:
        return self._page("report", problem=None, said={})

    async def _post_form(self, request: web.Request) -> web.Response:
        fields: dict[str, str] = {}
        try:
            self._pace.count(self._sender(request))
            fields, files = await _read_form(request, self._desk.spec.limits)
            receipt = await self._take(_from_form(fields, files), source="public")
        except Refused as fault:
            return self._page("report", status=fault.status, problem=_sentence(fault), said=fields)
        return self._page("receipt", status=201, receipt=receipt)

    async def _show_follow(self, _: web.Request) -> web.Response:
        return self._page("follow", problem=None, found=None, token="")

    async def _post_follow(self, request: web.Request) -> web.Response:
        try:
            self._looks.count(self._sender(request))  # before a body is read
            form = await read_form(request)
            token, text = str(form.get("token", "")), str(form.get("text", ""))
            found = await self._follow(token, text.replace("\r\n", "\n"))
        except Refused as fault:
            return self._page("follow", status=fault.status, problem=_sentence(fault), found=None, token="")
        return self._page("follow", problem=None, found=found, token=token)

    def _page(self, name: str, *, status: int = 200, **values: Any) -> web.Response:
        html = self._pages.render(name, **values)
        headers = {"Content-Security-Policy": self._pages.policy}
        return web.Response(text=html, status=status, content_type="text/html", headers=headers)

    # --- Programs -----------------------------------------------------------------------------------------------------

    async def _health(self, _: web.Request) -> web.Response:
        return json_answer({"status": "open"})

    async def _security_txt(self, _: web.Request) -> web.Response:
        text = security_txt(self._desk.spec, now=self._now())
        if text is None:
            raise Refused(404, "no-such-page", "no contact for security reports is declared")
        return web.Response(text=text, content_type="text/plain")

    async def _post_report(self, request: web.Request) -> web.Response:
        self._pace.count(self._sender(request))
        body = await read_json(request, _Report)
        said = body.model_dump()
        said |= {"accused": tuple(body.accused), "event_ids": tuple(body.event_ids)}
        receipt = await self._take(Submission(**said), source=self._source(request))
        return json_answer(asdict(receipt), status=201)

    async def _post_feedback(self, request: web.Request) -> web.Response:
        self._pace.count(self._sender(request))
        body = await read_json(request, _Feedback)
        events = (body.event_id,) if body.event_id is not None else ()
        said = Submission(
            channel="feedback",
            text=f"thumbs {body.rating}\n{body.text}".strip(),
            title=f"thumbs {body.rating}",
            context=body.context,
            event_ids=events,
        )
        receipt = await self._take(said, source=self._source(request))
        return json_answer(asdict(receipt), status=201)

    async def _mine(self, request: web.Request) -> web.Response:
        self._looks.count(self._sender(request))
        return json_answer(_shown(await self._follow(_bearer(request), "")))

    async def _say_more(self, request: web.Request) -> web.Response:
        self._looks.count(self._sender(request))
        body = await read_json(request, _Word)
        if not body.text.strip():
            raise Refused(422, "empty", "a message has words")
        return json_answer(_shown(await self._follow(_bearer(request), body.text)), status=201)

    # --- Parts --------------------------------------------------------------------------------------------------------

    async def _take(self, said: Submission, *, source: Source) -> Receipt:
        return await asyncio.to_thread(take, self._desk, said, source=source, at=self._now())

    async def _follow(self, token: str, text: str) -> FollowUp:
        if text.strip():
            return await asyncio.to_thread(add_word, self._desk, token, text, at=self._now())
        return await asyncio.to_thread(follow, self._desk, token)

    def _sender(self, request: web.Request) -> str | None:
        if self._behind_proxy:
            return request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip() or None
        return request.remote

    def _source(self, request: web.Request) -> Source:
        """In-app where one of the application's keys says so, else public; a wrong key is told, not passed over."""
        if "Authorization" not in request.headers:
            return "public"
        if not is_app_key(self._desk, _bearer(request)):
            raise Refused(401, "no-key", "this is no key of the application; send none for a public report")
        return "in-app"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A desk that is being served.

    Attributes:
        url: where the form is.
        notes: what whoever opened it should know, in sentences.
    """

    url: str
    notes: tuple[str, ...]


@contextlib.asynccontextmanager
async def serve_desk(
    desk: Desk, *, host: str = "127.0.0.1", port: int = 0, behind_proxy: bool = False, now: Clock = utc_now
) -> AsyncIterator[Opening]:
    """Serve a desk until the block ends; then wait for requests in flight.

    Args:
        port: 0 takes a free one.

    Raises:
        CannotListen: the address is taken, or not this machine's.
    """
    server = Server(desk, behind_proxy=behind_proxy, now=now)
    runner = web.AppRunner(server.app(), access_log=None, shutdown_timeout=_GOODBYE_S)
    try:
        await runner.setup()
        url = await listen(runner, host, port)
        yield Opening(url=url, notes=tuple(_notes(desk, host, behind_proxy=behind_proxy)))
    finally:
        await runner.cleanup()


async def wait_until_told() -> None:
    """Wait for SIGINT or SIGTERM."""
    with told_to_stop() as stop:
        await stop.wait()


def _notes(desk: Desk, host: str, *, behind_proxy: bool) -> list[str]:
    found = []
    if not is_loopback(host) and not behind_proxy:
        found.append("reports travel in plain HTTP; put TLS in front of this address")
    if not desk.spec.people.compliance:
        found.append("nobody may read confidential reports; name people under `compliance:` in respond.yaml")
    if desk.spec.contact is None:
        found.append("no security.txt is served; give `contact:` in respond.yaml")
    return found


async def _read_form(request: web.Request, limits: IntakeLimits) -> tuple[dict[str, str], tuple[File, ...]]:
    """The fields and files of a form, none read further than its limit."""
    if not request.content_type.startswith("multipart/"):
        raise Refused(415, "form", "send the form as multipart/form-data")
    fields: dict[str, str] = {}
    files: list[File] = []
    try:
        reader = await request.multipart()
        while (part := await reader.next()) is not None:
            if not isinstance(part, BodyPartReader) or part.name is None:
                raise Refused(422, "form", "a part of the form has no name")
            if part.name == "files":
                await _read_file(part, files, limits)
            else:
                data = await _read_part(part, limits.characters * 4)
                fields[part.name] = data.decode("utf-8", "replace").replace("\r\n", "\n")
    except (ValueError, AssertionError) as fault:
        raise Refused(400, "form", "the form is broken; send it again") from fault
    return fields, tuple(files)


async def _read_file(part: BodyPartReader, files: list[File], limits: IntakeLimits) -> None:
    data = await _read_part(part, limits.attachment_bytes)
    if not part.filename and not data:
        return  # what a browser sends for an empty field
    files.append(File(name=part.filename or "", data=data))
    if len(files) > limits.attachments:
        raise Refused(413, "too-many-files", f"more files came than the {limits.attachments} that are taken")


async def _read_part(part: BodyPartReader, most: int) -> bytes:
    data = bytearray()
    while chunk := await part.read_chunk():
        data += chunk
        if len(data) > most:
            raise Refused(413, "too-long", f"a part of the form has more than {most} bytes")
    return bytes(data)


def _from_form(fields: dict[str, str], files: tuple[File, ...]) -> Submission:
    channel, secrecy = fields.get("channel", ""), fields.get("confidentiality", "open")
    if channel not in CHANNELS or secrecy not in {"open", "confidential", "anonymous"}:
        raise Refused(422, "form", "choose what it is about, and who may know")
    kinds: dict[str, Any] = {"channel": channel, "confidentiality": secrecy}
    return Submission(
        **kinds,
        text=fields.get("text", ""),
        title=fields.get("title", ""),
        request=fields.get("request", ""),
        answer=fields.get("answer", ""),
        contact=fields.get("contact", ""),
        accused=tuple(line.strip() for line in fields.get("accused", "").splitlines() if line.strip()),
        context=fields.get("context") or None,
        files=files,
        trap=fields.get("website", ""),
    )


def _most_bytes(limits: IntakeLimits) -> int:
    words = 3 * limits.characters * _FIELD_BYTES_PER_CHARACTER
    return 64 * 1024 + words + limits.attachments * (limits.attachment_bytes + 1024)


def _bearer(request: web.Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _shown(found: FollowUp) -> dict[str, Any]:
    messages = [{"at": at.isoformat(), "by": by, "text": text} for at, by, text in found.messages]
    return {**asdict(found), "received": found.received.isoformat(), "messages": messages}


def _sentence(fault: Refused) -> str:
    text = str(fault)
    return f"{text[:1].upper()}{text[1:]}."
