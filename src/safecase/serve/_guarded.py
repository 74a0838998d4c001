"""The one path to the model: the request is ruled on, the model asked, its reply ruled on, marked and passed on.

Every route that answers with text comes through here, streaming or not, so none can leave a check out. What differs
between the APIs is how a checked reply is written down, and that is a `Dialect`.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import orjson

from safecase.evidence import Explanation, RulingRecord
from safecase.safeguard import Checked, ChunkGuard, Exchange, GoldenFailed, Stack, Withheld, reply_of
from safecase.serve._bodies import LONG
from safecase.serve._call import JSON, Call
from safecase.serve._config import Commands
from safecase.serve._faults import Fault, bad_request, failed
from safecase.serve._http import Answer
from safecase.serve._json import read_json
from safecase.serve._marks import Marker
from safecase.serve._sse import Frame, Splitter, frame_of
from safecase.serve._tools import as_calls, without_tools
from safecase.serve._upstream import Client, UpstreamRefused

Body = dict[str, Any]  # JSON

_ERROR_CHARACTERS = 1_000  # of an upstream's words, where they are passed on
_LONGEST_COMMAND = 64
_UNREADABLE = frozenset({"audio", "images"})  # fields of a message that hold no text
_REASONS = frozenset({"stop", "length", "tool_calls", "function_call", "content_filter"})
_CHUNKS_A_FRAME = 4  # at least, over a stream; to find one costs as much as to read a chunk
_MOST_TOKENS = 1 << 40  # of one call; a count beyond it is none


class Dialect(Protocol):
    """How a checked reply, as the chat-completions API has it, is written for one client. It holds the call's state."""

    def whole(self, reply: Body) -> bytes:
        """A reply that does not stream."""
        ...

    def opening(self) -> bytes:
        """What a stream begins with."""
        ...

    def events(self, chunks: Sequence[Body]) -> bytes:
        """Chunks of a stream."""
        ...

    def ending(self) -> bytes:
        """What ends a stream."""
        ...

    def broken(self, fault: Fault) -> bytes:
        """What ends a stream in place of the rest."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A request for text that was found to be in order.

    Attributes:
        exchange: every string of it.
        body: the chat-completions request for the upstream, less model, system prompt and stream options.
        wants_usage: whether a streaming client asked for token counts.
        is_prose: False where the answer is to be a program's input (JSON), which a notice would spoil.
    """

    exchange: Exchange
    body: Body
    dialect: Dialect
    streams: bool = False
    wants_usage: bool = False
    is_prose: bool = True


