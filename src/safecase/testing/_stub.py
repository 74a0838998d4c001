"""An OpenAI-compatible endpoint on loopback, which answers as its script says, also badly."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from aiohttp import web

from safecase.evidence import Message
from safecase.models import Request, call_text, wire_turns


@dataclass(frozen=True, slots=True, kw_only=True)
class StubReply:
    """One reply of a stub endpoint.

    Attributes:
        text: of the answer; made into JSON, or into events where a stream was asked for.
        calls: of tools, (name, arguments as JSON text), in an answer that is not streamed.
        raw: sent as it stands instead, in these pieces.
        delay_s: before the first byte. pause_s: between two pieces of a stream or of `raw`.
        then: `close` ends as it should, `drop` cuts the connection off before the last piece.
        usage: whether tokens are counted.
    """

    text: str = "All is well."
    calls: Sequence[tuple[str, str]] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: Sequence[bytes] | None = None
    content_type: str | None = None
    delay_s: float = 0.0
    pause_s: float = 0.0
    then: Literal["close", "drop"] = "close"
    finish_reason: str = "stop"
    usage: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a stub endpoint was asked: the JSON body, the headers (names in lower case), and when, in loop seconds."""

    path: str
    body: dict[str, Any]  # JSON
    headers: Mapping[str, str]
    at_s: float


Script = Sequence[StubReply | str] | Callable[[dict[str, Any]], StubReply | str]


def speaking_tools(script: Callable[[Request], str], *, tags: Mapping[str, str] | None = None) -> Script:
    """A script for a stub that calls tools in the wire's own form, from one that calls them in text.

    Args:
        script: what it would say to a conversation, with calls as text (`safecase.models.call_text`).
        tags: what the script knows of the attempt; nothing of it comes over the wire.
    """

    def reply(body: dict[str, Any]) -> StubReply:
        if not body.get("tools"):
            return StubReply(status=400, text="this stub answers requests that declare tools")
        turns = tuple(Message(role=turn["role"], content=_as_text(turn)) for turn in body["messages"])
        said = script(Request(messages=turns, tags=dict(tags or {})))
        (turn, *_) = wire_turns([Message(role="assistant", content=said)])
        calls = [(call["function"]["name"], call["function"]["arguments"]) for call in turn.get("tool_calls", ())]
        return StubReply(text=turn["content"], calls=calls)

    return reply


def _as_text(turn: Mapping[str, Any]) -> str:
    calls = [call_text(one["function"]["name"], one["function"]["arguments"]) for one in turn.get("tool_calls", ())]
    return "\n".join([*([turn["content"]] if turn["content"] else []), *calls])


class StubEndpoint:
    """A small `/chat/completions` on a free port of 127.0.0.1, to be entered as an async context manager.

    Args:
        script: replies in order, the last one repeated; or a function of the request's body.

    Attributes:
        asked: every request, in order.
        in_flight: how many are being answered. most_in_flight: how many were at once.
    """

    def __init__(self, script: Script = (StubReply(),)) -> None:
        self._script = script
        self._runner: web.AppRunner | None = None
        self.in_flight = 0
        self.url = ""
        self.asked: list[Asked] = []
        self.most_in_flight = 0

    def target(self, model: str = "stub") -> str:
        """Its name, for `open_model`."""
        return f"openai/{model}@{self.url}"

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=2**26)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read() or b"{}")
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.asked.append(Asked(path=request.path, body=body, headers=headers, at_s=asyncio.get_running_loop().time()))
        reply = self._next(body)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return await _send(request, reply, is_stream=bool(body.get("stream")))
        finally:
            self.in_flight -= 1

    def _next(self, body: dict[str, Any]) -> StubReply:
        if callable(self._script):
            reply = self._script(body)
        else:
            reply = self._script[min(len(self.asked), len(self._script)) - 1]
        return StubReply(text=reply) if isinstance(reply, str) else reply


async def _send(request: web.Request, reply: StubReply, *, is_stream: bool) -> web.StreamResponse:
    if reply.delay_s:
        await asyncio.sleep(reply.delay_s)
    pieces, content_type = _pieces(reply, is_stream=is_stream)
    response = web.StreamResponse(status=reply.status, headers={**reply.headers, "Content-Type": content_type})
    if reply.then == "drop":
        pieces = pieces[:-1]
        if not pieces and request.transport is not None:
            request.transport.abort()
            return response
    try:
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
            if reply.pause_s:
                await asyncio.sleep(reply.pause_s)
        if reply.then == "drop" and request.transport is not None:
            request.transport.abort()
        else:
            await response.write_eof()
    except ConnectionError:
        pass  # whoever asked has gone, which tests do on purpose
    return response


def _message(reply: StubReply) -> dict[str, Any]:
    said: dict[str, Any] = {"role": "assistant", "content": reply.text or None}
    if reply.calls:
        said["tool_calls"] = [
            {"id": f"stub-{place}", "type": "function", "function": {"name": name, "arguments": arguments}}
            for place, (name, arguments) in enumerate(reply.calls)
        ]
    return said


def _pieces(reply: StubReply, *, is_stream: bool) -> tuple[list[bytes], str]:
    if reply.raw is not None:
        return list(reply.raw), reply.content_type or "application/json"
    if reply.status != 200:
        error = {"error": {"message": reply.text, "type": "stub_error", "code": reply.status}}
        return [json.dumps(error).encode()], reply.content_type or "application/json"
    words = reply.text.split(" ")
    usage = {"prompt_tokens": 7, "completion_tokens": len(words), "total_tokens": 7 + len(words)}
    if not is_stream:
        whole: dict[str, Any] = {
            "id": "chatcmpl-stub",
            "object": "chat.completion",
            "choices": [
                {
                    "index": 0,
                    "message": _message(reply),
                    "finish_reason": "tool_calls" if reply.calls else reply.finish_reason,
                }
            ],
        }
        if reply.usage:
            whole["usage"] = usage
        return [json.dumps(whole).encode()], reply.content_type or "application/json"
    deltas: list[tuple[dict[str, str], str | None]] = [({"role": "assistant", "content": ""}, None)]
    deltas += [({"content": word if n == 0 else f" {word}"}, None) for n, word in enumerate(words)]
    deltas += [({}, reply.finish_reason)]
    events: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]} for delta, finish in deltas
    ]
    if reply.usage:
        events.append({"choices": [], "usage": usage})
    lines = [b"data: " + json.dumps(event).encode() + b"\n\n" for event in events]
    return [*lines, b"data: [DONE]\n\n"], reply.content_type or "text/event-stream"
