"""Fakes, builders and conformance checks that we ship to whoever builds on safecase.

Takes:  scripts, implementations of a seam.
Gives:  a scripted model that remembers what it was asked; checks that a target behaves.
Does not own: anything that runs in an assessment; nothing shipped imports this package.
"""

from safecase.testing._models import ScriptedModel, ScriptRanOut

__all__ = ["ScriptRanOut", "ScriptedModel"]
