"""Compare estimates with declared gates: findings, tiers, a proposal per deployment context.

Takes:  framework (declare), estimates (measure), facts about the model.
Gives:  `Decided`: findings, determinations, proposals, development hold, limits; `Argument`: the safety-case argument.
Does not own: measuring, wording of reports, signing. No clock, network, randomness, environment.
"""

from safecase.decide._argument import TOP, argument_asked, build_argument, pattern_of
from safecase.decide._argument_forms import to_mermaid, to_sacm
from safecase.decide._argument_values import (
    CONFIDENCES,
    Acceptance,
    Argument,
    ClaimState,
    Concern,
    Confidence,
    Defeater,
    Footing,
    Link,
    Node,
)
from safecase.decide._decide import arm_of, decide, frontier_sentence, gates_apply
from safecase.decide._due import assessment_due
from safecase.decide._elicitation import shortfalls
from safecase.decide._values import (
    Choice,
    Decided,
    Determination,
    Facts,
    Opening,
    Proposal,
    Raise,
    Regression,
    TierState,
)
from safecase.decide._verdict import Reading, percent, read_gate

__all__ = [
    "CONFIDENCES",
    "TOP",
    "Acceptance",
    "Argument",
    "Choice",
    "ClaimState",
    "Concern",
    "Confidence",
    "Decided",
    "Defeater",
    "Determination",
    "Facts",
    "Footing",
    "Link",
    "Node",
    "Opening",
    "Proposal",
    "Raise",
    "Reading",
    "Regression",
    "TierState",
    "argument_asked",
    "arm_of",
    "assessment_due",
    "build_argument",
    "decide",
    "frontier_sentence",
    "gates_apply",
    "pattern_of",
    "percent",
    "read_gate",
    "shortfalls",
    "to_mermaid",
    "to_sacm",
]
