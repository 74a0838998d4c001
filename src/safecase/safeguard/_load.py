"""Stack files: what a stack is made of, in words, and the stack made of it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from safecase.declare import Document, ModelSpec
from safecase.evidence import digest_bytes, digest_file, digest_value
from safecase.models import Model, open_model
from safecase.safeguard._access import Audience, Pass
from safecase.safeguard._accounts import AccountLayer, Counts
from safecase.safeguard._build import LayerBuilder
from safecase.safeguard._code_rules import CODE_RULES, CodeRules
from safecase.safeguard._completion import OF_KIND
from safecase.safeguard._config import (
    CodeConfig,
    GoldenConfig,
    GuardModelConfig,
    HeadsConfig,
    LayerConfig,
    MeaningConfig,
    ScreenConfig,
    StackConfig,
    TopicsConfig,
)
from safecase.safeguard._errors import StackError
from safecase.safeguard._personal import PersonalDataLayer
from safecase.safeguard._stack import Golden, Post, Stack, empty_stack
from safecase.safeguard._terms import TermsLayer
from safecase.safeguard._topics import TopicsLayer
from safecase.safeguard._values import Safeguard, Stage
from safecase.safeguard._wire import exchange_of, reply_of

_HERE = Path(__file__).parent
SHIPPED_STACKS = frozenset({"default", "none", "production"})
"""Names that are no path to a stack file."""


def load_stack(
    name: str,
    spec: ModelSpec,
    *,
    beside: Path | None = None,
    open_as: Callable[[str], Model] = open_model,
    counts: Counts | None = None,
) -> Stack:
    """Build a stack from `default`, `production`, `none` or a stack file.

    Args:
        spec: the model spec whose principles make the system prompt and the principle judge's question.
        beside: directory that a relative path starts from.
        open_as: opens the model that a layer asks. Whoever loads a stack with such layers closes it (`Stack.aclose`).
        counts: where account layers count; by default each in this process.

    Raises:
        PackError: the file has faults.
        StackError: a layer names a head, a layer or a term that cannot be.
        CorruptWeights: the weights differ from their card.
        UnknownModel: a layer asks a model of no known kind.
    """
    if name == "none":
        return empty_stack()
    path = _HERE / "stacks" / f"{name}.yaml" if name in SHIPPED_STACKS else (beside or Path()) / name
    config = Document(path).parse(StackConfig)
    _check_names(config, origin=path.name)
    _check_audiences(config, origin=path.name)
    _check_access(config, spec, origin=path.name)
    prompt = spec.system_prompt() if config.system_prompt == "model-spec" else None
    build = LayerBuilder(origin=path.name, spec=spec, open_as=open_as, counts=counts)
    built = [build.layer(layer) for layer in config.layers]
    layers = tuple(layer for layer, _ in built if layer is not None)
    windows = frozenset(map(_name, filter(_is_windowed, layers)))
    modes = [[layer.digest, layer.reach, layer.name in windows] for layer in layers]
    identity = [config.model_dump(mode="json"), prompt, modes, code_digest()]
    return Stack(
        id=config.id,
        layers=layers,
        system_prompt=prompt,
        timeout_s=config.timeout_s,
        digest=digest_value(identity),
        disabled=tuple(name for _, disabled in built for name in disabled),
        posts={layer.name: _post(layer, config.attributes) for layer in config.layers},
        ask=config.ask,
        windows=windows,
        every=config.stream_every,
        golden=tuple(map(_golden, config.golden)),
        passes=tuple(_passes(config)),
        completions=_completions(config),
    )


def counting_in(stack: Stack, open_counts: Callable[[], Counts]) -> Stack:
    """The same stack, its account layers counting elsewhere: where other processes count too. Its digest stays.

    Args:
        open_counts: called once, and only where the stack has account layers.
    """
    if not any(isinstance(layer, AccountLayer) for layer in stack.layers):
        return stack
    counts = open_counts()
    layers = tuple(
        replace(layer, counts=counts) if isinstance(layer, AccountLayer) else layer for layer in stack.layers
    )
    return replace(stack, layers=layers)


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


def _check_audiences(config: StackConfig, *, origin: str) -> None:
    audiences = {layer.name: frozenset(map(repr, layer.only_for)) for layer in config.layers}
    for layer in config.layers:
        for audience in layer.only_for:
            declared = config.attributes.get(audience.attribute, ())
            if not declared or not set(audience.among) <= set(declared):
                raise StackError(
                    f"{origin}: layer {layer.name!r} is only for {audience.attribute!r} among "
                    f"{', '.join(audience.among)}, which the stack does not declare; add it to `attributes`"
                )
        if layer.above and not audiences[layer.above.layer] <= audiences[layer.name]:
            raise StackError(
                f"{origin}: layer {layer.name!r} waits for {layer.above.layer!r}, which is not asked for everyone it "
                f"is for; give both the same `only_for`"
            )


def _check_access(config: StackConfig, spec: ModelSpec, *, origin: str) -> None:
    layers = {layer.name: layer for layer in config.layers}
    principles = {principle.id for principle in spec.principles}
    for access in config.trusted_access:
        for one in access.passes:
            where = f"{origin}: tier {access.tier!r} passes"
            if one.layer is None and (one.principle is None or one.rules):
                raise StackError(f"{where} what has no layer and no principle; name a layer, or a principle alone")
            if one.principle is not None and one.principle not in principles:
                raise StackError(f"{where} principle {one.principle!r}, which the model spec does not hold")
            if one.layer is None:
                continue
            layer = layers.get(one.layer)
            if layer is None:
                raise StackError(f"{where} layer {one.layer!r}, which the stack does not hold")
            if not layer.relaxable or isinstance(layer, ScreenConfig):
                raise StackError(f"{where} layer {one.layer!r}, which nobody may pass; take it out")
            if unknown := set(one.rules) - _rules_of(layer):
                raise StackError(f"{where} {sorted(unknown)[0]!r}, which is no rule of layer {one.layer!r}")


def _rules_of(layer: LayerConfig) -> set[str]:
    """What of a layer a tier can name; a layer with one rule is named whole."""
    match layer:
        case HeadsConfig() | MeaningConfig():
            return set(layer.heads)
        case TopicsConfig():
            return {topic.id for topic in layer.topics}
        case CodeConfig():
            return {rule.id for rule in Document(CODE_RULES).parse(CodeRules).rules}
        case GuardModelConfig():
            return set(layer.principles)
        case _:
            return set()


def _passes(config: StackConfig) -> Iterator[Pass]:
    for access in config.trusted_access:
        for one in access.passes:
            yield Pass(tier=access.tier, layer=one.layer, rules=frozenset(one.rules), principle=one.principle)


def _completions(config: StackConfig) -> dict[str, str]:
    """By "layer/rule", by layer, by principle; what a kind offers stands for its layer where the file says nothing."""
    texts: dict[str, str] = dict(config.completions)
    for layer in config.layers:
        principle = getattr(layer, "principle", None)  # not every kind rests on one
        if said := layer.completion or (None if principle in texts else OF_KIND.get(layer.kind)):
            texts[layer.name] = said
        if isinstance(layer, TopicsConfig):
            texts |= {f"{layer.name}/{topic.id}": topic.completion for topic in layer.topics if topic.completion}
    return texts


def _is_windowed(layer: Safeguard) -> bool:
    """Whether it needs only `reach` of lookback while a reply streams."""
    match layer:
        case TermsLayer() | PersonalDataLayer():
            return True
        case TopicsLayer():
            return layer.is_windowed
        case _:
            return False


def _name(layer: Safeguard) -> str:
    return layer.name


def _post(config: LayerConfig, attributes: Mapping[str, tuple[str, ...]]) -> Post:
    above = (config.above.layer, config.above.score) if config.above else None
    audiences = tuple(
        Audience(
            attribute=one.attribute,
            values=frozenset(one.among),
            known=frozenset(attributes[one.attribute]),
            unknown=one.unknown == "asked",
        )
        for one in config.only_for
    )
    return Post(
        enforced=config.enforce,
        required=config.required,
        above=above,
        relaxable=config.relaxable,
        audiences=audiences,
    )


def _golden(config: GoldenConfig) -> Golden:
    body = {"messages": [{"role": "user", "content": config.request}]}
    exchange = exchange_of(body, tiers=frozenset(config.tiers), attributes=config.attributes)
    if config.reply is not None:
        exchange = reply_of({"choices": [{"message": {"content": config.reply}}]}, asked=exchange)[0]
    return Golden(exchange=exchange, layer=config.withheld_by)
