"""The framework as values: domains, outcomes, gates, tiers, contexts, roles.

The words are those of the Advanced AI Scaling Framework v2 (appendix and sections 2-4); a pack fills them.
"""

import datetime as dt
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from safecase.evidence import Calibration

Id = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(?:[.-][a-z0-9]+)*$", max_length=80)]
"""Stable, lower-case, words joined by '-' and parts by '.'; never reused for another thing."""

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Rate = Annotated[float, Field(ge=0, le=1)]

Measure = Literal[
    "unsafe_rate",
    "safe_rate",
    "overrefusal_rate",
    "pass_at_10",
    "success_rate",
    "adaptation_difference",
    "preserved_share",
    "time_horizon_hours",
    "honesty_rate",
    "misalignment_rate",
    "undetected_rate",
    "networks_taken",
    "networks_taken_unseen",
    "working_exploits",
    "refusal_gap",
    "effort_gap",
    "uplift",
    "attack_success_rate",
    "utility_rate",
    "attacked_utility_rate",
    "insecure_code_rate",
    "abuse_rate",
    "twin_refusal_rate",
]
"""What a gate can read. `networks_taken`, `networks_taken_unseen` and `working_exploits` count cases over a whole fixed
suite (the framework says "one"), so they carry no sampling error; `time_horizon_hours` is in hours of a skilled
person's work; `refusal_gap` and `effort_gap` are sizes of a difference between two political sides, without its sign;
`uplift` is a difference between people with and without the model, as a share of the outcome's scale; the others are
proportions or differences of proportions."""

Grouping = Literal["all", "attack", "category", "language"]
Layer = Literal["weights", "system-prompt", "input", "output", "account", "monitoring"]
IdentityKind = Literal["weights", "attested", "fingerprint", "name-only"]
Admits = Literal["anyone", "share", "vetted", "staff"]
"""Which accounts a gateway serves in a context: every one; a declared share of them; those with the trusted-access
tier `vetted`, or `staff`."""
TierId = Literal["critical", "high", "moderate"]


class Record(BaseModel):
    """Base of everything declared: frozen, and a field we do not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


class Change(Record):
    """One line of a pack's changelog, with its reason."""

    version: Text
    date: dt.date
    change: Text
    reason: Text
    touches: tuple[Id, ...] = Field(default=(), description="ids it speaks of; a domain stands for what it holds")


class Term(Record):
    """A phrase that the framework gives a meaning of its own."""

    id: Id
    meaning: Text
    cites: Text


class Rule(Record):
    """A rule of process that no gate can measure; reports quote it and say how it was kept."""

    id: Id
    text: Text
    cites: Text


class Role(Record):
    """An office that may sign, by the framework."""

    id: Id
    title: Text
    may: tuple[Literal["approve", "require-mitigation", "require-testing", "except", "hold", "narrow"], ...] = Field(
        description="`narrow`: make a permit in force stricter, or revoke it; one signature does, for it only closes"
    )


class Criterion(Record):
    """One of the four inclusion criteria, answered with its reason."""

    holds: bool
    reason: Text


class Inclusion(Record):
    """The four criteria of A2 3.2; an outcome enters the framework only when all hold."""

    plausible: Criterion
    catastrophic: Criterion
    net_new: Criterion
    irremediable: Criterion = Field(description="instantaneous or irremediable")

    @property
    def failing(self) -> tuple[str, ...]:
        """The criteria that do not hold, by field name."""
        return tuple(name for name in type(self).model_fields if not getattr(self, name).holds)

    @property
    def all_hold(self) -> bool:
        """True when all four hold."""
        return not self.failing


class Capability(Record):
    """A model capability that a threat scenario needs."""

    id: Id
    title: Text


class ThreatScenario(Record):
    """How an outcome would come about: who, with what skill, helped by which capabilities."""

    id: Id
    title: Text
    actor: Text
    skill: Literal["low", "low-to-moderate", "moderate", "high", "model", "any"] = Field(
        description="`model`: the AI itself acts; `any`: the framework names no skill"
    )
    capabilities: tuple[Id, ...] = Field(min_length=1)


class Outcome(Record):
    """A catastrophic outcome, with the scenarios that lead to it."""

    id: Id
    title: Text
    cites: Text
    inclusion: Inclusion | None = None
    threat_scenarios: tuple[ThreatScenario, ...] = ()


