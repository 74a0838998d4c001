"""A planned trial and what came of it, made into the row that is kept."""

from dataclasses import dataclass

from safecase.detect import apparent_child_abuse
from safecase.evidence import (
    HAZARDOUS_DOMAINS,
    Message,
    Status,
    Trial,
    digest_bytes,
    digest_value,
    keepable_explanations,
    keepable_turns,
    quick_maker,
    why_unruled,
)
from safecase.models import AttemptFailed, EndpointError, EndpointTimeout, UnparsedAnswer
from safecase.run._cache import NOT_CACHED
from safecase.run._plan import PlannedTrial
from safecase.run._ports import Sealer
from safecase.safeguard import Served


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempted:
    """What came of an attempt.

    Attributes:
        trial: the row that is kept.
        text: what the user would have seen, for the judge's eyes only; None where nothing may be read.
        was_asked: the endpoint was asked just now; not where the input was withheld or the answer came from a cache.
    """

    trial: Trial
    text: str | None
    was_asked: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """One attempt of an episode.

    Attributes:
        number: 0 for the first.
        messages: what was sent, its last turn the user's, as it may be kept.
        tokens_in, tokens_out: of everything that led to the answer; None where an endpoint did not say.
        cached: nothing of it was asked for now.
    """

    number: int
    messages: tuple[Message, ...]
    tokens_in: int | None
    tokens_out: int | None
    cached: bool


def tags_of(planned: PlannedTrial) -> dict[str, str]:
    """What logs, fakes and caches may know of a request; none of it is sent."""
    scenario = planned.scenario
    tags = {
        "scenario": scenario.scenario_id,
        "intent": scenario.intent_id,
        "harmful": str(scenario.harmful).lower(),
        "attack": scenario.attack,
        "arm": planned.arm.name,
        "repetition": str(planned.repetition),
    }
    return {**tags, NOT_CACHED: scenario.domain} if scenario.domain in HAZARDOUS_DOMAINS else tags


def status_of(fault: AttemptFailed) -> Status:
    """The status of a trial whose attempt failed so."""
    if isinstance(fault, EndpointTimeout):
        return "timeout"
    return "unparsed" if isinstance(fault, UnparsedAnswer) else "error"


def error_of(fault: AttemptFailed, *, domain: str) -> str:
    """The fault's line as it may be kept: an endpoint's own words may quote the answer that it could not give."""
    if isinstance(fault, EndpointError) and (domain in HAZARDOUS_DOMAINS or apparent_child_abuse(str(fault))):
        return fault.ours
    return str(fault)


def attempt_id(trial_id: str, number: int) -> str:
    """The id of an attempt: the planned one for the first, a digest of it and the number for the others."""
    return trial_id if number == 0 else digest_value([trial_id, number])[:24]


def make_trial(
    planned: PlannedTrial,
    served: Served | None,
    *,
    status: Status,
    error: str | None,
    seconds: float,
    vault: Sealer | None,
    tried: Try | None = None,
) -> Attempted:
    """The row of one attempt: a hazardous answer sealed, apparent child-abuse material reduced to its digest.

    What a layer withheld because it failed is no answer: an error of the safeguard, which stopped nothing.

    Args:
        served: what the user got, None when the attempt failed.
        seconds: from request to last byte, retries included, waiting on our side left out.
        vault: needed for a response in a hazardous domain.
        tried: which attempt of an episode it is; by default the scenario as composed, said once.
    """
    scenario, answer = planned.scenario, served.answer if served else None
    tried = tried or Try(
        number=0,
        messages=scenario.messages,
        tokens_in=answer.tokens_in if answer else None,
        tokens_out=answer.tokens_out if answer else None,
        cached=answer is not None and answer.cached,
    )
    trial_id = attempt_id(planned.trial_id, tried.number)
    unruled = why_unruled(served.rulings) if served else None
    if unruled is not None:
        status, error = "error", unruled
    # A model of the caller's own may give half a character (a lone surrogate), which no file holds.
    said = served.text.encode("utf-8", "replace") if served and unruled is None else None
    response = said.decode() if said is not None else None
    digest = digest_bytes(said) if said is not None else None
    sealed: bytes | None = None
    text = response
    if response is not None and apparent_child_abuse(response):
        status, response, text = "not-stored", None, None
    elif response is not None and scenario.domain in HAZARDOUS_DOMAINS:
        if vault is None:
            raise AssertionError("hazardous answers need a vault; the caller opens one when the plan has any")
        sealed, response = vault.seal(response, trial_id), None
    trial = _trial(
        trial_id=trial_id,
        scenario_id=scenario.scenario_id,
        intent_id=scenario.intent_id,
        harmful=scenario.harmful,
        domain=scenario.domain,
        category=scenario.category,
        subcategory=scenario.subcategory,
        severity=scenario.severity,
        bears_on=scenario.bears_on,
        language=scenario.language,
        attack=scenario.attack,
        family=scenario.family,
        arm=planned.arm.name,
        model=planned.arm.model,
        repetition=planned.repetition,
        prompt=tried.messages[-1].content,
        status=status,
        response=response,
        sealed=sealed,
        response_digest=digest,
        withheld_by=served.withheld_by if served and unruled is None else None,
        rulings=served.rulings if served else (),
        finish_reason=answer.finish_reason if answer else None,
        tokens_in=tried.tokens_in,
        tokens_out=tried.tokens_out,
        latency_s=round(seconds, 6),
        error=error,
        held_out=scenario.held_out,
        attempt=tried.number,
        turns=keepable_turns(tried.messages[:-1], domain=scenario.domain),
        cached=tried.cached,
        explanations=keepable_explanations(
            served.explanations if served else (), domain=scenario.domain, status=status
        ),
    )
    return Attempted(trial=trial, text=text, was_asked=served is None or (answer is not None and not tried.cached))


_trial = quick_maker(Trial)
