"""The words of the gateway: who asks, what refuses, and the seams between its parts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from safecase.evidence import CallEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """How much one account may ask for. None: no limit."""

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    concurrent: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Who asks, as a key proves it.

    Attributes:
        id: pseudonymous and stable over keys; what safeguards count by and events name.
        key_id: public id of the key in use.
        scopes: what the key may do: "chat", "responses", "embeddings", "images", "models", "metrics".
        tiers: trusted-access tiers that a person granted ("vetted" lets into a limited context).
        attributes: verified facts ("region": "EU", "age": "adult"); what a permit can be narrowed by.
    """

    id: str
    key_id: str
    scopes: frozenset[str] = frozenset()
    tiers: frozenset[str] = frozenset()
    attributes: Mapping[str, str] = field(default_factory=dict)
    allowance: Allowance = Allowance()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a call gets no answer: HTTP status, a machine-readable word, a sentence for people.

    Attributes:
        reason: kebab-case ("no-permit", "over-limit"); the event's `reason` and the error's `code`.
        retry_after_s: when to try again, None where trying again does not help.
    """

    status: int
    reason: str
    message: str
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Whether the gateway may serve now, and under which permit.

    Attributes:
        refusal: None while it may serve.
        permit: SHA-256 of the permit file, "" where there is none.
        context, model, stack_digest: as the permit binds them, "" where there is none.
        expires: ISO 8601, UTC, "" where there is none.
    """

    refusal: Refusal | None
    permit: str = ""
    context: str = ""
    model: str = ""
    stack_digest: str = ""
    expires: str = ""


class Authority(Protocol):
    """What lets the gateway serve. Both answers are read from memory: they are asked on every call."""

    def standing(self) -> Standing:
        """Whether anything is served now."""
        ...

    def admits(self, account: Account) -> Refusal | None:
        """Whether this account is served: vetted only, a percentage, a permit narrowed by attribute."""
        ...


class KeyBook(Protocol):
    """The API keys."""

    def find(self, token: str) -> Account | None:
        """Whose key this is; None for an unknown, expired or revoked one."""
        ...


class Limiter(Protocol):
    """Counts what accounts use, over all workers."""

    def enter(self, account: Account) -> Refusal | None:
        """Take one request; None where it may go on, and `leave` is then called exactly once."""
        ...

    def leave(self, account: Account, *, tokens: int) -> None:
        """Give the place back and count the tokens that the call used."""
        ...

    def headers(self, account: Account) -> Sequence[tuple[bytes, bytes]]:
        """What every answer tells the account of what it has left."""
        ...


class Recorder(Protocol):
    """Where events go."""

    def refusal(self) -> Refusal | None:
        """Why no call may be taken now: nothing that happens could be recorded. Asked before every call."""
        ...

    def record(self, event: CallEvent) -> None:
        """Take one event. Never blocks, never raises; what cannot be kept is counted and shown."""
        ...
