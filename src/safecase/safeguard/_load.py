"""Stack files: what a stack is made of, in words, and the stack made of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from safecase.declare import Document, ModelSpec
from safecase.declare import Id as DeclaredId
from safecase.declare import Record as DeclaredRecord
from safecase.detect import Head, PersonalKind, load_heads
from safecase.evidence import digest_bytes, digest_file, digest_value
from safecase.models import Model, open_model
from safecase.safeguard._accounts import AccountLayer
from safecase.safeguard._asked import GuardModel, PrincipleJudge
from safecase.safeguard._errors import StackError
from safecase.safeguard._injection import InjectionLayer
from safecase.safeguard._layers import ChildAbuseScreen, HeadsLayer
from safecase.safeguard._personal import PersonalDataLayer
from safecase.safeguard._stack import Golden, Post, Stack, empty_stack
from safecase.safeguard._terms import TermsLayer
from safecase.safeguard._values import Safeguard, Stage
from safecase.safeguard._wire import exchange_of, reply_of

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
_WINDOWS = frozenset({"terms", "personal-data"})  # kinds that need only `reach` of lookback while a reply streams


class Condition(DeclaredRecord):
    """When a layer is asked at all."""

    layer: DeclaredId = Field(description="an earlier layer of the same stage")
    score: float = Field(ge=0, le=1, description="its score from which on this layer is asked")


class _Layer(DeclaredRecord):
    name: DeclaredId
    stage: Stage
    enforce: bool = Field(default=True, description="false only observes: rulings are recorded, nothing is done")
    required: bool = Field(default=True, description="whether an error or a timeout withholds")
    above: Condition | None = Field(default=None, description="ask it only above another layer's score")


class HeadsConfig(_Layer):
    """Linear heads of the shipped guard weights."""

    kind: Literal["heads"]
    heads: tuple[str, ...] = ()
    thresholds: dict[str, float] = Field(default={}, description="override a head's own threshold")


class ScreenConfig(_Layer):
    """The screen for apparent child-abuse material."""

    kind: Literal["child-abuse-screen"]


class TermsConfig(_Layer):
    """Declared words and phrases."""

    kind: Literal["terms"]
    terms: tuple[str, ...] = Field(min_length=1)
    principle: DeclaredId | None = None


class PersonalConfig(_Layer):
    """Personal data in a reply."""

    kind: Literal["personal-data"]
    stage: Literal["output"] = "output"
    kinds: tuple[PersonalKind, ...] = ("card", "email", "iban", "phone", "ssn")
    do: Literal["replace", "withhold"] = "replace"
    principle: DeclaredId | None = None


class InjectionConfig(_Layer):
    """Instructions in tool results and descriptions."""

    kind: Literal["injection"]
    heads: tuple[Literal["jailbreak-prompt"], ...] = ()
    thresholds: dict[str, float] = Field(default={}, description="override a head's own threshold")
    principle: DeclaredId | None = None


class AccountsConfig(_Layer):
    """How often an account asks, and is turned away."""

    kind: Literal["accounts"]
    stage: Literal["input"] = "input"
    most_asked: int | None = Field(default=None, ge=1)
    most_withheld: int | None = Field(default=None, ge=1)
    window_s: float = Field(gt=0)
    principle: DeclaredId | None = None


class JudgeConfig(_Layer):
    """A model that holds an exchange against the model spec's principles."""

    kind: Literal["principle-judge"]
    model: str = Field(description="as in a case file: openai/<model>@<base-url>")


class GuardModelConfig(_Layer):
    """A guard model that answers with a word."""

    kind: Literal["guard-model"]
    model: str = Field(description="as in a case file: openai/<model>@<base-url>")
    allows: tuple[str, ...] = ("safe",)
    withholds: tuple[str, ...] = ("unsafe",)
    principle: DeclaredId | None = None


