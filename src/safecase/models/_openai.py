"""Any OpenAI-compatible endpoint, over aiohttp."""

import asyncio
import json
import random
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, aclosing
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp
import orjson
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from safecase.evidence import Identity
from safecase.models._attested import read_attestation
from safecase.models._calls import call_text, wire_turns
from safecase.models._endpoint import parse_target, printable
from safecase.models._errors import (
    AttemptFailed,
    BadKey,
    EndpointError,
    EndpointTimeout,
    PlatformFailed,
    UnparsedAnswer,
    Unreachable,
)
from safecase.models._fingerprint import fingerprint
from safecase.models._keys import find_key, must_be_reachable, where_keys_are
from safecase.models._level import Level
from safecase.models._options import EndpointOptions
from safecase.models._pace import Pace, asked_wait_s, requests_left, used_up_s
from safecase.models._sse import Event, EventParser
from safecase.models._values import Answer, Delta, Request
from safecase.models._whole import must_say_something

_T = TypeVar("_T")

# Compressed replies are not asked for: a small one may unpack to any size.
_HEADERS = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
_LARGEST_BODY = 8 * 2**20
_RETRYABLE = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_OVERLOADED = frozenset({429, 503, 529})
_OPTIONAL = ("seed", "top_p", "temperature")  # an endpoint that takes one of the last two together keeps the last
_REFUSES = re.compile(r"(?i)support|permitted|allowed|specif|unknown|unrecognized|unexpected|invalid|deprecated")
_NO_CREDIT = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})