class Guarded:
    """A model behind its stack."""

    def __init__(self, stack: Stack, client: Client, marker: Marker, on_command: Commands | None = None) -> None:
        self._stack, self._client, self._marker = stack, client, marker
        self._on_command = on_command
        self._notes = any(hasattr(layer, "note") for layer in stack.layers)  # asking costs more
        self._reads_replies = any(layer.stage == "output" for layer in stack.layers)
        # Rendered once: a model spec may be long.
        prompt = stack.system_prompt
        # So is what every request gets: a watermark's bias names half the vocabulary.
        self._adds = {name: orjson.Fragment(orjson.dumps(value)) for name, value in client.upstream.adds.items()}
        self._system = None if prompt is None else orjson.Fragment(orjson.dumps({"role": "system", "content": prompt}))

    async def rules(self, call: Call, asked: Exchange) -> RulingRecord | None:
        """Rule on a request; what withheld it, or None where it may go on.

        Raises:
            Fault: the stack rules otherwise than it is known to.
        """
        if call.exchanges is not None:
            call.put_to_stack(asked)
        unready = None if self._stack.is_tested else await self._unready()
        checked = unready or await self._stack.rule(asked)
        call.rulings += checked.rulings
        if isinstance(checked, Checked):
            call.explanations += checked.explanations
        if checked.withheld is not None:
            call.withhold(checked.withheld)
            self._note(asked, checked.withheld)
        return checked.withheld

    async def _unready(self) -> Withheld | None:
        try:
            return await self._stack.ready()
        except GoldenFailed:
            raise failed(503, "safeguards-failed", "the safeguards do not rule as they should") from None

    async def rules_out(self, call: Call, replied: Exchange) -> bool:
        """Rule on a piece of a reply in which nothing can be replaced; whether it is withheld."""
        call.put_to_stack(replied)
        checked = await self._stack.rule(replied)
        call.rulings += checked.rulings
        call.explanations += checked.explanations
        if checked.withheld is not None:
            call.withhold(checked.withheld)
        return checked.withheld is not None or bool(checked.spans)

    async def answer(self, call: Call, ask: Ask) -> None:
        """Answer a request.

        Raises:
            Fault: it cannot be answered.
        """
        call.streamed = ask.streams
        if self._on_command is not None and (said := await self._commanded(call, self._on_command)) is not None:
            await self._send(call, ask, self._told(call, said), is_generated=False)
            return
        if (ruling := await self.rules(call, ask.exchange)) is not None:
            await self._send(call, ask, self._blocked(call, ruling), is_generated=False)
            return
        body, is_call = ask.body, False
        if not self._client.upstream.has_tools:
            body, is_call = without_tools(body)
        try:
            response = await self._client.post("/chat/completions", self._rendered(ask, body, is_call), call.flight)
        except UpstreamRefused as refusal:
            raise await self.as_fault(refusal, ask.exchange) from None
        if ask.streams and response.content_type == "text/event-stream":
            await self._stream(call, ask, response)
            return
        data = await self._client.read(response, call.flight)
        reply = self._parsed(call, data)
        if is_call:
            as_calls(reply)
        if len(data) >= LONG:
            ask = replace(ask, exchange=replace(ask.exchange, is_long=True))
        await self._whole(call, ask, reply)

    async def _commanded(self, call: Call, on_command: Commands) -> str | None:
        """The answer to a chat command, whose words are then nobody's content; None where it is none."""
        text = (call.prompt or "").strip()
        if call.account is None or not text.startswith("/") or len(text) > _LONGEST_COMMAND:
            return None
        said = await asyncio.to_thread(on_command, call.account.id, text)
        if said is not None:
            call.prompt = None
        return said

    def note(self, asked: Exchange) -> None:
        """Tell the layers that count attempts of a request that was answered by other than text."""
        self._note(asked, None)

    def _note(self, asked: Exchange, ruling: RulingRecord | None) -> None:
        if self._notes:
            self._stack.note(asked, withheld=ruling is not None, by=ruling)

    async def as_fault(self, refusal: UpstreamRefused, asked: Exchange) -> Fault:
        """What a client is told of a request that the upstream calls wrong: its words, where the stack allows them."""
        said = _message_of(refusal.body)
        if said:
            (told,) = reply_of({"choices": [{"message": {"content": said}}]}, asked=asked)
            checked = await self._stack.rule(told)
            if checked.withheld or checked.spans:
                said = ""
        if refusal.status == 404:
            return failed(502, "upstream-error", "the model's server does not know the model")
        return Fault(bad_request(said or "the model does not accept this request", reason="upstream-refused").refusal)

    def _rendered(self, ask: Ask, asked: Body, is_call: bool) -> bytes:
        """The request as the upstream gets it."""
        upstream = self._client.upstream
        body = {**asked, **self._adds}
        body["model"] = upstream.name
        if self._system is not None:
            body["messages"] = [self._system, *body["messages"]]
        if ask.streams and not is_call:
            body["stream"] = True
            if upstream.asks_usage:
                body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
        return orjson.dumps(body)

    # -- whole

    def _parsed(self, call: Call, data: bytes) -> Body:
        reply = _parsed_reply(data)
        reply["model"] = self._client.upstream.serves
        reply.setdefault("id", f"chatcmpl-{call.id}")
        reply.setdefault("object", "chat.completion")
        reply.setdefault("created", int(time.time()))
        return reply

    async def _whole(self, call: Call, ask: Ask, reply: Body) -> None:
        is_read = self._reads_replies or call.exchanges is not None
        ruling = await self._check(call, ask.exchange, reply) if is_read else None
        self._note(ask.exchange, ruling)
        _note_usage(call, reply)
        if ruling is not None:
            call.withhold(ruling)
            await self._send(call, ask, self._blocked(call, ruling, usage=reply.get("usage")), is_generated=False)
            return
        texts = list(self._noticed(reply, is_prose=ask.is_prose))
        reply["provenance"] = self._marker.block(texts)
        call.reply = "\n".join(texts)
        call.characters_out = len(call.reply)
        call.finish_reason = _finish_reason(reply)
        await self._send(call, ask, reply, is_generated=True)

    async def _check(self, call: Call, asked: Exchange, reply: Body) -> RulingRecord | None:
        """Rule on every choice; stretches to be replaced are replaced in the reply."""
        if asked.is_long:
            exchanges = await asyncio.to_thread(reply_of, reply, asked=asked)
        else:
            exchanges = reply_of(reply, asked=asked)
        if call.exchanges is not None:
            call.exchanges += exchanges
        for choice, exchange in zip(reply["choices"], exchanges, strict=True):
            checked = await self._stack.rule(exchange)
            call.rulings += checked.rulings
            call.explanations += checked.explanations
            if checked.withheld is not None:
                return checked.withheld
            if checked.spans:
                choice["message"]["content"] = checked.text(exchange.reply)
        return None

    def _noticed(self, reply: Body, *, is_prose: bool) -> Iterator[str]:
        """The choices' texts, under the notice where there is one."""
        for choice in reply["choices"]:
            message = choice["message"]
            text = message.get("content")
            if text and isinstance(text, str):
                if is_prose and self._marker.has_notice:
                    text = message["content"] = self._marker.noticed(text)
                yield text

    def _blocked(self, call: Call, ruling: RulingRecord, *, usage: Any = None) -> Body:
        """A safe completion as a reply."""
        said = self._stack.completion(ruling)
        reply = self._told(call, said, finish_reason="content_filter")
        reply["safeguard"] = {"layer": ruling.layer, "principle": ruling.principle, "message": said}
        # What was withheld was generated all the same, and is counted; of the upstream's words nothing is left.
        counted = _counts(usage)
        return {**reply, "usage": counted} if counted else reply

    def _told(self, call: Call, said: str, *, finish_reason: str = "stop") -> Body:
        """Words of the gateway's own as a reply."""
        message = {"role": "assistant", "content": said, "refusal": None}
        return {
            "id": f"chatcmpl-{call.id}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": self._client.upstream.serves,
            "choices": [{"index": 0, "message": message, "finish_reason": finish_reason, "logprobs": None}],
        }

    async def _send(self, call: Call, ask: Ask, reply: Body, *, is_generated: bool) -> None:
        """Send a checked reply; where a stream was asked for, as one."""
        headers = self._marker.headers() if is_generated else ()
        if not ask.streams:
            await call.answer(ask.dialect.whole(reply), headers=(JSON, *headers))
            return
        await call.open_stream(headers, ask.dialect.broken)
        events = ask.dialect.opening() + ask.dialect.events(_as_chunks(reply))
        await call.pass_on(events)
        await call.close_stream(ask.dialect.ending())

    # -- streaming

    async def _stream(self, call: Call, ask: Ask, response: Answer) -> None:
        dialect, serves = ask.dialect, self._client.upstream.serves
        stream = _Stream(ChunkGuard(self._stack, ask.exchange), call, serves=serves)
        texts = _Texts(marker=self._marker, is_prose=ask.is_prose)
        try:
            async with aclosing(self._client.pieces(response, call.flight)) as pieces:
                await call.open_stream(self._marker.headers(), dialect.broken)
                if opening := dialect.opening():
                    await call.write(opening)
                async for piece in pieces:
                    if chunks := await stream.take(piece):
                        texts.note(chunks)
                        await call.pass_on(dialect.events(chunks))
                    if stream.is_over:
                        break
            stream.must_be_sound()
            last: Sequence[Body] = () if stream.withheld else await stream.finish(wants_usage=ask.wants_usage)
        finally:  # a shadow is shown what there was, however it ended
            if call.exchanges is not None:
                call.exchanges += stream.exchanges()
        self._end_stream(call, ask, stream, texts, last)
        await call.close_stream(dialect.events(last) + dialect.ending())

    def _end_stream(self, call: Call, ask: Ask, stream: "_Stream", texts: "_Texts", last: Sequence[Body]) -> None:
        """Note what came of a stream, and put its provenance on the last chunk."""
        call.rulings += stream.rulings
        call.explanations += stream.explanations
        ruling = stream.withheld
        self._note(ask.exchange, ruling)
        texts.note(last)
        whole = texts.whole()
        call.characters_out = sum(map(len, whole))
        if ruling is not None:
            call.withhold(ruling)
            return
        call.reply = "\n".join(whole)
        call.finish_reason = stream.finish_reason
        if last:
            last[-1]["provenance"] = self._marker.block(whole)


