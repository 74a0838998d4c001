"""Calls in flight: ended when they take too long, or when nobody waits for them any more.

A timer and a task that listens for a hang-up cost more for each call than the rules do. One sweep over all calls, a few
times a second, costs nothing worth counting; so waiting times are kept to a quarter of a second, and a call is listened
on only once it is older than that.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from safecase.serve._config import Receive
from safecase.serve._faults import ClientGone, Fault

PERIOD_S = 0.25
NEVER = float("inf")


class Flight:
    """One call in flight, to be used within its own task.

    Attributes:
        deadline: loop time; `overdue` makes what is raised in the call then.
        end: loop time by which the whole call has to be over.
        receive: set once the body was read; from then on a hang-up ends the call.
        token: of the key that it was let in with; "" before it was.
        cause: why the call was ended from outside.
    """

    __slots__ = ("cause", "deadline", "end", "overdue", "receive", "since", "task", "token", "watcher")

    def __init__(self, task: "asyncio.Task[None]", since: float) -> None:
        self.task = task
        self.since = since
        self.token = ""
        self.deadline = NEVER
        self.end = NEVER
        self.overdue: Callable[[], Fault | ClientGone] | None = None
        self.receive: Receive | None = None
        self.cause: Fault | ClientGone | None = None
        self.watcher: asyncio.Task[None] | None = None

    def fall(self, cause: Fault | ClientGone) -> None:
        """End the call; the first cause counts."""
        if self.cause is None:
            self.cause = cause
            self.task.cancel()


class Flights:
    """All calls of one process.

    Args:
        grounds: why every call is to end now, such as a permit that was revoked; None while they may go on.
        bars: why whoever holds a token is no longer served, such as a key that was revoked; None while they are.
    """

    def __init__(
        self,
        *,
        period_s: float = PERIOD_S,
        grounds: Callable[[], Fault | None] = lambda: None,
        bars: Callable[[str], Fault | None] = lambda _: None,
    ) -> None:
        self._period_s, self._grounds, self._bars = period_s, grounds, bars
        self._flights: dict[int, Flight] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._next: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._flights)

    def board(self) -> Flight:
        """Take the current task under watch until `land`."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - an ASGI server runs every call in a task
        loop = self._loop
        if loop is None or loop.is_closed():
            loop = self._loop = task.get_loop()
            self._next = None
        flight = Flight(task, loop.time())
        self._flights[id(flight)] = flight
        if self._next is None:
            self._next = loop.call_later(self._period_s, self._sweep, loop)
        return flight

    def land(self, flight: Flight) -> None:
        """Let go of it."""
        self._flights.pop(id(flight), None)
        if flight.watcher is not None:
            flight.watcher.cancel()

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now, grounded = loop.time(), self._grounds()
        for flight in list(self._flights.values()):
            if grounded is not None:
                flight.fall(grounded)
            elif now > flight.deadline or now > flight.end:
                if flight.overdue is not None:
                    flight.fall(flight.overdue())
            elif now - flight.since >= self._period_s:
                if flight.token and (bar := self._bars(flight.token)) is not None:
                    flight.fall(bar)
                elif flight.watcher is None and flight.receive is not None:
                    flight.watcher = loop.create_task(_listen(flight, flight.receive))
        self._next = loop.call_later(self._period_s, self._sweep, loop) if self._flights else None


async def _listen(flight: Flight, receive: Receive) -> None:
    """Wait for a hang-up. Anything else that a client says after its body is passed over."""
    with suppress(asyncio.CancelledError):
        while (await receive())["type"] != "http.disconnect":
            pass
        flight.fall(ClientGone())
