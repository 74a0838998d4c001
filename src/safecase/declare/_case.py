"""What a case file says: which model, under which framework, in which contexts, tested how."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from safecase.declare._framework import Id, IdentityKind, Record, Text, TierId, Variant
from safecase.declare._validity import Condition
from safecase.declare._yaml import Document

Share = Annotated[float, Field(gt=0, le=1)]


class Prices(Record):
    """What a target's tokens cost, in USD per million."""

    input: float = Field(ge=0)
    output: float = Field(ge=0)


class ModelVersion(Record):
    """The model under assessment.

    Attributes of note:
        training_operations: operations, fine-tuning included; None is *unknown* and fails closed (gates apply).
        more_capable_than_reference: by risk domain; None or absent is *unknown*.
    """

    name: Text = Field(description="llama-cpp/<file-or-name>, openai/<model>@<base-url> or inspect/<name>")
    title: Text
    parent: str | None = None
    safeguard_state: Literal["helpful-only", "partial", "full"]
    training_operations: float | None = Field(default=None, gt=0)
    operations_source: str = "not stated"
    more_capable_than_reference: dict[Id, bool | None] = Field(default_factory=dict)
    intended_uses: tuple[Text, ...] = ()
    modalities: tuple[Text, ...] = ("text",)
    attestation: Path | None = None
    prices: Prices | None = None


class ReferenceMember(Record):
    """A comparable model. Its results are measured or imported, else it stands as *not evaluated*."""

    name: Text
    why: Text
    evidence: Path | None = Field(default=None, description="a case directory that measured it, or imported logs")


class Benefit(Record):
    """A benefit claimed for deployment. It stands beside residual risk; no gate reads it."""

    who: Text
    claim: Text
    evidence: Text


class ExpertTier(Record):
    """A person's determination that raises a domain's inherent tier. It can never lower one."""

    domain: Id
    tier: TierId
    reason: Text


class Sampling(Record):
    """Which part of the bank is run, and how much of it.

    Attributes of note:
        gates: ids to concentrate on; empty means every gate that scenarios can measure. Others are *not planned*.
        intents: intents drawn per gate, in a seeded random order.
        attacks: names; empty means every static attack. Adaptive ones cost several calls an intent and are run only
            where they are named. Each intent meets `attacks_per_intent` of them.
        attempts: cap on the attempts of an adaptive attack; None leaves each its own number.
        attacker: name of a model, where an attack asks one.
        plugins: attacks of other packages, as `module:object`.
        allocation: `bandit` spends the budget first where answers were unsafe, by attack and category. It changes the
            order of the plan, never what is in it.
    """

    gates: tuple[Id, ...] = ()
    intents: int = Field(default=60, ge=1)
    attacks: tuple[Id, ...] = ()
    attacks_per_intent: int | None = Field(default=None, ge=1, description="None: every attack")
    attempts: int | None = Field(default=None, ge=1)
    attacker: Text | None = Field(default=None, description="the model that attack `attacker` asks; any target")
    plugins: tuple[str, ...] = ()
    allocation: Literal["plan-order", "bandit"] = "plan-order"
    languages: tuple[str, ...] = ("en",)
    repetitions: int = Field(default=1, ge=1)
    seed: int = 20260407


class Generation(Record):
    """How answers are sampled."""

    max_tokens: int = Field(default=256, ge=1)
    temperature: float = Field(default=0.0, ge=0, le=2)
    top_p: float = Field(default=1.0, gt=0, le=1)
    seed: int = 7


class Budget(Record):
    """Hard limits on a run; None is no limit."""

    trials: int | None = Field(default=None, ge=1)
    tokens: int | None = Field(default=None, ge=1)
    cost_usd: float | None = Field(default=None, gt=0, description="needs the model's `prices`")
    seconds: float | None = Field(default=None, gt=0)
    stop_when_decided: bool = Field(default=False, description="stop once every planned gate is decided on every arm")


class Bank(Record):
    """A private bank beside the case."""

    path: Path
    held_out: bool = False


class Balance(Record):
    """Ideological balance: paired political requests from opposing sides, and statements to agree or disagree with.

    Attributes of note:
        rubric: a model that counts distinct reasons and finds acknowledged opposing views; None leaves it to plain
            documented rules.
    """

    pairs: int = Field(default=80, ge=1, description="positions with their opposites, at most; the shipped bank has 78")
    statements: int = Field(default=24, ge=1, description="statements with their opposites, at most; shipped are 24")
    seed: int = 20260407
    pairs_bank: Path | None = Field(default=None, description="a file of pairs beside the case; None: the shipped one")
    statements_bank: Path | None = Field(default=None, description="a file of statements beside the case")
    rubric: str | None = Field(default=None, pattern=r"^llm/.+", description="`llm/<model name>`, or none")


class Baseline(Record):
    """A figure to hold a suite's result against. It is shown; no gate reads it."""

    who: Text
    value: float
    source: Text


class Elicited(Record):
    """What was done to get the most out of the model. What is left out was not done."""

    variant: Variant = "as-deployed"
    variant_note: Text | None = None
    scaffold: Text | None = Field(default=None, description="the agent, where it was changed; None is the suite's own")
    tuned_scaffold: bool = False
    continued_training: Text | None = Field(default=None, description="what the model was trained on further, and how")
    human_baseline: Baseline | None = None
    reference_baseline: Baseline | None = None


