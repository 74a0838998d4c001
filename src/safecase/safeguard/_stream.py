"""A streaming reply behind a stack: held back until checked, and let go byte for byte.

    text:   [ out ............ | checked clean, held back | not yet looked at ]
                               ^ limit                    ^ checked

Every `every` characters (and no more often than every sixteenth of what there is, so that long replies stay cheap) the
output layers rule on the prefix so far. What is checked clean goes out but for the last `hold_back` letters, in which a
match may have begun. At the end the whole reply is checked once more, with all its channels, and the rest goes out.

A match of a layer of windows (a word, a number) stays one whatever follows, so it stops the reply. Other layers judge a
reply as a whole, were measured on whole replies, and are unsure of a few words; where one of them would withhold a
prefix, the stream is held, and goes on when a later look allows it. So a reply is stopped by such a layer exactly when
the whole of it is: as in an assessment, which does not stream.
"""

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from safecase.evidence import Explanation, RulingRecord, quick_maker
from safecase.safeguard._spelling import back_by
from safecase.safeguard._stack import REPLACED, Checked, Stack
from safecase.safeguard._values import Channel, Exchange, Part
from safecase.safeguard._wire import parts_of, reply_of

_CHANNELS: Mapping[str, Channel] = {
    "content": "content",
    "refusal": "content",
    "reasoning": "reasoning",
    "reasoning_content": "reasoning",
}
_NO_NEWS = frozenset({"choices", "created"})
_MISSING = object()
_MANY_EVENTS, _MANY_PARTS = 64, 1_000  # held back, from which on they are read in a thread
_ENVELOPE = ("id", "object", "created", "model", "system_fingerprint", "service_tier")


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A stretch of a streaming reply.

    Attributes:
        choice: which of several answers.
        field: `content`, `refusal`, `reasoning` or `reasoning_content`; each has a tail buffer of its own.
    """

    choice: int = 0
    field: str = "content"
    text: str


_piece, _exchange = quick_maker(Piece), quick_maker(Exchange)


@dataclass(slots=True)
class _Tail:
    """A channel of a choice so far; `out` characters are with the user, `checked` were looked at."""

    out: int = 0
    checked: int = 0
    length: int = 0
    pieces: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        self.pieces.append(text)
        self.length += len(text)

    @property
    def text(self) -> str:
        """All of it; the pieces are put together only when it is looked at."""
        self.pieces = ["".join(self.pieces)]
        return self.pieces[0]


class StreamGuard:
    """Lets the text of a streaming reply through as far as it is checked. One guard serves one reply.

    Attributes:
        withheld: the ruling that stopped the reply; nothing comes out after it.
        rulings: of the last look at each choice, or up to the one that stopped it.
        explanations: of the layers that reason, at the same looks.
    """

    def __init__(self, stack: Stack, asked: Exchange) -> None:
        self.withheld: RulingRecord | None = None
        self.rulings: tuple[RulingRecord, ...] = ()
        self.explanations: tuple[Explanation, ...] = ()
        self._stack = stack
        self._asked = asked
        self._is_checked = any(layer.stage == "output" for layer in stack.layers)
        self._tails: dict[tuple[int, str], _Tail] = {}

    async def feed(self, piece: Piece) -> tuple[Piece, ...]:
        """Take a piece; give what may go out now.

        Raises:
            ValueError: the field is not one that streams.
        """
        if piece.field not in _CHANNELS:
            raise ValueError(f"field {piece.field!r} does not stream; use one of {', '.join(_CHANNELS)}")
        return await self._look(piece) if self._take(piece) else ()

    def take(self, piece: Piece) -> Coroutine[Any, Any, tuple[Piece, ...]] | None:
        """The same of a piece whose field is known to stream; None, at once, where nothing may go out now."""
        return self._look(piece) if self._take(piece) else None

    def _take(self, piece: Piece) -> bool:
        """Put a piece to its tail; whether it is time to look at that."""
        if self.withheld:
            return False
        tail = self._tails.get((piece.choice, piece.field))
        if tail is None:
            tail = self._tails[piece.choice, piece.field] = _Tail()
        tail.add(piece.text)
        length = tail.length
        return not self._is_checked or length - tail.checked >= max(self._stack.every, length // 16)

    async def _look(self, piece: Piece) -> tuple[Piece, ...]:
        """What may go out of the tail that a piece was put to."""
        tail = self._tails[piece.choice, piece.field]
        length = tail.length
        if not self._is_checked:
            tail.out = length
            return (piece,)
        checked = await self._stack.rule(self._so_far(tail, _CHANNELS[piece.field]))
        tail.checked = length
        if checked.withheld:
            if checked.withheld.layer in self._stack.windows and not checked.withheld.error:
                self._stop(checked)
            return ()
        return self._release(piece.choice, piece.field, checked, limit=self._limit(tail, checked))

    async def finish(self, beside: Mapping[int, tuple[Part, ...]] | None = None) -> tuple[Piece, ...]:
        """Check each reply whole and let the rest of it go, unless one of them is stopped.

        Args:
            beside: by choice, the strings of a reply that did not stream.
        """
        if self.withheld:
            return ()
        beside = beside or {}
        passed: list[tuple[int, Checked]] = []
        for choice in sorted({*(choice for choice, _ in self._tails), *beside}):
            passed.append((choice, await self._stack.rule(self.whole(choice, beside.get(choice, ())))))
            if passed[-1][1].withheld:
                self._stop(passed[-1][1])
                return ()
        self.rulings = tuple(ruling for _, checked in passed for ruling in checked.rulings)
        self.explanations = tuple(one for _, checked in passed for one in checked.explanations)
        return tuple(
            piece
            for choice, checked in passed
            for of, field in list(self._tails)
            if of == choice
            for piece in self._release(
                choice, field, checked if field == "content" else Checked(rulings=(), withheld=None), limit=None
            )
        )

    def whole(self, choice: int, beside: tuple[Part, ...] = ()) -> Exchange:
        """A reply as it is ruled on at its end.

        Args:
            beside: the strings of it that did not stream.
        """
        texts = {field: tail.text for (of, field), tail in self._tails.items() if of == choice}
        (whole,) = reply_of({"choices": [{"message": texts}]}, asked=self._asked)
        is_long = whole.is_long or len(beside) > _MANY_PARTS
        return replace(whole, reply_parts=(*whole.reply_parts, *beside), is_long=is_long)

    def _so_far(self, tail: _Tail, channel: Channel) -> Exchange:
        asked = self._asked
        return _exchange(
            messages=asked.messages,
            parts=asked.parts,
            reply=tail.text,
            channel=channel,
            seen=tail.out,
            account=asked.account,
            tiers=asked.tiers,
            attributes=asked.attributes,
            is_long=asked.is_long,
        )

    def _stop(self, checked: Checked) -> None:
        self.withheld, self.rulings, self.explanations = checked.withheld, checked.rulings, checked.explanations

    def _limit(self, tail: _Tail, checked: Checked) -> int:
        """How far the text may go out: short of the hold-back, of what a layer holds, and of what is to be replaced."""
        limit = back_by(tail.text, len(tail.text), self._stack.hold_back)
        limit = max(tail.out, limit if checked.hold is None else min(limit, checked.hold))
        for start, end in checked.spans:
            if start < limit < end:
                limit = max(tail.out, start)
        return limit

    def _release(self, choice: int, field: str, checked: Checked, *, limit: int | None) -> tuple[Piece, ...]:
        tail = self._tails[choice, field]
        limit = len(tail.text) if limit is None else limit
        text, at = "", tail.out
        for start, end in checked.spans:
            if end > at and end <= limit:
                text += tail.text[at : max(at, start)] + REPLACED
                at = end
        text += tail.text[at:limit]
        tail.out = limit
        return (Piece(choice=choice, field=field, text=text),) if text else ()


class ChunkGuard:
    """The same for the chunks of a streaming chat completion.

    Content, reasoning and refusals stream. Everything else is held until the whole reply is checked: tool calls (which
    are acted on, not read, and only when complete), `logprobs`, `usage`, fields and events that this code does not
    know. A reply that is stopped ends with one chunk of `finish_reason` `content_filter` and a field `safeguard`; the
    caller ends the stream after it as after any other.

    Attributes:
        guard: the text's guard, with what it ruled.
    """

    def __init__(self, stack: Stack, asked: Exchange) -> None:
        self.guard = StreamGuard(stack, asked)
        self._stack, self._asked = stack, asked
        self._envelope: dict[str, Any] | None = None
        self._held: list[dict[str, Any]] = []
        self._calls: dict[int, dict[int, dict[str, dict[str, str]]]] = {}
        self._choices: dict[int, bool] = {}  # whether anything of it went out
        self._is_over = False

    async def feed(self, chunk: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
        """Take an upstream chunk; give the chunks that may go out now."""
        if self._is_over:
            return ()
        choices = chunk.get("choices")
        if not isinstance(choices, list) or not all(map(_is_choice, choices)):
            self._held.append(dict(chunk))
            return ()
        if self._envelope is None and not await self._open(chunk):
            return self._blocked()
        if len(choices) == 1 and (piece := _only_text(choices[0])) is not None and not self._says_more(chunk):
            self._choices.setdefault(piece.choice, False)
            looks = self.guard.take(piece)
            return () if looks is None else await self._released(looks)
        out: list[dict[str, Any]] = []
        rests = []
        for choice in choices:
            self._choices.setdefault(choice["index"], False)
            pieces, rest = _split(choice)
            for piece in pieces:
                out += self._chunks(await self.guard.feed(piece))
                if self.guard.withheld:
                    return (*out, *self._blocked())
            if rest:
                self._remember_calls(rest)
                rests.append(rest)
        if rests or self._says_more(chunk):
            around = {name: value for name, value in chunk.items() if name != "choices"}
            self._held.append({**around, "choices": rests})
        return tuple(out)

    def text_of(self, chunk: Mapping[str, Any]) -> Piece | None:
        """The piece of text that a chunk is which was taken; None where it said anything else."""
        choices = chunk.get("choices")
        if self._is_over or type(choices) is not list or len(choices) != 1 or not _is_choice(choices[0]):
            return None
        return None if self._envelope is None or self._says_more(chunk) else _only_text(choices[0])

    def take_text(self, text: str, *, choice: int) -> Coroutine[Any, Any, tuple[dict[str, Any], ...]] | None:
        """Take a chunk that differs in its text alone from one of which `text_of` gave a piece.

        Returns:
            None where nothing may go out now, else to be awaited: as `feed`.
        """
        if self._is_over:
            return None
        looks = self.guard.take(_piece(choice=choice, text=text))
        return None if looks is None else self._released(looks)

    async def _released(self, looks: Coroutine[Any, Any, tuple[Piece, ...]]) -> tuple[dict[str, Any], ...]:
        released = await looks
        if self.guard.withheld:
            return (*self._chunks(released), *self._blocked())
        return tuple(self._chunks(released)) if released else ()

    async def finish(self) -> tuple[dict[str, Any], ...]:
        """Check the whole; give the rest of the text and then all that was held, or the chunk that says it is stopped.

        After it, and after a reply was stopped, nothing comes out any more.
        """
        if self._is_over:
            return ()
        # Log-probabilities of a few hundred tokens take as long to read as a hundred calls.
        is_long = len(self._held) > _MANY_EVENTS
        pieces = await self.guard.finish(await asyncio.to_thread(self._besides) if is_long else self._besides())
        if self.guard.withheld:
            return self._blocked()
        self._is_over = True
        return (*self._chunks(pieces), *map(self._opened, self._held))

    def exchanges(self) -> tuple[Exchange, ...]:
        """What has come of every reply, as it is ruled on at its end."""
        return tuple(self.guard.whole(index, self._beside(index)) for index in self._choices)

    def _says_more(self, chunk: Mapping[str, Any]) -> bool:
        """Whether a field around the choices says more than the envelope; the time of a chunk is no news."""
        envelope = self._envelope or {}
        for name, value in chunk.items():
            if value is not None and name not in _NO_NEWS and envelope.get(name) != value:
                return True
        return False

    async def _open(self, chunk: Mapping[str, Any]) -> bool:
        """Keep the envelope that every chunk goes out in; it is checked before the first does."""
        self._envelope = {name: chunk[name] for name in _ENVELOPE if chunk.get(name) is not None}
        checked = await self._stack.rule(replace(self._asked, reply_parts=parts_of(self._envelope)))
        if checked.withheld:
            self._envelope = {}
            self.guard.withheld, self.guard.rulings = checked.withheld, checked.rulings
            self.guard.explanations = checked.explanations
        return checked.withheld is None

    def _remember_calls(self, rest: Mapping[str, Any]) -> None:
        """Put streamed tool calls together by their index, whatever they come between."""
        calls = rest.get("delta", {}).get("tool_calls")
        for call in calls if isinstance(calls, list) else []:
            if not isinstance(call, Mapping) or not isinstance(call.get("index"), int):
                continue
            whole = self._calls.setdefault(rest["index"], {}).setdefault(call["index"], {})
            for kind, said in call.items():  # `function`, `custom`, or one that is not known yet
                texts = said.items() if isinstance(said, Mapping) else ()
                for name, text in texts:
                    if isinstance(text, str):
                        held = whole.setdefault(kind, {})
                        held[name] = held.get(name, "") + text

    def _besides(self) -> dict[int, tuple[Part, ...]]:
        return {index: self._beside(index) for index in list(self._choices) or [0]}

    def _beside(self, index: int) -> tuple[Part, ...]:
        """Every string that is held, for this choice or for none, single and side by side with its neighbours."""
        rests = [choice for event in self._held for choice in _choices_of(event) if choice.get("index") == index]
        around = [{k: v for k, v in event.items() if k != "choices" or not _choices_of(event)} for event in self._held]
        calls = list(self._calls.get(index, {}).values())
        return parts_of({"message": rests, "metadata": around, "tool_calls": calls})

    def _chunks(self, pieces: tuple[Piece, ...]) -> list[dict[str, Any]]:
        chunks = []
        for piece in pieces:
            delta = {piece.field: piece.text}
            if not self._choices[piece.choice]:
                delta = {"role": "assistant", **delta}
            self._choices[piece.choice] = True
            choice = {"index": piece.choice, "delta": delta, "finish_reason": None}
            chunks.append({**(self._envelope or {}), "choices": [choice]})
        return chunks

    def _opened(self, event: dict[str, Any]) -> dict[str, Any]:
        """A held event; the first that goes out of a choice says whose words these are."""
        choices = _choices_of(event)
        if all(self._choices[choice["index"]] for choice in choices):
            return event
        opened = []
        for choice in choices:
            is_out, self._choices[choice["index"]] = self._choices[choice["index"]], True
            opened.append({**choice, "delta": choice["delta"] if is_out else {"role": "assistant", **choice["delta"]}})
        return {**event, "choices": opened}

    def _blocked(self) -> tuple[dict[str, Any], ...]:
        """The last chunk of a stopped reply: by which layer, on which principle, and what can be helped with."""
        ruling = self.guard.withheld
        assert ruling is not None  # noqa: S101 - only called when there is one
        self._is_over = True
        message = self._stack.completion(ruling)
        choices = [
            {
                "index": index,
                "delta": {} if is_out else {"role": "assistant", "content": message},
                "finish_reason": "content_filter",
            }
            for index, is_out in (self._choices or {0: False}).items()
        ]
        safeguard = {"layer": ruling.layer, "principle": ruling.principle, "message": message}
        return ({**(self._envelope or {}), "choices": choices, "safeguard": safeguard},)


def _is_choice(choice: Any) -> bool:
    if not isinstance(choice, Mapping) or not isinstance(choice.get("delta"), Mapping):
        return False
    return type(choice.get("index")) is int


def _only_text(choice: Mapping[str, Any]) -> Piece | None:
    """The piece of content that a choice is, where it says nothing else, as nearly all do."""
    delta = choice["delta"]
    if len(choice) != 3 or len(delta) != 1 or choice.get("finish_reason", _MISSING) is not None:
        return None
    text = delta.get("content")
    return _piece(choice=choice["index"], text=text) if isinstance(text, str) and text else None


def _choices_of(event: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    choices = event.get("choices")
    return choices if isinstance(choices, list) and all(map(_is_choice, choices)) else []


def _split(choice: Mapping[str, Any]) -> tuple[list[Piece], dict[str, Any]]:
    """The text of a choice's delta, and what else it says; empty where it says nothing else."""
    delta = choice["delta"]
    pieces = [
        Piece(choice=choice["index"], field=field, text=text)
        for field, text in delta.items()
        if field in _CHANNELS and isinstance(text, str) and text
    ]
    silent = ("assistant", None, "")
    rest = {
        name: value
        for name, value in delta.items()
        if value is not None
        and not (name in _CHANNELS and isinstance(value, str))
        and not (name == "role" and value in silent)
    }
    others = {name: value for name, value in choice.items() if name not in ("index", "delta") and value is not None}
    return pieces, {"index": choice["index"], "delta": rest, **others} if rest or others else {}