class OpenAIModel:
    """A model behind `/chat/completions`.

    Retries 408, 409, 425, 429, 5xx and dropped connections with exponential backoff and full jitter; `Retry-After` and
    the `x-ratelimit-*` headers slow every attempt in flight.

    Args:
        target: `<model>@<base-url>`, such as `qwen@http://127.0.0.1:8000/v1`.
        options: times, retries, keys, and what the identity rests on.
        seed: of the jitter; None is random.

    Attributes:
        left_out: settings that are not sent: those of the options, and those that the endpoint refused by name.

    Raises:
        UnknownModel: the target is not of that form.
        PlatformFailed: the address leaves this machine under test.
    """

    def __init__(self, target: str, *, options: EndpointOptions | None = None, seed: int | None = None) -> None:
        self._options = options or EndpointOptions()
        self._model, base = parse_target(target)
        must_be_reachable(base, name=f"openai/{target}")
        self.name = f"openai/{target}"
        self.concurrency = self._options.concurrency
        self.level = Level(self._options.concurrency)
        self._url = base / "chat/completions"
        self._pace = Pace(
            longest_wait_s=self._options.longest_wait_s,
            jitter=random.Random(seed),  # noqa: S311 - jitter guards nothing
        )
        self._session: aiohttp.ClientSession | None = None
        self._key: str | None = None  # as found when the session was opened
        self.left_out = frozenset(self._options.leave_out)
        self._bound = "max_tokens"
        self._tool_role = "tool"
        self._takes_tools: bool | None = None  # known once a request with tools was answered
        self._has_answered = False
        self._identity: Identity | None = None

    async def generate(self, request: Request) -> Answer:
        """Answer whole."""

        queued_s, lost = 0.0, 0

        async def once() -> bytes:
            nonlocal queued_s, lost
            asked_at = time.monotonic()
            try:
                async with self._place() as had_at:
                    queued_s += had_at - asked_at
                    async with self._post(self._body(request)) as response:
                        return await _read_whole(response)
            except EndpointError as fault:
                lost += fault.lost
                fault.lost = lost
                raise

        try:
            raw = await self._retried(once, with_tools=bool(request.tools))
        except EndpointError as fault:
            if request.tools and self._takes_tools is None and _is_about_tools(fault):
                line = f"{self.name} refuses tools ({fault}); tell it of them in words (`tools: words`)"
                raise PlatformFailed(line) from fault
            raise
        if request.tools:
            self._takes_tools = True
        return self._answer(_parse_reply(raw), with_calls=bool(request.tools), queued_s=queued_s, lost=lost)

    async def stream(self, request: Request) -> AsyncGenerator[Delta]:
        """Answer piece by piece. Once it begins nothing is retried: what was said cannot be taken back.

        A request with tools is answered whole: a call is nothing until its end.
        """
        if request.tools:
            yield _as_delta(await self.generate(request))
            return
        async with AsyncExitStack() as stack:

            async def once() -> aiohttp.ClientResponse:
                body = self._body(request) | {"stream": True, "stream_options": {"include_usage": True}}
                await stack.enter_async_context(self._place())
                return await stack.enter_async_context(self._post(body))

            async def let_go(fault: EndpointError) -> None:
                await stack.__aexit__(type(fault), fault, fault.__traceback__)  # the place learns how it ended

            response = await self._retried(once, between=let_go)
            if response.content_type == "application/json":  # an endpoint that does not stream answers whole
                yield _as_delta(self._answer(_parse_reply(await _read_whole(response))))
                return
            has_ended = has_text = False
            async with aclosing(_events(response)) as events:
                async for event in events:
                    if event.data.strip() == "[DONE]":
                        has_ended = True
                        break
                    delta = self._delta(event)
                    has_ended = has_ended or delta.finish_reason is not None
                    has_text = has_text or bool(delta.text.strip())
                    yield delta
            if not has_ended:
                raise EndpointError(f"{self.name}: the stream broke off before its end", retryable=True)
            if not has_text:
                raise UnparsedAnswer(f"{self.name} answered nothing")

    async def identity(self) -> Identity:
        """A name, unless the options give more: a statement of whoever serves it, or replayed probes.

        Raises:
            PlatformFailed: the attestation does not hold, or is of another model or endpoint.
            ModelError: a probe failed.
        """
        if self._identity is None:
            self._identity = await self._find_identity()
        return self._identity

    async def aclose(self) -> None:
        """Close the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _find_identity(self) -> Identity:
        origin = str(self._url.origin())
        if self._options.attestation is not None:
            return read_attestation(
                self._options.attestation,
                name=self.name,
                model=self._model,
                origin=origin,
                trusted=self._options.trusted,
            )
        if self._options.fingerprint:
            return await fingerprint(self)
        return Identity(kind="name-only", model=self.name, details={"endpoint": origin})

    # -- attempts

    def _place(self) -> "_Place":
        """A place among the attempts in flight, and when it was had."""
        return _Place(self.level, self._pace)

    async def _retried(
        self,
        once: Callable[[], Awaitable[_T]],
        *,
        between: Callable[[EndpointError], Awaitable[None]] | None = None,
        with_tools: bool = False,
    ) -> _T:
        """What `once` gives, tried again where its failure may pass.

        Args:
            between: lets go of what a failed attempt left open.
            with_tools: the request declares tools, so that its tools' turns stand as they should.
        """
        attempt, ways = 0, set[str | None]({None})
        while True:
            try:
                return await once()
            except EndpointError as fault:
                if between is not None:
                    await between(fault)
                if (way := self._said_otherwise(fault, with_tools=with_tools)) not in ways:
                    ways.add(way)
                    continue
                if not fault.retryable or attempt >= self._options.retries:
                    raise
            await asyncio.sleep(self._pace.backoff_s(attempt))
            attempt += 1

    def _post(self, body: Mapping[str, Any]) -> "_Post":
        """One HTTP attempt."""
        return _Post(self, _encode(body))

    async def _send(self, body: bytes) -> aiohttp.ClientResponse:
        """The head of a reply that is in order; what it says of the endpoint's limits is heeded."""
        session, key = self._open_session(), self._key
        response = await session.post(self._url, data=body, allow_redirects=False)
        try:
            await self._must_be_ok(response, key=key)
            self._has_answered = True
            if (seconds := used_up_s(response.headers)) is not None:
                self._pace.hold(seconds)
            if (left := requests_left(response.headers)) is not None:
                self.level.at_most(left)
        except BaseException:
            response.release()
            raise
        return response

    def _ours(self, error: aiohttp.ClientError | TimeoutError) -> Exception:
        """What a fault of the transport is to us."""
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return self._unreachable(f"no connection within {self._options.connect_timeout_s:g} s")
        if isinstance(error, aiohttp.ClientConnectorError):
            return self._unreachable(error.os_error.strerror or str(error))
        if isinstance(error, TimeoutError):
            return EndpointTimeout(f"{self.name}: no whole answer within {self._options.timeout_s:g} s")
        line = f"{self.name}: connection lost ({type(error).__name__})"
        return EndpointError(line, retryable=True, lost=1)

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            options = self._options
            self._key = find_key(self._url, keys_file=options.keys_file)
            headers = _HEADERS | ({"Authorization": f"Bearer {self._key}"} if self._key else {})
            self._session = aiohttp.ClientSession(
                headers=headers,
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60),
                timeout=aiohttp.ClientTimeout(
                    total=options.timeout_s, sock_connect=options.connect_timeout_s, sock_read=options.read_timeout_s
                ),
                cookie_jar=aiohttp.DummyCookieJar(),  # an endpoint is not to know one trial from the next
            )
        return self._session

    def _body(self, request: Request) -> dict[str, Any]:
        settings = request.settings
        body: dict[str, Any] = {
            "model": self._model,
            "messages": wire_turns(request.messages)
            if request.tools
            else [
                {"role": self._tool_role if m.role == "tool" else m.role, "content": m.content}
                for m in request.messages
            ],
            self._bound: settings.max_tokens,
            "temperature": settings.temperature,
            "top_p": settings.top_p,
        }
        if request.tools:
            body["tools"] = [tool.to_wire() for tool in request.tools]
        if settings.seed is not None:
            body["seed"] = settings.seed
        if settings.stop:
            body["stop"] = list(settings.stop)
        return {name: value for name, value in body.items() if name not in self.left_out}

    def _said_otherwise(self, fault: EndpointError, *, with_tools: bool) -> str | None:
        """The way in which the endpoint may take the request from now on, None where there is none.

        Newer endpoints want the same bound under another name, and refuse settings of sampling. Strict ones take a
        tool's turn only after a call in their own form, which our text has not: there it goes out as the user's. Many
        requests may come back refused at once, so that this is asked for each of them.
        """
        if fault.status == 400 and "max_completion_tokens" in str(fault):
            self._bound = "max_completion_tokens"
            return self._bound
        if fault.status in {400, 422} and (refused := _refused_setting(str(fault))) is not None:
            self.left_out |= {refused}
            return refused
        if not with_tools and _is_about_tools(fault):
            self._tool_role = "user"
            return "tool"
        return None

    # -- what came back

    async def _must_be_ok(self, response: aiohttp.ClientResponse, *, key: str | None) -> None:
        status = response.status
        if 200 <= status < 300:
            return
        if 300 <= status < 400:
            raise self._redirected(response)
        said, code = await _read_error(response, key=key)
        if status in {401, 402} or code in _NO_CREDIT:
            raise BadKey(f"{self.name}: HTTP {status}{said}; {self._about_key(key)}")
        if status == 404:
            raise Unreachable(f"{self.name}: HTTP 404 at {self._url}{said}; mend the base URL or the model's name")
        if status == HTTPStatus.FORBIDDEN and not self._has_answered:  # a key, or a filter that bars this one prompt
            said += f"; {self._about_key(key)}"
        raise self._refused(response, said)

    def _refused(self, response: aiohttp.ClientResponse, said: str) -> EndpointError:
        is_retryable = response.status in _RETRYABLE
        wait_s = asked_wait_s(response.headers, now=time.time()) if is_retryable else None
        if wait_s is not None and wait_s > self._options.longest_wait_s:
            said += f"; it asks to wait {wait_s:.0f} s, more than {self._options.longest_wait_s:g} s"
            is_retryable = False
        elif wait_s is not None:
            self._pace.hold(wait_s)
        if response.status == HTTPStatus.TOO_MANY_REQUESTS:
            said += "; its rate limit or quota is used up: wait, or ask its owner for more"
        line = f"{self.name}: HTTP {response.status}"
        return EndpointError(f"{line}{said}", status=response.status, retryable=is_retryable, ours=line)

    def _about_key(self, key: str | None) -> str:
        found = "the key found was refused" if key is not None else "no key was found"
        return f"{found}, set the key of this host in {where_keys_are(self._url, keys_file=self._options.keys_file)}"

    def _redirected(self, response: aiohttp.ClientResponse) -> Unreachable:
        place = printable(response.headers.get("Location", "nowhere"))
        return Unreachable(
            f"{self.name}: HTTP {response.status} from {self._url} to {place!r}, which is not followed; name the "
            "address you mean in the model's base URL"
        )

    def _unreachable(self, why: str) -> PlatformFailed | AttemptFailed:
        """Never reached is a wrong address; reached before is an endpoint that restarts, worth another attempt."""
        line = f"{self.name}: nothing answers at {self._url.origin()} ({why})"
        if self._has_answered:
            return EndpointError(line, retryable=True)
        return Unreachable(f"{line}; start the endpoint or mend the base URL")

    def _answer(self, reply: "_Reply", *, with_calls: bool = False, queued_s: float = 0.0, lost: int = 0) -> Answer:
        if reply.error is not None:
            line = f"{self.name}: an error in place of an answer"
            raise EndpointError(f"{line}: {printable(_said(reply.error))}", ours=line)
        if not reply.choices:
            raise UnparsedAnswer(f"{self.name}: the reply has no choices")
        choice = reply.choices[0]
        if choice.message is None:
            raise UnparsedAnswer(f"{self.name}: the reply's first choice has no message")
        answer = Answer(
            text=_said_and_called(choice.message, with_calls=with_calls),
            finish_reason=choice.finish_reason,
            tokens_in=reply.usage.prompt_tokens if reply.usage else None,
            tokens_out=reply.usage.completion_tokens if reply.usage else None,
            reasoning=choice.message.reasoning_content or choice.message.reasoning or "" or None,
            queued_s=queued_s,
            lost=lost,
        )
        return must_say_something(answer, name=self.name)

    def _delta(self, event: Event) -> Delta:
        reply = _parse_reply(event.data.encode(errors="replace"))
        if reply.error is not None or event.type == "error":
            line = f"{self.name}: the stream ended in an error"
            raise EndpointError(f"{line}: {printable(_said(reply.error))}", ours=line)
        choice = reply.choices[0] if reply.choices else _Choice()
        said = choice.delta or _Message()
        return Delta(
            text=_text(said.content) or said.refusal or "",
            reasoning=said.reasoning_content or said.reasoning or "",
            finish_reason=choice.finish_reason,
            tokens_in=reply.usage.prompt_tokens if reply.usage else None,
            tokens_out=reply.usage.completion_tokens if reply.usage else None,
        )


