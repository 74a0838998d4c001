"""When another assessment falls due, besides at release. Pure: the days that went by are an argument."""

from safecase.declare import Triggers

_DAYS_A_MONTH = 30


def assessment_due(
    triggers: Triggers,
    *,
    operations_then: float | None,
    operations_now: float | None,
    capability_gain: float | None,
    checkpoint: bool,
    days_since: int,
) -> tuple[str, ...]:
    """Every reason for another assessment, in sentences; empty when none is due.

    Args:
        operations_then, operations_now: training operations at the last decision and now; None is unknown, and an
            unknown figure beside a known one counts as grown.
        capability_gain: largest gain on a tracked capability since, in [0, 1].
        checkpoint: a checkpoint marked for assessment was reached.
        days_since: days since the last decision, at least 0.
    """
    reasons: list[str] = []
    if operations_now is not None and operations_then is None:
        reasons.append("compute at the last decision is unknown, so its growth cannot be bounded")
    elif (
        operations_now is not None and operations_then and operations_now >= triggers.compute_multiple * operations_then
    ):
        grown = operations_now / operations_then
        reasons.append(f"compute grew {grown:.3g}-fold; the line is {triggers.compute_multiple:g} ({triggers.cites})")
    if checkpoint and triggers.each_checkpoint_marked:
        reasons.append(f"a checkpoint marked for assessment was reached ({triggers.cites})")
    if capability_gain is not None and capability_gain >= triggers.capability_gain:
        reasons.append(
            f"a capability gained {capability_gain:g}; the line is {triggers.capability_gain:g} ({triggers.cites})"
        )
    if days_since >= triggers.max_age_months * _DAYS_A_MONTH:
        reasons.append(f"{days_since} days went by; the line is {triggers.max_age_months} months ({triggers.cites})")
    return tuple(reasons)
