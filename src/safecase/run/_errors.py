"""What stops a run. A failed attempt is data; these are failed platforms or wrong plans.

RunError
├── EndpointGone     an endpoint that did answer stopped answering
├── NothingAnswered  the endpoint is there, but its first attempts gave no answer
└── NothingPlanned   the plan holds no scenario
"""


class RunError(Exception):
    """A run cannot go on."""


class EndpointGone(RunError):
    """An endpoint answered, then left many attempts in a row without any reply; the same command goes on."""


class NothingAnswered(RunError):
    """Every one of the first attempts of an arm failed; the attempts are not kept, so the same command repeats them."""


class NothingPlanned(RunError):
    """The gates, banks and languages of the case select no scenario."""
