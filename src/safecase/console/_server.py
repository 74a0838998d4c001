"""The console over HTTP: pages for people, forms that act, and nothing else.

Every form is taken only from our own pages: its origin is ours, and it carries a token that belongs to the browser's
cookie. Pages are made in threads; one case's slow disk holds up no other page.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import web

from safecase.assess import Clock, take_sign_off, utc_now
from safecase.console._access import Doorkeeper, Person
from safecase.console._argument import argument_view
from safecase.console._cases import Shown
from safecase.console._desk import desk_view, troubles
from safecase.console._errors import NotWritten
from safecase.console._live import Live
from safecase.console._overview import Overview, overview, signing
from safecase.console._page import POLICY, STATIC, Pages, load_pages
from safecase.console._part import Part, attempt
from safecase.console._reports import POLICY as REPORT_POLICY
from safecase.console._reports import TYPES, report_file, report_view
from safecase.console._sheets import Sheets
from safecase.models import told_to_stop
from safecase.web import Handler, Refused, answer, is_loopback, listen, read_form

_LOG = logging.getLogger("safecase.console")
_COOKIE = "safecase-console"
_MOST_BODY = 256 * 1024
_GOODBYE_S = 5.0
_REFRESH_S = 15
_OUR_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})

ValueT = TypeVar("ValueT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a console is served.

    Attributes:
        by: the person at a console on loopback, who signs in nowhere.
        keys: file of keys for everybody else.
        asks_keys: ask for keys on loopback too.
        behind_tls: something in front of us speaks TLS; cookies then travel in nothing else.
        sheets: folder of labelling sheets, None for no queue.
        monitor: file of the monitor, where it is not the usual one.
    """

    by: str
    keys: Path
    asks_keys: bool = False
    behind_tls: bool = False
    sheets: Path | None = None
    monitor: Path | None = None


