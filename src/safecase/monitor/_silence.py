"""Which safeguard layers a call owes a ruling, and what each of them did.

A layer may say nothing in three ways. It gives *no ruling* where it owes one: something is wrong at once, whatever the
traffic. It *errs*: that is no silence, since what it should rule on is withheld, and it is counted apart. It *stops
firing*: it rules, and always allows; whether traffic has become better or the layer worse only rates can tell.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from safecase.assess import Case
from safecase.declare import DeclareError
from safecase.detect import CorruptWeights
from safecase.evidence import CallEvent
from safecase.models import ModelError
from safecase.monitor._errors import MonitorError
from safecase.safeguard import SafeguardError, Stack

Stage = Literal["input", "output"]
_STAGES: Mapping[str, tuple[Stage, ...]] = {
    "/v1/chat/completions": ("input", "output"),
    "/v1/responses": ("input", "output"),
    "/v1/embeddings": ("input",),
    "/v1/images/generations": ("input",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer of a stack, as far as its rulings go.

    Attributes:
        is_always_asked: False where it is asked only above another layer's score, or of some accounts.
    """

    name: str
    stage: Stage
    is_always_asked: bool


def layers_of(stack: Stack) -> tuple[Layer, ...]:
    """The layers of a stack in the order in which they are asked."""
    stages: tuple[Stage, ...] = ("input", "output")
    return tuple(
        Layer(name=layer.name, stage=stage, is_always_asked=post.above is None and not post.audiences)
        for stage in stages
        for layer, post in stack.posted[stage]
    )


def case_layers(case: Case) -> Mapping[str, tuple[Layer, ...]]:
    """Stack digest to layers, for every arm of a case: the digest that was assessed, and the one that it has here.

    Raises:
        MonitorError: a stack cannot be built here, such as one with a layer whose model or package is not there.
    """
    try:
        arms = {name: stack for name, stack in case.arms.items() if stack.layers}
    except (SafeguardError, ModelError, DeclareError, CorruptWeights, OSError) as error:
        raise MonitorError(f"the layers of the stack are not known here: {error}") from None
    plan = case.plan
    assessed = {} if plan is None else {arm.stack_digest: arms[arm.name] for arm in plan.arms if arm.name in arms}
    here = {stack.digest: stack for stack in arms.values()}
    return {digest: layers_of(stack) for digest, stack in (assessed | here).items()}


def guarded_stages(event: CallEvent) -> tuple[Stage, ...]:
    """The stages that a call had to pass: none where it asked no model, such as a list of models or `/reset-ai`.

    Calls that come from elsewhere than a gateway name no stack, and their rulings are not known.
    """
    if event.outcome not in {"served", "withheld"} or not event.stack_digest:
        return ()
    is_command = event.outcome == "served" and not (event.rulings or event.characters_out or event.finish_reason)
    return () if is_command else _STAGES.get(event.route, ())


def owed(layers: Sequence[Layer], event: CallEvent, stages: Sequence[Stage]) -> Iterator[str]:
    """Names of the layers that must have ruled on a call, or erred over it.

    One that was withheld owes the rulings up to the layer that withheld; one that failed or broke off owes none, since
    nobody can tell how far it came.
    """
    for layer in layers:
        if layer.is_always_asked and layer.stage in stages:
            yield layer.name
        if layer.name == event.withheld_by:
            return


def lacking_rulings(layers: Sequence[Layer], event: CallEvent, stages: Sequence[Stage]) -> dict[str, bool]:
    """Layers that owe a ruling on a call that had to pass these stages, and whether it is not there."""
    if not stages:
        return {}
    ruled = {one.layer for one in event.rulings}
    return {name: name not in ruled for name in owed(layers, event, stages)}


def fired(event: CallEvent) -> frozenset[str]:
    """The layers that did not let it pass, enforced or not, other than by an error."""
    return frozenset([one.layer for one in event.rulings if one.action != "allow" and one.error is None])


def erred(event: CallEvent) -> frozenset[str]:
    """The layers that could not rule."""
    return frozenset([one.layer for one in event.rulings if one.error is not None])
