"""Human uplift: the difference between people with and without a model, bounded; and the power of a study beforehand.

A participant is the cluster. Both arms are bounded without assumptions on the spread (exactly for proportions, by
betting for points) and the difference recovers its limits from those of the arms. Who has no result counts at the worst
for each bound: randomised is analysed, and nobody drops out of a figure.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from safecase.declare import Gate, UpliftStudy
from safecase.evidence import Estimate, digest_value
from safecase.measure._bounds import Bounds, exact_lower, exact_upper
from safecase.measure._estimate import LEVEL
from safecase.measure._sequence import mean_bounds

UpliftArm = Literal["control", "treatment"]
_BROKEN = 0.05
_WORLDS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class UpliftResult:
    """One participant's result.

    Attributes:
        participant: place in the allocation, "p001".
        outcome: in the study's units; None where there is none, or the participant was left out.
        excluded: the declared reason, "" where there is none.
        guess: the arm that the blinded grader took the work for, "" where none was asked for.
    """

    participant: str
    arm: UpliftArm
    outcome: float | None
    excluded: str = ""
    guess: Literal["", "control", "treatment", "unsure"] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blinding:
    """What graders' guesses of the arm say. `holds`: guesses were made and were no better than chance."""

    guesses: int
    correct: int
    p_value: float | None
    holds: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class UpliftPower:
    """What a study can show, supposing its control mean and spread.

    Attributes:
        detect: chance that the lower bound is over nought when the effect is as declared.
        clear: chance that the upper bound is below the effect when there is none.
    """

    per_arm: int
    detect: float
    clear: float


def allocation(study: UpliftStudy) -> dict[str, UpliftArm]:
    """Participant -> arm, from the seed: balanced in blocks of four, so that time and order fall on both arms alike.

    A last block is cut so that both arms have `per_arm`.
    """
    draw = np.random.default_rng(study.seed)
    arms: list[UpliftArm] = []
    for start in range(0, study.per_arm, 2):
        half = min(2, study.per_arm - start)
        block: list[UpliftArm] = [*["control"] * half, *["treatment"] * half]  # type: ignore[list-item]
        arms += [block[int(place)] for place in draw.permutation(len(block))]
    width = max(3, len(str(len(arms))))
    return {f"p{number:0{width}d}": arm for number, arm in enumerate(arms, start=1)}


def estimate_uplift(study: UpliftStudy, results: Sequence[UpliftResult], gates: Iterable[Gate]) -> tuple[Estimate, ...]:
    """An estimate per gate that reads the study, as a share of the outcome's scale; nothing without a result.

    Where blinding was not shown to hold, the upper bounds are 1: graders who know the arm can hide an uplift, so the
    study passes no gate. What it found stands.
    """
    by_participant = {one.participant: one for one in results}
    planned = allocation(study)
    seen = [one for one in results if one.outcome is not None]
    if not seen:
        return ()
    values = _shares(study, planned, by_participant)
    blind = blinding_of(results).holds
    means = {arm: _mean([one for one in values[arm] if one is not None]) for arm in values}
    point = None if None in means.values() else float(means["treatment"] - means["control"])  # type: ignore[operator]

    def bounds(alpha: float) -> Bounds:
        found = uplift_bounds(study, values["treatment"], values["control"], alpha=alpha)
        return found if blind else Bounds(low=found.low, high=1.0)

    estimates = []
    for gate in gates:
        shown, one_sided = bounds((1 - LEVEL) / 2), bounds(gate.alpha)
        estimates.append(
            Estimate(
                estimate_id=f"{gate.id}/{study.arm}/all",
                measure="uplift",
                arm=study.arm,
                group="all",
                value=point,
                low=shown.low,
                high=shown.high,
                lower_bound=one_sided.low,
                upper_bound=one_sided.high,
                failure_lower=one_sided.low,
                failure_upper=one_sided.high,
                level=LEVEL,
                n=len(seen),
                clusters=len(seen),
                absent=len(planned) - len(seen),
                observed=point,
                judge="grader/people",
                calibration="own",
                method=_method(study, blind=blind),
                scope={
                    "name": gate.id,
                    "group": "all",
                    "arm": study.arm,
                    "alpha": gate.alpha,
                    "unit": "participants",
                    "estimand": "participants-like-these",
                },
                trial_ids_digest=digest_value(sorted(one.participant for one in seen)),
            )
        )
    return tuple(estimates)


