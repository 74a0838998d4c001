"""How many attempts an endpoint is sent at once: a level that finds itself.

The problem: too few attempts in flight leave an endpoint idle, too many only queue there, time out and draw 429s; and
what is right changes with the hour. Nobody knows the number beforehand.

The picture: climb while it pays. The level doubles as long as that makes answers come faster; then it tries a step
up or down now and again and keeps what paid. An answer that says *too much* (429, 503, a timeout) takes three
tenths off at once.

Windows end with the level's own number of answers, about one round trip. A window in which the level was not used up
says nothing and changes nothing. What was sent before a cut says nothing about the level after it.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, runtime_checkable

_START = 8
_CUT = 0.7
_SHORTEST_WINDOW_S = 0.1
_LEAST_ANSWERS = 8
_DOUBLING_PAYS = 1.2
"""Rate over rate at half the level that keeps the doubling going."""
_STEP = 0.15
_STEP_PAYS = 0.35
"""Share of a step's size by which the rate must grow for a step up to stay."""
_REST = 6
"""Windows between two probes."""


@runtime_checkable
class Paced(Protocol):
    """A target that finds its own level."""

    level: "Level"


class Level:
    """A semaphore whose size follows the endpoint. Enter it for every attempt.

    Args:
        most: never more in flight, at least 1.
        clock: seconds.
    """

    def __init__(self, most: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.most = most
        self.limit = min(_START, most)
        self.in_flight = 0
        self._clock = clock
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._doubling = True
        self._cut_at = float("-inf")
        self._rate = 0.0  # answers per second at the level that stands
        self._tried: int | None = None  # the level before the probe that is running
        self._rest = 0
        self._down_next = False
        self._begin_window()

    async def acquire(self) -> float:
        """Wait for a place; the time on the clock when it was had."""
        if self.in_flight >= self.limit or self._waiting:
            place = asyncio.get_running_loop().create_future()
            self._waiting.append(place)
            try:
                await place  # whoever wakes us has taken the place for us
            except asyncio.CancelledError:
                if place.done() and not place.cancelled():
                    self.release()
                raise
        else:
            self._take()
        return self._clock()

    def release(self) -> None:
        """Give the place back."""
        self.in_flight -= 1
        self._wake()

    def answered(self) -> None:
        """An attempt came to its end in good order."""
        self._answers += 1
        now = self._clock()
        if self._answers < max(_LEAST_ANSWERS, self.limit) or now - self._since < _SHORTEST_WINDOW_S:
            return
        rate = self._answers / (now - self._since)
        if self._was_full:
            self._end_window(rate)
        self._begin_window()

    def overloaded(self, *, sent_at: float) -> None:
        """The endpoint said *too much* to an attempt that was sent at that time."""
        if sent_at < self._cut_at:
            return
        self._cut_at = self._clock()
        self._set(int(self.limit * _CUT))

    def at_most(self, left: int) -> None:
        """The endpoint says that it takes so many more before its limit is reset; from there the level climbs anew."""
        if left < self.limit:
            self._set(left)
            self._doubling = True

    def _set(self, limit: int) -> None:
        """Come down for a reason that a rate has no say in."""
        self._doubling, self._tried, self._rest = False, None, _REST
        self.limit = max(1, limit)
        self._rate = 0.0
        self._begin_window()

    def _end_window(self, rate: float) -> None:
        if self._doubling:
            self._double(rate)
        elif self._tried is not None:
            self._weigh(rate, self._tried)
        else:
            # The rate that stands is an average, so that one lucky window does not veto every later step.
            self._rate = rate if not self._rate else 0.7 * self._rate + 0.3 * rate
            self._rest -= 1
            if self._rest <= 0:
                self._probe()
        self._wake()

    def _double(self, rate: float) -> None:
        if rate < self._rate * _DOUBLING_PAYS:
            self._doubling, self._rest = False, _REST
            self.limit = max(1, self.limit * 3 // 4)
            return
        self._rate = rate
        if self.limit == self.most:
            self._doubling = False
        self.limit = min(self.most, self.limit * 2)

    def _probe(self) -> None:
        step = max(1, int(self.limit * _STEP))
        down = self._down_next and self.limit > 1
        target = max(1, self.limit - step) if down else min(self.most, self.limit + step)
        self._down_next = not self._down_next
        self._rest = _REST
        if target != self.limit:
            self._tried, self.limit = self.limit, target

    def _weigh(self, rate: float, before: int) -> None:
        """Keep a step up that paid, and a step down that cost nothing."""
        growth = self.limit / before - 1
        if rate >= self._rate * (1 + growth * (_STEP_PAYS if growth > 0 else 0.2)):
            self._rate = rate
            self._rest = 0 if growth > 0 else _REST
            self._down_next = growth < 0
        else:
            self.limit = before
        self._tried = None

    def _begin_window(self) -> None:
        self._since, self._answers, self._was_full = self._clock(), 0, self.in_flight >= self.limit

    def _take(self) -> None:
        self.in_flight += 1
        if self.in_flight >= self.limit:
            self._was_full = True

    def _wake(self) -> None:
        while self._waiting and self.in_flight < self.limit:
            place = self._waiting.popleft()
            if not place.done():
                self._take()
                place.set_result(None)

    async def __aenter__(self) -> float:
        return await self.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