class _Place:
    """A place among the attempts in flight; what comes of the attempt moves the level.

    Entering gives when the place was had. A class, as `_Post` is: a generator for each attempt costs three times that.
    """

    __slots__ = ("_had_at", "_level", "_pace")

    def __init__(self, level: Level, pace: Pace) -> None:
        self._level, self._pace, self._had_at = level, pace, 0.0

    async def __aenter__(self) -> float:
        await self._level.acquire()
        try:
            # Those who stood in line for a place heard nothing of a `Retry-After` that came meanwhile.
            await self._pace.wait()
        except BaseException:
            self._level.release()
            raise
        self._had_at = time.monotonic()
        return self._had_at

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if fault is None:
            self._level.answered()
        elif isinstance(fault, EndpointTimeout) or (isinstance(fault, EndpointError) and fault.status in _OVERLOADED):
            self._level.overloaded(sent_at=self._had_at)
        self._level.release()


class _Post:
    """One HTTP attempt; faults of the transport, also while its body is read, become ours."""

    __slots__ = ("_body", "_model", "_response")

    def __init__(self, model: OpenAIModel, body: bytes) -> None:
        self._model, self._body = model, body
        self._response: aiohttp.ClientResponse | None = None

    async def __aenter__(self) -> aiohttp.ClientResponse:
        try:
            self._response = await self._model._send(self._body)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._model._ours(error) from error
        return self._response

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._response is not None:
            await self._response.__aexit__(kind, fault, trace)
        if isinstance(fault, aiohttp.ClientError | TimeoutError):
            raise self._model._ours(fault) from fault