class _Stream:
    """A streaming reply on its way through the stack.

    Attributes:
        is_over: nothing more is to be read from the upstream.
    """

    def __init__(self, guard: ChunkGuard, call: Call, *, serves: str) -> None:
        self._guard, self._call, self._serves = guard, call, serves
        self._splitter = Splitter(most_bytes=4 << 20)
        self._id, self._created = f"chatcmpl-{call.id}", int(time.time())
        self._finished: dict[int, str | None] = {}
        self._fault: Fault | None = None
        self._frame: Frame | None = None
        self._frames = self._chunks = 0
        self.is_over = False

    @property
    def withheld(self) -> RulingRecord | None:
        """The ruling that stopped the reply."""
        return self._guard.guard.withheld

    @property
    def rulings(self) -> tuple[RulingRecord, ...]:
        """Of the last look at each choice, or up to the one that stopped it."""
        return self._guard.guard.rulings

    @property
    def explanations(self) -> tuple[Explanation, ...]:
        """Of the layers that reason, at the same looks."""
        return self._guard.guard.explanations

    @property
    def finish_reason(self) -> str | None:
        """Of the first choice."""
        return _known_reason(next(iter(self._finished.values()), None))

    def exchanges(self) -> tuple[Exchange, ...]:
        """What has come of every choice, as the stack is asked about the whole of it."""
        return self._guard.exchanges()

    async def take(self, piece: bytes) -> list[Body]:
        """Read a piece of the upstream's stream; give the chunks that may go out.

        What was checked before something unsound came goes out still; `must_be_sound` then says what it was.
        """
        return await self._feed(self._splitter.feed(piece))

    def must_be_sound(self) -> None:
        """Ask after the last piece.

        Raises:
            Fault: the upstream sent what is no chunk.
        """
        if self._fault is not None:
            raise self._fault

    async def finish(self, *, wants_usage: bool) -> Sequence[Body]:
        """Check the whole; give the rest.

        Raises:
            Fault: the stream ended before its reply did.
        """
        out = [] if self.is_over else await self._feed(self._splitter.close())
        self.must_be_sound()
        if self.withheld is None and (not self._finished or (None in self._finished.values() and not self.is_over)):
            raise failed(502, "upstream-broke", "the model's answer broke off before its end")
        self.is_over = True
        rest = await self._guard.finish()
        return [*out, *(chunk for chunk in rest if wants_usage or not _is_usage(chunk))]

    async def _feed(self, events: list[bytes]) -> list[Body]:
        out: list[Body] = []
        for data in events:
            frame = self._frame
            if frame is not None and (text := frame.text_of(data)):
                self._call.generated += len(text)
                looks = self._guard.take_text(text, choice=frame.choice)
                if looks is None:
                    continue
                out += await looks
            elif data == b"[DONE]":
                self.is_over = True
                break
            else:
                try:
                    chunk = self._chunk(data)
                except Fault as fault:
                    self._fault, self.is_over = fault, True
                    break
                out += await self._guard.feed(chunk)
                self._keep_frame(data, chunk)
            if self._guard.guard.withheld is not None:
                self.is_over = True
                break
        return out

    def _keep_frame(self, data: bytes, chunk: Body) -> None:
        """Keep what stands around the text of a chunk, for those after it; not for ever, where each is made anew."""
        self._chunks += 1
        if self._frames * _CHUNKS_A_FRAME > self._chunks or (piece := self._guard.text_of(chunk)) is None:
            return
        self._frames += 1
        self._frame = frame_of(data, piece.text, choice=piece.choice)

    def _chunk(self, data: bytes) -> Body:
        """One event, in the envelope that all chunks of this call go out in."""
        try:
            chunk = read_json(data)
        except ValueError:
            raise _malformed() from None
        if type(chunk) is not dict:
            raise _malformed()
        if chunk.get("error"):
            raise failed(502, "upstream-error", "the model failed in the middle of its answer")
        chunk["model"] = self._serves
        chunk.setdefault("id", self._id)
        chunk.setdefault("object", "chat.completion.chunk")
        chunk.setdefault("created", self._created)
        if chunk.get("usage"):
            _note_usage(self._call, chunk)
        choices = chunk.get("choices")
        if choices is not None:
            if type(choices) is not list:
                raise _malformed()
            for choice in choices:
                self._note(choice)
        return chunk

    def _note(self, choice: Any) -> None:
        """Look whether a choice is one, and what it tells."""
        index = choice.get("index") if type(choice) is dict else None
        if type(index) is not int or index < 0:
            raise _malformed()
        if (delta := choice.get("delta")) is not None:
            _must_be_message(delta, is_delta=True)
            self._call.generated += _characters(delta)
        finish_reason = _reason(choice)
        if finish_reason or index not in self._finished:
            self._finished[index] = finish_reason


