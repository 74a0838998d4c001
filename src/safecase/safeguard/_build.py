"""Layers made of their configuration."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from safecase.declare import ModelSpec
from safecase.detect import Head, PersonalKind, load_heads
from safecase.models import MissingPackage, Model
from safecase.safeguard._accounts import AccountLayer, Counts, LocalCounts
from safecase.safeguard._asked import GuardModel, PrincipleJudge
from safecase.safeguard._code_layer import AS_SHIPPED, CodeLayer
from safecase.safeguard._code_rules import CodeScanner, code_scanner, is_ast_grep_installed
from safecase.safeguard._config import (
    AccountsConfig,
    CodeConfig,
    GuardModelConfig,
    HeadsConfig,
    InjectionConfig,
    JudgeConfig,
    LayerConfig,
    MeaningConfig,
    PersonalConfig,
    ScreenConfig,
    TermsConfig,
    TopicsConfig,
)
from safecase.safeguard._errors import StackError
from safecase.safeguard._formats import Reading
from safecase.safeguard._injection import InjectionLayer
from safecase.safeguard._layers import ChildAbuseScreen, HeadsLayer
from safecase.safeguard._meaning import MeaningLayer, load_meaning
from safecase.safeguard._personal import FURTHER_KINDS, FurtherKind, PersonalDataLayer
from safecase.safeguard._presidio import is_presidio_installed, presidio_finder
from safecase.safeguard._terms import TermsLayer
from safecase.safeguard._topics import Topic, TopicsLayer
from safecase.safeguard._values import Safeguard

GUARD_WEIGHTS = Path(__file__).parent / "weights" / "guard.npz"

_PRINCIPLE_OF_HEAD = {
    "harmful-request": "no-serious-harm",
    "jailbreak-prompt": "no-serious-harm",
    "harmful-output": "no-serious-harm",
    "hateful-text": "no-hate",
    "sexual-text": "no-hate",
    "unsafe-reply": "no-serious-harm",
}
_NUMBER, _WALLET = 48, 64  # letters and digits of the longest number, and of the longest address of a wallet


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerBuilder:
    """Makes layers of their configurations.

    Attributes:
        origin: the stack file, for messages.
        counts: where account layers count; None for each in this process.
    """

    origin: str
    spec: ModelSpec
    open_as: Callable[[str], Model]
    counts: Counts | None

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
                return self._personal_layer(config)
            case InjectionConfig():
                return self._injection_layer(config)
            case MeaningConfig():
                return self._meaning_layer(config)
            case AccountsConfig():
                layer = AccountLayer(
                    name=name,
                    stage=stage,
                    most_asked=config.most_asked,
                    most_withheld=config.most_withheld,
                    window_s=config.window_s,
                    principle=config.principle,
                    counts=self.counts or LocalCounts(),
                )
                return layer, ()
            case TopicsConfig():
                return self._topics_layer(config)
            case CodeConfig():
                do = {**AS_SHIPPED, **config.do}
                scanner, longest, principle = self._scanner(name), config.longest, config.principle
                code = CodeLayer(name=name, stage=stage, scanner=scanner, do=do, principle=principle, longest=longest)
                return code, ()
            case JudgeConfig():
                model = self.open_as(config.model)
                return PrincipleJudge(name=name, stage=stage, model=model, principles=self._principles()), ()
            case GuardModelConfig():
                return self._guard_model(config), ()

    def _principles(self) -> tuple[tuple[str, str], ...]:
        return tuple((p.id, f"{p.rule} Why: {p.reason}") for p in self.spec.principles)

    def _guard_model(self, config: GuardModelConfig) -> GuardModel:
        principles = self._principles()
        # A model that is asked by our policy names its lines; one with categories of its own names those.
        by_category = {name: name for name, _ in principles} if config.format == "safeguard-policy" else {}
        reading = Reading(
            allows=config.allows,
            withholds=config.withholds,
            threshold=config.threshold,
            principle=config.principle,
            principles={**by_category, **config.principles},
            ignored=frozenset(config.ignored),
        )
        return GuardModel(
            name=config.name,
            stage=config.stage,
            model=self.open_as(config.model),
            format=config.format,
            reading=reading,
            principles=principles,
        )

    def _personal_layer(self, config: PersonalConfig) -> tuple[Safeguard, tuple[str, ...]]:
        """Kinds that only Presidio knows are left out, and named, where it is not installed."""
        own = tuple(kind for kind in config.kinds if kind not in FURTHER_KINDS)
        further = tuple(kind for kind in config.kinds if kind in FURTHER_KINDS)
        is_there = config.finder != "patterns" and is_presidio_installed()
        if config.finder == "presidio" and not is_there:
            raise StackError(
                f"{self.origin}: layer {config.name!r} asks for Presidio, which is not installed; "
                f"run `pip install 'safecase[guards]'`, or say `finder: auto`"
            )
        layer = PersonalDataLayer(
            name=config.name,
            stage=config.stage,
            kinds=cast("tuple[PersonalKind, ...]", own),  # what is not further is own
            do=config.do,
            principle=config.principle,
            finder=presidio_finder(cast("tuple[FurtherKind, ...]", further)) if further and is_there else None,
            reach=_WALLET if "crypto-wallet" in further and is_there else _NUMBER,
        )
        return layer, () if is_there else further

    def _topics_layer(self, config: TopicsConfig) -> tuple[Safeguard, tuple[str, ...]]:
        topics: list[Topic] = []
        disabled: list[str] = []
        digests: list[str] = []
        for topic in config.topics:
            heads, left_out, digest = self._heads(config.name, tuple(topic.heads), topic.heads)
            disabled += left_out
            digests += [digest] if topic.heads else []
            if not (topic.terms or topic.patterns or heads):
                raise StackError(
                    f"{self.origin}: layer {config.name!r}: topic {topic.id!r} has nothing to be found by; "
                    f"give it terms, patterns or heads that are not disabled"
                )
            topics.append(
                Topic(id=topic.id, terms=topic.terms, patterns=topic.patterns, heads=heads, principle=topic.principle)
            )
        layer = TopicsLayer(
            name=config.name,
            stage=config.stage,
            topics=tuple(topics),
            weights_digest=digests[0] if digests else None,
        )
        return layer, tuple(disabled)

    def _scanner(self, layer: str) -> CodeScanner:
        if not is_ast_grep_installed():
            raise StackError(
                f"{self.origin}: layer {layer!r} reads code with ast-grep, which is not installed; "
                f"run `pip install 'safecase[guards]'`, or leave the layer out"
            )
        return code_scanner()

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

    def _meaning_layer(self, config: MeaningConfig) -> tuple[Safeguard | None, tuple[str, ...]]:
        """Left out where its share is 0. Otherwise it is there whole or the stack does not load."""
        if config.share == 0:
            return None, ()
        try:
            weights, embedder = load_meaning()
        except MissingPackage as missing:
            raise StackError(
                f"{self.origin}: layer {config.name!r} reads by embeddings: {missing}; or say `share: 0`"
            ) from None
        chosen = [weights.heads[name] for name in config.heads]
        enabled = tuple(
            replace(head, threshold=config.thresholds.get(head.name, head.threshold)) for head in chosen if head.enabled
        )
        disabled = tuple(head.name for head in chosen if not head.enabled)
        if not enabled:
            return None, disabled
        layer = MeaningLayer(
            name=config.name,
            stage=config.stage,
            heads=enabled,
            weights_digest=weights.digest,
            share=config.share,
            principles=_PRINCIPLE_OF_HEAD,
            embedder=embedder,
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
