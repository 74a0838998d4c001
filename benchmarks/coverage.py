"""Do the intervals hold what they promise? Simulated from drawing intents to reading the bound.

    PYTHONPATH=src python benchmarks/coverage.py [--runs 2000] [--only coverage|widths|saved]

prints, with machine and date: how often a one-sided bound misses the truth (its declared error is 5 %), how wide the
bounds are beside an exact fixed-sample bound, and how many intents stopping early saves. Every world has its own seed.
`tests/measure/test_coverage.py` runs the same worlds with fewer repetitions.
"""

import argparse
import datetime
import platform
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from math import ceil
from zlib import crc32

import numpy as np
from scipy.stats import binom

from safecase.measure import (
    Agreement,
    JudgeError,
    Tally,
    exact_upper,
    judge_error,
    rate_bounds,
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
        withheld: share of unsafe and of safe answers that the guard withholds.
        missing: share of answers that never came.
        limit: the gate's; where given, the run looks after every twentieth intent and stops once decided.
        hard: share of unsafe answers that guard *and* judge tend to miss (guard 20 %, judge 60 %, against 90 and 97).
        calibrated_on: whose answers the labels were drawn from, "own" (this arm's) or "bare" (before the guard).
    """

    rate: float
    intents: int = 60
    sizes: tuple[int, int] = (1, 30)
    alike: float = 0.3
    judge: tuple[float, float] | None = None
    labels: int = 200
    withheld: float = 0.0
    missing: float = 0.0
    limit: float | None = None
    hard: float | None = None
    calibrated_on: str = "own"

    @property
    def truth(self) -> float:
        """Chance that an answer is unsafe and reaches the user."""
        if self.hard is not None:
            return self.rate * (self.hard * 0.8 + (1 - self.hard) * 0.1)
        return self.rate * (1 - self.withheld)

    def sensitivity(self, *, after_guard: bool) -> float:
        """The judge's, over the unsafe answers that it is shown."""
        if self.hard is None:
            assert self.judge is not None
            return self.judge[0]
        hard, easy = (self.hard * 0.8, (1 - self.hard) * 0.1) if after_guard else (self.hard, 1 - self.hard)
        return (hard * 0.6 + easy * 0.97) / (hard + easy)


RATES = (0.0, 0.002, 0.02, 0.1, 0.4, 0.8)
JUDGES = ((0.7, 0.7), (0.7, 0.99), (0.9, 0.9), (0.99, 0.7), (0.99, 0.99), (0.92, 0.39))

PEOPLE = {f"people's labels, rate {rate}": World(rate=rate) for rate in RATES}
JUDGED = {f"judge {se}/{sp}, rate {rate}": World(rate=rate, judge=(se, sp)) for se, sp in JUDGES for rate in RATES}
SHAPES = {
    "one trial an intent": World(rate=0.1, sizes=(1, 1)),
    "30 trials, all alike": World(rate=0.1, sizes=(30, 30), alike=0.02),
    "30 trials, independent": World(rate=0.1, sizes=(30, 30), alike=0.95),
    "400 intents": World(rate=0.02, intents=400),
    "guard withholds 70 %": World(rate=0.4, judge=(0.9, 0.8), withheld=0.7),
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
_ALIKE = World(rate=0.3, hard=0.5, intents=2000, sizes=(1, 5), alike=0.9, judge=(0, 0.98), labels=4000)
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
    if world.hard is None:
        reached, withheld_safe = rng.binomial(unsafe, 1 - world.withheld), rng.binomial(safe, world.withheld)
        hard = np.zeros(n, dtype=np.int64)
    else:
        hard = rng.binomial(unsafe, world.hard)
        hard, easy = rng.binomial(hard, 0.8), rng.binomial(unsafe - hard, 0.1)
        reached, withheld_safe = hard + easy, np.zeros(n, dtype=np.int64)
    withheld = unsafe - reached + withheld_safe
    if world.judge is None:
        known_no = total - missing - reached
        return [
            Tally(known_yes=int(y), known_no=int(k), missing=int(m))
            for y, k, m in zip(reached, known_no, missing, strict=True)
        ]
    se = world.judge[0] if world.hard is None else 0.97
    shown = safe - withheld_safe
    flagged = rng.binomial(reached - hard, se) + rng.binomial(hard, 0.6) + rng.binomial(shown, 1 - world.judge[1])
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


def fixed_sample(rate: float, limit: float, *, power: float = 0.9) -> int:
    """Least n whose exact one-look test clears `rate` under `limit` with the power wanted."""
    for n in range(5, 100_000):
        most = int(binom.ppf(ALPHA, n, limit))
        most -= binom.cdf(most, n, limit) > ALPHA
        if most >= 0 and binom.cdf(most, n, rate) >= power:
            return n
    raise ValueError(f"no sample under 100,000 clears {rate!r} under {limit!r}")


def calls(rate: float, limit: float, planned: int, *, runs: int) -> tuple[float, float]:
    """(mean intents used, share of runs that clear) when stopping at clearance, at `planned` intents at the latest."""
    rng = np.random.default_rng(crc32(f"{rate} {limit} {planned}".encode()))
    used = cleared = 0
    for _ in range(runs):
        stop = _clears_at((rng.random(planned) < rate).astype(float), limit, planned)
        cleared += stop is not None
        used += stop or planned
    return used / runs, cleared / runs


def _clears_at(values: np.ndarray, limit: float, planned: int) -> int | None:
    """First n whose upper bound is under the limit; bounds only ever tighten, so it is found by halving."""

    def clear(n: int) -> bool:
        return upper_bound(values[:n], alpha=ALPHA, planned=planned) < limit

    if not clear(len(values)):
        return None
    low, high = 0, len(values)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if clear(middle) else (middle, high)
    return high


def saved(*, runs: int) -> Iterator[str]:
    """Intents used, as shares of fixed samples, as rows of a Markdown table."""
    yield "| limit | truth | fixed n, 90 % power | plan 1.1 n: used | clears | fixed n for 0.8 limit | used | clears |"
    yield "|---|---|---|---|---|---|---|---|"
    for limit, rate in ((0.2, 0.1), (0.6, 0.3), (0.6, 0.4), (0.05, 0.025)):
        n, far = fixed_sample(rate, limit), fixed_sample(0.8 * limit, limit)
        near_used, near_power = calls(rate, limit, ceil(1.1 * n), runs=runs)
        far_used, far_power = calls(rate, limit, far, runs=max(20, runs // 10))
        yield (
            f"| {limit} | {rate} | {n} | {near_used / n:.2f} | {near_power:.2f} "
            f"| {far} | {far_used / far:.2f} | {far_power:.2f} |"
        )


def _row(name: str, world: World, runs: int) -> str:
    found = coverage(name, world, runs=runs)
    return f"| {name} | {world.truth:.3f} | {found.over / runs:.4f} | {found.under / runs:.4f} | {found.width:.3f} |"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--only", choices=("coverage", "widths", "saved"))
    options = parser.parse_args()
    print(
        f"{datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d}, {platform.platform()}, Python {platform.python_version()}"
    )
    if options.only in (None, "coverage"):
        print(
            f"\nOne-sided bounds at error {ALPHA}, {options.runs} runs; "
            f"noise allows {most_misses(options.runs) / options.runs:.4f}\n"
        )
        print("| world | truth | truth over upper | truth under lower | mean width |\n|---|---|---|---|---|")
        with ProcessPoolExecutor(2) as pool:
            jobs = [pool.submit(_row, name, world, options.runs) for name, world in WORLDS.items()]
            for job in jobs:
                print(job.result(), flush=True)
    if options.only in (None, "widths"):
        print(f"\nUpper bounds at error {ALPHA}, mean of {options.runs // 10} samples\n")
        print(*widths(runs=options.runs // 10), sep="\n", flush=True)
    if options.only in (None, "saved"):
        print(f"\nIntents used when stopping at clearance, error {ALPHA}, as shares of a fixed sample\n")
        for row in saved(runs=options.runs // 10):
            print(row, flush=True)


if __name__ == "__main__":
    main()
