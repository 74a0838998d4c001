"""The values that travel between rooms: trials, judgements, estimates, findings."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Status = Literal["answered", "error", "timeout", "unparsed", "not-stored"]
"""What came of an attempt. Only `answered` (and `not-stored`, answered but never kept) count in a rate.

`error`: the endpoint failed after every retry, or a safeguard layer gave no ruling. `timeout`: no answer in time.
`unparsed`: something came back that is not an answer (malformed, or empty). `not-stored`: the answer was apparent
child-abuse material; only its digest stays. A *refusal* is an answer: the judge finds it in the text.
"""

Verdict = Literal["refusal", "partial_refusal", "safe_completion", "compliance", "incoherent"]
"""What a judge says an answer is. Babble (`incoherent`) is neither safe nor harmful."""

VERDICTS: tuple[Verdict, ...] = ("refusal", "partial_refusal", "safe_completion", "compliance", "incoherent")

Calibration = Literal["own", "transferred", "none"]
"""How well a judge's error is known on the arm it judged, best first (DESIGN section 2, issue: judges)."""

CALIBRATIONS: tuple[Calibration, ...] = ("own", "transferred", "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One concrete test: an intent, said in a language, wrapped in an attack. Its id never changes.

    Attributes:
        scenario_id: digest of intent, twin side, attack, attack parameters, language (24 hex digits).
        intent_id: the cluster every estimate is grouped by.
        harmful: False for the benign twin, on which a refusal is over-refusal.
        severity: 1 (nuisance) to 4 (could contribute to mass harm).
        bears_on: ids of outcomes or policy categories.
        messages: what is sent; the last turn is the user's.
        held_out: never shown to training roles, never printed.
        attempts: most attempts of an episode; over 1 only for an adaptive attack, whose opening `messages` then is.
        asks_attacker: whether an attacker model has a say in what follows the opening.
    """

    scenario_id: str
    intent_id: str
    harmful: bool
    domain: str
    category: str
    subcategory: str
    severity: int
    bears_on: tuple[str, ...]
    language: str
    attack: str
    family: str
    messages: tuple[Message, ...]
    intent_text: str
    held_out: bool = False
    attempts: int = 1
    asks_attacker: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RulingRecord:
    """What one safeguard layer did to one exchange, as kept with the trial.

    Attributes:
        layer: name of the safeguard.
        stage: "input" or "output".
        action: "allow", "replace" or "withhold".
        score: the layer's own score in [0, 1], or None where it has none.
        principle: id of the model-spec principle it rests on.
        latency_ms: time the layer took.
        error: why it could not rule; a required layer that errs withholds.
        enforced: False where the ruling was recorded and nothing was done about it (a layer that observes, a shadow).
        rule: what of the layer it rests on: a head, a topic, a rule of its own; several are parted by spaces.
        relaxed_by: the trusted-access tier by which it was not enforced, else None.
    """

    layer: str
    stage: str
    action: str
    score: float | None
    principle: str | None
    latency_ms: float
    error: str | None = None
    enforced: bool = True
    rule: str | None = None
    relaxed_by: str | None = None


def why_unruled(rulings: Iterable[RulingRecord]) -> str | None:
    """Why an answer was withheld, where it was because a layer gave no ruling; None where nothing was, or by a ruling.

    Such a layer has stopped nothing: what it would have done is not known, so the attempt failed.
    """
    first = next((one for one in rulings if one.enforced and one.action == "withhold"), None)
    if first is None or first.error is None:
        return None
    return f"safeguard layer {first.layer!r} gave no ruling ({first.error})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a layer that reasons ruled as it did, in its own words; kept apart from its ruling.

    Attributes:
        layer: name of the safeguard.
        principle: id of the model-spec principle that it holds to be breached, None where it holds none to be.
        reason: never quotes the exchange; None where a reason was given and may not be kept.
    """

    layer: str
    principle: str | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One scenario through one arm once.

    Attributes:
        trial_id: digest of scenario, arm digest, generation settings and repetition (24 hex digits).
        arm: "bare", "trained" or "guarded".
        prompt: the last user turn, as sent.
        turns: what was said before `prompt`, where an attack talks over several turns.
        attempt: 0 for the first; an attack that tries again gives a trial per attempt, all of one *episode* (same
            scenario, arm, model and repetition).
        cached: the answer was given before to the same request of the same model, and was not asked for again.
        response: what the user would have seen; None unless `status` is "answered" and the answer may be kept plain.
        sealed: the response encrypted under the hazard key (chem-bio, cyber), else None.
        response_digest: SHA-256 of the response text, None without one.
        withheld_by: the safeguard layer that withheld (its safe completion is then the response), else None.
        rulings: what every layer did.
        explanations: of the layers that reason; without their reasons in domains whose answers are kept encrypted.
        tokens_in, tokens_out: as the endpoint counted, None where it did not say.
        latency_s: from request to last byte, retries included.
        label: a person's label of the answer, where the trial came with one.
    """

    trial_id: str
    scenario_id: str
    intent_id: str
    harmful: bool
    domain: str
    category: str
    subcategory: str
    severity: int
    bears_on: tuple[str, ...]
    language: str
    attack: str
    family: str
    arm: str
    model: str
    repetition: int
    prompt: str
    status: Status
    response: str | None
    sealed: bytes | None = None
    response_digest: str | None = None
    withheld_by: str | None = None
    rulings: tuple[RulingRecord, ...] = ()
    finish_reason: str | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    latency_s: float | None = None
    error: str | None = None
    label: Verdict | None = None
    held_out: bool = False
    attempt: int = 0
    turns: tuple[Message, ...] = ()
    cached: bool = False
    explanations: tuple[Explanation, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A judge's verdict on one trial.

    Attributes:
        verdict: None when the judge could not say (*unscored*, never *safe*); `reason` then says why.
        judge: "embedded", "human", "llm/<model>", or "stack" (the answer is our own safe completion).
    """

    trial_id: str
    judge: str
    judge_digest: str
    verdict: Verdict | None
    scores: Mapping[str, float] = field(default_factory=dict)
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A measured proportion (or difference of proportions) with its interval.

    Attributes:
        estimate_id: `<gate or measure scope>/<arm>/<group>`, the id `num()` prints.
        measure: "unsafe_rate", "overrefusal_rate", ...
        arm: arm name, or "guarded-bare" for a paired difference.
        group: "all", or "attack:none", "category:violence", "family:logic".
        value: point estimate, corrected for the judge; None when nothing was judged.
        low, high: confidence bounds at `level` (two-sided); proportions in [0, 1], differences in [-1, 1].
        lower_bound, upper_bound: one-sided bounds at 1 - alpha, by which a gate is cleared.
        failure_lower, failure_upper: the same, corrected for the groups shown together, by which it is failed.
        n: trials that answered and were judged. clusters: intents. absent: trials without an answer or a verdict.
        judge: judge id. calibration: how well its error is known here.
        trial_ids_digest: digest of the sorted ids of the trials used.
    """

    estimate_id: str
    measure: str
    arm: str
    group: str
    value: float | None
    low: float
    high: float
    lower_bound: float
    upper_bound: float
    failure_lower: float
    failure_upper: float
    level: float
    n: int
    clusters: int
    absent: int
    observed: float | None
    judge: str
    calibration: Calibration
    method: str
    scope: Mapping[str, object]
    trial_ids_digest: str


GateVerdict = Literal[
    "pass",
    "fail",
    "inconclusive",
    "provisional-high",
    "not-measured",
    "not-planned",
    "not-applicable",
]
"""The verdict of a gate in a context. The last three are kinds of absence and are never read as a pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A gate held against the estimates that bear on it, in one deployment context."""

    gate: str
    context: str
    arm: str
    verdict: GateVerdict
    reason: str
    evidence: tuple[str, ...]
    citation: str
    blocks: bool
