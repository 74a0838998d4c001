"""What the attempts say of elicitation: score against budget, signs of spurious failure, what was reviewed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from safecase.evidence import TaskAttempt
from safecase.measure._bounds import exact_upper

_CURVE_POINTS = 16
_NEAR_LIMIT = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """What `Elicitation` takes from the attempts; its attributes say what each is."""

    curve: tuple[tuple[int, float], ...]
    second_half_gain: float | None
    cut_off: float | None
    failures: int
    flagged: int
    reviewed: int
    spurious: int
    spurious_bound: float


def effort_of(attempts: Sequence[TaskAttempt], reviews: Mapping[str, bool], *, tokens: int | None) -> Effort:
    """Read the effort off the attempts asked the plain way.

    Args:
        attempts: those that answered.
        reviews: attempt id -> whether a person found its failure spurious. The review sheet is drawn at random and
            taken without gaps, so these are a random sample of the flagged ones; the bound rests on it.
        tokens: output tokens that an attempt might use.
    """
    failed = [one for one in attempts if (one.score or 0.0) < 1.0]
    flagged = [one for one in failed if one.flags]
    seen = [reviews[one.attempt_id] for one in flagged if one.attempt_id in reviews]
    curve = score_against_budget(attempts)
    return Effort(
        curve=curve,
        second_half_gain=_second_half_gain(curve),
        cut_off=sum(_is_cut_off(one, tokens) for one in failed) / len(failed) if failed else None,
        failures=len(failed),
        flagged=len(flagged),
        reviewed=len(seen),
        spurious=sum(seen),
        spurious_bound=_unreviewed_bound(len(failed), len(flagged), seen),
    )


def score_against_budget(attempts: Sequence[TaskAttempt]) -> tuple[tuple[int, float], ...]:
    """Share of attempts solved within so many output tokens: what each would have come to with a smaller budget.

    Empty without attempts, or where one of them did not count its tokens.
    """
    used = [one.tokens_out for one in attempts if one.tokens_out is not None]
    if not used or len(used) < len(attempts):
        return ()
    most = max(max(used), 1)
    budgets = sorted({max(1, round(most * (place + 1) / _CURVE_POINTS)) for place in range(_CURVE_POINTS)})
    solved = [one.tokens_out or 0 for one in attempts if (one.score or 0.0) >= 1.0]
    return tuple((budget, sum(cost <= budget for cost in solved) / len(attempts)) for budget in budgets)


def _second_half_gain(curve: Sequence[tuple[int, float]]) -> float | None:
    if not curve:
        return None
    most, final = curve[-1]
    return final - max((share for budget, share in curve if budget <= most / 2), default=0.0)


def _is_cut_off(attempt: TaskAttempt, tokens: int | None) -> bool:
    ran_out = tokens is not None and attempt.tokens_out is not None and attempt.tokens_out >= _NEAR_LIMIT * tokens
    return ran_out or "truncated" in attempt.flags


def _unreviewed_bound(failures: int, flagged: int, seen: Sequence[bool]) -> float:
    """Of all failures, at most how many are flagged, unreviewed and spurious; one-sided at 95 %."""
    left = flagged - len(seen)
    if not left:
        return 0.0
    share = exact_upper(sum(seen), len(seen), alpha=0.05) if seen else 1.0
    return share * left / failures
