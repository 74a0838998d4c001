"""A stack of safeguards and the one path through it.

`Stack.answer` is what the guarded arm of an assessment calls and what a gateway calls: there is no second path.
"""

import asyncio
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import Field

from safecase.declare import Document, ModelSpec
from safecase.declare import Id as DeclaredId
from safecase.declare import Record as DeclaredRecord
from safecase.detect import load_heads
from safecase.evidence import Message, RulingRecord, digest_bytes, digest_file, digest_value
from safecase.models import Answer, Model, Request
from safecase.safeguard._completion import safe_completion
from safecase.safeguard._errors import StackError
from safecase.safeguard._layers import ChildAbuseScreen, HeadsLayer
from safecase.safeguard._values import Exchange, Safeguard, Stage

_HERE = Path(__file__).parent
GUARD_WEIGHTS = _HERE / "weights" / "guard.npz"

_PRINCIPLE_OF_HEAD = {
    "harmful-request": "no-serious-harm",
    "jailbreak-prompt": "no-serious-harm",
    "harmful-output": "no-serious-harm",
    "hateful-text": "no-hate",
    "sexual-text": "no-hate",
    "unsafe-reply": "no-serious-harm",
}


class LayerConfig(DeclaredRecord):
    """One layer of a stack file."""

    name: DeclaredId
    kind: Literal["heads", "child-abuse-screen"]
    stage: Stage
    heads: tuple[str, ...] = ()
    thresholds: dict[str, float] = Field(default={}, description="override a head's own threshold")


