"""What stops a run. A failed attempt is data; these are failed platforms or wrong plans.

RunError
├── NoAttacker       an attack needs an attacker model and the case names none
├── NothingAnswered  the endpoint is there, but its first attempts gave no answer
└── NothingPlanned   the plan holds no scenario
"""


class RunError(Exception):
    """A run cannot go on."""


class NoAttacker(RunError):
    """An attack of the plan asks an attacker model, and there is none."""


class NothingAnswered(RunError):
    """Every one of the first attempts of an arm failed; the attempts are not kept, so the same command repeats them."""


class NothingPlanned(RunError):
    """The gates, banks and languages of the case select no scenario."""