class Server:
    """HTTP in front of cases."""

    def __init__(
        self, cases: Sequence[Shown], settings: Settings, *, loopback: bool = True, now: Clock = utc_now
    ) -> None:
        self._cases = {one.key: one for one in cases}
        self._settings, self._now = settings, now
        is_open = loopback and not settings.asks_keys
        alone = Person(name=settings.by, role="overseer") if is_open else None
        self._door = Doorkeeper(alone=alone, file=settings.keys, now=now)
        self._our_names = _OUR_NAMES if is_open else None
        self._sheets = Sheets(folder=settings.sheets) if settings.sheets else None
        self._live = Live(settings.monitor)
        self._pages: Pages = load_pages()

    def app(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(middlewares=[self._answers], client_max_size=_MOST_BODY)
        app.add_routes(
            [
                web.get("/", self._home),
                web.get("/health", self._health),
                web.get("/static/{name}", self._static),
                web.get("/enter", self._show_enter),
                web.post("/enter", self._enter),
                web.post("/leave", self._leave),
                web.get("/case/{case}", self._overview),
                web.post("/case/{case}/verify", self._verify),
                web.get("/case/{case}/argument", self._argument),
                web.get("/case/{case}/sign", self._show_sign),
                web.post("/case/{case}/sign", self._take_sign),
                web.get("/case/{case}/desk", self._desk),
                web.get("/case/{case}/live", self._show_live),
                web.get("/case/{case}/reports", self._reports),
                web.get("/case/{case}/report/{name:.+}", self._report),
                web.get("/case/{case}/queue", self._queue),
                web.get("/case/{case}/queue/{sheet}", self._sheet),
                web.post("/case/{case}/queue/{sheet}/claim", self._claim),
                web.post("/case/{case}/queue/{sheet}/label", self._label),
            ]
        )
        return app

    # --- Around every request -----------------------------------------------------------------------------------------

    @web.middleware
    async def _answers(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        async def ours(request: web.Request) -> web.StreamResponse:
            try:
                self._must_be_ours(request)
                return await handler(request)
            except Refused as fault:
                return self._told(request, fault.status, str(fault))
            except web.HTTPSeeOther as elsewhere:
                return _to(str(elsewhere.location))
            except web.HTTPNotFound:
                return self._told(request, 404, "there is no such page")

        response = await answer(request, ours, log=_LOG)
        # Forms name their origin only where the policy lets them, and their origin is what we check.
        response.headers["Referrer-Policy"] = "same-origin"
        response.headers.setdefault("Content-Security-Policy", POLICY)
        return response

    def _must_be_ours(self, request: web.Request) -> None:
        """Refuse another site's name for this machine, and forms that did not come from our pages."""
        if self._our_names is not None and _name_in(request.host) not in self._our_names:
            raise Refused(421, "not-here", f"this console is not {request.host!r}; open it by the address it printed")
        if request.method in {"GET", "HEAD"}:
            return
        scheme, _, where = request.headers.get("Origin", "").partition("://")
        if scheme not in {"http", "https"} or where != request.host:
            raise Refused(403, "another-site", "this form did not come from this console")

    def _told(self, request: web.Request, status: int, text: str) -> web.Response:
        person = self._door.who(request.cookies.get(_COOKIE, ""))
        sentence = f"{text[:1].upper()}{text[1:]}."
        return self._page(request, "told", person, status=status, title="Not possible", sentence=sentence)

    def _person(self, request: web.Request) -> Person:
        person = self._door.who(request.cookies.get(_COOKIE, ""))
        if person is None:
            raise web.HTTPSeeOther("/enter")
        return person

    def _looker(self, request: web.Request) -> Person:
        person = self._person(request)
        if not person.may_look:
            raise Refused(403, "not-yours", "your key is for the review queue alone, so that labels stay blind")
        return person

    def _shown(self, request: web.Request) -> Shown:
        found = self._cases.get(request.match_info["case"])
        if found is None:
            raise Refused(404, "no-such-case", "this console shows no such case")
        return found

    async def _form(self, request: web.Request) -> Mapping[str, Any]:
        """The fields of a form that carries our token."""
        form = await read_form(request)
        cookie = request.cookies.get(_COOKIE, "")
        if not self._door.is_token(cookie, str(form.get("token", ""))):
            raise Refused(403, "no-token", "this form is too old, or not ours; open the page again and send it anew")
        return form

    def _page(
        self, request: web.Request, name: str, person: Person | None, *, status: int = 200, **values: Any
    ) -> web.Response:
        cookie = request.cookies.get(_COOKIE, "")
        made = "" if cookie else self._door.new_cookie()
        common = {
            "person": person,
            "alone": self._door.alone is not None,
            "token": self._door.token(cookie or made),
            "cases": tuple(self._cases),
            "has_queue": self._sheets is not None,
            "here": here if person is not None and (here := request.match_info.get("case")) in self._cases else None,
            "now": self._now(),
            "refresh_s": None,
            "is_static": False,
            "page": name,
        }
        html = self._pages.render(name, **{**common, **values})
        response = web.Response(text=html, status=status, content_type="text/html")
        if made:
            self._set_cookie(response, made)
        return response

    def _set_cookie(self, response: web.Response, value: str) -> None:
        response.set_cookie(
            _COOKIE, value, httponly=True, samesite="Strict", secure=self._settings.behind_tls, path="/"
        )

    # --- Everybody ----------------------------------------------------------------------------------------------------

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "open"})

    async def _static(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in STATIC:
            raise Refused(404, "no-such-page", "there is no such file")
        return web.Response(text=self._pages.static[name], content_type=STATIC[name])

    async def _show_enter(self, request: web.Request) -> web.Response:
        if self._door.alone is not None:
            raise web.HTTPSeeOther("/")
        return self._page(request, "enter", None, problem=None)

    async def _enter(self, request: web.Request) -> web.Response:
        form = await self._form(request)
        cookie = self._door.enter(str(form.get("key", "")))
        if cookie is None:
            problem = "This key opens nothing here: it is wrong, or was revoked."
            return self._page(request, "enter", None, status=401, problem=problem)
        response = web.Response(status=303, headers={"Location": "/"})
        self._set_cookie(response, cookie)
        return response

    async def _leave(self, request: web.Request) -> web.Response:
        await self._form(request)
        self._door.leave(request.cookies.get(_COOKIE, ""))
        response = web.Response(status=303, headers={"Location": "/enter"})
        response.del_cookie(_COOKIE, path="/")
        return response

    # --- A case -------------------------------------------------------------------------------------------------------

    async def _home(self, request: web.Request) -> web.Response:
        person = self._person(request)
        if not person.may_look:
            return self._page(request, "home", person, rows=[(key, None) for key in self._cases])
        rows = [(key, await _made(partial(self._whole, one, person))) for key, one in self._cases.items()]
        return self._page(request, "home", person, rows=rows)

    async def _overview(self, request: web.Request) -> web.Response:
        person, shown = self._looker(request), self._shown(request)
        view = await _made(lambda: self._whole(shown, person))
        state = shown.verify
        running = state is not None and state.state == "running"
        return self._page(
            request, "overview", person, view=view, verify=state, path=shown.path, refresh_s=2 if running else None
        )

    def _whole(self, shown: Shown, person: Person) -> Overview:
        case = shown.open()
        return overview(case, known=attempt(lambda: troubles(case, by=person.name)), at=self._now())

    async def _verify(self, request: web.Request) -> web.Response:
        person, shown = self._looker(request), self._shown(request)
        await self._form(request)
        _must_act(person)
        shown.start_verify(by=person.name)
        return _to(f"/case/{shown.key}#verify")

    async def _argument(self, request: web.Request) -> web.Response:
        person, shown = self._looker(request), self._shown(request)
        context, part = request.query.get("context"), request.query.get("part") or None
        view = await _made(lambda: argument_view(shown.open(), context=context, part=part, at=self._now()))
        return self._page(request, "argument", person, view=view, path=shown.path)

    async def _show_sign(self, request: web.Request) -> web.Response:
        return await self._sign_page(request, problem=None)

    async def _sign_page(self, request: web.Request, *, problem: str | None, status: int = 200) -> web.Response:
        person, shown = self._looker(request), self._shown(request)
        whole = await _made(lambda: self._whole(shown, person))
        view = await _made(lambda: signing(shown.open(), at=self._now()))
        return self._page(
            request, "sign", person, status=status, view=view, whole=whole, path=shown.path, problem=problem
        )

    async def _take_sign(self, request: web.Request) -> web.Response:
        person, shown = self._looker(request), self._shown(request)
        form = await self._form(request)
        _must_act(person)
        given = form.get("file")
        data = given.file.read() if isinstance(given, web.FileField) else b""
        done = await _made(lambda: take_sign_off(shown.open(), data, origin="the uploaded file", now=self._now))
        if done.value is None:
            return await self._sign_page(request, problem=done.trouble, status=422)
        return _to(f"/case/{shown.key}/sign")

    async def _desk(self, request: web.Request) -> web.Response:
        person, shown = self._looker(request), self._shown(request)
        view = await _made(lambda: desk_view(shown.open(), by=person.name, at=self._now()))
        return self._page(request, "desk", person, view=view, path=shown.path)

    async def _show_live(self, request: web.Request) -> web.Response:
        person, shown = self._looker(request), self._shown(request)
        view = await _made(lambda: self._live.view(shown.open()))
        refresh = None if "still" in request.query else _REFRESH_S
        return self._page(request, "live", person, view=view, path=shown.path, refresh_s=refresh)

    async def _reports(self, request: web.Request) -> web.Response:
        person, shown = self._looker(request), self._shown(request)
        view = await _made(lambda: report_view(shown.open()))
        return self._page(request, "reports", person, view=view, path=shown.path)

    async def _report(self, request: web.Request) -> web.StreamResponse:
        self._looker(request)
        shown, name = self._shown(request), request.match_info["name"]
        path = (await _made(lambda: report_file(shown.open(), name))).value
        if path is None:
            raise Refused(404, "no-such-page", "there is no such file of a report")
        kind = TYPES[path.suffix]
        headers = {"Content-Security-Policy": REPORT_POLICY}
        if path.suffix in {".pdf", ".json"}:
            headers["Content-Disposition"] = f'attachment; filename="{path.name}"'
        return web.Response(body=await asyncio.to_thread(path.read_bytes), content_type=kind, headers=headers)

    # --- The review queue ---------------------------------------------------------------------------------------------

    def _labeller(self, request: web.Request) -> tuple[Person, Shown, Sheets]:
        person, shown = self._person(request), self._shown(request)
        if not person.may_label:
            raise Refused(403, "not-yours", "your key shows pages; it labels nothing")
        if self._sheets is None:
            raise Refused(404, "no-queue", "no folder of sheets was given; start the console with --sheets FOLDER")
        return person, shown, self._sheets

    async def _queue(self, request: web.Request) -> web.Response:
        person, shown, sheets = self._labeller(request)
        view = await _made(lambda: sheets.listing(shown.open()))
        return self._page(request, "queue", person, view=view, path=shown.path, folder=sheets.folder)

    async def _sheet(self, request: web.Request) -> web.Response:
        person, shown, sheets = self._labeller(request)
        name, item = request.match_info["sheet"], request.query.get("item")
        part = await _made(lambda: sheets.sheet(shown.open(), name))
        if part.value is not None and part.value.rater is None:
            return _to(f"/case/{shown.key}/queue")
        view = _had(part)
        self._must_be_theirs(person, view.rater)
        place = _had(attempt(lambda: view.place(item)))
        return self._page(request, "sheet", person, sheet=view, place=place, path=shown.path)

    def _must_be_theirs(self, person: Person, rater: str | None) -> None:
        if self._door.alone is None and rater != person.name:
            raise Refused(403, "not-yours", "this sheet is somebody else's; labels of two people stay apart")

    async def _claim(self, request: web.Request) -> web.Response:
        person, shown, sheets = self._labeller(request)
        form, name = await self._form(request), request.match_info["sheet"]
        rater = str(form.get("rater", "")) if self._door.alone is not None else person.name
        await _done(lambda: sheets.claim(shown.open(), name, rater=rater))
        return _to(f"/case/{shown.key}/queue/{name}")

    async def _label(self, request: web.Request) -> web.Response:
        person, shown, sheets = self._labeller(request)
        form, name = await self._form(request), request.match_info["sheet"]
        item, label = str(form.get("item", "")), str(form.get("label", ""))
        rater = str(form.get("rater", "")) if self._door.alone is not None else person.name
        await _done(lambda: sheets.label(shown.open(), name, item, label=label, rater=rater))
        return _to(f"/case/{shown.key}/queue/{name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A console that is being served.

    Attributes:
        url: where the first page is.
        notes: what whoever opened it should know, in sentences.
    """

    url: str
    cases: Mapping[str, Path]
    notes: tuple[str, ...]


@contextlib.asynccontextmanager
async def serve_console(
    cases: Sequence[Shown], settings: Settings, *, host: str = "127.0.0.1", port: int = 0, now: Clock = utc_now
) -> AsyncIterator[Opening]:
    """Serve cases until the block ends.

    Args:
        port: 0 takes a free one.

    Raises:
        CannotListen: the address is taken, or not this machine's.
        NotWritten: the folder of sheets lies inside a case.
    """
    loopback = is_loopback(host)
    for one in cases:
        folder = settings.sheets.resolve() if settings.sheets else None
        if folder is not None and one.path.resolve() in [folder, *folder.parents]:
            raise NotWritten(f"{settings.sheets}: a case holds only what its ledger names; sheets lie elsewhere")
    server = Server(cases, settings, loopback=loopback, now=now)
    runner = web.AppRunner(server.app(), access_log=None, shutdown_timeout=_GOODBYE_S)
    try:
        await runner.setup()
        url = await listen(runner, host, port)
        notes = tuple(_notes(settings, loopback=loopback))
        yield Opening(url=url, cases={one.key: one.path for one in cases}, notes=notes)
    finally:
        await runner.cleanup()


async def wait_until_told() -> None:
    """Wait for SIGINT or SIGTERM."""
    with told_to_stop() as stop:
        await stop.wait()


def _notes(settings: Settings, *, loopback: bool) -> list[str]:
    found = []
    if loopback and not settings.asks_keys:
        found.append(f"whoever has an account on this machine is {settings.by!r} here; --ask-keys asks for keys")
    elif not settings.keys.exists():
        found.append(f"nobody has a key yet ({settings.keys}); `safecase console keys --person NAME` makes one")
    if not loopback and not settings.behind_tls:
        found.append("keys and pages travel in plain HTTP; put TLS in front of this address and give --behind-tls")
    return found


def _name_in(host: str) -> str:
    """A host without its port.

    >>> _name_in("localhost:8323"), _name_in("[::1]:8323"), _name_in("127.0.0.1")
    ('localhost', '::1', '127.0.0.1')
    """
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _must_act(person: Person) -> None:
    if not person.may_act:
        raise Refused(403, "not-yours", "your key shows pages; it starts nothing and brings nothing in")


async def _made(make: Callable[[], ValueT]) -> Part[ValueT]:
    """A part of a page, made in a thread."""
    return await asyncio.to_thread(attempt, make)


async def _done(act: Callable[[], object]) -> None:
    """Something that a form asked for; what does not go is told."""
    _had(await _made(lambda: act() or True))


def _had(part: Part[ValueT]) -> ValueT:
    """The value of a part that a page cannot do without."""
    if part.value is None:
        raise Refused(409, "not-done", part.trouble)
    return part.value


def _to(where: str) -> web.Response:
    """Send a browser to another page."""
    return web.Response(status=303, headers={"Location": where})
