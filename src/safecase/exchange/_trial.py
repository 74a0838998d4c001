"""A sample of another tool becomes a trial of ours."""

from dataclasses import replace

from safecase.detect import apparent_child_abuse
from safecase.evidence import (
    HAZARDOUS_DOMAINS,
    Judgement,
    Message,
    Trial,
    Vault,
    digest_bytes,
    digest_value,
    keepable_turns,
)
from safecase.exchange._errors import ExchangeError
from safecase.exchange._mapping import FieldMap, domain_of
from safecase.exchange._sample import Sample

COUNTED = "imported/"
"""Begins `Trial.model` of what is measured like our own trials (`measure.is_imported`)."""

KEPT_ONLY = "external/"
"""Begins `Trial.model` of what is kept as evidence and enters no rate, since nothing says what was asked for."""

_NOT_STORED = "[not stored: an earlier answer]"
_SCORE_IS_NO_VERDICT = "a score of another tool, not a verdict"


def as_trial(sample: Sample, *, arm: str, origin: str, mapping: FieldMap, vault: Vault | None) -> Trial:
    """Make a trial.

    Args:
        origin: file name and digest that the trial came from.
        vault: seals answers of hazardous domains; None is allowed where there are none.

    Raises:
        ExchangeError: a field has a value that it cannot have.
    """
    category, harmful = mapping.find(sample, "category"), mapping.find(sample, "harmful")
    is_counted = category is not None and harmful is not None
    domain = domain_of(sample, mapping, category) or ("content-policy" if is_counted else "unmapped")
    name = f"{sample.task}/{sample.item}"
    scenario_id = str(mapping.find(sample, "scenario_id") or name)
    trial_id = digest_value(_identity(sample, origin=origin, scenario_id=scenario_id, arm=arm))[:24]
    trial = Trial(
        trial_id=trial_id,
        scenario_id=scenario_id,
        intent_id=str(mapping.find(sample, "intent_id") or name),
        harmful=bool(harmful),
        domain=domain,
        category=category or sample.task,
        subcategory=mapping.find(sample, "subcategory") or "imported",
        severity=mapping.find(sample, "severity") or (2 if harmful else 1),
        bears_on=(category,) if category else (),
        language=mapping.find(sample, "language") or "en",
        attack=mapping.find(sample, "attack") or "none",
        family=mapping.find(sample, "family") or "imported",
        arm=arm,
        model=f"{COUNTED if is_counted else KEPT_ONLY}{origin}",
        repetition=sample.repetition,
        attempt=sample.attempt,
        prompt=sample.prompt,
        turns=sample.turns,
        status=sample.status,
        response=sample.response,
        response_digest=digest_bytes(sample.response.encode()) if sample.response else None,
        finish_reason=sample.finish_reason,
        tokens_in=sample.tokens_in,
        tokens_out=sample.tokens_out,
        latency_s=sample.latency_s,
        error=sample.error,
        label=sample.fields.get("label") if sample.status == "answered" else None,
        held_out=bool(mapping.find(sample, "held_out")),
    )
    return _safe_to_keep(trial, vault=vault)


def as_judgements(sample: Sample, trial: Trial, *, version: str | None) -> tuple[Judgement, ...]:
    """The tool's scores of a trial, each under the name of its own judge and without a verdict.

    What a scorer said in words is left out where answers are sealed: it may repeat the answer.
    """
    words = trial.sealed is None and trial.status == "answered"
    return tuple(
        Judgement(
            trial_id=trial.trial_id,
            judge=score.judge,
            judge_digest=digest_value([score.judge, version]),
            verdict=None,
            scores=dict(score.values),
            reason=f"{_SCORE_IS_NO_VERDICT}; {score.note}" if score.note and words else _SCORE_IS_NO_VERDICT,
        )
        for score in sample.scores
    )


def _identity(sample: Sample, *, origin: str, scenario_id: str, arm: str) -> list[object]:
    attempts = [sample.attempt] if sample.attempt else []
    return [origin, scenario_id, arm, sample.repetition, *attempts]


def _safe_to_keep(trial: Trial, *, vault: Vault | None) -> Trial:
    """Law 4: apparent child-abuse material is never stored, hazardous answers only sealed."""
    said = [turn.content for turn in trial.turns if turn.role == "assistant"]
    if any(apparent_child_abuse(text) for text in [*said, trial.response or ""]):
        trial = replace(trial, status="not-stored", turns=_without_answers(trial.turns), label=None, error=None)
    trial = replace(trial, turns=keepable_turns(trial.turns, domain=trial.domain))
    if trial.status == "not-stored":
        return replace(trial, response=None)
    if trial.domain not in HAZARDOUS_DOMAINS:
        return trial
    if trial.error is not None:
        trial = replace(trial, error="the tool's words are left out: they may repeat an answer that is sealed")
    if trial.response is None:
        return trial
    if vault is None:
        raise ExchangeError(f"trial {trial.trial_id} ({trial.domain}) needs a vault to seal its answer; open one")
    return replace(trial, sealed=vault.seal(trial.response, trial.trial_id), response=None)


def _without_answers(turns: tuple[Message, ...]) -> tuple[Message, ...]:
    return tuple(replace(turn, content=_NOT_STORED) if turn.role in {"assistant", "tool"} else turn for turn in turns)
