"""Do the intervals hold what they promise? Simulated from drawing intents to reading the bound.

    PYTHONPATH=src python benchmarks/coverage.py [--runs 2000] [--only SECTION]

prints, with machine and date, the tables of docs/coverage.md: how often a one-sided bound misses the truth (its
declared error is 5 %), how often a gate clears falsely when one looks after every intent, what adaptive allocation and
prediction-powered estimates do, what goes wrong with other designs, the chance that many attacks all clear, and how
wide the bounds are beside an exact fixed-sample bound. Every world has its own seed. `tests/measure/test_coverage.py`
runs the same worlds with fewer repetitions. Calls saved: `benchmarks/calls_saved.py`.
"""

import argparse
import datetime
import platform
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import binom

from safecase.measure import (
    Agreement,
    Cell,
    JudgeError,
    Seen,
    Tally,
    TooFewEvents,
    clearance_times,
    exact_lower,
    exact_upper,
    judge_error,
    prediction_powered,
    rate_bounds,
    weighted_bounds,
)
from safecase.measure._sequence import lower_bound, upper_bound

ALPHA = 0.05
RATE_SHARE, CORNER_SHARE = 0.6, 0.2
"""Of a bound's error: for the rate, and for each of the two judge rates its corner uses. Together 1."""
NOBODY = Agreement(hits=0, misses=0, rejections=0, false_alarms=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A truth to be measured.

    Attributes:
        rate: mean over intents of the chance that an answer is unsafe, before the guard.
        intents: planned. sizes: least and most trials of an intent.
        alike: 1 is independent trials within an intent, 0 all the same (beta-binomial, strength alike / (1 - alike)).
        judge: (sensitivity, specificity), or None when people labelled everything.
        labels: answers of each kind that the judge is calibrated on, drawn anew in every run.
        withheld: shares of unsafe and of safe answers that the guard withholds.
        missing: share of answers that never came.
        limit: the gate's; where given, the run looks after every twentieth intent and stops once decided.
        alike_errors: correlation, over unsafe answers, of "the guard misses it" and "the judge misses it".
        calibrated_on: whose answers the labels were drawn from, "own" (this arm's) or "bare" (before the guard).
    """

    rate: float
    intents: int = 60
    sizes: tuple[int, int] = (1, 30)
    alike: float = 0.3
    judge: tuple[float, float] | None = None
    labels: int = 200
    withheld: tuple[float, float] = (0.0, 0.0)
    missing: float = 0.0
    limit: float | None = None
    alike_errors: float = 0.0
    calibrated_on: str = "own"

    @property
    def truth(self) -> float:
        """Chance that an answer is unsafe and reaches the user."""
        return self.rate * (1 - self.withheld[0])

    def sensitivity(self, *, after_guard: bool) -> float:
        """The judge's, over the unsafe answers that it is shown."""
        assert self.judge is not None
        sensitivity = self.judge[0]
        if not after_guard or not self.alike_errors:
            return sensitivity
        caught = self.withheld[0]
        together = self.alike_errors * (caught * (1 - caught) * sensitivity * (1 - sensitivity)) ** 0.5
        return sensitivity - together / (1 - caught)


RATES = (0.0, 0.002, 0.02, 0.1, 0.4, 0.8)
JUDGES = ((0.7, 0.7), (0.7, 0.99), (0.9, 0.9), (0.99, 0.7), (0.99, 0.99), (0.92, 0.39))

PEOPLE = {f"people's labels, rate {rate}": World(rate=rate) for rate in RATES}
JUDGED = {f"judge {se}/{sp}, rate {rate}": World(rate=rate, judge=(se, sp)) for se, sp in JUDGES for rate in RATES}
SHAPES = {
    "one trial an intent": World(rate=0.1, sizes=(1, 1)),
    "30 trials, all alike": World(rate=0.1, sizes=(30, 30), alike=0.02),
    "30 trials, independent": World(rate=0.1, sizes=(30, 30), alike=0.95),
    "400 intents": World(rate=0.02, intents=400),
    "guard withholds 70 %": World(rate=0.4, judge=(0.9, 0.8), withheld=(0.7, 0.7)),
    "20 labels": World(rate=0.1, judge=(0.9, 0.9), labels=20),
    "a fifth missing": World(rate=0.1, judge=(0.9, 0.9), missing=0.2),
}
STOPPED = {
    "at limit 0.02, stopping": World(rate=0.02, limit=0.02, intents=200),
    "at limit 0.2, stopping": World(rate=0.2, limit=0.2, sizes=(1, 5)),
    "at limit 0.2, stopping, judge 0.9/0.9": World(rate=0.2, limit=0.2, judge=(0.9, 0.9)),
    "at limit 0.2, stopping, judge 0.92/0.39": World(rate=0.2, limit=0.2, judge=(0.92, 0.39), labels=1000),
    "at limit 0.6, stopping, one trial": World(rate=0.6, limit=0.6, sizes=(1, 1)),
}
_ALIKE = World(
    rate=0.3, withheld=(0.8, 0.0), judge=(0.86, 0.98), alike_errors=0.7, intents=1000, sizes=(1, 5), labels=2000
)
SHARED_ERRORS = {
    "guard and judge err alike, own labels": _ALIKE,
    "guard and judge err alike, labels of bare": replace(_ALIKE, calibrated_on="bare"),
}
WORLDS = PEOPLE | JUDGED | SHAPES | STOPPED | SHARED_ERRORS


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How a world's runs came out; counts of runs.

    Attributes:
        over: the truth lay over the upper bound; at a gate's limit, a false clearance.
        under: the truth lay under the lower bound.
        width: mean of upper minus lower.
    """

    runs: int
    over: int
    under: int
    width: float

    @property
    def holds(self) -> bool:
        """Whether both counts fit an error of ALPHA: bounds that hold exceed this in 1 of 1,000 simulations."""
        return max(self.over, self.under) <= most_misses(self.runs)


def most_misses(runs: int) -> int:
    """Misses among `runs` that bounds at error ALPHA exceed with probability at most 0.001."""
    return int(binom.ppf(0.999, runs, ALPHA))


def coverage(name: str, world: World, *, runs: int, planned: bool = True) -> Coverage:
    """Measure a world again and again.

    Args:
        name: seeds the world.
        planned: whether the bounds are told how many intents were planned.
    """
    rng = np.random.default_rng(crc32(name.encode()))
    over = under = 0
    width = 0.0
    for _ in range(runs):
        low, high = _measure(rng, world, planned=planned)
        over += high < world.truth
        under += low > world.truth
        width += (high - low) / runs
    return Coverage(runs=runs, over=over, under=under, width=width)


def _measure(rng: np.random.Generator, world: World, *, planned: bool) -> tuple[float, float]:
    """Draw the world once and read both bounds, at the end or at the look that decides."""
    tallies = draw(rng, world)
    read = _reader(tallies, _calibrate(rng, world), planned=world.intents if planned else None)
    looks = [len(tallies)] if world.limit is None else range(20, len(tallies) + 1, 20)
    for look in looks:
        low, high = read(look)
        if world.limit is not None and not low <= world.limit <= high:
            break
    return low, high


def _reader(
    tallies: list[Tally], error: JudgeError | None, *, planned: int | None
) -> Callable[[int], tuple[float, float]]:
    if error is not None:
        share = ALPHA * RATE_SHARE

        def corrected(look: int) -> tuple[float, float]:
            bounds = rate_bounds(tallies[:look], error, alpha_lower=share, alpha_upper=share, planned=planned)
            return bounds.low, bounds.high

        return corrected
    least = np.array([t.known_yes / t.total for t in tallies])
    most = least + np.array([t.missing / t.total for t in tallies])

    def known(look: int) -> tuple[float, float]:
        low = lower_bound(least[:look], alpha=ALPHA, planned=planned)
        return low, upper_bound(most[:look], alpha=ALPHA, planned=planned)

    return known


def draw(rng: np.random.Generator, world: World) -> list[Tally]:
    """One tally per intent."""
    n = world.intents
    total = rng.integers(world.sizes[0], world.sizes[1] + 1, n)
    strength = world.alike / (1 - world.alike)
    chance = np.full(n, world.rate)
    if 0 < world.rate < 1:
        chance = rng.beta(max(1e-9, world.rate * strength), max(1e-9, (1 - world.rate) * strength), n)
    missing = rng.binomial(total, world.missing)
    unsafe = rng.binomial(total - missing, chance)
    safe = total - missing - unsafe
    reached = rng.binomial(unsafe, 1 - world.withheld[0])
    withheld_safe = rng.binomial(safe, world.withheld[1])
    withheld = unsafe - reached + withheld_safe
    if world.judge is None:
        known_no = total - missing - reached
        return [
            Tally(known_yes=int(y), known_no=int(k), missing=int(m))
            for y, k, m in zip(reached, known_no, missing, strict=True)
        ]
    shown = safe - withheld_safe
    found = rng.binomial(reached, world.sensitivity(after_guard=True))
    flagged = found + rng.binomial(shown, 1 - world.judge[1])
    rows = zip(withheld, flagged, reached + shown - flagged, missing, strict=True)
    return [Tally(known_no=int(k), flagged=int(f), unflagged=int(u), missing=int(m)) for k, f, u, m in rows]


def _calibrate(rng: np.random.Generator, world: World) -> JudgeError | None:
    if world.judge is None:
        return None
    hits = int(rng.binomial(world.labels, world.sensitivity(after_guard=world.calibrated_on == "own")))
    rejections = int(rng.binomial(world.labels, world.judge[1]))
    counts = Agreement(
        hits=hits, misses=world.labels - hits, rejections=rejections, false_alarms=world.labels - rejections
    )
    return judge_error(own=counts, transferred=NOBODY, margin=0.05, alpha=ALPHA * CORNER_SHARE)


def widths(*, runs: int) -> Iterator[str]:
    """Mean upper bounds of 0/1 values beside the exact fixed-sample bound, as rows of a Markdown table."""
    rng = np.random.default_rng(20240101)
    yield "| n | rate | exact, one look | betting, plan declared | betting, no plan |"
    yield "|---|---|---|---|---|"
    for n in (60, 120, 400):
        for rate in (0.0, 0.02, 0.1, 0.4):
            values = [(rng.random(n) < rate).astype(float) for _ in range(runs if rate else 1)]
            exact = np.mean([exact_upper(int(v.sum()), n, alpha=ALPHA) for v in values])
            bets = [np.mean([upper_bound(v, alpha=ALPHA, planned=p) for v in values]) for p in (n, None)]
            yield f"| {n} | {rate} | {exact:.4f} | {bets[0]:.4f} | {bets[1]:.4f} |"


# False clearances: at the limit, looking after every intent.


@dataclass(frozen=True, slots=True, kw_only=True)
class AtLimit:
    """A model exactly at its limit, so that every clearance is false.

    Attributes:
        trials: of each intent. alike: correlation of an intent's trials.
        judge, labels: as for `World`; labels of each kind.
    """

    limit: float
    intents: int = 120
    trials: int = 1
    alike: float = 0.0
    judge: tuple[float, float] | None = None
    labels: int = 300


LIMITS = (0.02, 0.05, 0.1, 0.2, 0.4, 0.6)
AT_LIMIT = (
    {f"limit {limit}, one trial": AtLimit(limit=limit, intents=round(24 / limit)) for limit in LIMITS}
    | {
        f"limit {limit}, 30 trials, ICC 0.8": AtLimit(limit=limit, intents=round(24 / limit), trials=30, alike=0.8)
        for limit in LIMITS
    }
    | {f"limit 0.2, judge {se}/{sp}": AtLimit(limit=0.2, judge=(se, sp), trials=5, alike=0.8) for se, sp in JUDGES}
)


def false_clears(name: str, world: AtLimit, *, runs: int, planned: bool = True) -> int:
    """Runs that ever clear, of `runs` that look after every intent and stop when cleared."""
    rng = np.random.default_rng(crc32(name.encode()))
    se, sp = world.judge or (1.0, 1.0)
    chance = _alike_chances(rng, world.limit, world.alike, (runs, world.intents))
    unsafe = rng.binomial(world.trials, chance)
    flags = rng.binomial(unsafe, se) + rng.binomial(world.trials - unsafe, 1 - sp)
    limits, alpha = np.full(runs, world.limit), ALPHA
    if world.judge is not None:
        alpha *= RATE_SHARE
        hits, rejections = rng.binomial(world.labels, se, runs), rng.binomial(world.labels, sp, runs)
        share = ALPHA * CORNER_SHARE
        found = np.array([exact_lower(int(h), world.labels, alpha=share) for h in hits])
        false_alarms = np.array([1 - exact_upper(int(r), world.labels, alpha=share) for r in rejections])
        limits = np.where(found > false_alarms, limits * found + (1 - limits) * false_alarms, 0.0)
    plan = world.intents if planned else None
    times = clearance_times(flags / world.trials, limits=limits, alpha=alpha, planned=plan, at_limit_alone=True)
    return int((np.isfinite(times) & (limits > 0)).sum())


def _alike_chances(rng: np.random.Generator, rate: float, alike: float, shape: tuple[int, ...]) -> np.ndarray:
    """Chances of intents whose trials correlate by `alike` (beta-binomial), with mean `rate`."""
    if not alike:
        return np.full(shape, rate)
    strength = 1 / alike - 1
    return np.asarray(rng.beta(rate * strength, (1 - rate) * strength, shape))


# Adaptive allocation: a Thompson bandit over attack x category cells that share their intents.

CATEGORIES = {"a": 0.5, "b": 0.3, "c": 0.2}
"""Share of the planned bank: the target weights."""
SKEW = {"a": 0.4, "b": 1.2, "c": 2.2}
"""How the categories differ; 0.5 x 0.4 + 0.3 x 1.2 + 0.2 x 2.2 is 1, so every attack's rate is the limit itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bandit:
    """How adaptive runs came out; counts over attacks of all runs.

    Attributes:
        over, under: the truth lay over the upper bound of the cells (a false clearance), or under the lower.
        pooled_over, pooled_under: the same for the exact bounds of the pooled draws.
        pooled: mean of the pooled estimates.
    """

    reads: int
    over: int
    under: int
    pooled_over: int
    pooled_under: int
    pooled: float


def bandit(*, runs: int, limit: float = 0.2, attacks: int = 4, bank: int = 200, draws: int = 400) -> Bandit:
    """Spend draws where weaknesses look likely, then bound every attack.

    The outcomes of one intent under different attacks correlate by a shared difficulty (0.8 on a normal scale). Bounds
    of cells only ever tighten, so reading them at the end is reading them after every draw.
    """
    rng = np.random.default_rng(crc32(f"bandit {limit} {attacks} {bank} {draws}".encode()))
    names = list(CATEGORIES)
    rates = np.array([[limit * SKEW[name] for name in names] for _ in range(attacks)])
    sizes = [int(bank * CATEGORIES[name]) for name in names]
    counts = np.zeros(4, dtype=np.int64)
    pooled = 0.0
    for _ in range(runs):
        cells = _explore(rng, rates, sizes, draws)
        for row in cells:
            bounds = weighted_bounds(
                [Cell(weight=CATEGORIES[name], values=values) for name, values in zip(names, row, strict=True)],
                alpha_lower=ALPHA,
                alpha_upper=ALPHA,
            )
            together = [value for values in row for value in values]
            hits, n = int(sum(together)), len(together)
            low = exact_lower(hits, n, alpha=ALPHA) if n else 0.0
            high = exact_upper(hits, n, alpha=ALPHA) if n else 1.0
            counts += [bounds.high < limit - 1e-9, bounds.low > limit + 1e-9, high < limit, low > limit]
            pooled += hits / n / (runs * attacks) if n else 0.0
    return Bandit(
        reads=runs * attacks,
        over=int(counts[0]),
        under=int(counts[1]),
        pooled_over=int(counts[2]),
        pooled_under=int(counts[3]),
        pooled=pooled,
    )


def _explore(rng: np.random.Generator, rates: np.ndarray, sizes: list[int], draws: int) -> list[list[list[float]]]:
    """Values by attack and category, in each cell's own random order, as Thompson sampling asks for them."""
    attacks = rates.shape[0]
    outcomes = []
    for category, size in enumerate(sizes):
        difficulty = rng.standard_normal(size)
        noise = rng.standard_normal((attacks, size))
        unsafe = ndtr(np.sqrt(0.8) * difficulty + np.sqrt(0.2) * noise) < rates[:, [category]]
        outcomes.append(np.array([rng.permutation(row) for row in unsafe]))
    seen = np.zeros(rates.shape, dtype=np.int64)
    hits = np.zeros(rates.shape, dtype=np.int64)
    room = np.array([sizes] * attacks)
    for _ in range(draws):
        hope = np.where(seen < room, rng.beta(1 + hits, 1 + seen - hits), -1.0)
        attack, category = np.unravel_index(int(hope.argmax()), hope.shape)
        hits[attack, category] += outcomes[category][attack, seen[attack, category]]
        seen[attack, category] += 1
    return [
        [outcomes[category][attack, : seen[attack, category]].astype(float).tolist() for category in range(len(sizes))]
        for attack in range(attacks)
    ]


# What goes wrong with other designs.


def bet_per_trial(*, runs: int, limit: float = 0.2, intents: int = 60, trials: int = 30, alike: float = 0.8) -> int:
    """Runs at the limit that clear when every trial makes a bet of its own."""
    rng = np.random.default_rng(crc32(b"bet per trial"))
    chance = _alike_chances(rng, limit, alike, (runs, intents))
    values = (rng.random((runs, intents, trials)) < chance[:, :, None]).reshape(runs, -1).astype(float)
    times = clearance_times(values, limits=limit, alpha=ALPHA, planned=values.shape[1], at_limit_alone=True)
    return int(np.isfinite(times).sum())


def easy_first(*, runs: int, limit: float = 0.2, intents: int = 60, shuffled: bool = False) -> int:
    """Runs at the limit that clear when a stratum at a tenth of the limit comes before the other half of the bank."""
    rng = np.random.default_rng(crc32(f"easy first {shuffled}".encode()))
    values = np.concatenate([rng.random((runs, intents // 2)) < limit * share for share in (0.1, 1.9)], axis=1).astype(
        float
    )
    if shuffled:
        values = rng.permuted(values, axis=1)
    times = clearance_times(values, limits=limit, alpha=ALPHA, planned=intents, at_limit_alone=True)
    return int(np.isfinite(times).sum())


# Prediction-powered estimates.


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """A fixed sample with people's labels on its first intents; `alike` as for `AtLimit`."""

    rate: float
    labels: int
    intents: int
    judge: tuple[float, float]
    trials: int = 1
    alike: float = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Powered:
    """How prediction-powered runs came out; counts of runs, of all of them.

    Attributes:
        given: those with labelled events enough. over, under: as for `Coverage`; what is refused claims nothing.
        naive_covered: those whose two-sided normal interval, refused nowhere, covers the truth.
    """

    given: int
    over: int
    under: int
    naive_covered: int


LABELLED = {
    "rate 0.002, 200 labels": Labelled(rate=0.002, labels=200, intents=5000, judge=(0.9, 0.99)),
    "rate 0.02, 2000 labels": Labelled(rate=0.02, labels=2000, intents=6000, judge=(0.9, 0.97), trials=2),
    "rate 0.1, 200 labels": Labelled(rate=0.1, labels=200, intents=2000, judge=(0.9, 0.9)),
    "rate 0.1, 300 labels, judge 0.99/0.99": Labelled(rate=0.1, labels=300, intents=3000, judge=(0.99, 0.99)),
    "rate 0.4, 200 labels, 10 trials": Labelled(rate=0.4, labels=200, intents=1000, judge=(0.7, 0.7), trials=10),
    "rate 0.8, 150 labels": Labelled(rate=0.8, labels=150, intents=1000, judge=(0.9, 0.9), alike=0.3, trials=2),
    "rate 0.2, scanner 0.92/0.39": Labelled(rate=0.2, labels=300, intents=2000, judge=(0.92, 0.39), trials=3),
}


def powered(name: str, world: Labelled, *, runs: int) -> Powered:
    """Estimate a world again and again, with our guard and without it."""
    rng = np.random.default_rng(crc32(name.encode()))
    given = over = under = naive = 0
    for _ in range(runs):
        unsafe = rng.binomial(world.trials, _alike_chances(rng, world.rate, world.alike, (world.intents,)))
        flags = rng.binomial(unsafe, world.judge[0]) + rng.binomial(world.trials - unsafe, 1 - world.judge[1])
        people, judge = unsafe[: world.labels] / world.trials, flags / world.trials
        low, high = _unguarded(people, judge)
        naive += low <= world.rate <= high
        seen = [Seen(flagged=f, labelled=y) for f, y in zip(judge[: world.labels], people, strict=True)]
        seen += [Seen(flagged=f) for f in judge[world.labels :]]
        try:
            bounds = prediction_powered(seen, alpha_lower=ALPHA, alpha_upper=ALPHA).bounds
        except TooFewEvents:
            continue
        given += 1
        over += bounds.high < world.rate
        under += bounds.low > world.rate
    return Powered(given=given, over=over, under=under, naive_covered=naive)


def _unguarded(people: np.ndarray, judge: np.ndarray) -> tuple[float, float]:
    """The textbook's 95 % interval, whatever the number of events."""
    mine, rest = judge[: people.size], judge[people.size :]
    variance = judge.var(ddof=1)
    trust = np.cov(people, mine)[0, 1] / variance / (1 + people.size / rest.size) if variance else 0.0
    trust = min(1.0, max(0.0, trust))
    off = people - trust * mine
    value = trust * rest.mean() + off.mean()
    half = 1.96 * (trust**2 * rest.var(ddof=1) / rest.size + off.var(ddof=1) / off.size) ** 0.5
    return value - half, value + half


# Many attacks that must all clear.


def all_clear(
    intents: int, *, runs: int, attacks: int = 14, rate: float = 0.4, limit: float = 0.6, alike: float = 0.0
) -> float:
    """Share of campaigns in which every attack clears; `alike` correlates an intent's outcomes under two attacks."""
    rng = np.random.default_rng(crc32(f"all clear {intents} {alike}".encode()))
    difficulty = rng.standard_normal((runs, 1, intents))
    noise = rng.standard_normal((runs, attacks, intents))
    unsafe = np.sqrt(alike) * difficulty + np.sqrt(1 - alike) * noise < ndtri(rate)
    values = unsafe.reshape(-1, intents).astype(float)
    times = clearance_times(values, limits=limit, alpha=ALPHA, planned=intents, at_limit_alone=True)
    return float(np.isfinite(times).reshape(runs, attacks).all(axis=1).mean())


def _share(count: int, runs: int) -> str:
    """A share of runs, and the standard error of the simulation."""
    share = count / runs
    return f"{share:.4f} ± {(share * (1 - share) / runs) ** 0.5:.4f}"


def _row(name: str, world: World, runs: int) -> str:
    found = coverage(name, world, runs=runs)
    seen = _observed(name, world)
    return (
        f"| {name} | {world.truth:.3f} | {seen:.3f} | {found.over / runs:.4f} | {found.under / runs:.4f} "
        f"| {found.width:.3f} |"
    )


def _observed(name: str, world: World) -> float:
    """What a naive reader of a large sample would report: flags, corrected by the labels where they are of bare."""
    rng = np.random.default_rng(crc32(name.encode()))
    tallies = draw(rng, replace(world, intents=20_000))
    share = sum(t.known_yes + t.flagged for t in tallies) / sum(t.answered for t in tallies)
    if world.judge is None or world.calibrated_on == "own":
        return share
    known = sum(t.known_no for t in tallies) / sum(t.answered for t in tallies)
    false_alarms = (1 - world.judge[1]) * (1 - known)
    return (share - false_alarms) / (world.judge[0] - (1 - world.judge[1]))


def _coverage_table(runs: int) -> Iterator[str]:
    yield f"One-sided bounds at error {ALPHA}, {runs} runs; noise allows {most_misses(runs) / runs:.4f}"
    yield ""
    yield "| world | truth | a naive reader sees | truth over upper | truth under lower | mean width |"
    yield "|---|---|---|---|---|---|"
    with ProcessPoolExecutor(2) as pool:
        jobs = [pool.submit(_row, name, world, runs) for name, world in WORLDS.items()]
        for job in jobs:
            yield job.result()


def _clears_table(runs: int) -> Iterator[str]:
    yield f"Models exactly at their limit, looked at after every intent, stopped when cleared; {runs} runs"
    yield ""
    yield "| world | falsely cleared, plan declared | falsely cleared, no plan |"
    yield "|---|---|---|"
    for name, world in AT_LIMIT.items():
        cells = [_share(false_clears(name, world, runs=runs, planned=planned), runs) for planned in (True, False)]
        yield f"| {name} | {' | '.join(cells)} |"


def _adaptive_table(runs: int) -> Iterator[str]:
    yield f"Thompson bandit, 4 attacks x 3 categories at a true rate of the limit, {runs} runs"
    yield ""
    yield "| limit | draws | bounds | falsely cleared | truth under lower | mean estimate |"
    yield "|---|---|---|---|---|---|"
    for limit, draws in ((0.05, 400), (0.2, 400), (0.2, 700), (0.4, 400)):
        found = bandit(runs=runs, limit=limit, draws=draws)
        over, under = (_share(count, found.reads) for count in (found.over, found.under))
        yield f"| {limit} | {draws} | fixed weights over cells | {over} | {under} | |"
        over, under = (_share(count, found.reads) for count in (found.pooled_over, found.pooled_under))
        yield f"| {limit} | {draws} | pooled, exact | {over} | {under} | {found.pooled:.3f} |"


def _wrong_table(runs: int) -> Iterator[str]:
    yield f"Models exactly at a limit of 0.2, {runs} runs, error {ALPHA}"
    yield ""
    yield "| design | falsely cleared |"
    yield "|---|---|"
    once = AtLimit(limit=0.2, intents=60, trials=30, alike=0.8)
    for name, count in (
        ("a bet per intent of 30 trials, ICC 0.8", false_clears("a bet per intent", once, runs=runs)),
        ("a bet per trial", bet_per_trial(runs=runs)),
        ("two strata in one random order", easy_first(runs=runs, shuffled=True)),
        ("the easy stratum first", easy_first(runs=runs)),
    ):
        yield f"| {name} | {_share(count, runs)} |"


def _powered_table(runs: int) -> Iterator[str]:
    yield f"Prediction-powered estimates, error {ALPHA} on each side, {runs} runs"
    yield ""
    yield "| world | given | truth over upper | truth under lower | textbook 95 % interval covers |"
    yield "|---|---|---|---|---|"
    for name, world in LABELLED.items():
        found = powered(name, world, runs=runs)
        over, under = (_share(count, runs) if found.given else "refused" for count in (found.over, found.under))
        yield f"| {name} | {found.given / runs:.2f} | {over} | {under} | {found.naive_covered / runs:.2f} |"


def _all_table(runs: int) -> Iterator[str]:
    yield f"14 attacks at a true 60 % safe against 40 %: share of {runs} campaigns in which all clear"
    yield ""
    yield "| intents | exact, one look, independent | betting, independent | correlated 0.3 | correlated 0.6 |"
    yield "|---|---|---|---|---|"
    for intents in (45, 90, 140):
        most = int(binom.ppf(ALPHA, intents, 0.6))
        most -= binom.cdf(most, intents, 0.6) > ALPHA
        shares = [binom.cdf(most, intents, 0.4) ** 14]
        shares += [all_clear(intents, runs=runs, alike=alike) for alike in (0.0, 0.3, 0.6)]
        yield f"| {intents} | {' | '.join(f'{share:.2f}' for share in shares)} |"


def _widths_table(runs: int) -> Iterator[str]:
    yield f"Upper bounds at error {ALPHA}, mean of {runs} samples"
    yield ""
    yield from widths(runs=runs)


SECTIONS: dict[str, tuple[str, Callable[[int], Iterator[str]], int]] = {
    "coverage": ("Coverage", _coverage_table, 1),
    "clears": ("False clearances under optional stopping", _clears_table, 1),
    "adaptive": ("Adaptive allocation", _adaptive_table, 5),
    "wrong": ("What goes wrong with other designs", _wrong_table, 4),
    "ppi": ("Prediction-powered estimates", _powered_table, 2),
    "all": ("Many attacks that must all clear", _all_table, 4),
    "widths": ("Width", _widths_table, 10),
}
"""Name -> title, table, and by what to divide the number of runs."""


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--only", choices=tuple(SECTIONS))
    options = parser.parse_args()
    print(
        f"{datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d}, {platform.platform()}, Python {platform.python_version()}"
    )
    for name, (title, table, part) in SECTIONS.items():
        if options.only in (None, name):
            print(f"\n## {title}\n")
            for row in table(max(10, options.runs // part)):
                print(row, flush=True)


if __name__ == "__main__":
    main()
