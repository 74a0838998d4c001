"""What a gateway is made of, in one record that is passed in."""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from yarl import URL

from safecase.evidence import CallEvent
from safecase.mark import Label, Signer
from safecase.safeguard import Stack
from safecase.serve._values import Authority, KeyBook, Limiter, Recorder

Scope = MutableMapping[str, Any]  # as the ASGI specification has it
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

Observer = Callable[[CallEvent, bytes], None]
"""Called after every call with its event and the `traceparent` header that the client sent, b"" without one. Must be
quick and not raise; metrics and traces hang here."""

Commands = Callable[[str, str], str | None]
"""Called off the loop with an account's id and a message that begins with a slash; gives the answer, or None where that
is no command and goes to the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """A server that speaks the OpenAI API, and how long it is waited for.

    Attributes:
        base_url: up to and with `/v1`.
        serves: the model's name for clients. They can ask for no other: what was not assessed is not served.
        model: the name that the upstream knows it by; "" for the same.
        key: sent as a bearer token; None sends none.
        connect_timeout_s: until a connection stands and the request is sent.
        first_byte_timeout_s: from then until the first byte of the answer.
        idle_timeout_s: between two pieces of a streaming answer.
        total_timeout_s: for the whole answer.
        most_bytes: of one answer.
        failures: how many in a row open the circuit. cooldown_s: until one call may try again; it doubles while that
            fails, up to a minute.
        adds: fields that every chat request gets, whatever the client says.
        has_tools: whether the model's chat template knows tools; without, a demanded call is held to its JSON schema.
        asks_usage: ask for token counts where a client did not, for limits and events; some servers refuse the field.
    """

    base_url: str
    serves: str
    model: str = ""
    key: str | None = field(default=None, repr=False)
    connect_timeout_s: float = 10.0
    first_byte_timeout_s: float = 120.0
    idle_timeout_s: float = 60.0
    total_timeout_s: float = 600.0
    most_bytes: int = 32 << 20
    failures: int = 5
    cooldown_s: float = 2.0
    adds: Mapping[str, Any] = field(default_factory=dict)
    has_tools: bool = True
    asks_usage: bool = True

    @property
    def name(self) -> str:
        """What the upstream is asked for."""
        return self.model or self.serves

    def url(self, path: str) -> URL:
        """Address of a path below the base."""
        return URL(self.base_url.rstrip("/") + path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one request may be.

    Attributes:
        body_bytes, header_bytes, headers: most of each.
        body_timeout_s: until the whole body has arrived. take_timeout_s: until a client takes a piece of a stream.
        choices: most answers to one request (`n`).
        inputs: most texts in one embeddings request.
    """

    body_bytes: int = 4 << 20
    header_bytes: int = 32 << 10
    headers: int = 64
    body_timeout_s: float = 30.0
    take_timeout_s: float = 30.0
    choices: int = 8
    inputs: int = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class TextMarks:
    """What is put on generated text.

    Attributes:
        provider: who runs the model, in headers and metadata.
        notice: language of the notice on the first line (`mark.NOTICES`), or None for none.
    """

    provider: str = "safecase"
    notice: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """A model of pictures, and the marks without which none of its pictures goes out. At least one is given.

    Attributes:
        fetch: hosts (`host` or `host:port`) that a picture is fetched from where the upstream answers with an address;
            empty: such answers are refused.
        most_bytes: of one picture.
    """

    upstream: Upstream
    label: Label | None = None
    watermark: bytes | None = field(default=None, repr=False)
    signer: Signer | None = field(default=None, repr=False)
    fetch: frozenset[str] = frozenset()
    most_bytes: int = 32 << 20

    def __post_init__(self) -> None:
        if self.label is None and self.watermark is None and self.signer is None:
            raise ValueError("images: no mark is given; give a label, a watermark key or a signer")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtraRoute:
    """A page of someone else's on the gateway, such as `/metrics`.

    Attributes:
        scope: what a key must allow; None lets anyone in.
    """

    app: AsgiApp
    scope: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """Everything that a gateway needs.

    Attributes:
        stack: the safeguards that were assessed.
        upstream: the model that was assessed.
        embeddings, images: further models; None: their routes are not served.
        forward: names of further top-level fields of a chat body that the upstream may get. Others than the known ones
            are refused: a field that swaps the chat template would serve something that was not assessed.
        extra_routes: by path.
        on_command: answers chat commands such as `/reset-ai` in place of the model.
        observers: told of every call, once it is over.
        shadow: a second stack that only observes; made in each worker, since it is that worker's alone.
        begins: called as a call begins: what a kill ends leaves no event, and is to be counted all the same.
    """

    stack: Stack
    upstream: Upstream
    authority: Authority
    keys: KeyBook
    limiter: Limiter
    recorder: Recorder
    embeddings: Upstream | None = None
    images: Images | None = None
    limits: Limits = Limits()
    marks: TextMarks = TextMarks()
    forward: frozenset[str] = frozenset()
    extra_routes: Mapping[str, ExtraRoute] = field(default_factory=dict)
    observers: tuple[Observer, ...] = ()
    on_command: Commands | None = None
    shadow: Stack | None = None
    begins: Callable[[], None] = lambda: None

    @property
    def upstreams(self) -> tuple[Upstream, ...]:
        """The servers of every model that is served; the assessed one first."""
        further = (self.embeddings, self.images.upstream if self.images is not None else None)
        return (self.upstream, *(upstream for upstream in further if upstream is not None))

    @property
    def models(self) -> Mapping[str, str]:
        """By route, the one model that clients can ask for there."""
        by_route = dict.fromkeys(("/v1/chat/completions", "/v1/responses"), self.upstream.serves)
        if self.embeddings is not None:
            by_route["/v1/embeddings"] = self.embeddings.serves
        if self.images is not None:
            by_route["/v1/images/generations"] = self.images.upstream.serves
        return by_route