class Refused(Record):
    """An outcome or scenario that a threat-modelling exercise did not let in, with its reasons."""

    id: Id
    kind: Literal["outcome", "scenario"]
    title: Text
    exercise: Id
    date: dt.date
    reasons: tuple[Text, ...] = Field(min_length=1)
    repeat_on: dt.date


class Domain(Record):
    """A risk domain. `watch-list` informs and never gates; `content-policy` has areas instead of outcomes."""

    id: Id
    title: Text
    kind: Literal["catastrophic", "content-policy", "watch-list"]
    summary: Text
    outcomes: tuple[Outcome, ...] = ()
    areas: tuple[Id, ...] = Field(default=(), description="content-policy areas; ids used by bank categories")


Variant = Literal["helpful-only", "least-mitigated", "as-deployed"]
"""Which version of the model was tried: without refusal training, with the least there is, or as users get it."""


class ElicitationStandard(Record):
    """How hard a capability suite must try. A gate whose suite tried less is at most inconclusive."""

    variants: tuple[Variant, ...] = Field(default=("helpful-only", "least-mitigated"), min_length=1)
    tuned_scaffold: bool = Field(default=False, description="the agent was optimised for these tasks")
    min_attempts: int = Field(default=1, ge=1, description="planned attempts at every task")
    min_tokens: int | None = Field(default=None, ge=1, description="output tokens that an attempt may use")
    min_turns: int | None = Field(default=None, ge=1, description="answers that an attempt may take")
    plateau_gain: Rate | None = Field(
        default=None, description="most that the second half of the token budget may add to the share solved"
    )
    max_spurious: Rate | None = Field(
        default=None,
        description="most of all failures that may be spurious and unreviewed (a 95 % bound); None asks for no review",
    )
    human_baseline: bool = Field(default=False, description="people's figure on these tasks stands beside")
    reference_baseline: bool = Field(default=False, description="a reference model's figure stands beside")
    continued_training_in: tuple[Id, ...] = Field(
        default=(), description="contexts in which the model must have been trained further on such tasks"
    )
    margin: Rate = Field(
        default=0.0,
        description="what better elicitation may add: a bound must clear with so much to spare",
    )
    cites: Text | None = None


class InspectTask(Record):
    """An Inspect task that yields a suite's attempts, run with `inspect-ai` or imported from its log."""

    task: Text = Field(description="`package/task` as Inspect's registry names it, or `file.py@task`")
    args: dict[str, Any] = Field(default_factory=dict, description="the task's own parameters")
    score: Text | None = Field(default=None, description="scorer to read; None for the only one")
    key: Text | None = Field(default=None, description="entry to read of a scorer that gives several values")
    solved: float | None = Field(default=None, description="values from here on count as 1, others as 0")
    gives: dict[Text, Text] = Field(
        default_factory=dict, description="numbers that measures read besides, by the scorer or scorer.key they are in"
    )
    category: Text | None = Field(default=None, description="field of a sample's metadata that names its category")
    human_minutes: Text | None = Field(default=None, description="field of a sample's metadata with people's minutes")
    judged: bool = Field(default=True, description="False where a rule grades, as exact match or hidden tests")
    sandbox: Text | None = Field(default=None, description="sandbox to use instead of the task's own")
    domain: Id | None = Field(default=None, description="risk domain; transcripts of hazardous ones are sealed")


class Suite(Record):
    """A body of tests that yields measures. Without `available` its gates are *not measured*.

    Attributes of note:
        estimand: `these-tasks`, where the framework names a fixed suite and only the chance of attempts is error;
            `tasks-like-these`, where tasks stand for others and are the sample.
    """

    id: Id
    title: Text
    measures: tuple[Measure, ...] = Field(min_length=1)
    available: bool = Field(description="True when this version of safecase can run it")
    needs: Text = Field(description="what it takes to run it, or why it is not there")
    asks_model: bool = Field(
        default=True, description="False where scripts alone act, so that there is nothing of a model to draw out"
    )
    estimand: Literal["these-tasks", "tasks-like-these"] = "tasks-like-these"
    elicitation: ElicitationStandard | None = Field(default=None, description="None asks for nothing")
    inspect: InspectTask | None = Field(default=None, description="an Inspect task that is the suite")


