"""The words of the room: a part, an exchange, a ruling, a safeguard."""

from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Literal, Protocol, TypeVar

from safecase.evidence import Message

Action = Literal["allow", "replace", "withhold"]
Channel = Literal["content", "reasoning", "tool-arguments", "tool-result", "description", "envelope", "other"]
"""What a string is to the model. `envelope`: ids, kinds and names that a protocol carries and no one reads as text;
`other`: a field that this code does not know."""
Stage = Literal["input", "output"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One string of an exchange.

    Attributes:
        role: who said it, as the wire names it; "" where it is nobody's turn (a tool's description).
        where: its place in the body it came from. Whoever sends a body chooses its field names, so a place is never
            shown to a user.
    """

    channel: Channel
    role: str
    where: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A conversation prefix: what was said, and what of the reply is there so far.

    Attributes:
        messages: the turns as plain text.
        parts: every further string of the request: names, tool calls, descriptions, unknown fields.
        reply: what there is of the reply in `channel`; empty at the input check.
        reply_parts: every further string of the reply.
        final: True when nothing more will be added to the reply.
        seen: characters at the start of `reply` that were ruled on before and are out. A layer that needs `reach`
            characters of lookback may start reading there; one that reads prefixes ignores it.
        account: who asks, as the caller knows them; "" in an assessment.
        tiers: trusted-access tiers of the account; empty in an assessment, which measures the plain user.
        attributes: verified facts about the account ("age": "minor").
        is_long: to be read in threads, since whoever shares an event loop with it would wait.
    """

    messages: tuple[Message, ...]
    parts: tuple[Part, ...] = ()
    reply: str = ""
    channel: Channel = "content"
    reply_parts: tuple[Part, ...] = ()
    final: bool = False
    seen: int = 0
    account: str = ""
    tiers: frozenset[str] = frozenset()
    attributes: Mapping[str, str] = field(default_factory=dict)
    is_long: bool = False

    @property
    def stage(self) -> Stage:
        """`input` before anything of a reply exists."""
        return "output" if self.reply or self.reply_parts or self.final else "input"

    @property
    def prefill(self) -> str:
        """What the caller put into the model's mouth: a last turn of the assistant, which the reply goes on from."""
        last = self.messages[-1] if self.messages else None
        return last.content if last is not None and last.role == "assistant" else ""

    def asked(self) -> Iterator[Part]:
        """Every string of the request."""
        for at, said in enumerate(self.messages):
            channel: Channel = "tool-result" if said.role == "tool" else "content"
            yield Part(channel=channel, role=said.role, where=f"messages[{at}]", text=said.content)
        yield from self.parts

    def replied(self) -> Iterator[Part]:
        """Every string of the reply so far."""
        if self.reply:
            yield Part(channel=self.channel, role="assistant", where="reply", text=self.reply)
        yield from self.reply_parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """One of the things that a ruling rests on.

    Attributes:
        rule: a head, a topic or a rule of the layer, as its configuration names it; None where it has only one.
        principle: id of the model-spec principle behind it.
    """

    rule: str | None
    principle: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What a safeguard says of an exchange. It never quotes the text that matched.

    Attributes:
        score: in [0, 1], or None where the safeguard has none.
        principle: id of the model-spec principle it rests on.
        spans: character ranges of `reply` to be replaced, where the action is `replace`.
        error: why it could not rule; the combiner then withholds.
        grounds: everything by itself enough for this ruling. A layer that gives none has one, its principle; a layer
            of several rules has to give all, since a trusted-access tier passes only where it covers every one.
        hold: place in `reply` from which nothing may go out before more of it is there; for a reply that streams.
        reason: why, in the layer's own words, where it reasons. It is recorded apart.
    """

    action: Action
    score: float | None = None
    principle: str | None = None
    spans: tuple[tuple[int, int], ...] = ()
    error: str | None = None
    grounds: tuple[Ground, ...] = ()
    hold: int | None = None
    reason: str | None = None


class Safeguard(Protocol):
    """One function over a conversation prefix.

    Attributes:
        name: layer name, unique in its stack.
        stage: the part of the exchange it looks at.
        digest: configuration, weights and code.
        reach: lookback that a match may need, in letters and digits (every character of a text counts as at most one,
            so text held back by this count is held back by at least as many characters).
    """

    @property
    def name(self) -> str: ...
    @property
    def stage(self) -> Stage: ...
    @property
    def digest(self) -> str: ...
    @property
    def reach(self) -> int: ...
    async def check(self, exchange: Exchange) -> Ruling:
        """Rule on an exchange."""
        ...


LayerT = TypeVar("LayerT")


def instant(
    rule: Callable[[LayerT, Exchange], Ruling],
) -> Callable[[LayerT, Exchange], Coroutine[Any, Any, Ruling]]:
    """The `check` of a layer that never waits, made of the rule it goes by.

    A stack asks the rule itself: a coroutine that is made, run to its end and thrown away takes longer than most rules.
    A layer whose class has another `check`, its own or put there by a test, is asked by that one.
    """

    @wraps(rule)
    async def check(layer: LayerT, exchange: Exchange) -> Ruling:
        return rule(layer, exchange)

    check.now = rule  # type: ignore[attr-defined]  # read by `rule_of`
    return check


def rule_of(layer: Safeguard) -> Callable[[Any, Exchange], Ruling] | None:
    """The rule of a layer that never waits, to be called with it and an exchange; None of any other."""
    return getattr(getattr(type(layer), "check", None), "now", None)
