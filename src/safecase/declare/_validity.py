"""Under which conditions a decision stays valid, as typed values. A case declares them; its permits carry them.

What a signal must show for one to be broken is `respond`'s to say; what it then does to the permit stands here, so that
whoever signs the decision signs that too. Closing is one-way: nothing here ever opens a permit again.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from safecase.declare._framework import Id, Record, Text

IncidentKind = Literal[
    "critical-infrastructure-disruption",
    "serious-security-breach",
    "weight-exfiltration",
    "death",
    "serious-harm",
    "loss-of-control",
    "safeguard-failure",
    "misuse",
    "other",
]


class _Condition(Record):
    """What every condition says.

    Attributes:
        then: `revoke` takes the permit back, `narrow` leaves `share` of the accounts that are served.
        contexts: those it is about; empty for all.
    """

    id: Id
    then: Literal["revoke", "narrow"] = "revoke"
    share: Annotated[float, Field(gt=0, lt=1)] | None = None
    contexts: tuple[Id, ...] = ()

    @model_validator(mode="after")
    def _share_where_it_narrows(self) -> Self:
        if (self.share is not None) != (self.then == "narrow"):
            raise ValueError("`share` goes with `then: narrow`, and only with it")
        return self


class RateHolds(_Condition):
    """A live rate keeps its promise. `series` is a promise's id, such as `unsafe/any`; empty for every one."""

    kind: Literal["rate-holds"] = "rate-holds"
    series: tuple[Text, ...] = ()


class NoIncident(_Condition):
    """No incident of these kinds, from a severity on, in one of the contexts it names (or where it names none)."""

    kind: Literal["no-incident"] = "no-incident"
    kinds: tuple[IncidentKind, ...] = Field(min_length=1)
    least_severity: Literal[1, 2, 3, 4] = 3
    near_misses: bool = False


class NoSimilarIncident(_Condition):
    """No such incident with a similar model elsewhere. `models`: names, or parts of them; empty for every one."""

    kind: Literal["no-similar-incident"] = "no-similar-incident"
    kinds: tuple[IncidentKind, ...] = Field(min_length=1)
    least_severity: Literal[1, 2, 3, 4] = 4
    models: tuple[Text, ...] = ()


class NothingAdded(_Condition):
    """No tool or other affordance, and no modality, that was not there when it was decided."""

    kind: Literal["nothing-added"] = "nothing-added"


class NotWidened(_Condition):
    """The context admits no more accounts than when it was decided, and asks for no weaker identity."""

    kind: Literal["not-widened"] = "not-widened"


class SameFramework(_Condition):
    """The framework in force is the one it was decided under."""

    kind: Literal["same-framework"] = "same-framework"


class FreshEvidence(_Condition):
    """The evidence is no older than so many months of 30 days."""

    kind: Literal["fresh-evidence"] = "fresh-evidence"
    months: Annotated[int, Field(ge=1)]


Condition = Annotated[
    RateHolds | NoIncident | NoSimilarIncident | NothingAdded | NotWidened | SameFramework | FreshEvidence,
    Field(discriminator="kind"),
]

_HARM: tuple[IncidentKind, ...] = (
    "critical-infrastructure-disruption",
    "serious-security-breach",
    "weight-exfiltration",
    "death",
    "serious-harm",
    "loss-of-control",
)


def usual_conditions(*, months: int) -> tuple[Condition, ...]:
    """What holds for a case that declares nothing.

    Args:
        months: how old evidence may be, as the framework says.
    """
    return (
        RateHolds(id="rates-kept", then="narrow", share=0.1),
        NoIncident(id="no-harm", kinds=_HARM),
        NoIncident(id="safeguards-hold", kinds=("safeguard-failure", "misuse"), then="narrow", share=0.1),
        NoSimilarIncident(id="no-harm-elsewhere", kinds=_HARM, then="narrow", share=0.1),
        NothingAdded(id="nothing-added"),
        NotWidened(id="not-widened"),
        SameFramework(id="same-framework"),
        FreshEvidence(id="fresh-evidence", months=months),
    )
