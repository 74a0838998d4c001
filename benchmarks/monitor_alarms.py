"""False alarms and delays of rate monitors, beside a z-test every 1,000 calls and a DDM rule.

    python benchmarks/monitor_alarms.py [--runs 400] [--p0 0.002] [--only audited]

Two worlds, without and with a doubling and a fourfold rate: independent calls, one an account; and bursty accounts, one
in a hundred of which holds all the risk and asks ten times as much. `account` is what the monitor does (mean of the
first five calls, betted once); `call` bets every call. Last, a costly judge with a budget of 1.5 % of calls: drawn at
random, and by `AuditSampler`, whose scores come from a cheap detector that is right most of the time.

DDM is written out here after Gama et al. (SBIA 2004): alarm where p + s >= p_min + 3 s_min, from 30 calls on.
"""

import argparse
import json
import math
import time

import numpy as np
from numpy.typing import NDArray

from safecase.monitor import AuditSampler, EDetector, EProcess, Stakes

ALPHA, ARL, CAP = 0.05, 50_000, 5
Values = NDArray[np.float64]


def first_true(is_over: NDArray[np.bool_]) -> float:
    """Index of the first True, infinity without one."""
    return float(np.argmax(is_over)) + 1 if is_over.any() else math.inf


def by_betting(gains: Values, p0: float, *, weight: float = 1.0) -> tuple[Values, Values]:
    """Observations until the e-process, and the e-detector, alarm; gains are (steps, runs)."""
    runs = gains.shape[1]
    process, detector = EProcess(Stakes(p0, weight), runs=runs), EDetector(Stakes(p0, weight), runs=runs)
    broken, changed = np.full(runs, np.inf), np.full(runs, np.inf)
    for step, gain in enumerate(gains, start=1):
        broken[(process.bet(gain) >= -math.log(ALPHA)) & np.isinf(broken)] = step
        changed[(detector.bet(gain) >= ARL) & np.isinf(changed)] = step
    return broken, changed


def by_z_test(calls: Values, p0: float) -> Values:
    """Calls until a one-sided z-test at 5 %, done at every 1,000 calls, alarms; calls are (steps, runs)."""
    looks = np.arange(1000, len(calls) + 1, 1000)
    share = np.cumsum(calls, axis=0)[looks - 1] / looks[:, None]
    over = share > p0 + 1.645 * np.sqrt(p0 * (1 - p0) / looks)[:, None]
    return np.array([1000 * first_true(column) for column in over.T])


def by_ddm(calls: Values) -> Values:
    """Calls until the drift detection method alarms."""
    count = np.arange(1, len(calls) + 1)[:, None]
    share = np.cumsum(calls, axis=0) / count
    spread = np.sqrt(share * (1 - share) / count)
    level = np.where((count >= 30) & (share > 0), share + spread, np.inf)
    least = np.minimum.accumulate(level, axis=0)
    at = np.maximum.accumulate(np.where(level == least, count, 0), axis=0) - 1
    least_spread = np.take_along_axis(spread, np.maximum(at, 0), axis=0)
    least_share = np.take_along_axis(share, np.maximum(at, 0), axis=0)
    over = np.isfinite(least) & (share + spread >= least_share + 3 * least_spread) & (least_spread > 0)
    return np.array([first_true(column) for column in over.T])


def bursty(rng: np.random.Generator, accounts: int, rate: float) -> tuple[Values, Values]:
    """One run: the calls in a row, account after account, and the mean of each account's first five calls."""
    is_risky = rng.random(accounts) < 0.01
    lengths = rng.geometric(np.where(is_risky, 1 / 20, 1 / 2))
    risk = np.where(is_risky, min(1.0, 100 * rate), 0.0)
    calls = (rng.random(int(lengths.sum())) < np.repeat(risk, lengths)).astype(float)
    starts = np.concatenate(([0], np.cumsum(lengths)[:-1]))
    sums = np.concatenate(([0.0], np.cumsum(calls)))
    capped = np.minimum(lengths, CAP)
    return calls, (sums[starts + capped] - sums[starts]) / capped


