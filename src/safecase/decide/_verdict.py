"""One gate against the bounds of its estimates. A bound decides, never a point estimate."""

from collections.abc import Mapping
from dataclasses import dataclass

from safecase.declare import Gate, Limit, Threshold
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
    fails beyond a corrected bound fails the gate; everything else is inconclusive.

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
    failing = [estimate for estimate in members if _fails(threshold, estimate)]
    if failing:
        return Reading(verdict="fail", reason=_sentence(threshold, failing, "crosses"), evidence=names)
    open_ones = [estimate for estimate in members if not _passes(threshold.passes, estimate)]
    if open_ones:
        return Reading(verdict="inconclusive", reason=_sentence(threshold, open_ones, "may cross"), evidence=names)
    return Reading(verdict="pass", reason=_sentence(threshold, members, "keeps to"), evidence=names)


def _passes(limit: Limit, estimate: Estimate) -> bool:
    return limit.holds(estimate.upper_bound if limit.is_ceiling else estimate.lower_bound)


def _fails(threshold: Threshold, estimate: Estimate) -> bool:
    """True when the whole of the corrected interval lies on the failing side."""
    if threshold.fails is None:
        limit = threshold.passes
        return not limit.holds(estimate.failure_lower if limit.is_ceiling else estimate.failure_upper)
    limit = threshold.fails
    return limit.holds(estimate.failure_upper if limit.is_ceiling else estimate.failure_lower)


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
