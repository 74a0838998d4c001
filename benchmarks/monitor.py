"""How many events a second one monitor takes, with the embedded detectors, how flat its memory is, how fast it alerts.

    python benchmarks/monitor.py [--events 5000000] [--distinct 0.3] [--plain]

Events are written as a gateway writes them, then watched to their end by what `safecase monitor` runs: read, decoded,
told from repeats, scored by the head for harmful requests, judged where harmful, counted by account against three
promises, looked at for misuse, committed to SQLite. Rates are per second of CPU of the monitor's process, which is what
a core gives; wall time is shown beside. Texts are made of ordinary words, 120 to 350 characters, 3 % of them requests
of the shipped bank; `--distinct` of them never came before. `--plain` leaves promises and misuse out.

Each part is a file of its own, made while the monitor stands still and gone afterwards. Memory is what is resident
after a part, and the most that ever was.
"""

import argparse
import asyncio
import json
import os
import random
import resource
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from safecase.assess import Promise, Promises, RequestReader
from safecase.compose import load_shipped_bank
from safecase.evidence import CallEvent, encode_event, format_utc
from safecase.monitor import Detectors, EventFiles, Misuse, Monitor, MonitorStore, Rates, Unit

BEGIN = datetime(2026, 4, 7, tzinfo=UTC)
ORDINARY = (
    "the of and to in is you that it he was for on are as with his they at be this have from or one had by "
    "word but not what all were we when your can said there use an each which she do how their if will up "
    "other about out many then them these so some her would make like him into time has look two more write go "
    "see number no way could people my than first water been call who oil its now find long down day did get "
    "come made may part recipe garden letter code table song river window train teacher summer paint market "
    "music bread planet history lesson budget holiday print"
)
REPLY = "Here is what I can tell you about that. It depends on where you are and on what you have at hand. "


def texts(count: int, distinct: float, seed: int) -> Iterator[tuple[str, str]]:
    """Prompt and reply of `count` calls."""
    rng, bank = random.Random(seed), [one.text for one in load_shipped_bank()]
    words = ORDINARY.split()
    known = [" ".join(rng.choices(words, k=rng.randint(25, 65))) for _ in range(2000)]
    for _ in range(count):
        draw = rng.random()
        if draw < 0.03:
            prompt = rng.choice(bank)
        elif draw < 0.03 + distinct:
            prompt = " ".join(rng.choices(words, k=rng.randint(25, 65)))
        else:
            prompt = rng.choice(known)
        yield prompt, REPLY * rng.randint(1, 3)


def write(folder: Path, first: int, count: int, *, distinct: float, stack: str) -> None:
    """One segment of events, a thousand a second by their times, from a million accounts."""
    rng = random.Random(first)
    base = CallEvent(
        event_id="", at="", account="", key_id="k", route="/v1/chat/completions", permit="p" * 64, context="closed",
        stack_digest=stack, model="m", outcome="served", status=200,
    )  # fmt: skip
    with (folder / f"w0-{first:012d}.jsonl").open("wb") as file:
        for number, (prompt, reply) in enumerate(texts(count, distinct, first), start=first):
            event = replace(
                base,
                event_id=f"{number:032x}",
                at=format_utc(BEGIN + timedelta(seconds=number / 1000)),
                account=f"a{rng.randrange(1_000_000)}",
                prompt=prompt,
                reply=reply,
            )
            file.write(encode_event(event, worker="w0", seq=number) + b"\n")


def promised(detectors: Detectors, stack: str) -> Promises:
    """Three promises, as a case with a controlled phase has."""
    said = {"units": 1000, "arl": 200_000.0, "alpha": 0.0125, "stack_digest": stack, "generation": 1}
    read_by = {"judge_digest": detectors.judge.digest, "reader_digest": detectors.reader.digest}
    return Promises(
        promises=(
            Promise(id="flag/withheld", outcome="withheld", category="", p0=0.01, rate=0.005, **said, **read_by),
            Promise(id="flag/harmful", outcome="harmful", category="", p0=0.06, rate=0.05, **said, **read_by),
            Promise(id="unsafe/any", outcome="unsafe", category="any", p0=0.9, rate=0.8, **said, **read_by),
        ),
        absent=(),
    )


def memory_mib() -> float:
    """Resident memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


async def main() -> None:
    """Write in parts, watch each part, and print a line for each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--distinct", type=float, default=0.3)
    parser.add_argument("--part", type=int, default=50_000)
    parser.add_argument("--plain", action="store_true")
    asked = parser.parse_args()
    stack = "5" * 64
    reader = RequestReader(load_shipped_bank())
    detectors = Detectors(reader)
    promises = Promises(promises=(), absent=()) if asked.plain else promised(detectors, stack)
    rates = Rates(promises, (detectors.judge.digest, reader.digest), unit=Unit())
    watchers = [rates] if asked.plain else [rates, Misuse()]
    reader.categories(["what is only made when it is first needed"])
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "events"
        folder.mkdir()
        store = MonitorStore(Path(name) / "monitor.sqlite")
        for first in range(0, asked.events, asked.part):
            for old in folder.glob("*.jsonl"):
                old.unlink()
            write(folder, first, min(asked.part, asked.events - first), distinct=asked.distinct, stack=stack)
            monitor = Monitor(store, [EventFiles(folder)], detectors=detectors, watchers=watchers)
            wall, cpu = time.perf_counter(), time.process_time()
            tally = await monitor.run(once=True)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            size = (Path(name) / "monitor.sqlite").stat().st_size / 2**20
            row = {
                "events": first + tally.calls,
                "per_cpu_second": round(tally.calls / cpu),
                "per_wall_second": round(tally.calls / wall),
                "memory_mib": round(memory_mib(), 1),
                "most_memory_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
                "file_mib": round(size, 1),
                "longest_commit_apart_s": round(wall / max(1, tally.commits), 2),
            }
            rows.append(row)
            print(json.dumps(row), flush=True)
        store_commits, store_alerts = store.counts()["commits"], len(store.alerts(last=100_000))
        store.close()
    speeds = sorted(row["per_cpu_second"] for row in rows)
    summary = {
        "cores": os.cpu_count(),
        "distinct": asked.distinct,
        "events": asked.events,
        "median_per_cpu_second": speeds[len(speeds) // 2],
        "slowest_part": speeds[0],
        "fastest_part": speeds[-1],
        "memory_mib_by_fifth": [rows[max(0, len(rows) * fifth // 5 - 1)]["memory_mib"] for fifth in range(1, 6)],
        "commits": store_commits,
        "alerts": store_alerts,
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    asyncio.run(main())