LayerConfig = Annotated[
    HeadsConfig
    | ScreenConfig
    | TermsConfig
    | PersonalConfig
    | InjectionConfig
    | AccountsConfig
    | JudgeConfig
    | GuardModelConfig,
    Field(discriminator="kind"),
]
"""One layer of a stack file; its `kind` says which."""


class GoldenConfig(DeclaredRecord):
    """An exchange with a known ruling: a request, or a request and its reply, as bodies of the chat-completions API."""

    request: str = Field(description="the user's words")
    reply: str | None = Field(default=None, description="the model's words; without them the input is checked")
    withheld_by: DeclaredId | None = Field(default=None, description="the layer that has to withhold; null: allowed")


class StackConfig(DeclaredRecord):
    """A stack file."""

    id: DeclaredId
    version: str
    system_prompt: Literal["model-spec", "none"] = "none"
    timeout_s: float = Field(default=2.0, gt=0)
    ask: Literal["until-withheld", "all"] = "until-withheld"
    stream_every: int = Field(default=32, ge=1, le=4096, description="characters between two looks at a stream")
    layers: tuple[LayerConfig, ...] = ()
    golden: tuple[GoldenConfig, ...] = ()


def load_stack(
    name: str, spec: ModelSpec, *, beside: Path | None = None, open_as: Callable[[str], Model] = open_model
) -> Stack:
    """Build a stack from `default`, `none` or a stack file.

    Args:
        spec: the model spec whose principles make the system prompt and the principle judge's question.
        beside: directory that a relative path starts from.
        open_as: opens the model that a layer asks. Whoever loads a stack with such layers closes it (`Stack.aclose`).

    Raises:
        PackError: the file has faults.
        StackError: a layer names a head, a layer or a term that cannot be.
        CorruptWeights: the weights differ from their card.
        UnknownModel: a layer asks a model of no known kind.
    """
    if name == "none":
        return empty_stack()
    path = _HERE / "stacks" / "default.yaml" if name == "default" else (beside or Path()) / name
    config = Document(path).parse(StackConfig)
    _check_names(config, origin=path.name)
    prompt = spec.system_prompt() if config.system_prompt == "model-spec" else None
    build = _Builder(origin=path.name, spec=spec, open_as=open_as)
    built = [build.layer(layer) for layer in config.layers]
    layers = tuple(layer for layer, _ in built if layer is not None)
    modes = [[layer.digest, layer.reach] for layer in layers]
    identity = [config.model_dump(mode="json"), prompt, modes, sorted(_WINDOWS), code_digest()]
    return Stack(
        id=config.id,
        layers=layers,
        system_prompt=prompt,
        timeout_s=config.timeout_s,
        digest=digest_value(identity),
        disabled=tuple(name for _, disabled in built for name in disabled),
        posts={layer.name: _post(layer) for layer in config.layers},
        ask=config.ask,
        windows=frozenset(layer.name for layer in config.layers if layer.kind in _WINDOWS),
        every=config.stream_every,
        golden=tuple(map(_golden, config.golden)),
    )


def code_digest() -> str:
    """Digest of the code that rules: every module of `safeguard` and of `detect`."""
    files = sorted(path for room in (_HERE, _HERE.parent / "detect") for path in room.glob("*.py"))
    return digest_bytes("".join(digest_file(path) for path in files).encode())


def _check_names(config: StackConfig, *, origin: str) -> None:
    stages: dict[str, Stage] = {}
    for layer in config.layers:
        if layer.name in stages:
            raise StackError(f"{origin}: two layers are named {layer.name!r}; give each a name of its own")
        if layer.above and stages.get(layer.above.layer) != layer.stage:
            raise StackError(
                f"{origin}: layer {layer.name!r} is asked above {layer.above.layer!r}, which is no earlier layer of "
                f"its stage; put that one before it"
            )
        stages[layer.name] = layer.stage
    for number, golden in enumerate(config.golden, start=1):
        if golden.withheld_by is not None and golden.withheld_by not in stages:
            raise StackError(
                f"{origin}: golden exchange {number} is withheld by {golden.withheld_by!r}, which is no layer; "
                f"use one of {', '.join(stages)}"
            )


