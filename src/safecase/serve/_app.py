"""The gateway as an ASGI app: who may come in, where a call goes, and the one event that it leaves."""

import asyncio
import logging
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import orjson

from safecase.evidence import CallEvent
from safecase.safeguard import GoldenFailed
from safecase.serve._bodies import read_modalities
from safecase.serve._call import JSON, Call, Clock, new_id
from safecase.serve._chat import ChatRoute
from safecase.serve._config import Gateway, Limits, Receive, Scope, Send
from safecase.serve._embeddings import EmbeddingsRoute
from safecase.serve._faults import ClientGone, Fault, failed, refused
from safecase.serve._flights import Flights
from safecase.serve._guarded import Guarded
from safecase.serve._images import ImagesRoute
from safecase.serve._marks import Marker
from safecase.serve._models import ModelsRoute
from safecase.serve._openapi import describe_api
from safecase.serve._responses import ResponsesRoute
from safecase.serve._shadow import Shadow
from safecase.serve._upstream import Client
from safecase.serve._values import Account, Refusal

Route = Callable[[Call], Awaitable[None]]
_LOG = logging.getLogger("safecase.serve")
_SCHEME = b"bearer "
_READ = frozenset({b"authorization", b"content-encoding", b"content-length", b"traceparent"})
_NO_KEY = Refusal(
    status=401,
    reason="invalid-api-key",
    message="no valid API key; send one as `Authorization: Bearer KEY`",
)
_TELL_S = 5.0  # until a client takes the word that its call failed


