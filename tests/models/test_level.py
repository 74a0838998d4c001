"""The level of attempts in flight, against endpoints simulated with a clock of their own."""

import heapq
import random
from collections.abc import Callable

import pytest

from safecase.models._level import Level


class Endpoint:
    """Answers in `latency_s` while at most `servers` are busy; beyond that attempts queue."""

    def __init__(self, *, servers: int, latency_s: float, most: int, seed: int = 1) -> None:
        self.now = 0.0
        self.servers, self.latency_s = servers, latency_s
        self.level = Level(most, clock=lambda: self.now)
        self.rng = random.Random(seed)
        self.ends: list[tuple[float, float]] = []  # (when it ends, when it was sent)
        self.free_at = [0.0] * servers
        self.done = 0
        self.levels: list[int] = []

    def work(self, seconds: float, answer: Callable[["Endpoint", float], None] | None = None) -> None:
        """Always as many in flight as the level allows."""
        until = self.now + seconds
        while self.now < until:
            while self.level.in_flight < self.level.limit:
                self._send()
            self.now, sent_at = heapq.heappop(self.ends)
            self.done += 1
            self.level.release()
            if answer is None:
                self.level.answered()
            else:
                answer(self, sent_at)
            self.levels.append(self.level.limit)

    def _send(self) -> None:
        with pytest.raises(StopIteration):
            self.level.acquire().send(None)
        starts = max(self.now, heapq.heappop(self.free_at))
        ends = starts + self.latency_s * self.rng.uniform(0.7, 1.3)
        heapq.heappush(self.free_at, ends)
        heapq.heappush(self.ends, (ends, self.now))


@pytest.mark.parametrize("servers", [2, 16, 100])
def test_the_level_settles_near_what_the_endpoint_serves_at_once(servers: int) -> None:
    endpoint = Endpoint(servers=servers, latency_s=0.2, most=1000)

    endpoint.work(60)

    settled = endpoint.levels[len(endpoint.levels) // 2 :]
    average = sum(settled) / len(settled)
    assert 0.75 * servers <= average <= 3 * servers + 4
    assert endpoint.done / 60 > 0.85 * servers / 0.2


def test_an_endpoint_that_takes_everything_is_given_the_most() -> None:
    endpoint = Endpoint(servers=10_000, latency_s=0.05, most=200)

    endpoint.work(5)

    assert endpoint.level.limit >= 150


def test_the_level_follows_an_endpoint_that_grows() -> None:
    endpoint = Endpoint(servers=4, latency_s=0.1, most=500)
    endpoint.work(30)
    small = endpoint.level.limit
    endpoint.free_at += [endpoint.now] * 60

    endpoint.work(120)

    assert endpoint.level.limit > 3 * small


def test_saying_too_much_cuts_the_level_once_for_all_that_was_sent_before() -> None:
    level = Level(100, clock=lambda: 5.0)
    level.limit = 100

    for _ in range(50):
        level.overloaded(sent_at=4.0)

    assert level.limit == 70


def test_rate_limits_keep_the_share_of_refused_attempts_small() -> None:
    endpoint = Endpoint(servers=1000, latency_s=0.1, most=1000)
    refused = 0

    def answer(at: Endpoint, sent_at: float) -> None:
        nonlocal refused
        if len(at.ends) > 50:  # it takes fifty at once and says 429 to the rest
            refused += 1
            at.level.overloaded(sent_at=sent_at)
        else:
            at.level.answered()

    endpoint.work(60, answer)

    assert refused / endpoint.done < 0.05
    assert endpoint.done / 60 > 0.5 * 50 / 0.1


def test_what_headers_leave_is_not_exceeded() -> None:
    level = Level(100)
    level.limit = 64

    level.at_most(3)
    assert level.limit == 3

    level.at_most(0)
    assert level.limit == 1
