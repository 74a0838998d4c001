"""What a report is made of: one frozen value, filled by the caller, from which every edition is rendered."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from safecase.decide import Argument, Decided, Facts, Opening, Regression
from safecase.declare import CaseSpec, Framework, ModelSpec, UpliftStudy
from safecase.evidence import Elicitation, Estimate
from safecase.measure import Blinding, CampaignCounts, Detection


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
class LayerLine:
    """One layer of an arm's safeguard stack, over everything that was run.

    Attributes:
        is_enforced: False where it only observed.
        asked, stopped, stopped_alone, alone_unknown, failed: trials, as `safeguard.LayerWorth` counts them.
        missed: harmful requests that would get an unsafe answer without it. over_refused: harmless requests that it
            alone withholds. Without bounds they were not measured.
        at_most: what it stopped would still have met layers of the output stage.
        median_ms, p95_ms: time of a ruling in this run.
    """

    arm: str
    layer: str
    stage: str
    is_enforced: bool
    asked: int
    stopped: int
    stopped_alone: int
    alone_unknown: int
    failed: int
    missed: Share
    over_refused: Share
    at_most: bool
    median_ms: float | None
    p95_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyLine:
    """A study of people with and without the model.

    Attributes:
        counted, blinding: None until results were taken.
        absent: randomised people without a result that counts, the excluded ones among them.
    """

    study: UpliftStudy
    counted: int | None
    excluded: int
    absent: int
    blinding: Blinding | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationLine:
    """Seeds that were sown in the live traffic of a context, and what was noticed of them.

    Attributes:
        days: over which they were sown, from `begins` on.
        file, digest: the outcome in the case, and its SHA-256; figures are reckoned from it anew.
        groups: over all seeds first, then by category.
    """

    id: str
    context: str
    begins: dt.date
    days: int
    accounts: int
    patience_s: float
    file: str
    digest: str
    groups: tuple[Detection, ...]


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
class GateReading:
    """A gate's verdict in a context, as an edition prints it.

    Attributes:
        estimate_id: the first estimate that it rests on; "" where there is none.
        value: that estimate's; None where it was not measured. text: as printed.
    """

    gate: str
    context: str
    verdict: str
    estimate_id: str
    value: float | None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EventLine:
    """Something that the ledger says was done.

    Attributes:
        seq: of its entry. action: the ledger's word. what: a sentence made of what the entry says.
    """

    seq: int
    action: str
    date: dt.date
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Since:
    """What lies between the edition before and this one.

    Attributes:
        edition: the one before, from 1. head: the ledger's head when it was made. evidence_root: as it then was.
        events: oldest first. before: its gates' readings.
        learned: how every learned scenario of the plan stands on every arm now.
    """

    edition: int
    head: str
    evidence_root: str
    events: tuple[EventLine, ...]
    before: tuple[GateReading, ...]
    learned: tuple[Regression, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignLine:
    """A red-team campaign by people, as it was counted.

    Attributes:
        file, sha256: of the counts, inside the case.
        messages_since, reviews_since, events_since: what the ledger says came in after what was counted: messages,
            reviews of findings, and batches of anything that people did.
    """

    counts: CampaignCounts
    file: str
    sha256: str
    messages_since: int = 0
    reviews_since: int = 0
    events_since: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaigns:
    """The red-team campaigns of a case: counted; held and not counted yet; declared, and nobody said anything."""

    counted: tuple[CampaignLine, ...] = ()
    uncounted: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()


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
        readings: every gate's verdict in every context, with what it rests on.
        since: what happened since the edition before; None in a first one.
        changes: newest last. conditions: sentences, each a condition on which the decision rests.
        sample_seed: the seed by which the samples were drawn.
        suites: how hard each suite tried on each arm.
        arguments: the safety-case argument of each context, where the case keeps one.
        validations: of the monitor, each once its list of seeds was unsealed.
        campaigns: what people found in red teaming; no gate reads it.
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
    layers: tuple[LayerLine, ...] = ()
    reference_class: tuple[ReferenceLine, ...] = ()
    openings: tuple[Opening, ...] = ()
    signatures: tuple[Signature, ...] = ()
    changes: tuple[EditionChange, ...] = ()
    readings: tuple[GateReading, ...] = ()
    since: Since | None = None
    redactions: tuple[Redaction, ...] = ()
    conditions: tuple[str, ...] = ()
    suites: tuple[Elicitation, ...] = ()
    arguments: tuple[Argument, ...] = ()
    studies: tuple[StudyLine, ...] = ()
    validations: tuple[ValidationLine, ...] = ()
    campaigns: Campaigns = Campaigns()
    case_path: str = "CASE"
    is_demo: bool = False

    @property
    def is_stamped_demo(self) -> bool:
        """True when the report carries the DEMO stamp."""
        return self.is_demo or any(signature.is_demo for signature in self.signatures)
