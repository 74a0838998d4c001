"""Fakes, builders and conformance checks that we ship to whoever builds on safecase.

Takes:  scripts, implementations of a seam.
Gives:  a scripted model that remembers what it was asked; an endpoint on loopback that answers as scripted, also badly;
        checks that a target, an attack, a suite or a safeguard stack keeps its promises; pictures made up on the spot;
        fakes for what stands around a gateway.
Does not own: anything that runs in an assessment; nothing shipped imports this package.
"""

from safecase.testing._agents import agent_player
from safecase.testing._bypasses import as_chunks, bypass_replies, bypass_requests, check_bypasses
from safecase.testing._conformance import Nonconforming, check_attack, check_model
from safecase.testing._dying import DyingOnce
from safecase.testing._gateway import ListRecorder, NoLimits, OneKey, OpenAuthority
from safecase.testing._loc import loc_player
from safecase.testing._models import ScriptedModel, ScriptRanOut
from safecase.testing._pictures import picture
from safecase.testing._players import ctf_player
from safecase.testing._stub import Asked, StubEndpoint, StubReply, speaking_tools
from safecase.testing._suites import ToySuite, attempting, check_suite

__all__ = [
    "Asked",
    "DyingOnce",
    "ListRecorder",
    "NoLimits",
    "Nonconforming",
    "OneKey",
    "OpenAuthority",
    "ScriptRanOut",
    "ScriptedModel",
    "StubEndpoint",
    "StubReply",
    "ToySuite",
    "agent_player",
    "as_chunks",
    "attempting",
    "bypass_replies",
    "bypass_requests",
    "check_attack",
    "check_bypasses",
    "check_model",
    "check_suite",
    "ctf_player",
    "loc_player",
    "picture",
    "speaking_tools",
]
