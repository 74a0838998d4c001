"""Whether the output stage of a stack would have stopped an answer that it never saw.

A request that was stopped on its way in met no layer of the output stage. The same request's answer on the bare arm is
put to those layers now. Only layers that need nothing but text are asked: one that asks a model, or waits for anything,
could not be asked again by whoever verifies the case.
"""

from collections.abc import Coroutine
from dataclasses import dataclass

from safecase.assess._case import Case
from safecase.evidence import Trial
from safecase.safeguard import Exchange, Post, Ruling, Safeguard, Stack, exchange_of, reply_of


@dataclass(frozen=True, slots=True)
class OutputStage:
    """The enforced output layers of the stack that an arm ran; None where the stack here is another than it ran."""

    stack: Stack | None

    @classmethod
    def of(cls, case: Case, arm: str) -> "OutputStage":
        """The stack of an arm, if its digest is the one in the plan."""
        stack, plan = case.arms.get(arm), case.plan
        ran = {one.stack_digest for one in plan.arms if one.name == arm} if plan else set()
        return cls(stack if stack is not None and stack.digest in ran else None)

    def stops(self, trial: Trial) -> bool | None:
        """Whether it would withhold this answer; None where that cannot be said."""
        if self.stack is None or trial.response is None:
            return None
        said = [*({"role": turn.role, "content": turn.content} for turn in trial.turns)]
        asked = exchange_of({"messages": [*said, {"role": "user", "content": trial.prompt}]})
        (replied,) = reply_of({"choices": [{"message": {"content": trial.response}}]}, asked=asked)
        posts = self.stack.posts
        found = [
            _stops(layer, posts.get(layer.name, Post()), replied)
            for layer in self.stack.layers
            if layer.stage == "output"
        ]
        if any(found):
            return True
        return None if None in found else False


def _stops(layer: Safeguard, post: Post, replied: Exchange) -> bool | None:
    """What one layer would do; None where it is asked on a condition only, or asks a model itself."""
    if not post.enforced:
        return False
    if post.above is not None or hasattr(layer, "model"):
        return None
    ruling = _at_once(layer.check(replied))
    return None if ruling is None or ruling.error else ruling.action == "withhold"


def _at_once(asked: Coroutine[object, object, Ruling]) -> Ruling | None:
    """What a coroutine returns without waiting for anything; None for one that waits or fails."""
    try:
        asked.send(None)
    except StopIteration as done:
        ruling: Ruling = done.value
        return ruling
    except Exception:  # noqa: BLE001 - a layer that cannot be asked here tells nothing
        return None
    asked.close()
    return None
