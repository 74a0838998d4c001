"""What a report is made of: one frozen value, filled by the caller, from which every edition is rendered."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from safecase.decide import Decided, Facts, Opening
from safecase.declare import CaseSpec, Framework, ModelSpec
from safecase.evidence import Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What was run, counted over the evidence.

    Attributes:
        trials: attempts, whatever came of them.
        by_status: answered, error, timeout, unparsed, not-stored -> attempts.
        by_arm: arm -> attempts.
        intents: distinct base intents met. scenarios: distinct scenarios met.
        tokens_in, tokens_out: as the endpoints counted; None where none did.
        seconds: wall-clock time of the campaign; None when it is not known (imports).
        labels: answers that carry a person's label.
        unscored: answers the judge could not judge.
    """

    trials: int
    by_status: Mapping[str, int]
    by_arm: Mapping[str, int] = field(default_factory=dict)
    intents: int | None = None
    scenarios: int | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    seconds: float | None = None
    labels: int = 0
    unscored: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRow:
    """One randomly drawn input/output pair. `sample_row` makes it from a trial and applies the rules of withholding.

    Attributes:
        gate: the evaluation it was drawn for.
        prompt: None when it may not be printed (held out); `prompt_withheld` then says why.
        response: None when it may not be printed; `withheld_reason` then says why.
        characters, response_digest: of the response, given even where the text is withheld.
        withheld_by: the safeguard layer that stood in for the model, else None.
    """

    scenario_id: str
    trial_id: str
    gate: str
    arm: str
    category: str
    attack: str
    language: str
    verdict: str | None
    prompt: str | None
    response: str | None
    withheld_reason: str | None = None
    prompt_withheld: str | None = None
    harmful: bool = True
    characters: int | None = None
    response_digest: str | None = None
    withheld_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A proportion with its interval; None where it was not measured."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeLine:
    """One line of the judge's card: how often it errs on an event, and where that was measured.

    Attributes:
        event: unsafe, refusal, safe, ...
        source: the labelled data.
        level: own, transferred or none.
        card_digest: SHA-256 of the card's file; without it the line itself is digested.
    """

    judge: str
    event: str
    domain: str
    language: str
    source: str
    level: str
    sensitivity: Share
    specificity: Share
    arm: str | None = None
    kappa: float | None = None
    card_digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardHead:
    """One classifier head of the safeguard stack, as its card measured it.

    Attributes:
        rows: labelled rows it was measured on.
        card_digest: SHA-256 of the card's file; without it the head's figures are digested.
    """

    name: str
    enabled: bool
    auroc: float | None
    precision: float | None
    recall: float | None
    rows: int | None
    threshold: float | None = None
    source: str = ""
    card_digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceLine:
    """A member of the reference class and what is known of it."""

    name: str
    status: Literal["measured", "imported", "not evaluated"]
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A sign-off or a dissent. Person and role come from a signed roster.

    Attributes:
        context: a context's id; anything else stands for every context decided on.
        position: approve, require-mitigation, require-testing, dissent, ...
        is_demo: the key is a demonstration key, and the report is stamped.
        counts: False for the author of the assessment, whose signature is shown and does not count.
    """

    person: str
    role: str
    position: str
    context: str
    is_demo: bool
    reason: str = ""
    date: dt.date | None = None
    counts: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class EditionChange:
    """What an edition of the report changed, and why."""

    edition: int
    date: dt.date
    change: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Redaction:
    """What was left out of an edition, and why."""

    what: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportInput:
    """Everything a Safety & Preparedness Report prints.

    Attributes:
        plan: the content of plan.json as JSON values; empty for an imported case.
        openings: signed exceptions in force; they stand on page one.
        samples: drawn at random, at least five per evaluation that was run.
        ledger_head, merkle_root, evidence_root: hex digests; the last one covers the evidence segments.
        edition: 1 for the first one.
        date: day of this edition; the only time the report knows.
        changes: newest last. conditions: sentences, each a condition on which the decision rests.
        sample_seed: the seed by which the samples were drawn.
        case_path: how the case is called in the printed verify command.
        is_demo: stamp the report DEMO; also when any signature is by a demo key.
    """

    framework: Framework
    spec: CaseSpec
    decided: Decided
    estimates: tuple[Estimate, ...]
    facts: Facts
    plan: Mapping[str, Any]  # JSON
    totals: Totals
    date: dt.date
    ledger_head: str
    merkle_root: str
    evidence_root: str
    edition: int = 1
    model_spec: ModelSpec | None = None
    samples: tuple[SampleRow, ...] = ()
    sample_seed: int | None = None
    judge_card: tuple[JudgeLine, ...] = ()
    guard_heads: tuple[GuardHead, ...] = ()
    reference_class: tuple[ReferenceLine, ...] = ()
    openings: tuple[Opening, ...] = ()
    signatures: tuple[Signature, ...] = ()
    changes: tuple[EditionChange, ...] = ()
    redactions: tuple[Redaction, ...] = ()
    conditions: tuple[str, ...] = ()
    case_path: str = "CASE"
    is_demo: bool = False

    @property
    def is_stamped_demo(self) -> bool:
        """True when the report carries the DEMO stamp."""
        return self.is_demo or any(signature.is_demo for signature in self.signatures)
