"""The layers that read with shipped weights and rules of `detect`: linear heads, and the child-abuse screen."""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from safecase.detect import Head, apparent_child_abuse, score_by_all
from safecase.evidence import Message, digest_value
from safecase.safeguard._spelling import decoded, may_hold_run
from safecase.safeguard._values import Exchange, Ground, Part, Ruling, Stage, instant

_LEAST_BASE64 = 16
_BASE64 = re.compile(rf"[A-Za-z0-9+/]{{{_LEAST_BASE64},}}={{0,2}}")
_WORDS = 4  # from which on a string outside the turns is scored alone; shorter ones are scored together


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadsLayer:
    """Linear heads over text; the highest score against its own threshold rules.

    On input every turn is scored alone and all user turns together, so that a request spread over turns is seen whole;
    then every other string that is not the envelope of the protocol.
    """

    name: str
    stage: Stage
    heads: tuple[Head, ...]
    weights_digest: str
    principles: Mapping[str, str]
    reach: int = 8_000

    @property
    def digest(self) -> str:
        """Configuration and weights."""
        return digest_value(
            [self.name, self.stage, [[h.name, h.threshold] for h in self.heads], self.weights_digest, self.reach]
        )

    @instant
    def check(self, exchange: Exchange) -> Ruling:
        """Withhold when a head crosses its threshold."""
        scores = [score_by_all(self.heads, text) for text in texts_of(exchange) if text and not text.isspace()]
        top, crossed = 0.0, []
        for head, score in zip(self.heads, map(max, zip(*scores, strict=True)), strict=True) if scores else ():
            top = max(top, score)
            if score >= head.threshold:
                crossed.append(Ground(rule=head.name, principle=self.principles.get(head.name)))
        if not crossed:
            return Ruling(action="allow", score=top)
        return Ruling(action="withhold", score=top, principle=crossed[0].principle, grounds=tuple(crossed))


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildAbuseScreen:
    """Withholds replies that are apparent child-abuse material."""

    name: str
    stage: Stage
    reach: int = 2_000

    @property
    def digest(self) -> str:
        """Configuration; the rule itself is in the stack's code digest."""
        return digest_value([self.name, self.stage, "child-abuse-screen"])

    @instant
    def check(self, exchange: Exchange) -> Ruling:
        """Withhold on a match in what this layer looks at."""
        if apparent_child_abuse("\n".join(texts_of(exchange))):
            return Ruling(action="withhold", score=1.0, principle="no-serious-harm")
        return Ruling(action="allow", score=0.0)


def texts_of(exchange: Exchange) -> Iterator[str]:
    """What an exchange says in the part it has come to, as texts to be read one by one."""
    if exchange.stage == "input":
        yield from _views(exchange.messages)
        yield from _further(exchange.parts)
    else:
        yield exchange.reply
        yield from _further(exchange.reply_parts)


def _views(messages: tuple[Message, ...]) -> Iterator[str]:
    """What a request says: each turn, all user turns together, and what base64 in them decodes to."""
    turns = [message.content for message in messages]
    yield from turns
    users = [message.content for message in messages if message.role == "user"]
    if len(users) > 1:
        yield "\n".join(users)
    for turn in turns:
        if not may_hold_run(turn, _LEAST_BASE64):
            continue
        for match in _BASE64.finditer(turn):
            try:
                yield base64.b64decode(match.group(), validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):
                continue


def _further(parts: tuple[Part, ...]) -> Iterator[str]:
    texts = [part.text for part in parts if part.channel != "envelope"]
    yield from (text for text in texts if len(text.split()) >= _WORDS)
    if short := [text for text in texts if len(text.split()) < _WORDS]:
        yield "\n".join(short)
    yield from (inner for text in texts for inner in decoded(text))