def _post(config: LayerConfig) -> Post:
    above = (config.above.layer, config.above.score) if config.above else None
    return Post(enforced=config.enforce, required=config.required, above=above)


def _golden(config: GoldenConfig) -> Golden:
    exchange = exchange_of({"messages": [{"role": "user", "content": config.request}]})
    if config.reply is not None:
        exchange = reply_of({"choices": [{"message": {"content": config.reply}}]}, asked=exchange)[0]
    return Golden(exchange=exchange, layer=config.withheld_by)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Builder:
    origin: str
    spec: ModelSpec
    open_as: Callable[[str], Model]

    def layer(self, config: LayerConfig) -> tuple[Safeguard | None, tuple[str, ...]]:
        """The layer and the heads it had to leave out. A layer of heads with none enabled is left out whole."""
        name, stage = config.name, config.stage
        match config:
            case HeadsConfig():
                return self._heads_layer(config)
            case ScreenConfig():
                return ChildAbuseScreen(name=name, stage=stage), ()
            case TermsConfig():
                return TermsLayer(name=name, stage=stage, terms=config.terms, principle=config.principle), ()
            case PersonalConfig():
                kinds, do = config.kinds, config.do
                return PersonalDataLayer(name=name, stage=stage, kinds=kinds, do=do, principle=config.principle), ()
            case InjectionConfig():
                return self._injection_layer(config)
            case AccountsConfig():
                layer = AccountLayer(
                    name=name,
                    stage=stage,
                    most_asked=config.most_asked,
                    most_withheld=config.most_withheld,
                    window_s=config.window_s,
                    principle=config.principle,
                )
                return layer, ()
            case JudgeConfig():
                principles = tuple((p.id, f"{p.rule} Why: {p.reason}") for p in self.spec.principles)
                model = self.open_as(config.model)
                return PrincipleJudge(name=name, stage=stage, model=model, principles=principles), ()
            case GuardModelConfig():
                guard = GuardModel(
                    name=name,
                    stage=stage,
                    model=self.open_as(config.model),
                    allows=config.allows,
                    withholds=config.withholds,
                    principle=config.principle,
                )
                return guard, ()

    def _heads_layer(self, config: HeadsConfig) -> tuple[Safeguard | None, tuple[str, ...]]:
        enabled, disabled, digest = self._heads(config.name, config.heads, config.thresholds)
        if not enabled:
            return None, disabled
        layer = HeadsLayer(
            name=config.name,
            stage=config.stage,
            heads=enabled,
            weights_digest=digest,
            principles=_PRINCIPLE_OF_HEAD,
        )
        return layer, disabled

    def _injection_layer(self, config: InjectionConfig) -> tuple[Safeguard, tuple[str, ...]]:
        enabled, disabled, digest = self._heads(config.name, config.heads, config.thresholds)
        layer = InjectionLayer(
            name=config.name,
            stage=config.stage,
            heads=enabled,
            weights_digest=digest if enabled else None,
            principle=config.principle,
        )
        return layer, disabled

    def _heads(
        self, layer: str, names: tuple[str, ...], thresholds: Mapping[str, float]
    ) -> tuple[tuple[Head, ...], tuple[str, ...], str]:
        """Enabled heads with their thresholds, names of the disabled ones, and the digest of the weights."""
        weights = load_heads(GUARD_WEIGHTS)
        for name in names:
            if name not in weights.heads:
                raise StackError(
                    f"{self.origin}: layer {layer!r} names head {name!r}, which the guard weights do not hold; "
                    f"use one of {', '.join(weights.heads)}"
                )
        chosen = [weights.heads[name] for name in names]
        enabled = tuple(
            replace(head, threshold=thresholds.get(head.name, head.threshold)) for head in chosen if head.enabled
        )
        return enabled, tuple(head.name for head in chosen if not head.enabled), weights.digest
