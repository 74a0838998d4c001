"""What the gateway's own code costs on one call, seam by seam: CPU time without a server and without a network.

    python benchmarks/gateway_path.py [--calls 4000] [--rounds 7] [--profile STEP]

The app is called as a server would call it, with an upstream that answers at once in the same process, so what is left
is ours alone. Each line adds one seam to the line above. The best round counts: a busy machine only ever adds.
"""

import argparse
import asyncio
import cProfile
import itertools
import pstats
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from _gateway_server import gateway_of, stack_of
from _gateway_stub import whole
from gateway import request

from safecase import serve
from safecase.testing import ListRecorder, NoLimits, OneKey

STEPS = ("fakes", "keys", "limits", "metrics", "traces", "events", "rules", "default")


class Forgetful(ListRecorder):
    """A recorder that keeps nothing."""

    def record(self, event: Any) -> None:
        """Forget it."""


@dataclass
class Answer:
    """As much of an upstream's answer as is looked at."""

    content_type: str = "application/json"


def step(name: str, folder: Path) -> tuple[Any, str, Any]:
    """The app with every seam up to this one, a key to it, and what has to be started."""
    real, token, recorder = gateway_of("http://127.0.0.1:9/v1", "none", folder)
    metrics, traces = (real.observers or (None, None))[:2]
    at = STEPS.index(name)
    fakes = {"keys": OneKey(), "limiter": NoLimits(), "recorder": Forgetful(), "observers": ()}
    fields: dict[str, Any] = dict(fakes)
    if at >= STEPS.index("keys"):
        fields["keys"] = real.keys
    if at >= STEPS.index("limits"):
        fields["limiter"] = real.limiter
    if at >= STEPS.index("metrics"):
        fields["observers"] = (metrics,)
    if at >= STEPS.index("traces"):
        fields["observers"] = (metrics, traces)
    if at >= STEPS.index("events"):
        fields["recorder"] = real.recorder
    if at >= STEPS.index("rules"):
        fields["stack"] = stack_of(name)
    app = serve.create_app(replace(real, **fields))
    client, answer = app._clients["chat"], Answer()
    replies = itertools.cycle([whole(64, number).partition(b"\r\n\r\n")[2] for number in range(500)])

    async def post(*_: Any) -> Any:
        return answer

    async def read(*_: Any) -> bytes:
        return next(replies)

    client.post, client.read = post, read  # type: ignore[method-assign]  # the seam to a network
    return app, token if at >= STEPS.index("keys") else "test-key", recorder


def caller(app: Any, token: str) -> Callable[[], Any]:
    """Calls the app as uvicorn does; gives the coroutine of one call."""
    asks = [request("http://127.0.0.1:9/v1", token, streams=False, number=number) for number in range(1000, 3000)]
    head = asks[0].partition(b"\r\n\r\n")[0]
    bodies = itertools.cycle([ask.partition(b"\r\n\r\n")[2] for ask in asks])
    lines = [line.partition(b": ") for line in head.split(b"\r\n")[1:]]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/chat/completions",
        "headers": [(name.lower(), value) for name, _, value in lines],
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": next(bodies), "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start" and message["status"] != 200:
            raise SystemExit(f"answered {message['status']}")

    return lambda: app(scope, receive, send)


async def cost_us(name: str, *, calls: int, rounds: int, profile: cProfile.Profile | None = None) -> float:
    """CPU microseconds of a call, the best round; what drains events in the background is in it."""
    with tempfile.TemporaryDirectory() as folder:
        app, token, recorder = step(name, Path(folder))
        await recorder.start()
        call, best = caller(app, token), float("inf")

        async def some(count: int) -> None:
            for number in range(count):
                await call()
                if number % 64 == 0:
                    await asyncio.sleep(0)

        await some(200)
        if profile:
            profile.enable()
        for _ in range(rounds):
            await asyncio.sleep(0.2)  # what is queued goes out
            began = time.process_time()
            await some(calls)
            while recorder.stats().queued:  # noqa: ASYNC110 - a recorder tells nobody
                await asyncio.sleep(0.01)
            best = min(best, (time.process_time() - began) / calls)
        if profile:
            profile.disable()
        await recorder.close()
        return best * 1e6


def costs(calls: int, rounds: int) -> Iterator[tuple[str, float]]:
    """Every step in order."""
    for name in STEPS:
        yield name, asyncio.run(cost_us(name, calls=calls, rounds=rounds))


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--profile", choices=STEPS, help="show where one step's time goes")
    options = parser.parse_args()
    if options.profile:
        profile = cProfile.Profile()
        asyncio.run(cost_us(options.profile, calls=options.calls, rounds=1, profile=profile))
        pstats.Stats(profile).sort_stats("tottime").print_stats(45)
        return
    before = 0.0
    for name, cost in costs(options.calls, options.rounds):
        print(f"{name:10}{cost:10.1f} us{cost - before:+10.1f}")
        before = cost


if __name__ == "__main__":
    main()
