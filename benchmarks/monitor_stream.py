"""Monitors on NATS JetStream: how fast one and two members of a consumer group are, and how soon an alert leaves.

    python benchmarks/monitor_stream.py [--events 100000] [--rates 2000,5000,8000] [--seconds 15] [--only lag]
        [--ways stream,files] [--distinct 0.3]

A NATS server of its own is started on a free port, with its store in a folder that goes away. Each member is a process
with what `safecase monitor` runs: detectors, three promises, misuse, a SQLite file of its own. Texts are those of
`monitor.py`: 30 % of the prompts never came before.

`drain`: all events lie in the stream before the first member starts; the time runs from when all members are ready
until the last event is confirmed. `lag`: events come at a rate, one in five hundred trips a wire; the lag of its alert
runs from the moment at which the event was published until a sink has it. Where the offered rate is more than a member
takes, the lag grows with the time and says nothing but that. `files` are JSON lines that a gateway appends to.
"""

import argparse
import asyncio
import json
import multiprocessing as mp
import os
import resource
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np

from monitor import promised, texts
from safecase.assess import RequestReader
from safecase.compose import load_shipped_bank
from safecase.evidence import CallEvent, encode_event, format_utc
from safecase.monitor import (
    Alert,
    Detectors,
    EventFiles,
    EventJetStream,
    Misuse,
    Monitor,
    MonitorStore,
    Rates,
    Seen,
    alert_id,
)
from safecase.serve import Row, open_sink