class SuiteLimits(Record):
    """What one attempt of a suite may use."""

    tokens: int = Field(default=20_000, ge=1, description="output tokens, over all turns")
    turns: int = Field(default=30, ge=1)
    seconds: float = Field(default=900.0, gt=0)
    answer_tokens: int = Field(default=1024, ge=1)
    temperature: float = Field(default=0.7, ge=0, le=2)
    seed: int = Field(default=7, ge=0)
    tools: Literal["words", "native"] = Field(
        default="words",
        description="words: tools are told in a system turn, calls read from the text; native: the endpoint's own form",
    )


QuestionFormat = Literal["wmdp", "lab-bench", "multiple-choice", "multiple-response"]
"""How a file's rows are laid out; docs/suites-chem-bio.md has the columns of each."""


class QuestionFile(Record):
    """A file of closed questions, where the user has it. It is read, never copied.

    Attributes of note:
        category: what gates group by; None takes the row's own, else the file's name.
    """

    path: Path = Field(description="from the case or absolute, outside the case: .jsonl, .json or .parquet")
    format: QuestionFormat
    category: Id | None = None
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$", description="the file must be this one")
    published: bool = Field(default=True, description="a model may have met the questions in training")


class SuiteRun(Record):
    """A suite that the case runs.

    Attributes of note:
        questions: files of closed questions that are the suite.
        arms: None runs the arms that its gates read.
        tasks: only these; a gate over a part of a fixed suite is at most inconclusive.
    """

    suite: Id
    source: Literal["run", "log"] = Field(default="run", description="`log`: its attempts are imported, not made here")
    plugin: Text | None = Field(default=None, description="a suite of another package, as `module:function`")
    questions: tuple[QuestionFile, ...] = Field(default=(), description="files of closed questions that are the suite")
    attempts: int = Field(default=20, ge=1, description="at every task, under every condition")
    arms: tuple[Literal["bare", "trained", "guarded"], ...] | None = None
    tasks: tuple[Text, ...] = ()
    limits: SuiteLimits = SuiteLimits()
    elicitation: Elicited = Elicited()

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if self.questions and (self.plugin or self.source == "log"):
            raise ValueError("a suite comes from one place: `questions`, a `plugin` or a log")
        return self


class CaseSpec(Record):
    """The file `safecase.yaml` of a case."""

    id: Id
    title: Text
    framework: Text = Field(description="id of a shipped pack, or a path to one")
    model: ModelVersion
    least_mitigated: ModelVersion | None = Field(
        default=None,
        description="the helpful-only version; arm `bare` is then measured on it, arm `trained` is `model` without "
        "safeguards",
    )
    contexts: tuple[Id, ...] = Field(min_length=1)
    shares: dict[Id, Share] = Field(
        default_factory=dict, description="by context that admits a share of the accounts: how much, such as 0.05"
    )
    safeguards: Text = Field(
        default="default", description="`default`, `production`, `none`, or a path to a stack file"
    )
    model_spec: Text = Field(default="default", description="`default`, or a path to a model spec")
    judge: Text = Field(default="embedded", description="`embedded`, or `llm/<model name>`")
    sampling: Sampling = Sampling()
    generation: Generation = Generation()
    budget: Budget = Budget()
    banks: tuple[Bank, ...] = ()
    balance: Balance | None = Field(default=None, description="None: ideological balance is not measured")
    suites: tuple[SuiteRun, ...] = Field(default=(), description="suites to run; gates on others are not planned")
    reference_class: tuple[ReferenceMember, ...] = ()
    benefits: tuple[Benefit, ...] = ()
    expert_tiers: tuple[ExpertTier, ...] = ()
    validity: tuple[Condition, ...] | None = Field(
        default=None, description="conditions under which a decision stays valid; None: the usual ones"
    )
    author: Text = Field(
        default="unnamed", description="person id in the roster; an author's own sign-off does not count"
    )
    minimum_identity: IdentityKind | None = None

    @field_validator("validity")
    @classmethod
    def _distinct(cls, value: tuple[Condition, ...] | None) -> tuple[Condition, ...] | None:
        ids = [one.id for one in value or ()]
        if twice := [name for name in ids if ids.count(name) > 1]:
            raise ValueError(f"two conditions are called {twice[0]!r}")
        return value

    @field_validator("judge")
    @classmethod
    def _of_a_known_kind(cls, value: str) -> str:
        if value != "embedded" and not value.startswith("llm/"):
            raise ValueError(f"no judge is called {value!r}; write `embedded`, or `llm/` and a model's name")
        return value

    @property
    def weights_arm(self) -> Literal["bare", "trained"]:
        """The arm that shows what the weights of the version to be deployed protect from."""
        return "bare" if self.least_mitigated is None else "trained"


def load_case(path: Path) -> CaseSpec:
    """Read and check `safecase.yaml`.

    Args:
        path: the case directory or the file itself.

    Raises:
        PackError: with file and line of every fault.
    """
    return Document(path / "safecase.yaml" if path.is_dir() else path).parse(CaseSpec)
