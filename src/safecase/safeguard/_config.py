"""The words of a stack file."""

import json
from typing import Annotated, Literal

from pydantic import Field

from safecase.declare import Id as DeclaredId
from safecase.declare import Record as DeclaredRecord
from safecase.detect import PersonalKind
from safecase.safeguard._code_layer import CodeAction
from safecase.safeguard._code_rules import Severity
from safecase.safeguard._formats import GuardFormat
from safecase.safeguard._personal import FurtherKind
from safecase.safeguard._values import Stage


class Condition(DeclaredRecord):
    """When a layer is asked at all."""

    layer: DeclaredId = Field(description="an earlier layer of the same stage")
    score: float = Field(ge=0, le=1, description="its score from which on this layer is asked")


class AudienceConfig(DeclaredRecord):
    """Accounts by a verified attribute."""

    attribute: str = Field(min_length=1, description="one of the stack's `attributes`")
    among: tuple[str, ...] = Field(min_length=1, description="values of it, as the stack declares them")
    unknown: Literal["asked", "skipped"] = Field(
        default="asked", description="accounts whose value is not known: asked, the stricter side, or skipped"
    )


class _Layer(DeclaredRecord):
    name: DeclaredId
    stage: Stage
    enforce: bool = Field(default=True, description="false only observes: rulings are recorded, nothing is done")
    required: bool = Field(default=True, description="whether an error or a timeout withholds")
    above: Condition | None = Field(default=None, description="ask it only above another layer's score")
    only_for: tuple[AudienceConfig, ...] = Field(default=(), description="ask it only for accounts of all of these")
    relaxable: bool = Field(default=True, description="false: no trusted-access tier passes it")
    completion: str | None = Field(default=None, min_length=1, description="what a user reads in place of an answer")


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
    kinds: tuple[PersonalKind | FurtherKind, ...] = ("card", "email", "iban", "phone", "ssn")
    finder: Literal["auto", "patterns", "presidio"] = Field(
        default="auto",
        description="auto: Presidio for the kinds that only it knows, where it is installed; presidio: not without it",
    )
    do: Literal["replace", "withhold"] = "replace"
    principle: DeclaredId | None = None


class MeaningConfig(_Layer):
    """Linear heads on embeddings, on a share of requests."""

    kind: Literal["meaning"]
    stage: Literal["input"] = "input"
    heads: tuple[Literal["harmful-request"], ...] = ("harmful-request",)
    thresholds: dict[str, float] = Field(default={}, description="override a head's own threshold")
    share: float = Field(ge=0, le=1, description="of requests that are read; 0: the layer is off and needs no extra")


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


class TopicConfig(DeclaredRecord):
    """A topic that is barred, or answered with words of the deployment's own."""

    id: DeclaredId
    terms: tuple[str, ...] = Field(default=(), description="words and phrases, in every spelling")
    patterns: tuple[str, ...] = Field(default=(), description="regular expressions of bounded length, over plain text")
    heads: dict[str, float] = Field(default={}, description="linear heads, and the score from which on they count")
    principle: DeclaredId | None = None
    completion: str | None = Field(default=None, min_length=1, description="what a user reads instead: a redirection")


class TopicsConfig(_Layer):
    """Declared topics."""

    kind: Literal["topics"]
    topics: tuple[TopicConfig, ...] = Field(min_length=1)


class CodeConfig(_Layer):
    """Insecure constructs in generated code."""

    kind: Literal["code"]
    stage: Literal["output"] = "output"
    do: dict[Severity, CodeAction] = Field(default={}, description="by severity, where not as shipped")
    longest: int = Field(default=40_000, ge=1, le=200_000, description="characters of code that are read")
    principle: DeclaredId | None = None


class JudgeConfig(_Layer):
    """A model that holds an exchange against the model spec's principles."""

    kind: Literal["principle-judge"]
    model: str = Field(description="as in a case file: openai/<model>@<base-url>")


class GuardModelConfig(_Layer):
    """A guard model, asked in the format it was trained on."""

    kind: Literal["guard-model"]
    model: str = Field(description="as in a case file: openai/<model>@<base-url>")
    format: GuardFormat = "words"
    allows: tuple[str, ...] = Field(default=("safe",), description="first words, for the format `words`")
    withholds: tuple[str, ...] = Field(default=("unsafe",), description="first words, for the format `words`")
    threshold: float = Field(default=0.5, ge=0, le=1, description="for a format that gives scores")
    principle: DeclaredId | None = None
    principles: dict[str, DeclaredId] = Field(default={}, description="by category, as the model names it")
    ignored: tuple[str, ...] = Field(default=(), description="categories that alone do not withhold")


LayerConfig = Annotated[
    HeadsConfig
    | ScreenConfig
    | TermsConfig
    | PersonalConfig
    | MeaningConfig
    | InjectionConfig
    | AccountsConfig
    | TopicsConfig
    | CodeConfig
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
    tiers: tuple[DeclaredId, ...] = Field(default=(), description="trusted-access tiers of who asks")
    attributes: dict[str, str] = Field(default={}, description="verified attributes of who asks")


class PassConfig(DeclaredRecord):
    """What a tier is not held to; everything given has to fit."""

    layer: DeclaredId | None = None
    rules: tuple[str, ...] = Field(default=(), description="heads, topics or rules of the layer; empty: all of them")
    principle: DeclaredId | None = None


class AccessConfig(DeclaredRecord):
    """A trusted-access tier, which a person grants to vetted accounts."""

    tier: DeclaredId
    reason: str = Field(min_length=1, description="why such accounts need it")
    passes: tuple[PassConfig, ...] = Field(min_length=1)


class StackConfig(DeclaredRecord):
    """A stack file."""

    id: DeclaredId
    version: str
    system_prompt: Literal["model-spec", "none"] = "none"
    timeout_s: float = Field(default=2.0, gt=0)
    ask: Literal["until-withheld", "all"] = "until-withheld"
    stream_every: int = Field(default=32, ge=1, le=4096, description="characters between two looks at a stream")
    attributes: dict[str, tuple[str, ...]] = Field(
        default={}, description="verified attributes of accounts and every value of them; others count as not known"
    )
    layers: tuple[LayerConfig, ...] = ()
    trusted_access: tuple[AccessConfig, ...] = ()
    completions: dict[DeclaredId, str] = Field(default={}, description="safe completions of your own, by principle")
    golden: tuple[GoldenConfig, ...] = ()


def stack_schema() -> str:
    """The JSON Schema (draft 2020-12) of a stack file, for editors, as the file that ships."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **StackConfig.model_json_schema()}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
