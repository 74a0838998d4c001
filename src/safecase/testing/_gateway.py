"""Fakes for what stands around a gateway: an authority that lets everything through, one key, no limits, a list."""

from collections.abc import Callable
from dataclasses import dataclass, field

from safecase.evidence import CallEvent
from safecase.serve import Account, Refusal, Standing

SCOPES = frozenset({"chat", "responses", "embeddings", "images", "models", "metrics"})


@dataclass(slots=True)
class OpenAuthority:
    """Lets everyone in, until told otherwise.

    Attributes:
        refusal: what every call gets while it is not None.
        denied: what an account gets, by its id.
    """

    refusal: Refusal | None = None
    denied: dict[str, Refusal] = field(default_factory=dict)

    def standing(self) -> Standing:
        """Under a permit that nobody gave."""
        return Standing(refusal=self.refusal, permit="0" * 64, context="closed", model="stub", stack_digest="0" * 64)

    def admits(self, account: Account) -> Refusal | None:
        """Whether this account is served."""
        return self.denied.get(account.id)


@dataclass(frozen=True, slots=True)
class OneKey:
    """Knows one key."""

    token: str = "test-key"  # noqa: S105 - opens a gateway under test and nothing else
    account: Account = field(default_factory=lambda: Account(id="tester", key_id="k1", scopes=SCOPES))

    def find(self, token: str) -> Account | None:
        """Its account."""
        return self.account if token == self.token else None


@dataclass(slots=True)
class NoLimits:
    """Counts and never refuses.

    Attributes:
        inside: calls that have entered and not left.
        tokens: as told on leaving.
    """

    inside: int = 0
    tokens: list[int] = field(default_factory=list)

    def enter(self, account: Account) -> Refusal | None:  # noqa: ARG002 - everyone may
        """Take a request."""
        self.inside += 1
        return None

    def leave(self, account: Account, *, tokens: int) -> None:  # noqa: ARG002 - all count together
        """Give the place back."""
        self.inside -= 1
        self.tokens.append(tokens)

    def headers(self, account: Account) -> list[tuple[bytes, bytes]]:  # noqa: ARG002 - there is nothing to tell
        """None."""
        return []


@dataclass(slots=True)
class ListRecorder:
    """Keeps events in a list.

    Attributes:
        why: what every call gets while it is not None.
        told: called with every event.
    """

    events: list[CallEvent] = field(default_factory=list)
    why: Refusal | None = None
    told: Callable[[CallEvent], None] | None = None

    def refusal(self) -> Refusal | None:
        """Whether anything can be recorded."""
        return self.why

    def record(self, event: CallEvent) -> None:
        """Keep an event."""
        self.events.append(event)
        if self.told is not None:
            self.told(event)