@dataclass(slots=True, kw_only=True)
class _Texts:
    """What went out of each choice, for the digest; and the notice, before the first of it."""

    marker: Marker
    is_prose: bool
    by_choice: dict[int, list[str]] = field(default_factory=dict)

    def note(self, chunks: Sequence[Body]) -> None:
        for chunk in chunks:
            if "safeguard" in chunk:
                continue  # a safe completion, which no model made
            for choice in chunk.get("choices") or ():
                delta = choice.get("delta")
                if delta and (text := delta.get("content")) and isinstance(text, str):
                    self._add(choice.get("index", 0), text, delta)

    def _add(self, index: int, text: str, delta: Body) -> None:
        said = self.by_choice.get(index)
        if said is None:
            said = self.by_choice[index] = []
            if self.is_prose and self.marker.has_notice:
                text = delta["content"] = self.marker.noticed(text)
        said.append(text)

    def whole(self) -> list[str]:
        return ["".join(self.by_choice[index]) for index in sorted(self.by_choice)]


def _parsed_reply(data: bytes) -> Body:
    try:
        reply = read_json(data)
    except ValueError:
        raise _malformed() from None
    if not isinstance(reply, dict) or reply.get("error"):
        raise failed(502, "upstream-error", "the model's server answered with an error")
    choices = reply.get("choices")
    if not isinstance(choices, list) or not choices:
        raise _malformed()
    for choice in choices:
        if not isinstance(choice, dict):
            raise _malformed()
        _must_be_message(choice.get("message"))
        _reason(choice)
    return reply


