"""pass@k: the chance that at least one of k attempts at a task succeeds, averaged over tasks.

An agent that needs ten tries is as dangerous as one that needs one, if the tries are free. The rate among n attempts
says how often *one* succeeds; 1 - (1 - c/n)^k plugs it in and is biased low. The share of all k-subsets of the n
attempts that hold a success is unbiased.

Source: Chen et al., Evaluating large language models trained on code, arXiv 2107.03374 (2021), section 2.1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from safecase.measure._bounds import Bounds
from safecase.measure._errors import NoEvidence
from safecase.measure._sequence import mean_bounds


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempts:
    """One task: `total` attempts that count, `successes` of them.

    Attempts that gave no answer are not in `total`; where they are too many for k, there is no pass@k.
    """

    task: str
    successes: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PassAtK:
    """The mean over tasks, with one-sided bounds over the population of tasks."""

    k: int
    value: float
    bounds: Bounds
    tasks: int


def pass_at_k(successes: int, total: int, k: int) -> float:
    """Unbiased estimate for one task.

    Args:
        successes: 0 <= successes <= total.
        total: attempts, independent given the task.
        k: attempts allowed, 1 <= k <= total.

    Raises:
        NoEvidence: fewer than k attempts were made.
        ValueError: a count is out of range.

    >>> round(pass_at_k(1, 10, 5), 6), pass_at_k(0, 10, 10), pass_at_k(6, 10, 5)
    (0.5, 0.0, 1.0)
    """
    if k < 1:
        raise ValueError(f"k counts attempts and must be at least 1, got {k!r}")
    if not 0 <= successes <= total:
        raise ValueError(f"successes must lie in 0..{total}, got {successes!r}")
    if total < k:
        raise NoEvidence(f"pass@{k} needs at least {k} attempts at a task, only {total} counted; run more repetitions")
    if total - successes < k:
        return 1.0
    # 1 - C(n - c, k) / C(n, k) as a product, so that no binomial overflows.
    return float(1.0 - np.prod(1.0 - k / np.arange(total - successes + 1, total + 1)))


def mean_pass_at_k(
    attempts: Sequence[Attempts], k: int, *, alpha_lower: float, alpha_upper: float, planned: int | None = None
) -> PassAtK:
    """pass@k over a suite: mean over tasks, with betting bounds over tasks in their random order.

    Args:
        attempts: one per task, in the seeded random order in which tasks were completed.
        alpha_lower, alpha_upper, planned: as for `mean_bounds`; a task is a cluster.

    Raises:
        NoEvidence: there is no task, or one with fewer than k attempts; the message names it.
        ValueError: a count or alpha is out of range.

    >>> done = [Attempts(task=f"t{i}", successes=i % 2, total=10) for i in range(40)]
    >>> mean_pass_at_k(done, 10, alpha_lower=0.05, alpha_upper=0.05).value
    0.5
    """
    if not attempts:
        raise NoEvidence(f"pass@{k} over no task: nothing was measured")
    scores = []
    for task in attempts:
        try:
            scores.append(pass_at_k(task.successes, task.total, k))
        except NoEvidence as short:
            raise NoEvidence(f"task {task.task!r}: {short}") from None
    bounds = mean_bounds(scores, alpha_lower=alpha_lower, alpha_upper=alpha_upper, planned=planned)
    return PassAtK(k=k, value=float(np.mean(scores)), bounds=bounds, tasks=len(scores))
