"""What a decision is made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from safecase.evidence import Finding, Identity

TierState = Literal["critical", "high", "provisional-high", "moderate", "unmet", "undetermined", "not-applicable"]
"""A domain's state. `unmet` is a content-policy criterion that is not met; `undetermined` is never read as moderate."""

Choice = Literal["approve", "require-mitigation", "require-testing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known about the model besides measurements.

    Attributes:
        training_operations: None is unknown, and unknown applies every gate.
        more_capable: by domain; True or None applies the domain's gates.
        identity: what the model's identity rests on.
        assume_frontier: apply every gate whatever the figures.
        weights_arm: the arm that shows what the weights alone protect from: `trained` where `bare` was measured on a
            less mitigated version than the one to be deployed.
    """

    training_operations: float | None
    operations_source: str
    more_capable: Mapping[str, bool | None]
    identity: Identity
    assume_frontier: bool = False
    weights_arm: Literal["bare", "trained"] = "bare"


@dataclass(frozen=True, slots=True, kw_only=True)
class Regression:
    """How a scenario that was learned from live use stands on an arm: the worst of its attempts.

    Attributes:
        contexts: those it bears on.
    """

    scenario: str
    arm: str
    outcome: Literal["safe", "unsafe", "unknown"]
    contexts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A verified, signed, expiring exception to one gate in one context. Dates are ISO days."""

    gate: str
    context: str
    reason: str
    expires: str
    signers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Raise:
    """A person's determination that raises a domain's inherent tier."""

    domain: str
    tier: Literal["critical", "high", "moderate"]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Determination:
    """Inherent and residual tier of a domain in a context, and what it rests on.

    Attributes:
        basis: `evaluated`, or `inferred_from <reference>`.
        rests_on: gate ids.
    """

    domain: str
    context: str
    inherent: TierState
    residual: TierState
    basis: str
    reason: str
    rests_on: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What the program proposes for one context. People decide.

    Attributes:
        exceptions: those that it rests on, as `<gate> until <day>`.
    """

    context: str
    choice: Choice
    reasons: tuple[str, ...]
    exceptions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """Everything `decide` gives.

    Attributes:
        hold: reasons for a development hold, empty without a critical tier.
        frontier: the frontier test in one sentence, with the figures.
        limits: what was not measured, or measured too little, in sentences.
    """

    framework: str
    findings: tuple[Finding, ...]
    determinations: tuple[Determination, ...]
    proposals: tuple[Proposal, ...]
    hold: tuple[str, ...]
    frontier: str
    limits: tuple[str, ...]
