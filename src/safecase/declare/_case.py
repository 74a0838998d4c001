"""What a case file says: which model, under which framework, in which contexts, tested how."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from safecase.declare._framework import Id, IdentityKind, Record, Text, TierId
from safecase.declare._yaml import Document


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


class CaseSpec(Record):
    """The file `safecase.yaml` of a case."""

    id: Id
    title: Text
    framework: Text = Field(description="id of a shipped pack, or a path to one")
    model: ModelVersion
    contexts: tuple[Id, ...] = Field(min_length=1)
    safeguards: Text = Field(default="default", description="`default`, `none`, or a path to a stack file")
    model_spec: Text = Field(default="default", description="`default`, or a path to a model spec")
    judge: Text = Field(default="embedded", description="`embedded`, or `llm/<model name>`")
    sampling: Sampling = Sampling()
    generation: Generation = Generation()
    budget: Budget = Budget()
    banks: tuple[Bank, ...] = ()
    balance: Balance | None = Field(default=None, description="None: ideological balance is not measured")
    reference_class: tuple[ReferenceMember, ...] = ()
    benefits: tuple[Benefit, ...] = ()
    expert_tiers: tuple[ExpertTier, ...] = ()
    author: Text = Field(
        default="unnamed", description="person id in the roster; an author's own sign-off does not count"
    )
    minimum_identity: IdentityKind | None = None


def load_case(path: Path) -> CaseSpec:
    """Read and check `safecase.yaml`.

    Args:
        path: the case directory or the file itself.

    Raises:
        PackError: with file and line of every fault.
    """
    return Document(path / "safecase.yaml" if path.is_dir() else path).parse(CaseSpec)
