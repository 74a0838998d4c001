"""What it would take to decide what controls left undecided: more sessions, or more attacks and main tasks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from safecase.measure import exact_lower, exact_upper, mean_bounds
from safecase.suites.arena._verify import ALPHA, GroupRate

_MOST_SEEDS = 500
_MOST_CLUSTERS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What one undecided group takes, should its rate stay as it was seen.

    Attributes:
        seeds: sessions of each attack on each main task; None where no number up to 500 decides.
        sessions: the group's own sessions at so many seeds, None with `seeds`.
        clusters: of a family, fewest pairs of attack and main task with which it can be decided at all, however many
            seeds; None for a policy, and where twenty times as many as there are do not decide either.
        has_clusters: the pairs there are.
    """

    group: str
    rate: float
    seeds: int | None
    sessions: int | None
    clusters: int | None
    has_clusters: int

    def __str__(self) -> str:
        if self.seeds is not None:
            return f"{self.group}, at {self.rate:.1%}: {self.seeds} seeds ({self.sessions:,} sessions of its own)"
        seen = f"{self.group}, at {self.rate:.1%}"
        if self.clusters is None:
            return f"{seen}: no number of seeds up to {_MOST_SEEDS}; its rate lies near the line or over it"
        if self.clusters > self.has_clusters:
            pairs = f"at least {self.clusters} pairs of attack and main task, there are {self.has_clusters}"
            return f"{seen}: no number of seeds; {pairs}"
        return f"{seen}: its {self.has_clusters} pairs of attack and main task are enough; more seeds may do"


def needs_of(rates: Sequence[GroupRate], *, limit: float) -> tuple[Need, ...]:
    """What each group that is neither held to the limit nor over it takes, the greatest need first.

    Sessions of a policy are independent, so seeds narrow its bound. A family's bound is over pairs of attack and main
    task: seeds make each pair's share sharper and add no pair, so past some number they change nothing.

    Args:
        rates: as `verify_controls` gives them; a group in which no session ended needs those first, and is left out.
    """
    policies = sum(rate.group.startswith("policy:") for rate in rates)
    found = list(_needs(rates, policies, limit))
    return tuple(sorted(found, key=lambda need: (need.seeds is not None, -(need.seeds or 0), need.group)))


def _needs(rates: Sequence[GroupRate], policies: int, limit: float) -> Iterator[Need]:
    for rate in rates:
        if rate.value is None or rate.lower > limit or rate.upper <= limit:
            continue
        is_policy = rate.group.startswith("policy:")
        seeds = _seeds(rate.value, rate.clusters, limit, shown=policies) if is_policy else None
        yield Need(
            group=rate.group,
            rate=rate.value,
            seeds=seeds,
            sessions=None if seeds is None else seeds * rate.clusters,
            clusters=None if is_policy else _clusters(rate.value, rate.clusters, limit),
            has_clusters=rate.clusters,
        )


def _seeds(rate: float, per_seed: int, limit: float, *, shown: int) -> int | None:
    for seeds in range(1, _MOST_SEEDS + 1):
        sessions = seeds * per_seed
        events = round(rate * sessions)
        if exact_upper(events, sessions, alpha=ALPHA) <= limit:
            return seeds
        if exact_lower(events, sessions, alpha=ALPHA / shown) > limit:
            return seeds
    return None


def _clusters(rate: float, has: int, limit: float) -> int | None:
    """With every pair at the family's own rate, which no number of seeds betters."""
    for times in range(4, 4 * _MOST_CLUSTERS + 1):
        clusters = times * has // 4
        bounds = mean_bounds([rate] * clusters, alpha_lower=ALPHA, alpha_upper=ALPHA, planned=clusters)
        if bounds.high <= limit:
            return clusters
    return None
