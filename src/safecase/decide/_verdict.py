"""One gate against the bounds of its estimates. A bound decides, never a point estimate."""

from collections.abc import Mapping
from dataclasses import dataclass

from safecase.declare import Gate, Threshold
from safecase.evidence import CALIBRATIONS, Estimate, GateVerdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A gate read on one arm: the verdict, a sentence, and the estimates used."""

    verdict: GateVerdict
    reason: str
    evidence: tuple[str, ...]


def read_gate(gate: Gate, estimates: Mapping[str, Estimate], *, arm: str, planned: bool, available: bool) -> Reading:
    """Hold a gate against the estimates of one arm.

    Every threshold must pass (an intersection-union test: each group at the gate's own alpha, uncorrected); one that
    fails beyond a corrected bound fails the gate; everything else is inconclusive. What could not have been cleared by
    the intents that were planned says so.

    Args:
        estimates: by id.
        planned: whether the plan concentrates on this gate.
        available: whether its suite can be run here.
    """
    whole = estimates.get(f"{gate.id}/{arm}/all")
    if whole is None or (not planned and whole.clusters < gate.min_clusters):
        return _absent(gate, arm, planned=planned, available=available)
    used = (whole.estimate_id,)
    if whole.clusters < gate.min_clusters:
        words = f"{whole.clusters} completed intents, {gate.min_clusters} needed; run more of them"
        return Reading(verdict="inconclusive", reason=f"under-powered: {words}", evidence=used)
    if CALIBRATIONS.index(whole.calibration) > CALIBRATIONS.index(gate.calibration):
        words = f"its error is known as {whole.calibration!r} here, the gate asks for {gate.calibration!r}"
        return Reading(verdict="inconclusive", reason=f"judge uncalibrated: {words}", evidence=used)
    readings = [_read_threshold(gate, threshold, estimates, arm) for threshold in gate.thresholds]
    for verdict in ("fail", "inconclusive", "pass"):
        matching = [reading for reading in readings if reading.verdict == verdict]
        if matching:
            return Reading(
                verdict=matching[0].verdict,
                reason="; ".join(reading.reason for reading in matching),
                evidence=tuple(dict.fromkeys(name for reading in readings for name in reading.evidence)),
            )
    raise AssertionError("a gate has at least one threshold")


def _absent(gate: Gate, arm: str, *, planned: bool, available: bool) -> Reading:
    if not available:
        reason = f"suite {gate.suite!r} is not available here"
        return Reading(verdict="not-measured", reason=reason, evidence=())
    if not planned:
        return Reading(verdict="not-planned", reason="the plan does not include this gate", evidence=())
    reason = f"no trial of arm {arm!r} answered; run `safecase run CASE`"
    return Reading(verdict="not-measured", reason=reason, evidence=())


def _read_threshold(gate: Gate, threshold: Threshold, estimates: Mapping[str, Estimate], arm: str) -> Reading:
    if threshold.over == "all":
        members = [estimates[f"{gate.id}/{arm}/all"]]
    else:
        prefix = f"{gate.id}/{arm}/{threshold.over}:"
        members = [estimate for name, estimate in sorted(estimates.items()) if name.startswith(prefix)]
    if not members:
        return Reading(verdict="inconclusive", reason=f"no group by {threshold.over} was measured", evidence=())
    names = tuple(estimate.estimate_id for estimate in members)
    failing = [
        estimate
        for estimate in members
        if threshold.is_failed(lower=estimate.failure_lower, upper=estimate.failure_upper)
    ]
    if failing:
        return Reading(verdict="fail", reason=_sentence(threshold, failing, "crosses"), evidence=names)
    open_ones = [
        estimate
        for estimate in members
        if not threshold.is_cleared(lower=estimate.lower_bound, upper=estimate.upper_bound)
    ]
    if hopeless := [estimate for estimate in open_ones if _is_out_of_reach(threshold, estimate)]:
        return Reading(verdict="inconclusive", reason=_under_powered(threshold, hopeless), evidence=names)
    if open_ones:
        return Reading(verdict="inconclusive", reason=_sentence(threshold, open_ones, "may cross"), evidence=names)
    return Reading(verdict="pass", reason=_sentence(threshold, members, "keeps to"), evidence=names)


def _is_out_of_reach(threshold: Threshold, estimate: Estimate) -> bool:
    """True when the planned intents could not have cleared it, whatever came of them. Without a plan nothing is."""
    best = (estimate.scope.get("best_lower"), estimate.scope.get("best_upper"))
    if not isinstance(best[0], float) or not isinstance(best[1], float):
        return False
    return not threshold.is_cleared(lower=best[0], upper=best[1])


def _under_powered(threshold: Threshold, estimates: list[Estimate]) -> str:
    """Say that a threshold could not have been cleared, and name the group that is furthest from it."""
    ceiling = threshold.passes.is_ceiling
    least = min(estimates, key=lambda e: (_planned(e), e.estimate_id))
    bound = least.scope["best_upper"] if ceiling else least.scope["best_lower"]
    group = "" if threshold.over == "all" else f" for {least.group} ({len(estimates)} such groups)"
    what = "even with no event" if ceiling else "even with nothing but events"
    return (
        f"under-powered: {_planned(least)} planned intents cannot clear {threshold.passes}{group} {what} "
        f"({'upper' if ceiling else 'lower'} bound {bound:.1%} at best); `safecase measure plan` says how many can"
    )


def _planned(estimate: Estimate) -> int:
    planned = estimate.scope.get("planned")
    return planned if isinstance(planned, int) else 0


def _sentence(threshold: Threshold, estimates: list[Estimate], verb: str) -> str:
    """Name the estimate furthest on the bad side; of several groups it is a selected one, and says so."""
    ceiling = threshold.passes.is_ceiling
    worst = max(estimates, key=lambda e: e.upper_bound) if ceiling else min(estimates, key=lambda e: e.lower_bound)
    if verb == "crosses":
        bound = worst.failure_lower if ceiling else worst.failure_upper
        side = "lower" if ceiling else "upper"
    else:
        bound, side = (worst.upper_bound, "upper") if ceiling else (worst.lower_bound, "lower")
    group = "" if threshold.over == "all" else f" for {worst.group} (the worst of {len(estimates)}, so selected)"
    value = "no point estimate" if worst.value is None else f"estimate {worst.value:.1%}"
    return f"{verb} {threshold.passes}{group}: {side} bound {bound:.1%}, {value}, {worst.clusters} intents"