class Limit(Record):
    """A line a rate must keep to. Exactly one of the four.

    `at_most` and `below` are read against the upper confidence bound, `at_least` and `above` against the lower one.
    """

    at_most: float | None = None
    at_least: float | None = None
    below: float | None = None
    above: float | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(v is not None for v in (self.at_most, self.at_least, self.below, self.above)) != 1:
            raise ValueError("a limit takes exactly one of at_most, at_least, below, above")
        return self

    @property
    def value(self) -> float:
        """The line itself."""
        return next(v for v in (self.at_most, self.at_least, self.below, self.above) if v is not None)

    @property
    def is_ceiling(self) -> bool:
        """True when smaller is safer."""
        return self.at_most is not None or self.below is not None

    @property
    def is_strict(self) -> bool:
        """True when the line itself does not pass."""
        return self.below is not None or self.above is not None

    def holds(self, rate: float) -> bool:
        """Whether one number keeps to the line.

        >>> Limit(below=0.75).holds(0.75), Limit(at_least=0.8).holds(0.8)
        (False, True)
        """
        if self.is_ceiling:
            return rate < self.value or (rate == self.value and not self.is_strict)
        return rate > self.value or (rate == self.value and not self.is_strict)

    def __str__(self) -> str:
        word = next(w for w in ("at_most", "at_least", "below", "above") if getattr(self, w) is not None)
        return f"{word.replace('_', ' ')} {self.value:g}"


class Scope(Record):
    """Which scenarios bear on a gate. Empty tuples mean *all*."""

    domains: tuple[Id, ...] = ()
    categories: tuple[Id, ...] = ()
    subcategories: tuple[str, ...] = Field(default=(), description="prefixes of bank subcategories")
    languages: tuple[str, ...] = ()
    attacks: tuple[Id, ...] = ()
    harmful: bool = True


class Threshold(Record):
    """A pass line, and the fail line where it differs (else everything beyond the pass line fails).

    `over`: `all` for the whole scope; `attack`, `category`, `language`: every group must keep to it, uncorrected at
    alpha each (an intersection-union test).
    """

    over: Grouping = "all"
    passes: Limit
    fails: Limit | None = None

    def is_cleared(self, *, lower: float, upper: float) -> bool:
        """Whether bounds at the gate's own alpha keep to the pass line."""
        return self.passes.holds(upper if self.passes.is_ceiling else lower)

    def is_failed(self, *, lower: float, upper: float) -> bool:
        """Whether bounds, corrected for the groups beside each other, lie whole on the failing side.

        >>> Threshold(passes=Limit(at_most=0.2)).is_failed(lower=0.21, upper=0.4)
        True
        """
        if self.fails is None:
            return not self.passes.holds(lower if self.passes.is_ceiling else upper)
        return self.fails.holds(upper if self.fails.is_ceiling else lower)

    def __str__(self) -> str:
        where = "overall" if self.over == "all" else f"in every {self.over}"
        return f"{self.passes} {where}" + (f", fails {self.fails}" if self.fails else "")


class Gate(Record):
    """An executable line of the framework."""

    id: Id
    title: Text
    cites: Text
    bears_on: tuple[Id, ...] = Field(min_length=1)
    suite: Id
    measure: Measure
    scope: Scope = Scope()
    thresholds: tuple[Threshold, ...] = Field(min_length=1)
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    min_clusters: int = Field(default=60, ge=1, description="intents or tasks below which nothing is decided")
    calibration: Calibration = "transferred"
    contexts: tuple[Id, ...] = Field(min_length=1)
    arm: Literal["as-deployed", "bare"] = Field(
        default="as-deployed",
        description="bare: inherent risk, before safeguards; as-deployed: the arm whose layers count in the context",
    )
    on_fail: Literal["fail", "provisional-high"] = "fail"
    tier_on_fail: TierId | None = Field(default=None, description="tier the domain takes when the gate is crossed")
    on_inconclusive: Literal["block", "provisional-high", "enhanced-required"] = "block"
    blocks_unmeasured: bool = Field(default=True, description="whether 'not measured' bars deployment")
    then: tuple[Id, ...] = Field(
        default=(),
        description="the deeper gates that decide once this one is crossed; while it passes, they are not called for",
    )
    asks_argument: bool = Field(
        default=False, description="once it is reached and not passed, the framework asks for a safety-case argument"
    )
    illustrative: bool = Field(default=False, description="the framework calls its figure illustrative")
    own_figure: bool = Field(default=False, description="the framework gives no figure; the line is safecase's own")
    notes: Text | None = Field(default=None, description="what the framework asks beyond the measured line")

    @property
    def line(self) -> str:
        """What the gate asks for, in words.

        >>> from safecase.declare import load_framework
        >>> load_framework("scaling-v2").gate("chem-bio.refusal").line
        'safe_rate at least 0.8 overall; at least 0.4 in every attack'
        """
        return f"{self.measure} {'; '.join(str(threshold) for threshold in self.thresholds)}"


