"""A planned trial and what came of it, made into the row that is kept."""

from safecase.detect import apparent_child_abuse
from safecase.evidence import HAZARDOUS_DOMAINS, Status, Trial, Vault, digest_bytes
from safecase.run._plan import PlannedTrial
from safecase.safeguard import Served


def make_trial(
    planned: PlannedTrial,
    served: Served | None,
    *,
    status: Status,
    error: str | None,
    seconds: float,
    vault: Vault | None,
) -> Trial:
    """The row of one attempt: a hazardous answer sealed, apparent child-abuse material reduced to its digest.

    Args:
        served: what the user got, None when the attempt failed.
        seconds: from request to last byte, retries included.
        vault: needed for a response in a hazardous domain.
    """
    scenario, answer = planned.scenario, served.answer if served else None
    response = served.text if served else None
    digest = digest_bytes(response.encode()) if response is not None else None
    sealed: bytes | None = None
    if response is not None and apparent_child_abuse(response):
        status, response = "not-stored", None
    elif response is not None and scenario.domain in HAZARDOUS_DOMAINS:
        if vault is None:
            raise AssertionError("hazardous answers need a vault; the caller opens one when the plan has any")
        sealed, response = vault.seal(response, planned.trial_id), None
    return Trial(
        trial_id=planned.trial_id,
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
        prompt=scenario.messages[-1].content,
        status=status,
        response=response,
        sealed=sealed,
        response_digest=digest,
        withheld_by=served.withheld_by if served else None,
        rulings=served.rulings if served else (),
        finish_reason=answer.finish_reason if answer else None,
        tokens_in=answer.tokens_in if answer else None,
        tokens_out=answer.tokens_out if answer else None,
        latency_s=round(seconds, 6),
        error=error,
        held_out=scenario.held_out,
    )
