"""Personal data in a reply: replaced, or the reply withheld."""

import re
from bisect import bisect_left
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

from safecase.detect import PersonalKind, find_personal_data, shown
from safecase.evidence import digest_value
from safecase.safeguard._values import Exchange, Ruling, Stage, instant

FurtherKind = Literal["crypto-wallet", "health-number", "medical-licence", "national-id"]
"""Kinds that our own patterns do not know, and Presidio does."""
FURTHER_KINDS: frozenset[str] = frozenset(get_args(FurtherKind))

_ALLOWED = Ruling(action="allow")
_NOT_READ = frozenset({"tool-arguments", "envelope"})
_GUESSES = ".top_logprobs."
_TOKEN = 320  # characters that an unbroken stretch (an address) is followed back
# What every one of our own shapes has: the sign of an address, colons close together, letters before two digits, a
# point between digits, or six digits in all. Prose rarely does, and the shapes themselves take twenty times as long.
_MAY_HOLD = re.compile(
    r"[@＠]|[:：][\da-fA-Fａ-ｆＡ-Ｆ]{0,4}[:：]|\d(?:\d(?<=[A-Za-zＡ-Ｚａ-ｚ]{2}..)|[.．]\d|(?:\D*\d){5})", re.DOTALL
)
# One of these begins each of them; looking for the first is as fast as reading gets.
_BEGINS = re.compile(r"[@＠:：\d]")
_BEGINS_ASCII = re.compile(r"[@:0-9]")
# The same of ASCII, in which it is nearly always asked: letters as `a`, digits as `0`, what is never seen as `x`.
_SHAPES = bytes(
    ord("a" if chr(code).isalpha() else "0" if chr(code).isdigit() else chr(code) if chr(code) in "@:." else " ")
    if shown(chr(code)).text
    else ord("x")
    for code in range(128)
) + bytes(128)


def _may_hold(text: str) -> bool:
    """Whether any of our own shapes may stand in a text, or in a part of it: what `_MAY_HOLD` asks, less exact."""
    if not text.isascii():
        return True
    shape = text.encode().translate(_SHAPES).decode()
    if "@" in shape or "x" in shape or (":" in shape and shape.count(":") > 1):
        return True
    return "0" in shape and ("aa00" in shape or "0.0" in shape or shape.count("0") >= 6)


class Finder(Protocol):
    """Finds personal data of further kinds.

    Attributes:
        digest: which library, which version, which recognisers.
    """

    @property
    def digest(self) -> str: ...
    def find(self, text: str) -> list[tuple[int, int]]:
        """Stretches of the text, as offsets."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonalDataLayer:
    """Finds cards, accounts, addresses and numbers by shape and checksum, where the request did not say them first.

    What a person wrote in the conversation is theirs to hear again. Found in the reply's text it is replaced or
    withheld; in reasoning, where nothing is replaced, it withholds. The arguments of a tool call are a program's
    input, often an address on purpose, and are not read; nor are the tokens that log-probabilities give beside the one
    that was said, which side by side make numbers that nobody said. Names and postal addresses have no shape and are
    not found.

    Attributes:
        kinds: of our own patterns.
        finder: what else looks, such as Presidio.
    """

    name: str
    stage: Stage
    kinds: tuple[PersonalKind, ...]
    do: Literal["replace", "withhold"] = "replace"
    principle: str | None = None
    finder: Finder | None = None
    reach: int = 48

    @property
    def digest(self) -> str:
        """Configuration, and who looks; our own shapes are in the stack's code digest."""
        finder = self.finder.digest if self.finder else None
        return digest_value([self.name, self.stage, "personal-data", list(self.kinds), self.do, self.principle, finder])

    @instant
    def check(self, exchange: Exchange) -> Ruling:
        """Replace or withhold what is found."""
        reply, seen = exchange.reply, exchange.seen
        beside = [
            part.text
            for part in exchange.reply_parts
            if part.channel not in _NOT_READ and not (part.channel == "content" and _GUESSES in part.where)
        ]
        # Where a reply is read again begins no further back than this, as long as nothing is hidden behind that.
        behind = reply[max(0, seen - self.reach * 2 - _TOKEN) :] if seen else reply
        if self.finder is None and not (_may_hold(behind) or (beside and any(map(_may_hold, beside)))):
            return _ALLOWED
        start = self._start(reply, seen) if seen else 0
        spans = [(at + start, end + start) for at, end in self._found(reply[start:])]
        elsewhere = [text[at:end] for text in beside for at, end in self._found(text)]
        if not spans and not elsewhere:
            return _ALLOWED
        known = shown("\n".join(part.text for part in exchange.asked())).text
        new = tuple((at, end) for at, end in spans if shown(reply[at:end]).text not in known)
        is_elsewhere = any(shown(said).text not in known for said in elsewhere)
        if not new and not is_elsewhere:
            return _ALLOWED
        replace = self.do == "replace" and not is_elsewhere and exchange.channel == "content"
        return Ruling(
            action="replace" if replace else "withhold", principle=self.principle, spans=new if replace else ()
        )

    def _start(self, reply: str, seen: int) -> int:
        """From where on a reply is read again. What is never seen counts for nothing, or enough of it would push the
        beginning of a number out of sight."""
        view = shown(reply)
        if view.places is None:
            return _token_start(reply, max(0, seen - self.reach * 2))
        before = bisect_left(view.places, seen)
        at = _token_start(view.text, max(0, before - self.reach * 2))
        return view.places[at] if at < len(view.places) else 0

    def _found(self, text: str) -> list[tuple[int, int]]:
        """What stands in a text, by what is seen of it and, for our own shapes, by all of it."""
        begins = (_BEGINS_ASCII if text.isascii() else _BEGINS).search(text)
        if begins is None and self.finder is None:
            return []
        view = shown(text)
        own: list[tuple[int, int]] = []
        if begins is not None and _MAY_HOLD.search(view.text, begins.start() if view.places is None else 0):
            own = [(span.start, span.end) for span in find_personal_data(text) if span.kind in self.kinds]
        return own + [view.span(*found) for found in self.finder.find(view.text)] if self.finder else own


def _token_start(text: str, at: int) -> int:
    """The beginning of the unbroken stretch that the place lies in."""
    floor = max(0, at - _TOKEN)
    while at > floor and not text[at - 1].isspace():
        at -= 1
    return at