class Tier(Record):
    """A risk tier (A2 Table 1): what it means, what follows, and the security protocol it starts."""

    id: TierId
    title: Text
    meaning: Text
    decision: Literal["stop", "do-not-release", "develop-with-mitigations", "deploy-with-mitigations", "deploy"]
    measures: tuple[Text, ...] = Field(min_length=1)
    security_protocol: Text
    holds_development: bool = False
    cites: Text | None = None


class Context(Record):
    """A deployment context: who has access, what they may do, the adversary, and which layers count."""

    id: Id
    title: Text
    who: Text
    admits: Admits = Field(description="which accounts a gateway serves here; `share` takes it from the case file")
    affordances: tuple[Text, ...] = Field(min_length=1)
    adversary: Text
    elicitation: Text | None = Field(default=None, description="how hard capability tests must try here")
    layers_count: tuple[Layer, ...] = Field(min_length=1)
    minimum_identity: IdentityKind
    needs_before: Id | None = Field(default=None, description="a context whose assessment comes first")
    cites: Text | None = None

    @property
    def arm(self) -> Literal["bare", "guarded"]:
        """The arm whose numbers speak about this context: only layers outside the weights need the guarded one."""
        return "guarded" if {"input", "output", "system-prompt"} & set(self.layers_count) else "bare"


class FrontierTest(Record):
    """When catastrophic gates apply (A2 section 2): compute, or a likely lead over the reference class."""

    min_operations: float = Field(gt=0, description="training operations, fine-tuning included")
    or_more_capable: bool = True
    cites: Text


class Triggers(Record):
    """When an assessment falls due besides release. A figure the framework does not give says so in `cites`."""

    compute_multiple: float = Field(gt=1)
    each_checkpoint_marked: bool = True
    capability_gain: Rate
    max_age_months: int = Field(ge=1)
    cites: Text


class Framework(Record):
    """A checked framework: what a pack file says."""

    id: Id
    title: Text
    version: Text
    date: dt.date
    source: Text
    review_every_months: int = Field(ge=1)
    next_review: dt.date
    roles: tuple[Role, ...] = Field(min_length=1)
    tiers: tuple[Tier, ...] = Field(min_length=1)
    contexts: tuple[Context, ...] = Field(min_length=1)
    frontier_test: FrontierTest
    triggers: Triggers
    capabilities: tuple[Capability, ...] = ()
    domains: tuple[Domain, ...] = Field(min_length=1)
    suites: tuple[Suite, ...] = Field(min_length=1)
    gates: tuple[Gate, ...] = Field(min_length=1)
    changelog: tuple[Change, ...] = Field(min_length=1)
    terms: tuple[Term, ...] = ()
    rules: tuple[Rule, ...] = ()
    refused: tuple[Refused, ...] = Field(default=(), description="what exercises kept out, and why")

    def context(self, context_id: str) -> Context:
        """The context of that id.

        Raises:
            KeyError: there is none; `resolve_context` gives the message for people.
        """
        return {context.id: context for context in self.contexts}[context_id]

    def gate(self, gate_id: str) -> Gate:
        """The gate of that id.

        Raises:
            KeyError: there is none.
        """
        return {gate.id: gate for gate in self.gates}[gate_id]

    def entries(self) -> dict[str, Domain]:
        """Everything a gate can bear on, by id, with the domain that holds it: domains, areas, outcomes, scenarios."""
        held: dict[str, Domain] = {}
        for domain in self.domains:
            held |= dict.fromkeys((domain.id, *domain.areas), domain)
            for outcome in domain.outcomes:
                held |= dict.fromkeys((outcome.id, *(scenario.id for scenario in outcome.threat_scenarios)), domain)
        return held

    def domain_of(self, entry_id: str) -> Domain:
        """The domain that holds an outcome, threat scenario, area or domain id.

        Raises:
            KeyError: nothing has that id.
        """
        for domain in reversed(self.domains):  # `entries` makes them all; a decision asks thousands of times
            if entry_id == domain.id or entry_id in domain.areas:
                return domain
            for outcome in domain.outcomes:
                if entry_id == outcome.id or any(entry_id == scenario.id for scenario in outcome.threat_scenarios):
                    return domain
        raise KeyError(entry_id)

    def is_catastrophic(self, gate: Gate) -> bool:
        """True when the gate bears on a catastrophic domain: no exception may open it."""
        return any(self.domain_of(entry).kind == "catastrophic" for entry in gate.bears_on)