class StackConfig(DeclaredRecord):
    """A stack file."""

    id: DeclaredId
    version: str
    system_prompt: Literal["model-spec", "none"] = "none"
    timeout_s: float = Field(default=2.0, gt=0)
    layers: tuple[LayerConfig, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What a user gets, and how it came about.

    Attributes:
        answer: the model's own answer, None when the input was withheld before the model was asked.
        withheld_by: the layer that withheld; `text` is then a safe completion.
    """

    text: str
    answer: Answer | None
    withheld_by: str | None
    rulings: tuple[RulingRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """Safeguards in order, with the system prompt they stand on. An empty stack is the bare arm.

    Attributes:
        digest: configuration, weights, system prompt and code; what a permit binds.
        disabled: heads that a stack file names but whose card disables them (AUROC under 0.85).
    """

    id: str
    layers: tuple[Safeguard, ...]
    system_prompt: str | None
    timeout_s: float
    digest: str
    disabled: tuple[str, ...] = ()

    async def check(self, exchange: Exchange) -> tuple[RulingRecord, ...]:
        """Ask the layers of the exchange's stage, in order, until one withholds. An error or a timeout withholds."""
        records: list[RulingRecord] = []
        for layer in self.layers:
            if layer.stage != exchange.stage:
                continue
            records.append(await self._ask(layer, exchange))
            if records[-1].action == "withhold":
                break
        return tuple(records)

    async def answer(self, model: Model, request: Request) -> Served:
        """Put a request to a model behind this stack.

        Raises:
            whatever the model raises: a failed attempt is the caller's to record.
        """
        rulings = await self.check(Exchange(messages=request.messages))
        if withheld := _withholder(rulings):
            return Served(
                text=safe_completion(withheld.principle), answer=None, withheld_by=withheld.layer, rulings=rulings
            )
        answer = await model.generate(self._with_system_prompt(request))
        rulings += await self.check(Exchange(messages=request.messages, reply=answer.text, final=True))
        if withheld := _withholder(rulings):
            text = safe_completion(withheld.principle)
            return Served(text=text, answer=answer, withheld_by=withheld.layer, rulings=rulings)
        return Served(text=answer.text, answer=answer, withheld_by=None, rulings=rulings)

    def _with_system_prompt(self, request: Request) -> Request:
        if self.system_prompt is None:
            return request
        return replace(request, messages=(Message(role="system", content=self.system_prompt), *request.messages))

    async def _ask(self, layer: Safeguard, exchange: Exchange) -> RulingRecord:
        started = time.perf_counter()
        try:
            async with asyncio.timeout(self.timeout_s):
                ruling = await layer.check(exchange)
            action, score, principle, error = ruling.action, ruling.score, ruling.principle, ruling.error
        except TimeoutError:
            action, score, principle, error = "withhold", None, None, f"no ruling within {self.timeout_s:g} s"
        except Exception as fault:  # noqa: BLE001 - a safeguard that breaks withholds, and the record says so
            action, score, principle, error = "withhold", None, None, f"{type(fault).__name__}"
        return RulingRecord(
            layer=layer.name,
            stage=layer.stage,
            action="withhold" if error else action,
            score=score,
            principle=principle,
            latency_ms=(time.perf_counter() - started) * 1_000,
            error=error,
        )


def empty_stack() -> Stack:
    """The stack of the bare arm: nothing between the request and the model."""
    return Stack(id="none", layers=(), system_prompt=None, timeout_s=1.0, digest=digest_value("no safeguards"))


def load_stack(name: str, spec: ModelSpec, *, beside: Path | None = None) -> Stack:
    """Build a stack from `default`, `none` or a stack file.

    Args:
        spec: the model spec whose principles make the system prompt.
        beside: directory that a relative path starts from.

    Raises:
        PackError: the file has faults.
        StackError: a layer names a head that the weights do not hold.
        CorruptWeights: the weights differ from their card.
    """
    if name == "none":
        return empty_stack()
    path = _HERE / "stacks" / "default.yaml" if name == "default" else (beside or Path()) / name
    config = Document(path).parse(StackConfig)
    prompt = spec.system_prompt() if config.system_prompt == "model-spec" else None
    built = [_layer(layer, origin=path.name) for layer in config.layers]
    layers = tuple(layer for layer, _ in built if layer is not None)
    identity = [config.model_dump(mode="json"), prompt, [layer.digest for layer in layers], code_digest()]
    return Stack(
        id=config.id,
        layers=layers,
        system_prompt=prompt,
        timeout_s=config.timeout_s,
        digest=digest_value(identity),
        disabled=tuple(name for _, disabled in built for name in disabled),
    )


def code_digest() -> str:
    """Digest of the code that rules: every module of `safeguard` and of `detect`."""
    files = sorted(path for room in (_HERE, _HERE.parent / "detect") for path in room.glob("*.py"))
    return digest_bytes("".join(digest_file(path) for path in files).encode())


def _layer(config: LayerConfig, *, origin: str) -> tuple[Safeguard | None, tuple[str, ...]]:
    """The layer and the heads it had to leave out. A layer with no enabled head is left out whole."""
    if config.kind == "child-abuse-screen":
        return ChildAbuseScreen(name=config.name, stage=config.stage), ()
    weights = load_heads(GUARD_WEIGHTS)
    for name in config.heads:
        if name not in weights.heads:
            raise StackError(
                f"{origin}: layer {config.name!r} names head {name!r}, which the guard weights do not hold; "
                f"use one of {', '.join(weights.heads)}"
            )
    chosen = [weights.heads[name] for name in config.heads]
    enabled = tuple(
        replace(head, threshold=config.thresholds.get(head.name, head.threshold)) for head in chosen if head.enabled
    )
    disabled = tuple(head.name for head in chosen if not head.enabled)
    if not enabled:
        return None, disabled
    layer = HeadsLayer(
        name=config.name,
        stage=config.stage,
        heads=enabled,
        weights_digest=weights.digest,
        principles=_PRINCIPLE_OF_HEAD,
    )
    return layer, disabled


def _withholder(rulings: tuple[RulingRecord, ...]) -> RulingRecord | None:
    return next((ruling for ruling in rulings if ruling.action == "withhold"), None)
