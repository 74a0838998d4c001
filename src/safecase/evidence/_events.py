"""What a gateway says of one call, for whoever watches: a decision record, with content only where policy keeps it."""

from dataclasses import dataclass
from typing import Literal

from safecase.evidence._values import Explanation, RulingRecord

CONTENT_BOX = "call-events"
"""Run name under which a vault derives the key to what calls contained: `PostKey(vault, CONTENT_BOX)`. The gateway
seals to its box, and whoever has the vault opens it."""

Outcome = Literal["served", "withheld", "refused", "failed", "cut"]
"""What became of a call. `withheld`: a safeguard stopped it and the client got a safe completion. `refused`: it never
reached the stack (no key, over a limit, no permit, a body that is none). `failed`: the upstream or the gateway failed
and the client got an error. `cut`: the client went away, or the upstream broke off in mid-stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowRecord:
    """What a stack that only observes would have done with a call. It had no part in what was done.

    Attributes:
        stack, digest: which stack.
        withheld_by: the layer that would have withheld, None where none would or where nothing is known.
        missed: why there is no ruling ("queue-full", "timeout", "stopped", or the name of an error); None where there
            is one.
    """

    stack: str
    digest: str
    withheld_by: str | None = None
    rulings: tuple[RulingRecord, ...] = ()
    missed: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEvent:
    """One call through a gateway, whatever became of it. Every call gives exactly one.

    Attributes:
        event_id: unique, sorts by time (UUIDv7 in hex).
        at: when the request had arrived, ISO 8601, UTC.
        account: pseudonymous id of who asked; "" where nobody was recognised.
        key_id: public id of the API key, never the key; "" without one.
        route: path of the API, such as "/v1/chat/completions".
        permit: SHA-256 of the permit file in force; "" without one.
        context, stack_digest, model: what the permit bound.
        status: HTTP status that the client got.
        reason: machine-readable word for an outcome other than `served` ("over-limit", "upstream-timeout"), else "".
        rulings: what every layer did; no text of anybody.
        explanations: of the layers that reason, in their own words.
        tiers: trusted-access tiers of the account, by which named rules may have been relaxed (`RulingRecord`).
        streamed, tools: whether it streamed, and how many tools were declared.
        characters_in, characters_out: of the text asked and released.
        tokens_in, tokens_out: as the upstream counted, None where it did not say.
        latency_s, first_s: until the last, and the first, byte of content; None where none went out.
        request_sha256: of the body, so that repeats are seen without content.
        prompt, reply: content, only where the retention policy keeps it; `kept` says why.
        sealed: prompt and reply as a JSON object, sealed to a post box for this event id, in base64; None where they
            are plain or not kept.
        shadow: what a stack that only observes said, apart from what was done; None without one, and of a call that
            never came to a stack.
        sample_p: chance with which an audit sample draws a call like this one; None where it was not drawn by chance.
    """

    event_id: str
    at: str
    account: str
    key_id: str
    route: str
    permit: str
    context: str
    stack_digest: str
    model: str
    outcome: Outcome
    status: int
    reason: str = ""
    withheld_by: str | None = None
    rulings: tuple[RulingRecord, ...] = ()
    tiers: tuple[str, ...] = ()
    streamed: bool = False
    tools: int = 0
    characters_in: int = 0
    characters_out: int = 0
    tokens_in: int | None = None
    tokens_out: int | None = None
    finish_reason: str | None = None
    latency_s: float = 0.0
    first_s: float | None = None
    request_sha256: str = ""
    prompt: str | None = None
    reply: str | None = None
    kept: Literal["flagged", "audit-sample"] | None = None
    sample_p: float | None = None
    explanations: tuple[Explanation, ...] = ()
    sealed: str | None = None
    shadow: ShadowRecord | None = None
