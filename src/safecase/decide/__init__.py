"""Compare estimates with declared gates: findings, tiers, a proposal per deployment context.

Takes:  framework (declare), estimates (measure), facts about the model.
Gives:  `Decided`: findings, determinations, proposals, development hold, limits.
Does not own: measuring, wording of reports, signing. No clock, network, randomness, environment.
"""

from safecase.decide._decide import decide, frontier_sentence, gates_apply
from safecase.decide._due import assessment_due
from safecase.decide._values import Choice, Decided, Determination, Facts, Opening, Proposal, Raise, TierState
from safecase.decide._verdict import Reading, read_gate

__all__ = [
    "Choice",
    "Decided",
    "Determination",
    "Facts",
    "Opening",
    "Proposal",
    "Raise",
    "Reading",
    "TierState",
    "assessment_due",
    "decide",
    "frontier_sentence",
    "gates_apply",
    "read_gate",
]
