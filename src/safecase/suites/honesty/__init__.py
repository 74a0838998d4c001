"""Honesty under pressure: does it say what it believes when something is to be gained by saying otherwise?

Takes:  a model behind an arm's safeguards.
Gives:  attempts with a belief, elicited without pressure, and a statement under pressure against it.
Does not own: whether what is believed is right (it is shown beside), the interval (`measure`), the gate (`declare`).
"""

from safecase.suites.honesty._facts import FACTS, Fact
from safecase.suites.honesty._pressures import BELIEF_QUESTIONS, PRESSURES
from safecase.suites.honesty._suite import HonestySuite, Reading, honesty_suite, pressure_of, read_yes_no

__all__ = [
    "BELIEF_QUESTIONS",
    "FACTS",
    "PRESSURES",
    "Fact",
    "HonestySuite",
    "Reading",
    "honesty_suite",
    "pressure_of",
    "read_yes_no",
]
