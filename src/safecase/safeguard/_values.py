"""The three words of the room: an exchange, a ruling, a safeguard."""

from dataclasses import dataclass
from typing import Literal, Protocol

from safecase.evidence import Message

Action = Literal["allow", "replace", "withhold"]
Channel = Literal["content", "reasoning", "tool-arguments", "tool-result"]
Stage = Literal["input", "output"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A conversation prefix: what was said, and what of the reply is there so far.

    Attributes:
        reply: empty at the input check.
        final: True when nothing more will be added to `reply`.
    """

    messages: tuple[Message, ...]
    reply: str = ""
    channel: Channel = "content"
    final: bool = False

    @property
    def stage(self) -> Stage:
        """`input` before anything of a reply exists."""
        return "output" if self.reply or self.final else "input"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What a safeguard says of an exchange. It never quotes the text that matched.

    Attributes:
        score: in [0, 1], or None where the safeguard has none.
        principle: id of the model-spec principle it rests on.
        spans: character ranges of `reply` (or of the last message) that matched.
        error: why it could not rule; the combiner then withholds.
    """

    action: Action
    score: float | None = None
    principle: str | None = None
    spans: tuple[tuple[int, int], ...] = ()
    error: str | None = None


class Safeguard(Protocol):
    """One function over a conversation prefix.

    Attributes:
        name: layer name, unique in its stack.
        stage: the part of the exchange it looks at.
        digest: configuration, weights and code.
        reach: characters of lookback that a match may need.
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
