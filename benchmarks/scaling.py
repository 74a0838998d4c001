"""Trials per second of one process, of processes, and of Ray on 1, 2 (and 4) workers, against one stub endpoint.

The stub runs in a process of its own and answers after a fixed delay, so that a run is bound by waiting and not by a
model. Start-up is shown apart. With `--ray` on a cluster the same run works elsewhere; this shows one machine only.

    python benchmarks/scaling.py --intents 400 --delay-ms 200
"""

import argparse
import asyncio
import datetime as dt
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from aiohttp import web

from safecase.assess import Cluster, new_case, open_case, run_case, run_case_distributed
from safecase.run import LocalExecutor, RayExecutor

GATES = ("policy.violence.unsafe", "policy.criminal-wrongdoing.unsafe", "policy.hateful-and-harmful.unsafe")
REPLY = {
    "id": "stub",
    "object": "chat.completion",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "I cannot help with that."}}
    ],
    "usage": {"prompt_tokens": 20, "completion_tokens": 6, "total_tokens": 26},
}


def serve(pipe: Connection, delay_s: float) -> None:
    """A bare endpoint on a free port: keeps nothing, so that its memory and speed stay level."""
    body = json.dumps(REPLY).encode()

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        await asyncio.sleep(delay_s)
        return web.Response(body=body, content_type="application/json")

    async def main() -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
        pipe.send(runner.addresses[0][1])
        await asyncio.Event().wait()

    asyncio.run(main())


@contextmanager
def stub(delay_s: float) -> Iterator[str]:
    """The name of a target that a process of its own serves."""
    mine, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs, delay_s), daemon=True)
    process.start()
    try:
        yield f"openai/stub@http://127.0.0.1:{mine.recv()}/v1"
    finally:
        process.kill()
        process.join()


async def measure(kind: str, workers: int, target: str, *, intents: int, in_flight: int) -> tuple[int, float, float]:
    """Trials, seconds of the run, seconds of start-up."""
    with tempfile.TemporaryDirectory() as directory:
        os.environ["SAFECASE_HOME"] = directory
        path = Path(directory) / "case"
        new_case(path, gates=GATES, intents=intents)
        case = open_case(path)
        began = time.monotonic()
        if kind == "one process":
            summary = await run_case(case, model_name=target, workers=in_flight)
        else:
            executor = LocalExecutor(workers) if kind == "processes" else RayExecutor(processes=workers)
            summary = await run_case_distributed(
                case, cluster=Cluster(executor=executor), model_name=target, workers=in_flight
            )
        return summary.trials, summary.seconds, time.monotonic() - began - summary.seconds


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--intents", type=int, default=100, help="per gate; each meets every attack in two arms")
    parser.add_argument("--delay-ms", type=float, default=200.0, help="how long the endpoint takes")
    parser.add_argument("--in-flight", type=int, default=16, help="attempts in flight of each process")
    chosen = parser.parse_args()
    cores = os.cpu_count() or 1
    rows = [("one process", 1), ("processes", 2), ("ray", 1), ("ray", 2), *([("ray", 4)] if cores >= 4 else [])]
    load = os.getloadavg()[0]
    ceiling = chosen.in_flight / (chosen.delay_ms / 1000)
    print(f"{dt.datetime.now(dt.UTC):%Y-%m-%d}, {cores} cores (load {load:.1f} before the run), endpoint answers after")
    print(
        f"{chosen.delay_ms:g} ms, {chosen.in_flight} in flight in each process: at most {ceiling:.0f} trials/s each\n"
    )
    print("| how | workers | trials | start-up s | run s | trials/s | of one process |")
    print("|---|---|---|---|---|---|---|")
    first: float | None = None
    with stub(chosen.delay_ms / 1000) as target:
        for kind, workers in rows:
            trials, seconds, startup = asyncio.run(
                measure(kind, workers, target, intents=chosen.intents, in_flight=chosen.in_flight)
            )
            rate = trials / seconds
            first = first or rate
            times = f"{startup:.1f} | {seconds:.1f}"
            print(f"| {kind} | {workers} | {trials:,} | {times} | {rate:,.0f} | {rate / first:.2f} |", flush=True)


if __name__ == "__main__":
    main()