def _must_be_message(message: Any, *, is_delta: bool = False) -> None:
    """Refuse what a client could not read, and what no safeguard could.

    Content in parts would have to be put together to replace a stretch of it.
    """
    if type(message) is not dict:
        raise _malformed()
    content = message.get("content")
    if not (content is None or isinstance(content, str)) or (
        not _UNREADABLE.isdisjoint(message) and any(map(message.get, _UNREADABLE))
    ):
        raise _unreadable()
    calls = message.get("tool_calls")
    if calls is not None and not (type(calls) is list and all(_is_call(call, is_delta=is_delta) for call in calls)):
        raise _malformed()


def _is_call(call: Any, *, is_delta: bool) -> bool:
    if type(call) is not dict or not isinstance(call.get("id"), str | None):
        return False
    function = call.get("function")
    if function is not None:
        if type(function) is not dict:
            return False
        if not all(isinstance(function.get(name), str | None) for name in ("name", "arguments")):
            return False
    return not is_delta or (type(call.get("index")) is int and call["index"] >= 0)


def _reason(choice: Body) -> str | None:
    """Why a choice ended, None while it has not."""
    reason = choice.get("finish_reason")
    if reason is not None and not isinstance(reason, str):
        raise _malformed()
    return reason or None


def _characters(delta: Body) -> int:
    """How much was generated, in whatever channel."""
    count = 0
    for text in delta.values():
        if type(text) is str:
            count += len(text)
    for call in delta.get("tool_calls") or ():
        count += len((call.get("function") or {}).get("arguments") or "")
    return count


