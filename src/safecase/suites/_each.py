"""Attempts side by side: what a suite of one-attempt-at-a-time tasks makes its `run` from."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import replace

from safecase.evidence import PlannedAttempt, Status
from safecase.models import AttemptFailed, EndpointTimeout, UnparsedAnswer
from safecase.suites._suite import Tried

_LINE = 300


async def each(
    planned: Sequence[PlannedAttempt],
    attempt: Callable[[PlannedAttempt], Awaitable[Tried]],
    *,
    at_once: int,
    seconds: float,
) -> AsyncGenerator[Tried]:
    """Make every planned attempt, several at once, and give them as they end.

    Args:
        attempt: one attempt. `AttemptFailed` from it is an attempt without an answer; anything else stops the run.
        at_once: most attempts in flight, at least 1.
        seconds: wall time of one attempt; one that takes longer is a `timeout`.
    """
    waiting = iter(planned)
    running: set[asyncio.Task[Tried]] = set()
    try:
        while True:
            while len(running) < at_once and (one := next(waiting, None)) is not None:
                running.add(asyncio.create_task(_guarded(one, attempt, seconds)))
            if not running:
                return
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                yield task.result()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _guarded(one: PlannedAttempt, attempt: Callable[[PlannedAttempt], Awaitable[Tried]], seconds: float) -> Tried:
    started = time.monotonic()
    try:
        async with asyncio.timeout(seconds):
            tried = await attempt(one)
    except TimeoutError:
        tried = Tried(attempt=one.came_to("timeout", error=f"no end within {seconds:g} s"))
    except AttemptFailed as fault:
        tried = Tried(attempt=one.came_to(_status(fault), error=_line(fault)))
    if tried.attempt.latency_s is not None:
        return tried
    return replace(tried, attempt=replace(tried.attempt, latency_s=round(time.monotonic() - started, 3)))


def _status(fault: AttemptFailed) -> Status:
    if isinstance(fault, EndpointTimeout):
        return "timeout"
    return "unparsed" if isinstance(fault, UnparsedAnswer) else "error"


def _line(fault: AttemptFailed) -> str:
    """The fault in our own words where it has them: an endpoint's may quote an answer."""
    return " ".join(str(getattr(fault, "ours", None) or fault).split())[:_LINE]
