"""The models that the arms of a case ask, opened."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from safecase.assess._case import Case
from safecase.declare import ModelVersion, Prices
from safecase.models import EndpointOptions, Model, Options, open_model


def target_names(case: Case, model_name: str | None = None) -> dict[str, str]:
    """The name of every arm's target.

    Args:
        model_name: another one than the case names under `model:`.
    """
    deployed, least = model_name or case.spec.model.name, case.spec.least_mitigated
    return {arm: least.name if least is not None and arm == "bare" else deployed for arm in case.arms}


@asynccontextmanager
async def opened_targets(case: Case, model: Model | None, model_name: str | None) -> AsyncIterator[dict[str, Model]]:
    """The model of every arm: the caller's, left open, and those by name, closed afterwards."""
    least = case.spec.least_mitigated
    async with AsyncExitStack() as opened:
        if model is None:
            model = open_model(model_name or case.spec.model.name, options=_options(case, case.spec.model))
            opened.push_async_callback(model.aclose)
        targets = dict.fromkeys(case.arms, model)
        if least is not None:
            targets["bare"] = open_model(least.name, options=_options(case, least))
            opened.push_async_callback(targets["bare"].aclose)
        yield targets


def prices_of(case: Case, targets: Mapping[str, Model]) -> dict[str, Prices]:
    """What the least mitigated version costs, where the case says that it costs something else."""
    least = case.spec.least_mitigated
    return {targets["bare"].name: least.prices} if least is not None and least.prices is not None else {}


def _options(case: Case, version: ModelVersion) -> Options:
    """An attestation is believed from whoever stands on the case's roster."""
    attestation = version.attestation
    if attestation is None:
        return Options()
    from safecase.assess._signing import case_roster  # late: few cases name an attestation

    roster = case_roster(case)
    trusted = tuple(entry.key for entry in roster.entries) if roster else ()
    return Options(endpoint=EndpointOptions(attestation=case.path / attestation, trusted=trusted))


@asynccontextmanager
async def closing(case: Case) -> AsyncIterator[None]:
    """The case's stacks let go of their models when a run ends; the next run gets stacks of its own."""
    try:
        yield
    finally:
        for stack in case.close_arms().values():
            await stack.aclose()