STACK = "5" * 64
WIRE = "tripwire"
EVERY = 500  # of which one trips the wire


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """A NATS server with JetStream on a free port; its URL."""
    binary = shutil.which("nats-server")
    if binary is None:
        raise SystemExit("nats-server is not installed; `apt-get install nats-server`")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = subprocess.Popen(
        [binary, "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(folder)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(port)
        yield f"nats://127.0.0.1:{port}"
    finally:
        started.terminate()
        started.wait(10)


def _wait_for(port: int) -> None:
    for _ in range(100):
        with socket.socket() as trial:
            if trial.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"nats-server does not listen on port {port}")


def rows(first: int, prompts: Sequence[tuple[str, str]], rng: np.random.Generator) -> list[Row]:
    """Events as a gateway sends them, from a million accounts; their time is now."""
    base = CallEvent(
        event_id="", at=format_utc(datetime.now(UTC)), account="", key_id="k", route="/v1/chat/completions",
        permit="p" * 64, context="closed", stack_digest=STACK, model="m", outcome="served", status=200,
    )  # fmt: skip
    made = []
    for number, (prompt, reply) in enumerate(prompts, start=first):
        account = f"a{rng.integers(1_000_000)}"
        reason = WIRE if number % EVERY == 0 else ""
        event = replace(base, event_id=f"{number:032x}", account=account, prompt=prompt, reply=reply, reason=reason)
        line = encode_event(event, worker="w0", seq=number)
        made.append(Row(key=event.event_id.encode(), shard=b"%d" % rng.integers(16), line=line))
    return made


class Tripwire:
    """A watcher that says so at once."""

    name = WIRE

    def saw(self, seen: Seen) -> Iterator[Alert]:
        """Alert at what was marked."""
        if seen.event.reason == WIRE:
            name = alert_id(WIRE, WIRE, seen.event.event_id)
            yield Alert(alert_id=name, at=seen.event.at, kind=WIRE, severity="info", series=WIRE, what="tripped")

    def state(self) -> bytes:
        """Nothing is kept."""
        return b""

    def restore(self, state: bytes) -> None:
        """Nothing to take up."""


class Stopwatch:
    """A sink that notes how old each alert is."""

    name = "stopwatch"

    def __init__(self) -> None:
        self.lags: list[float] = []

    async def deliver(self, alert: Alert) -> None:
        """Note it."""
        self.lags.append(time.time() - datetime.fromisoformat(alert.at).timestamp())


def member(
    url: str, folder: Path, shards: tuple[int, ...] | None, ready: Barrier, results: Any, quiet_s: float
) -> None:
    """One member of the group: watches until nothing came for a while."""
    asyncio.run(_member(url, folder, shards, ready, results, quiet_s))


async def _member(
    url: str, folder: Path, shards: tuple[int, ...] | None, ready: Barrier, results: Any, quiet_s: float
) -> None:
    reader = RequestReader(load_shipped_bank())
    detectors = Detectors(reader)
    reader.categories(["what is only made when it is first needed"])
    reader.scores(["and this"])
    rates = Rates(promised(detectors, STACK), (detectors.judge.digest, reader.digest))
    store, watch = MonitorStore(folder / f"{os.getpid()}.sqlite"), Stopwatch()
    source = EventJetStream(url, group="bench", shards=shards) if "://" in url else EventFiles(Path(url))
    monitor = Monitor(store, [source], detectors=detectors, watchers=[rates, Misuse(), Tripwire()], sinks=[watch])
    ready.wait()
    stop, began, cpu = asyncio.Event(), time.time(), time.process_time()
    running = asyncio.create_task(monitor.run(stop=stop))
    calls, last = 0, time.time()
    while time.time() - last < quiet_s and not running.done():
        await asyncio.sleep(0.05)
        if monitor.tally.calls != calls:
            calls, last = monitor.tally.calls, time.time()
    stop.set()
    tally = await running
    store.close()
    results.put(
        {
            "calls": tally.calls,
            "repeats": tally.repeats,
            "began": began,
            "ended": last,
            "cpu": time.process_time() - cpu,
            "memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "lags": watch.lags,
        }
    )


def members(
    url: str, folder: Path, parts: Sequence[tuple[int, ...] | None], quiet_s: float
) -> tuple[list[Any], Any, Any]:
    """Start them; (processes, barrier, queue of results)."""
    context = mp.get_context("spawn")
    ready, results = context.Barrier(len(parts) + 1), context.Queue()
    made = [
        context.Process(target=member, args=(url, folder, shards, ready, results, quiet_s), daemon=True)
        for shards in parts
    ]
    for one in made:
        one.start()
    return made, ready, results


async def publish(url: str, events: int, per_message: int) -> None:
    """Put them all into the stream, in batches."""
    sink, rng = open_sink(f"{url}?per_message={per_message}"), np.random.default_rng(1)
    made = list(texts(events, 0.3, 1))
    for first in range(0, events, 1000):
        await sink.write(rows(first, made[first : first + 1000], rng))
    await sink.close()


def drain(nats: str, folder: Path, events: int, parts: Sequence[tuple[int, ...] | None], per_message: int) -> None:
    """Time a group over a full stream."""
    url = f"{nats}/drain-{len(parts)}-{per_message}-{'shards' if parts[0] else 'shared'}"
    asyncio.run(publish(url, events, per_message))
    made, ready, results = members(url, folder, parts, quiet_s=3.0)
    ready.wait()
    found = [results.get(timeout=300) for _ in made]
    for one in made:
        one.join(30)
    wall = max(one["ended"] for one in found) - min(one["began"] for one in found)
    calls = sum(one["calls"] for one in found)
    row = {
        "what": "drain",
        "members": len(parts),
        "by": "shards" if parts[0] else "one shared consumer",
        "rows_per_message": per_message,
        "events": calls,
        "of": events,
        "repeats": sum(one["repeats"] for one in found),
        "per_wall_second": round(calls / wall),
        "per_cpu_second_of_members": round(calls / sum(one["cpu"] for one in found)),
        "shares": [one["calls"] for one in found],
        "load": round(os.getloadavg()[0], 1),
    }
    print(json.dumps(row), flush=True)


class _Lines:
    """Writes events to a file as a gateway does."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / "w0-0.jsonl").open("ab", buffering=0)

    async def write(self, some: Sequence[Row]) -> None:
        """All at once."""
        self._file.write(b"".join(one.line + b"\n" for one in some))

    async def close(self) -> None:
        """Let go of it."""
        self._file.close()


async def offer(url: str, rate: int, seconds: float, made: Sequence[tuple[str, str]]) -> tuple[int, float]:
    """Publish at a rate, twenty times a second; (events, seconds it took)."""
    rng = np.random.default_rng(2)
    sink = open_sink(f"{url}?per_message=32") if "://" in url else _Lines(Path(url))
    began, first, step = time.perf_counter(), 0, max(1, rate // 20)
    while (passed := time.perf_counter() - began) < seconds:
        due = int(passed * rate)
        while first + step <= due:
            await sink.write(rows(first, made[first : first + step], rng))
            first += step
        await asyncio.sleep(0.005)
    await sink.close()
    return first, time.perf_counter() - began


def lag(nats: str, folder: Path, rate: int, seconds: float, *, way: str, distinct: float) -> None:
    """Time alerts under a load."""
    url = f"{nats}/lag-{rate}" if way == "stream" else str(folder / f"lag-{rate}")
    made = list(texts(int(rate * seconds) + rate, distinct, 3))
    if way == "stream":
        asyncio.run(_touch(url))
    else:
        Path(url).mkdir()
    started, ready, results = members(url, folder, [None], quiet_s=4.0)
    ready.wait()
    events, took = asyncio.run(offer(url, rate, seconds, made))
    found = results.get(timeout=300)
    for one in started:
        one.join(30)
    lags = np.array(found["lags"])
    row = {
        "what": "lag",
        "way": way,
        "distinct": distinct,
        "offered_per_s": rate,
        "published_per_s": round(events / took),
        "seen": found["calls"],
        "of": events,
        "alerts": len(lags),
        "p50_s": round(float(np.quantile(lags, 0.5)), 2),
        "p95_s": round(float(np.quantile(lags, 0.95)), 2),
        "p99_s": round(float(np.quantile(lags, 0.99)), 2),
        "most_s": round(float(lags.max()), 2),
        "within_2_s": round(float(np.mean(lags <= 2.0)), 3),
        "share_of_a_core": round(found["cpu"] / took, 2),
        "load": round(os.getloadavg()[0], 1),
    }
    print(json.dumps(row), flush=True)


async def _touch(url: str) -> None:
    """Make the stream, which a first event does."""
    sink = open_sink(url)
    await sink.write(rows(1, [("hello", "hi")], np.random.default_rng(0)))
    await sink.close()


def main() -> None:
    """Drain with one and two members, then time alerts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--rates", default="2000,5000,8000")
    parser.add_argument("--only", choices=["lag"])
    parser.add_argument("--ways", default="stream", help="stream, files, or both with a comma")
    parser.add_argument("--distinct", type=float, default=0.3, help="of the prompts under a load, never seen before")
    parser.add_argument("--seconds", type=float, default=15.0)
    asked = parser.parse_args()
    halves = [tuple(range(8)), tuple(range(8, 16))]
    with tempfile.TemporaryDirectory() as name, server(Path(name) / "nats") as nats:
        folder = Path(name) / "members"
        folder.mkdir()
        for parts in () if asked.only == "lag" else ([None], [None, None], halves):
            for per_message in (1, 32):
                drain(nats, folder, asked.events, parts, per_message)
        for rate in map(int, filter(None, asked.rates.split(","))):
            for way in asked.ways.split(","):
                lag(nats, folder, rate, asked.seconds, way=way, distinct=asked.distinct)


if __name__ == "__main__":
    main()