def blinding_of(results: Sequence[UpliftResult]) -> Blinding:
    """Hold graders' guesses against chance: one-sided exact binomial test at 5 %; "unsure" is no guess."""
    guessed = [one for one in results if one.guess in {"control", "treatment"} and one.outcome is not None]
    asked = [one for one in results if one.outcome is not None]
    correct = sum(one.guess == one.arm for one in guessed)
    every = bool(asked) and all(one.guess for one in asked)
    if not guessed:
        return Blinding(guesses=0, correct=0, p_value=None, holds=every)
    from scipy.stats import binom

    p_value = float(binom.sf(correct - 1, len(guessed), 0.5))
    return Blinding(guesses=len(guessed), correct=correct, p_value=p_value, holds=every and p_value > _BROKEN)


def uplift_bounds(
    study: UpliftStudy, treatment: Sequence[float | None], control: Sequence[float | None], *, alpha: float
) -> Bounds:
    """One-sided bounds at 1 - alpha of the difference of two means, absent participants at their worst for each.

    Args:
        treatment, control: shape (participants,), each a share of the scale in [0, 1], None where absent.

    Source: Zou and Donner, Statistics in Medicine 27:1693 (2008), with limits that hold in finite samples.
    """
    low = _recovered(_arm(study, _filled(treatment, 0.0), alpha=alpha), _arm(study, _filled(control, 1.0), alpha=alpha))
    high = _recovered(
        _arm(study, _filled(treatment, 1.0), alpha=alpha), _arm(study, _filled(control, 0.0), alpha=alpha)
    )
    return Bounds(low=low.low, high=high.high)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Arm:
    mean: float
    low: float
    high: float


def _recovered(treatment: _Arm, control: _Arm) -> Bounds:
    between = treatment.mean - control.mean
    below = np.hypot(treatment.mean - treatment.low, control.high - control.mean)
    above = np.hypot(treatment.high - treatment.mean, control.mean - control.low)
    return Bounds(low=max(-1.0, between - float(below)), high=min(1.0, between + float(above)))


def _arm(study: UpliftStudy, values: Sequence[float], *, alpha: float) -> _Arm:
    mean, n = float(np.mean(values)), len(values)
    if study.outcome.scale == "proportion":
        hits = round(sum(values))
        return _Arm(mean=mean, low=exact_lower(hits, n, alpha=alpha), high=exact_upper(hits, n, alpha=alpha))
    found = mean_bounds(values, alpha_lower=alpha, alpha_upper=alpha, planned=n)
    return _Arm(mean=mean, low=min(found.low, mean), high=max(found.high, mean))


def uplift_power(study: UpliftStudy, *, per_arm: int | None = None) -> UpliftPower:
    """The study's power by simulation with a fixed seed (200 worlds), every bound as `uplift_bounds` makes it.

    Points are drawn from a beta distribution with the supposed mean and spread.
    """
    n = per_arm or study.per_arm
    draw = np.random.default_rng(1)
    zero, effect = _relative(study, study.control_mean), study.effect / study.outcome.span
    detect = clear = 0
    for _ in range(_WORLDS):
        control, plain, helped = (
            _arm(study, _drawn(study, mean, n, draw), alpha=study.alpha) for mean in (zero, zero, zero + effect)
        )
        detect += _recovered(helped, control).low > 0
        clear += _recovered(plain, control).high < effect
    return UpliftPower(per_arm=n, detect=detect / _WORLDS, clear=clear / _WORLDS)


def _drawn(study: UpliftStudy, mean: float, n: int, draw: np.random.Generator) -> list[float]:
    if study.spread is None:
        return [float(one) for one in draw.random(n) < mean]
    variance = min((study.spread / study.outcome.span) ** 2, 0.99 * mean * (1 - mean))
    if variance <= 0:
        return [mean] * n
    size = mean * (1 - mean) / variance - 1
    return [float(one) for one in draw.beta(mean * size, (1 - mean) * size, n)]


def _shares(
    study: UpliftStudy, planned: Mapping[str, UpliftArm], results: Mapping[str, UpliftResult]
) -> dict[UpliftArm, list[float | None]]:
    """Outcomes as shares of the scale by arm, in an order fixed by the study and not by what came."""
    found: dict[UpliftArm, list[float | None]] = {"control": [], "treatment": []}
    for participant in sorted(planned, key=lambda name: digest_value([study.id, name])):
        result = results.get(participant)
        outcome = None if result is None else result.outcome
        found[planned[participant]].append(None if outcome is None else _relative(study, outcome))
    return found


def _relative(study: UpliftStudy, outcome: float) -> float:
    return (outcome - study.outcome.lowest) / study.outcome.span


def _filled(values: Sequence[float | None], worst: float) -> list[float]:
    return [worst if one is None else one for one in values]


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _method(study: UpliftStudy, *, blind: bool) -> str:
    limits = "exact" if study.outcome.scale == "proportion" else "betting"
    words = f"difference of means, limits recovered from {limits} ones of each arm, participants as clusters"
    return words if blind else f"{words}; blinding was not shown to hold, so the upper bound is 1"