def line(world: str, rule: str, times: Values, *, unit: str, horizon: int) -> None:
    """Print how many runs alarmed and when."""
    alarmed = np.isfinite(times)
    median = float(np.median(times[alarmed])) if alarmed.mean() >= 0.5 else None
    row = {"world": world, "rule": rule, "alarmed": round(float(alarmed.mean()), 3), "median": median}
    print(json.dumps({**row, "unit": unit, "horizon": horizon}), flush=True)


def independent_world(runs: int, p0: float, steps: int) -> None:
    """One call an account."""
    for multiple in (1, 2, 4):
        rng = np.random.default_rng(multiple)
        calls = (rng.random((steps, runs)) < multiple * p0).astype(float)
        world = f"independent x{multiple}"
        broken, changed = by_betting(calls - p0, p0)
        line(world, "e-process", broken, unit="calls", horizon=steps)
        line(world, "e-detector", changed, unit="calls", horizon=steps)
        line(world, "z-test every 1,000", by_z_test(calls, p0), unit="calls", horizon=steps)
        line(world, "DDM", by_ddm(calls), unit="calls", horizon=steps)


def bursty_world(runs: int, p0: float, accounts: int) -> None:
    """One account in a hundred holds all the risk, and asks ten times as much; p0 is what an account's mean is."""
    for multiple in (1, 2, 4):
        rng = np.random.default_rng(10 + multiple)
        made = [bursty(rng, accounts, multiple * p0) for _ in range(runs)]
        means = np.stack([mean for _, mean in made], axis=1)
        least = min(len(calls) for calls, _ in made)
        calls = np.stack([calls[:least] for calls, _ in made], axis=1)
        request_rate = p0 * 100 * 0.01 * 20 / (0.01 * 20 + 0.99 * 2)
        world = f"bursty x{multiple}"
        broken, changed = by_betting(means - p0, p0)
        line(world, "e-process, account", broken, unit="accounts", horizon=accounts)
        line(world, "e-detector, account", changed, unit="accounts", horizon=accounts)
        broken, _ = by_betting(calls - request_rate, request_rate)
        line(world, "e-process, call", broken, unit="calls", horizon=least)
        line(world, "z-test every 1,000", by_z_test(calls, request_rate), unit="calls", horizon=least)
        line(world, "DDM", by_ddm(calls), unit="calls", horizon=least)


def audited_world(runs: int, p0: float, calls: int) -> None:
    """A costly judge on 1.5 % of the calls. Unsafe calls mostly score high, and most that score high are safe."""
    for multiple in (1, 4):
        found = {"uniform": np.full(runs, np.inf), "by score": np.full(runs, np.inf)}
        drawn = dict.fromkeys(found, 0)
        for run in range(runs):
            rng = np.random.default_rng(1000 * multiple + run)
            unsafe = rng.random(calls) < multiple * p0
            score = np.where(unsafe, rng.beta(6, 2, calls), rng.beta(0.3, 6, calls))
            for rule in found:
                sampler = AuditSampler(budget=0.015, least=0.0149 if rule == "uniform" else None)
                gains = np.zeros(calls)
                for number in range(calls):
                    draw = sampler.draw(f"{run}/{number}", float(score[number]))
                    if draw.is_drawn:
                        drawn[rule] += 1
                        gains[number] = sampler.weight(draw.chance) * (unsafe[number] - p0)
                (found[rule][run],) = by_betting(gains[gains != 0][:, None], p0, weight=sampler.usual_weight)[0]
        for rule, times in found.items():
            line(
                f"audited x{multiple}",
                f"{rule}, looked at {drawn[rule] / runs / calls:.2%}",
                times,
                unit="looks",
                horizon=calls,
            )


def main() -> None:
    """Run all worlds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--p0", type=float, default=0.002)
    parser.add_argument("--only", choices=["audited"])
    parser.add_argument("--steps", type=int, default=20_000)
    asked = parser.parse_args()
    began = time.perf_counter()
    if asked.only is None:
        independent_world(asked.runs, asked.p0, asked.steps)
        bursty_world(asked.runs, asked.p0, asked.steps)
    audited_world(max(24, asked.runs // 10), asked.p0, asked.steps)
    print(json.dumps({"runs": asked.runs, "seconds": round(time.perf_counter() - began)}))


if __name__ == "__main__":
    main()
