"""How many model calls does stopping early save?

    PYTHONPATH=src python benchmarks/calls_saved.py [--runs 2000]

prints, with machine and date, the mean number of intents (of one trial each) that a run uses when it stops at clearance
and no later than planned, as a share of two fixed samples read once by the exact (Clopper-Pearson) test at the same
error: one planned for 90 % power at that very truth, and one planned for a truth of 0.8 times the limit.
`tests/measure/test_coverage.py` holds the headline to 0.9 and 0.25.
"""

import argparse
import datetime
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from zlib import crc32

import numpy as np
from scipy.stats import binom

from safecase.measure import clearance_times

ALPHA, POWER = 0.05, 0.9
LIMITS = (0.05, 0.1, 0.2, 0.4, 0.6)
SHARES = (0.25, 0.5, 0.65, 0.8)
"""Truths, as parts of the limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """Runs that stopped at clearance.

    Attributes:
        fixed: intents of the exact one-look sample that is compared with.
        used: mean intents used. cleared: share of runs that cleared.
    """

    fixed: int
    used: float
    cleared: float

    @property
    def share(self) -> float:
        """Intents used for each one of the fixed sample."""
        return self.used / self.fixed


@lru_cache(maxsize=64)
def fixed_sample(rate: float, limit: float) -> int:
    """Least n whose exact one-look test clears `rate` under `limit` with the power wanted."""
    sizes = np.arange(5, 20_000)
    most = binom.ppf(ALPHA, sizes, limit)
    most -= binom.cdf(most, sizes, limit) > ALPHA
    enough = (most >= 0) & (binom.cdf(most, sizes, rate) >= POWER)
    if not enough.any():
        raise ValueError(f"no sample under {sizes[-1]} clears {rate!r} under {limit!r}")
    return int(sizes[enough.argmax()])


def saved(rate: float, limit: float, *, fixed: int, stretch: float = 1.0, runs: int) -> Saved:
    """Play runs that stop at clearance.

    Args:
        stretch: intents planned for each one of the fixed sample.
    """
    planned = ceil(stretch * fixed)
    rng = np.random.default_rng(crc32(f"{rate} {limit} {planned}".encode()))
    series = (rng.random((runs, planned)) < rate).astype(np.float64)
    times = clearance_times(series, limits=limit, alpha=ALPHA, planned=planned, at_limit_alone=True)
    return Saved(fixed=fixed, used=float(np.minimum(times, planned).mean()), cleared=float(np.isfinite(times).mean()))


def table(*, runs: int) -> Iterator[str]:
    """The rows, as Markdown."""
    yield (
        "| limit | truth | fixed n for this truth | plan n: used | clears | plan 1.2 n: used | clears "
        "| fixed n for 0.8 limit | plan n: used | clears |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for limit in LIMITS:
        for share in SHARES:
            rate = round(share * limit, 6)
            near, far = fixed_sample(rate, limit), fixed_sample(round(0.8 * limit, 6), limit)
            same = saved(rate, limit, fixed=near, runs=runs)
            more = saved(rate, limit, fixed=near, stretch=1.2, runs=runs)
            cautious = saved(rate, limit, fixed=far, runs=max(20, runs // 4))
            yield (
                f"| {limit} | {rate:g} | {near} | {same.share:.2f} | {same.cleared:.2f} | {more.share:.2f} "
                f"| {more.cleared:.2f} | {far} | {cautious.share:.2f} | {cautious.cleared:.2f} |"
            )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    options = parser.parse_args()
    print(
        f"{datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d}, {platform.platform()}, Python {platform.python_version()}"
    )
    print(f"\nIntents used when stopping at clearance, error {ALPHA}, {options.runs} runs\n")
    for row in table(runs=options.runs):
        print(row, flush=True)


if __name__ == "__main__":
    main()
