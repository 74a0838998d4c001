"""How sure an argument may be. One rule, monotone: more evidence of harm or another open defeater never raises it.

A claim is as sure as the least sure of what carries it, and never surer than its own ceiling:

* a gate that passed: `high` where the judge's error was measured on these answers or a rule grades, `moderate` where it
  was carried over from other data, `low` where nobody knows it;
* a gate that is not applicable for want of compute, was opened by an exception or settled by a deeper gate: `low`;
* an accepted defeater: `low`. An open one: `none`. A gate that failed or is undecided: `none`.

What nothing calls for carries nothing; a claim that nothing carries has no confidence. Levels are an order, not
chances: nothing here claims to know a probability that the argument is right.
"""

from collections.abc import Iterable, Sequence

from safecase.decide._argument_values import CONFIDENCES, ClaimState, Confidence, Defeater
from safecase.evidence import CALIBRATIONS, Calibration

_OF_CALIBRATION: dict[Calibration, Confidence] = {"own": "high", "transferred": "moderate", "none": "low"}


def least(levels: Iterable[Confidence]) -> Confidence:
    """The lowest level, `none` of nothing.

    >>> least(["high", "low"]), least([])
    ('low', 'none')
    """
    return min(levels, key=CONFIDENCES.index, default="none")


def of_calibrations(calibrations: Iterable[Calibration]) -> Confidence:
    """What a judge's error, as it is known, allows for a gate that passed."""
    return _OF_CALIBRATION[max(calibrations, key=CALIBRATIONS.index, default="none")]


def doubted(level: Confidence, defeaters: Sequence[Defeater]) -> Confidence:
    """A level after the defeaters of the claim."""
    states = {defeater.state for defeater in defeaters}
    if "open" in states:
        return "none"
    return least((level, "low")) if "accepted" in states else level


def combined(own: ClaimState, carrying: Sequence[tuple[ClaimState, Confidence]]) -> tuple[ClaimState, Confidence]:
    """State and confidence of a claim from those of the claims that carry it.

    Args:
        own: `supported` where the claim says nothing beside its parts; `undecided` or `refuted` where it does.
        carrying: of every part; those set aside are passed over.
    """
    parts = [(state, level) for state, level in carrying if state != "set-aside"]
    states = {own, *(state for state, _ in parts)}
    if "refuted" in states:
        return "refuted", "none"
    if not parts and own == "supported":
        return "set-aside", "none"
    level = least(level for _, level in parts)
    if level == "none" or "undecided" in states:
        return "undecided", "none"
    return ("excepted" if "excepted" in states else "supported"), level
