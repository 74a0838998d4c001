"""What passes through the door: a request in, an answer out."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Protocol, Self, runtime_checkable

from safecase.evidence import Identity, Message, digest_value
from safecase.models._calls import Tool
from safecase.models._errors import PlatformFailed


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How an answer is sampled: the whole of it, so that equal settings mean equal sampling.

    Attributes:
        max_tokens: at least 1.
        temperature: 0 is greedy.
        top_p: in (0, 1]; 1 keeps every token.
        seed: 0 to 2**32 - 2; None leaves it to the endpoint (2**32 - 1 is how llama.cpp spells *random*).
        stop: texts that end an answer.

    Raises:
        ValueError: a value outside its range.
    """

    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens must be at least 1, got {self.max_tokens!r}")
        if not self.temperature >= 0:
            raise ValueError(f"temperature must not be negative, got {self.temperature!r}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must lie in (0, 1], got {self.top_p!r}")
        if self.seed is not None and not 0 <= self.seed < 2**32 - 1:
            raise ValueError(f"seed must lie in 0..2**32 - 2, got {self.seed!r}")

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON of the settings."""
        return digest_value(asdict(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A conversation to be answered.

    Attributes:
        tools: declared to the endpoint in its own form; calls come back in the answer's text (`models/_calls.py`). A
            target that has no such form refuses the request. Empty where tools, if any, are told in words.
        trace: names the attempt in logs.
        tags: for logs and scripted fakes; never sent to an endpoint, or a model could tell a test from use.

    Raises:
        ValueError: no messages; llama.cpp would make up a conversation of its own.
    """

    messages: tuple[Message, ...]
    settings: Settings = Settings()
    tools: tuple[Tool, ...] = ()
    trace: str = ""
    tags: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        if not self.messages:
            raise ValueError("a request holds at least one message")


def must_ask_without_tools(request: Request, *, name: str) -> None:
    """Refuse a request that declares tools, on behalf of a target that cannot be told of them.

    Raises:
        PlatformFailed: it does.
    """
    if request.tools:
        raise PlatformFailed(f"{name} takes no tools in a form of its own; tell it of them in words (`tools: words`)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a model said. Token counts are None where the endpoint did not give them.

    Attributes:
        queued_s: seconds it waited on our side for a place among the attempts in flight.
        lost: attempts before it whose answer was lost on its way and may have been charged.
        cached: it was not asked for now: the same request had been answered before.
    """

    text: str
    finish_reason: str | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    reasoning: str | None = None
    queued_s: float = 0.0
    lost: int = 0
    cached: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """A piece of a streamed answer. Finish reason and token counts come with the last pieces, None before."""

    text: str = ""
    reasoning: str = ""
    finish_reason: str | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None


@runtime_checkable
class LeavesOut(Protocol):
    """A target that may be sent less than was asked for.

    Attributes:
        left_out: names of settings that are not sent; the target's own stand in their place.
    """

    name: str
    left_out: frozenset[str]


class Model(Protocol):
    """A target, to be closed when done with. Every implementation passes `safecase.testing.check_model`.

    Attributes:
        name: as in the case file.
        concurrency: attempts in flight that suit it.
    """

    @property
    def name(self) -> str: ...
    @property
    def concurrency(self) -> int: ...
    async def generate(self, request: Request) -> Answer:
        """Answer whole.

        Raises:
            AttemptFailed: this attempt failed.
            PlatformFailed: no attempt can succeed.
        """
        ...

    def stream(self, request: Request) -> AsyncGenerator[Delta]:
        """Answer piece by piece; raises as `generate`. Whoever stops early closes it (`contextlib.aclosing`)."""
        ...

    async def identity(self) -> Identity:
        """What the model's identity rests on."""
        ...

    async def aclose(self) -> None:
        """Let go of sockets, threads and memory; doing it twice does no harm."""
        ...

    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, *_: object) -> None:
        """Close."""
        ...
