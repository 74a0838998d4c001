"""What a caller may say about a target beside its name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from safecase.evidence import PublicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalOptions:
    """How an embedded model runs.

    Attributes:
        slots: answers decoded together; best on 2 cores as measured in `docs/design/models.md`.
        context_tokens: tokens one conversation may take, prompt and answer.
        deterministic: one answer at a time and no prompt cache, so that a replay gives the same text; slower, the
            more so the more cores there are.
        timeout_s: for one answer, waiting for a slot included.
        bias: given the size of the vocabulary, what is added to which token's logit in every answer; a mark in what
            is generated, for one. It changes the answers: assess with it what is served with it.
    """

    slots: int = 8
    context_tokens: int = 2048
    deterministic: bool = False
    timeout_s: float = 600.0
    bias: Callable[[int], Mapping[int, float]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointOptions:
    """How an endpoint is called.

    Attributes:
        concurrency: most attempts in flight; within it the level finds itself (`docs/design/models.md`).
        timeout_s: for one attempt, connection included.
        read_timeout_s: between two pieces of an answer.
        connect_timeout_s: until the connection stands.
        retries: attempts after the first.
        longest_wait_s: an endpoint that asks to wait longer gets no further attempt.
        leave_out: settings that this endpoint refuses, such as `seed`; they are then not sent, and the caller says so.
        keys_file: keys by host; `~/.config/safecase/keys.yaml` by default.
        fingerprint: replay the greedy probes to make the identity surer than a name.
        attestation: a signed statement of whoever serves the model, as `docs/design/models.md` describes.
        trusted: keys that an attestation is believed from. Without one of them it proves nothing.
    """

    concurrency: int = 256
    timeout_s: float = 120.0
    read_timeout_s: float = 60.0
    connect_timeout_s: float = 10.0
    retries: int = 5
    longest_wait_s: float = 60.0
    leave_out: tuple[str, ...] = ()
    keys_file: Path | None = None
    fingerprint: bool = False
    attestation: Path | None = None
    trusted: tuple[PublicKey, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Options by kind of target; those of other kinds are passed over."""

    local: LocalOptions = field(default_factory=LocalOptions)
    endpoint: EndpointOptions = field(default_factory=EndpointOptions)