class _Wire(BaseModel):
    """What we read of a reply. Endpoints add fields of their own and say null where others say nothing."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class _Part(_Wire):
    text: str | None = None


class _Function(_Wire):
    name: str
    arguments: str | dict[str, Any] | None = None  # JSON text; some servers give the object


class _ToolCall(_Wire):
    function: _Function


_CALLS = TypeAdapter(list[_ToolCall])


class _Message(_Wire):
    content: str | list[_Part] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: Any = None  # read only where tools were declared: what nobody asked for may be of any form


class _Choice(_Wire):
    message: _Message | None = None
    delta: _Message | None = None
    finish_reason: str | None = None


class _Usage(_Wire):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Reply(_Wire):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Any = None  # an object, a string or anything else, by vendor


async def _read_bounded(response: aiohttp.ClientResponse) -> AsyncGenerator[bytes]:
    """The body, chunk by chunk, up to a bound."""
    _must_be_plain(response)
    size = 0
    async for chunk in response.content.iter_any():
        size = _within(size + len(chunk))
        yield chunk


async def _read_whole(response: aiohttp.ClientResponse) -> bytes:
    """The same at once; a generator of one chunk would cost as much as the reading."""
    _must_be_plain(response)
    chunks, size = [], 0
    while chunk := await response.content.readany():
        size = _within(size + len(chunk))
        chunks.append(chunk)
    return b"".join(chunks)


def _must_be_plain(response: aiohttp.ClientResponse) -> None:
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise UnparsedAnswer("the reply is compressed, which was not asked for")


def _within(size: int) -> int:
    if size > _LARGEST_BODY:
        raise UnparsedAnswer(f"the reply is larger than {_LARGEST_BODY} bytes")
    return size


async def _events(response: aiohttp.ClientResponse) -> AsyncGenerator[Event]:
    parser = EventParser()
    async with aclosing(_read_bounded(response)) as chunks:
        async for chunk in chunks:
            for event in parser.feed(chunk):
                yield event
    for event in parser.close():
        yield event


async def _read_error(response: aiohttp.ClientResponse, *, key: str | None) -> tuple[str, str | None]:
    """What an error reply says, ready to be added to a line, and its code. An endpoint may echo the key; we do not."""
    try:
        raw = await response.content.read(1 << 16)
    except (aiohttp.ClientError, TimeoutError):
        return "", None
    text, code = raw.decode("utf-8", "replace"), None
    try:
        error = json.loads(raw)["error"]
        text, code = _said(error), error.get("code") if isinstance(error, dict) else None
    except (ValueError, KeyError, TypeError):
        pass
    if key:
        text = text.replace(key, "[key]")
    text = printable(text)
    return f" ({text})" if text else "", code if isinstance(code, str) else None


def _encode(body: Mapping[str, Any]) -> bytes:
    """The body as JSON; lone surrogates, which UTF-8 has no form for, as escapes."""
    try:
        return orjson.dumps(body)
    except orjson.JSONEncodeError:
        return json.dumps(body).encode()


def _parse_reply(raw: bytes) -> _Reply:
    try:
        return _Reply.model_validate_json(_whole_letters(raw))
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        what = f"{where} is not what it should be" if where else "it is not a JSON object"
        raise UnparsedAnswer(f"the reply is malformed: {what}") from None


def _whole_letters(raw: bytes) -> bytes | str:
    """Replace lone surrogates, which JSON can carry in an escape and no file can keep."""
    if b"\\ud" not in raw and b"\\uD" not in raw:
        return raw
    try:
        text = json.dumps(json.loads(raw), ensure_ascii=False)
    except (ValueError, RecursionError):
        return raw
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _said(error: object) -> str:
    message = error.get("message") if isinstance(error, dict) else error
    return message if isinstance(message, str) else json.dumps(error)


def _text(content: str | list[_Part] | None) -> str:
    if isinstance(content, list):
        return "".join(part.text or "" for part in content)
    return content or ""


def _said_and_called(message: _Message, *, with_calls: bool) -> str:
    said = _text(message.content) or message.refusal or ""
    if not with_calls or not message.tool_calls:
        return said
    try:
        calls = _CALLS.validate_python(message.tool_calls)
    except ValidationError:
        raise UnparsedAnswer("the reply's tool_calls are no list of calls of functions") from None
    written = [call_text(one.function.name, _as_json_text(one.function.arguments)) for one in calls]
    return "\n".join([*([said] if said.strip() else []), *written])


def _as_json_text(arguments: str | dict[str, Any] | None) -> str:
    return json.dumps(arguments) if isinstance(arguments, dict) else arguments or ""


def _refused_setting(said: str) -> str | None:
    """The setting that an endpoint refuses by its name, in quotation marks as all of them write it.

    >>> _refused_setting("HTTP 400 (Unsupported value: 'temperature' does not support 0 with this model.)")
    'temperature'
    >>> _refused_setting("HTTP 400 (`temperature` and `top_p` cannot both be specified)")
    'top_p'
    """
    if not _REFUSES.search(said):
        return None
    return next((name for name in _OPTIONAL if re.search(f"[`'\"]{name}[`'\"]", said)), None)


def _is_about_tools(fault: EndpointError) -> bool:
    return fault.status in {400, 422} and "tool" in str(fault).lower()


def _as_delta(answer: Answer) -> Delta:
    return Delta(
        text=answer.text,
        reasoning=answer.reasoning or "",
        finish_reason=answer.finish_reason,
        tokens_in=answer.tokens_in,
        tokens_out=answer.tokens_out,
    )
