"""How fast the engine is, end to end: compose, call, judge, write evidence.

    python benchmarks/engine.py [--trials 20000] [--in-flight 200] [--delay-ms 50] [--arms bare,guarded] [--json]

One process of ours against a stub endpoint in another, on loopback. Prints trials per second over the whole process
and from the first answer to the last segment, CPU milliseconds per trial, and peak memory.
"""

import argparse
import contextlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_BEGAN = time.perf_counter()
HERE = Path(__file__).parent


@contextlib.contextmanager
def stub(delay_ms: float) -> Iterator[str]:
    """The base URL of a stub endpoint in a process of its own."""
    process = subprocess.Popen([sys.executable, HERE / "_stub.py", str(delay_ms)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def make_case(folder: Path, target: str, *, repetitions: int, safeguards: str) -> Path:
    """A case over the whole bank with every attack."""
    folder.mkdir(parents=True)
    (folder / "safecase.yaml").write_text(
        f"""\
id: engine
title: how fast the engine is
framework: scaling-v2
model: {{name: "{target}", title: stub, safeguard_state: partial}}
contexts: [closed]
safeguards: {safeguards}
sampling: {{intents: 2000, repetitions: {repetitions}}}
generation: {{max_tokens: 64, temperature: 0.0, seed: 7}}
""",
        encoding="utf-8",
    )
    return folder


async def measure(options: argparse.Namespace, folder: Path, url: str) -> dict[str, Any]:
    """Run a campaign and say what it took."""
    from safecase.assess import open_case, run_case
    from safecase.declare import Budget
    from safecase.run import Progress

    safeguards = "default" if "guarded" in options.arms else "none"
    target = f"openai/stub@{url}"
    case = open_case(make_case(folder, target, repetitions=options.repetitions, safeguards=safeguards))
    first: float | None = None
    memory: list[float] = []

    def on_progress(progress: Progress) -> None:
        nonlocal first
        if first is None:
            first = time.perf_counter()
        if progress.done % 10_000 == 0:
            memory.append(round(_rss_mb(), 1))

    summary = await run_case(
        case, budget=Budget(trials=options.trials), workers=options.in_flight, on_progress=on_progress
    )
    ended = time.perf_counter()
    assert first is not None
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "trials": summary.trials,
        "errors": summary.errors,
        "trials_per_s": round(summary.trials / (ended - first)),
        "trials_per_s_whole_process": round(summary.trials / (ended - _BEGAN)),
        "cpu_ms_per_trial": round(1e3 * (usage.ru_utime + usage.ru_stime) / summary.trials, 3),
        "peak_mb": round(usage.ru_maxrss / 1024),
        "mb_every_10000": memory,
    }


def _rss_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description="how fast the engine is, end to end")
    parser.add_argument("--trials", type=int, default=20_000)
    parser.add_argument("--in-flight", type=int, default=200)
    parser.add_argument("--delay-ms", type=float, default=50.0)
    parser.add_argument("--arms", default="bare")
    parser.add_argument("--repetitions", type=int, default=8)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, stub(options.delay_ms) as url:
        if options.profile:
            import cProfile
            import pstats

            profile = cProfile.Profile()
            profile.enable()
        from safecase.models import run_to_end

        found = run_to_end(measure(options, Path(scratch) / "engine", url))
        if options.profile:
            profile.disable()
            pstats.Stats(profile).sort_stats("tottime").print_stats(40)
    print(json.dumps(found) if options.json else "\n".join(f"{name:28} {value}" for name, value in found.items()))


if __name__ == "__main__":
    main()
