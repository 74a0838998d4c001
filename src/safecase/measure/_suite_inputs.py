"""Which attempts of a suite enter a measure, and which number of theirs."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What a measure reads of a suite's attempts.

    Attributes:
        value: "score", or a name in `TaskAttempt.measures`.
        plain: the condition that counts, or the one that `other` is held against.
        other: the condition of a comparison, None where there is none.
        side: only tasks of this side; None for all. In a comparison of sides, the one of interest.
        against: the side it is compared with, None where there is none.
        beside: under `other`, the number of the second task done at once, by its name in `measures`.
    """

    value: str = "score"
    plain: str = ""
    other: str | None = None
    side: str | None = None
    against: str | None = None
    beside: str | None = None


DEFAULT_INPUTS: Mapping[str, Inputs] = MappingProxyType(
    {
        "pass_at_10": Inputs(),
        "success_rate": Inputs(),
        "networks_taken": Inputs(),
        "networks_taken_unseen": Inputs(value="unseen"),
        "working_exploits": Inputs(),
        "time_horizon_hours": Inputs(),
        "undetected_rate": Inputs(value="undetected"),
        "honesty_rate": Inputs(value="honest"),
        "misalignment_rate": Inputs(value="harmful"),
        "attack_success_rate": Inputs(value="followed", plain="attacked"),
        "utility_rate": Inputs(),
        "attacked_utility_rate": Inputs(plain="attacked"),
        "insecure_code_rate": Inputs(value="insecure"),
        "abuse_rate": Inputs(value="abused", side="abuse"),
        "twin_refusal_rate": Inputs(value="refused", side="benign"),
        "adaptation_difference": Inputs(other="told-to-underperform", side="target", against="control"),
        "preserved_share": Inputs(other="with-side-task", side="main", against="side", beside="side"),
    }
)
"""The usual inputs per measure. `time_horizon_hours` reads tasks with `human_minutes` only."""


def default_inputs(*measures: str) -> dict[str, Inputs]:
    """The usual inputs of some measures, for a suite's `inputs`.

    >>> default_inputs("undetected_rate")["undetected_rate"].value
    'undetected'
    """
    return {name: DEFAULT_INPUTS[name] for name in measures}