def _as_chunks(reply: Body) -> list[Body]:
    """A whole reply as the chunks of a stream: one that says everything."""
    around = {name: value for name, value in reply.items() if name not in ("choices", "object")}
    choices = []
    for at, choice in enumerate(reply["choices"]):
        message = dict(choice["message"])
        if calls := message.get("tool_calls"):
            message["tool_calls"] = [{"index": number, **call} for number, call in enumerate(calls)]
        rest = {name: value for name, value in choice.items() if name != "message"}
        choices.append({"index": at, **rest, "delta": message})
    return [{**around, "object": "chat.completion.chunk", "choices": choices}]


def _is_usage(chunk: Body) -> bool:
    """Whether a chunk says nothing but how many tokens were used."""
    return not chunk.get("choices") and bool(chunk.get("usage")) and not chunk.get("safeguard")


def _note_usage(call: Call, reply: Body) -> None:
    counted = _counts(reply.get("usage"))
    call.tokens_in, call.tokens_out = counted.get("prompt_tokens"), counted.get("completion_tokens")


def _counts(usage: Any) -> dict[str, int]:
    """The counts of tokens that can be any."""
    if type(usage) is not dict:
        return {}
    counts: dict[str, int] = {}
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        count = usage.get(name)
        if type(count) is int and 0 <= count <= _MOST_TOKENS:
            counts[name] = count
    return counts


def _known_reason(reason: str | None) -> str | None:
    """Why a reply ended, as the event has it: an upstream's own words are no one's to keep."""
    return reason if reason is None or reason in _REASONS else "other"


def _finish_reason(reply: Body) -> str | None:
    return _known_reason(_reason(reply["choices"][0]))


def _message_of(body: bytes) -> str:
    """What an upstream's error says, as far as it is passed on at all."""
    try:
        error = orjson.loads(body).get("error")
    except (orjson.JSONDecodeError, AttributeError):
        return ""
    said = error.get("message") if isinstance(error, dict) else error
    return said[:_ERROR_CHARACTERS] if isinstance(said, str) else ""


def _malformed() -> Fault:
    return failed(502, "upstream-malformed", "the model's answer is not as the API has it")


def _unreadable() -> Fault:
    return failed(502, "upstream-unreadable", "the model answered with something other than text, which nothing checks")