class App:
    """An ASGI app, to be made by `create_app` and started by its server (`lifespan`)."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._flights = Flights(grounds=self._grounds, bars=self._bars)
        self._clock = Clock()
        self._clients: dict[str, Client] = {"chat": Client(gateway.upstream)}
        self._routes = self._make_routes()
        self._about = orjson.dumps(describe_api(gateway))
        self._is_closing = False
        self._shadow = None if gateway.shadow is None else Shadow(gateway.shadow)

    def _make_routes(self) -> Mapping[tuple[str, str], tuple[str, Route]]:
        """Scope and handler by method and path."""
        gateway, serves = self._gateway, self._gateway.upstream.serves
        guarded = Guarded(gateway.stack, self._clients["chat"], Marker(gateway.marks, model=serves), gateway.on_command)
        chat = ChatRoute(
            guarded=guarded,
            serves=serves,
            limits=gateway.limits,
            forward=gateway.forward,
            modalities=read_modalities(gateway.stack),
        )
        models = ModelsRoute(names=tuple(upstream.serves for upstream in gateway.upstreams), marks=gateway.marks)
        routes: dict[tuple[str, str], tuple[str, Route]] = {
            ("POST", "/v1/chat/completions"): ("chat", chat),
            ("POST", "/v1/responses"): ("responses", ResponsesRoute(guarded=guarded, chat=chat)),
            ("GET", "/v1/models"): ("models", models.all),
        }
        routes |= {("GET", f"/v1/models/{name}"): ("models", models.one(name)) for name in models.names}
        if gateway.embeddings is not None:
            client = self._clients["embeddings"] = Client(gateway.embeddings)
            handler = EmbeddingsRoute(guarded=guarded, client=client, limits=gateway.limits)
            routes["POST", "/v1/embeddings"] = ("embeddings", handler)
        if gateway.images is not None:
            client = self._clients["images"] = Client(gateway.images.upstream)
            pictures = ImagesRoute(
                guarded=guarded,
                client=client,
                marker=Marker(gateway.marks, model=gateway.images.upstream.serves),
                images=gateway.images,
                provider=gateway.marks.provider,
                limits=gateway.limits,
            )
            routes["POST", "/v1/images/generations"] = ("images", pictures)
        return routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request, or follow the server's start and end."""
        if scope["type"] != "http":
            await self._other(scope, receive, send)
            return
        method, path = scope["method"], scope["path"]
        if (route := self._routes.get((method, path))) is not None:
            await self._answer(path, *route, scope, receive, send)
        elif method in ("GET", "HEAD") and path in ("/healthz", "/readyz"):
            await self._tell_health(path, send)
        elif method in ("GET", "HEAD") and path == "/openapi.json":
            await _tell(send, 200, self._about)
        elif (extra := self._gateway.extra_routes.get(path)) is not None:
            if extra.scope is None:
                await extra.app(scope, receive, send)
            else:
                await self._answer(path, extra.scope, _passing(extra.app), scope, receive, send)
        else:
            await self._answer("", "", self._nowhere(path), scope, receive, send)

    @property
    def is_upstream_down(self) -> bool:
        """Whether an upstream is left alone because it keeps failing."""
        return any(client.breaker.is_open for client in self._clients.values())

    def _grounds(self) -> Fault | None:
        """Why calls in flight may not go on: what was permitted when they began no longer is."""
        refusal = self._gateway.authority.standing().refusal
        return None if refusal is None else Fault(refusal)

    def _bars(self, token: str) -> Fault | None:
        """Why whoever holds this token is no longer served: the key was revoked, or its account is let in no more."""
        account = self._gateway.keys.find(token)
        if account is None:
            return Fault(_NO_KEY)
        why = self._gateway.authority.admits(account)
        return None if why is None else Fault(why)

    # -- one call

    async def _answer(self, path: str, allows: str, route: Route, scope: Scope, receive: Receive, send: Send) -> None:
        gateway = self._gateway
        call = Call(
            id=new_id(),
            at=self._clock.now(),
            route=path,
            began=time.perf_counter(),
            scope=scope,
            receive=receive,
            send=send,
            standing=gateway.authority.standing(),
            flight=self._flights.board(),
            take_timeout_s=gateway.limits.take_timeout_s,
            exchanges=None if self._shadow is None else [],
        )
        has_entered = False
        gateway.begins()
        try:
            token = self._headers(call)
            account = self._admitted(call, token, allows)
            why = gateway.limiter.enter(account)
            has_entered = why is None
            call.limits = gateway.limiter.headers(account)
            _must_be_none(why)
            await route(call)
        except Fault as fault:
            await self._fail(call, fault)
        except asyncio.CancelledError:
            if (cause := call.flight.cause) is None:  # the server ends
                call.hang_up()
                raise
            call.flight.task.uncancel()
            if isinstance(cause, ClientGone):
                call.hang_up()
            else:
                await self._fail(call, cause)
        except OSError:  # what a server raises to whoever writes to a client that is gone
            call.hang_up()
        except Exception as error:  # noqa: BLE001 - the boundary: a fault of ours ends one call
            # Without its words, which may be a client's.
            trace = "".join(traceback.format_tb(error.__traceback__))
            _LOG.error("%s in call %s\n%s", type(error).__name__, call.id, trace)
            await self._fail(call, failed(500, "internal", "the gateway failed; the call is recorded under its id"))
        finally:
            self._flights.land(call.flight)
            if has_entered and call.account is not None:
                gateway.limiter.leave(call.account, tokens=call.tokens)
            self._record(call)

    def _headers(self, call: Call) -> str:
        """Look through the headers once; give the API key, "" without one.

        Raises:
            Fault: they are too many, or too large.
        """
        limits, token, size = self._gateway.limits, "", 0
        headers = call.scope["headers"]
        for name, value in headers:
            size += len(name) + len(value)
            if name not in _READ:
                continue
            if name == b"authorization":
                if value[:7].lower() == _SCHEME:
                    token = value[7:].strip().decode("latin-1")
            elif name == b"traceparent":
                call.traceparent = value
            elif name == b"content-length":
                _must_fit(value, limits)
            elif name == b"content-encoding" and value != b"identity":
                raise refused(415, "compressed", "compressed bodies are not taken; send plain JSON")
        if size > limits.header_bytes or len(headers) > limits.headers:
            most = f"{limits.headers} headers of {limits.header_bytes} bytes together"
            raise refused(431, "headers-too-large", f"send at most {most}")
        return token

    def _admitted(self, call: Call, token: str, allows: str) -> Account:
        """Whose call this is.

        Raises:
            Fault: nothing may be served now, or not to them, or not this.
        """
        gateway = self._gateway
        if self._is_closing:
            raise refused(503, "closing", "the gateway is closing; try another one")
        _must_be_none(gateway.recorder.refusal() or call.standing.refusal)
        account = gateway.keys.find(token) if token else None
        if account is None:
            raise Fault(_NO_KEY, outcome="refused")
        call.account = account
        if allows and allows not in account.scopes:
            raise refused(403, "scope", f"this key does not allow {allows!r}")
        _must_be_none(gateway.authority.admits(account))
        flight, limits = call.flight, gateway.limits
        flight.deadline = flight.since + limits.body_timeout_s
        flight.overdue = _body_is_late
        flight.token = token
        return account

    async def _fail(self, call: Call, fault: Fault) -> None:
        call.fail(fault)
        try:
            async with asyncio.timeout(_TELL_S):
                await call.tell(fault)
        except (OSError, TimeoutError):  # gone, or there and taking nothing: the server then ends the connection
            call.hang_up()

    def _record(self, call: Call) -> None:
        event = call.event()
        if self._shadow is None:
            self._keep(call.traceparent, event)
        else:
            self._shadow.take(event, call.exchanges or (), partial(self._keep, call.traceparent))

    def _keep(self, traceparent: bytes, event: CallEvent) -> None:
        self._gateway.recorder.record(event)
        for observer in self._gateway.observers:
            try:
                observer(event, traceparent)
            except Exception as error:  # noqa: BLE001 - what only looks on (a disk is full) breaks no call
                _LOG.error("%s: an observer missed call %s", type(error).__name__, event.event_id)

    def _nowhere(self, path: str) -> Route:
        methods = sorted({method for method, known in self._routes if known == path})

        async def tell(_: Call) -> None:
            if methods:
                fault = refused(405, "method", f"use {' or '.join(methods)}")
                fault.headers = ((b"allow", ", ".join(methods).encode()),)
                raise fault
            raise refused(404, "no-route", "nothing is served at this path")

        return tell

    # -- health, start and end

    async def _tell_health(self, path: str, send: Send) -> None:
        if path == "/healthz":
            await _tell(send, 200, orjson.dumps({"status": "alive"}))
            return
        reasons = await self._unready()
        beside = [] if reasons else self._down_beside()
        told = {"status": "unready" if reasons else "ready"}
        named = {"reasons": reasons or beside} if reasons or beside else {}
        await _tell(send, 503 if reasons else 200, orjson.dumps(told | named))

    async def _unready(self) -> list[str]:
        """Why nothing is served, in words for programs."""
        gateway = self._gateway
        refusals = (gateway.authority.standing().refusal, gateway.recorder.refusal())
        reasons = [why.reason for why in refusals if why is not None]
        if self._clients["chat"].breaker.is_open:
            reasons += ["upstream-down:chat", *self._down_beside()]
        try:
            if await gateway.stack.ready() is not None:
                reasons.append("safeguards-unready")
        except GoldenFailed:
            reasons.append("safeguards-failed")
        return ["closing", *reasons] if self._is_closing else reasons

    def _down_beside(self) -> list[str]:
        """Upstreams that fail while chats, which the permit is for, go on; no reason to take the gateway out."""
        return [
            f"upstream-down:{name}"
            for name, client in self._clients.items()
            if name != "chat" and client.breaker.is_open
        ]

    async def _other(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1003})
            return
        while True:
            kind = (await receive())["type"]
            if kind == "lifespan.startup":
                await self.start()
                await send({"type": "lifespan.startup.complete"})
            elif kind == "lifespan.shutdown":
                await self.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def start(self) -> None:
        """Open the ways to the upstreams."""
        for client in self._clients.values():
            client.open()
        if self._shadow is not None:
            self._shadow.start()

    async def stop(self) -> None:
        """Close them. A server stops only when every call has ended."""
        self._is_closing = True
        for client in self._clients.values():
            await client.close()
        if self._shadow is not None:
            self._shadow.stop()


def create_app(gateway: Gateway) -> App:
    """The gateway as an ASGI app. It reaches for nothing yet; its server starts it.

    Raises:
        PlatformFailed: an upstream's address leaves this machine where that is not allowed.
        MarkError: no notice in the language that is asked for.
    """
    return App(gateway)


async def _tell(send: Send, status: int, body: bytes) -> None:
    headers = [JSON, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _passing(app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> Route:
    async def route(call: Call) -> None:
        async def send(message: dict[str, object]) -> None:
            call.status = message.get("status", call.status)  # type: ignore[assignment]  # an ASGI message
            await call.send(message)

        await app(call.scope, call.receive, send)  # type: ignore[arg-type]  # as above

    return route


def _must_be_none(why: Refusal | None) -> None:
    if why is not None:
        raise Fault(why, outcome="refused")


def _must_fit(length: bytes, limits: Limits) -> None:
    if not length.isdigit() or int(length) > limits.body_bytes:
        raise refused(413, "too-large", f"the body is larger than {limits.body_bytes} bytes; send less")


def _body_is_late() -> Fault:
    return refused(408, "slow-body", "the body did not arrive in time")
