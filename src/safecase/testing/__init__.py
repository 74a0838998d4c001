"""Fakes, builders and conformance checks that we ship to whoever builds on safecase.

Takes:  scripts, implementations of a seam.
Gives:  a scripted model that remembers what it was asked; an endpoint on loopback that answers as scripted, also badly;
        checks that a target, an attack, or a safeguard stack keeps its promises; pictures made up on the spot.
Does not own: anything that runs in an assessment; nothing shipped imports this package.
"""

from safecase.testing._bypasses import check_bypasses
from safecase.testing._conformance import Nonconforming, check_attack, check_model
from safecase.testing._dying import DyingOnce
from safecase.testing._models import ScriptedModel, ScriptRanOut
from safecase.testing._pictures import picture
from safecase.testing._stub import Asked, StubEndpoint, StubReply

__all__ = [
    "Asked",
    "DyingOnce",
    "Nonconforming",
    "ScriptRanOut",
    "ScriptedModel",
    "StubEndpoint",
    "StubReply",
    "check_attack",
    "check_bypasses",
    "check_model",
    "picture",
]
