"""What passes through the door: a request in, an answer out."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Protocol

from safecase.evidence import Identity, Message, digest_value


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How an answer is sampled. `seed` None leaves it to the endpoint."""

    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON of the settings."""
        return digest_value(asdict(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A conversation to be answered.

    Attributes:
        trace: names the attempt in logs.
        tags: for logs and scripted fakes; never sent to an endpoint.
    """

    messages: tuple[Message, ...]
    settings: Settings = Settings()
    trace: str = ""
    tags: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a model said. Token counts are None where the endpoint did not give them."""

    text: str
    finish_reason: str | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    reasoning: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """A piece of a streamed answer. The last one carries the finish reason."""

    text: str
    finish_reason: str | None = None


class Model(Protocol):
    """A target. Every implementation passes `safecase.testing.check_model`.

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

    def stream(self, request: Request) -> AsyncIterator[Delta]:
        """Answer piece by piece; raises as `generate`."""
        ...

    async def identity(self) -> Identity:
        """What the model's identity rests on."""
        ...

    async def aclose(self) -> None:
        """Let go of sockets, threads and memory."""
        ...
