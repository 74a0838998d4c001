"""How the gateway scales over worker processes, where nothing but the processor holds it up.

    python benchmarks/gateway_workers.py [--workers 1,2] [--seconds 3] [--rounds 3]

Each worker is a process on a core of its own and shares with the others what workers of one gateway share: counters of
limits and metrics, keys, the folder of events. It calls its app as a server would, with an upstream that answers at
once in the same process: over a network, on a machine of few cores, whoever sends the requests takes the cores that a
second worker would need. Told are calls a second of all workers together, and a second of processor time: on a busy
machine only the latter says what workers do to each other.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

from gateway_path import caller, step


async def work(folder: Path, pipe: Connection, *, stack: str, seconds: float) -> None:
    """Set up, wait for the word, call until the time is over; give calls and processor seconds."""
    app, token, recorder = step(stack, folder)
    await recorder.start()
    call = caller(app, token)
    for _ in range(200):
        await call()
    pipe.send("ready")
    pipe.recv()
    calls, until, spent = 0, time.monotonic() + seconds, time.process_time()
    while time.monotonic() < until:
        for _ in range(64):
            await call()
        calls += 64
        await asyncio.sleep(0)
    pipe.send((calls, time.process_time() - spent))
    await recorder.close()


def run(folder: str, pipe: Connection, core: int, stack: str, seconds: float) -> None:
    """A worker's process."""
    os.sched_setaffinity(0, {core})
    asyncio.run(work(Path(folder), pipe, stack=stack, seconds=seconds))


def one_round(workers: int, *, stack: str, seconds: float) -> tuple[float, float]:
    """Calls a second of all together, and calls a second of processor time."""
    spawn = multiprocessing.get_context("spawn")
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        pipes, processes = [], []
        for number in range(workers):
            ours, theirs = spawn.Pipe()
            args = (folder, theirs, cores[number % len(cores)], stack, seconds)
            processes.append(spawn.Process(target=run, args=args))
            processes[-1].start()
            theirs.close()  # or nobody would notice that it died
            pipes.append(ours)
            ours.recv()  # one after the other: keys are added to one file
        for pipe in pipes:
            pipe.send("go")
        told = [pipe.recv() for pipe in pipes]
        for process in processes:
            process.join()
    calls, spent = sum(count for count, _ in told), sum(cpu for _, cpu in told)
    return calls / seconds, calls / spent


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workers", default="1,2", help="how many, in turns")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--stack", default="rules", choices=("rules", "default"))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    counts = [int(count) for count in options.workers.split(",")]
    rounds = [
        {count: one_round(count, stack=options.stack, seconds=options.seconds) for count in counts}
        for _ in range(options.rounds)
    ]
    rows = {count: [statistics.median(turn[count][at] for turn in rounds) for at in (0, 1)] for count in counts}
    if options.json:
        print(json.dumps({"cores": os.cpu_count(), "stack": options.stack, "per_s_and_per_cpu_s": rows}))
        return
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, stack {options.stack!r}")
    for count, (per_s, per_cpu_s) in rows.items():
        print(
            f"{count} workers: {per_s:8.0f} calls/s together, {count * per_cpu_s:8.0f} where each has a core to itself"
        )


if __name__ == "__main__":
    main()
