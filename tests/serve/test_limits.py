"""Limits hold over all workers: never one too many, and what a dead worker held is given back."""

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safecase.serve import Account, AccountTable, Allowance, SharedLimiter, SharedUnusable, TableFull, WorkerSlot

SPAWN = multiprocessing.get_context("spawn")


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.s = 1000.0

    def __call__(self) -> float:
        return self.s


def account(name: str = "acme", **limits: float | None) -> Account:
    return Account(id=name, key_id="k", allowance=Allowance(**limits))


@pytest.fixture
def slot(tmp_path: Path) -> Iterator[WorkerSlot]:
    claimed = WorkerSlot.claim(tmp_path / "run", most=4)
    yield claimed
    claimed.release()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_rested_account_may_ask_its_minute_at_once_and_then_at_the_rate(slot: WorkerSlot, clock: Clock):
    limiter, who = SharedLimiter.open(slot, clock=clock), account(requests_per_minute=3)
    assert [limiter.enter(who) for _ in range(3)] == [None, None, None]

    refused = limiter.enter(who)
    assert (refused.status, refused.reason) == (429, "over-limit-requests")
    assert refused.retry_after_s == pytest.approx(20.0)
    clock.s += refused.retry_after_s
    assert limiter.enter(who) is None
    assert limiter.enter(who) is not None
    clock.s += 3600
    assert [limiter.enter(who) is None for _ in range(4)] == [True, True, True, False]


def test_a_refused_call_uses_nothing_up(slot: WorkerSlot, clock: Clock):
    limiter, who = SharedLimiter.open(slot, clock=clock), account(requests_per_minute=1, concurrent=2)
    limiter.enter(who)
    first = limiter.enter(who).retry_after_s

    assert {limiter.enter(who).retry_after_s for _ in range(50)} == {first}


def test_tokens_are_paid_for_after_the_call(slot: WorkerSlot, clock: Clock):
    limiter, who = SharedLimiter.open(slot, clock=clock), account(tokens_per_minute=600)
    assert limiter.enter(who) is None
    limiter.leave(who, tokens=900)

    refused = limiter.enter(who)
    assert refused.reason == "over-limit-tokens"
    assert refused.retry_after_s == pytest.approx(30.0)
    clock.s += 30.1
    assert limiter.enter(who) is None


def test_places_are_given_back(slot: WorkerSlot, clock: Clock):
    limiter, who = SharedLimiter.open(slot, clock=clock), account(concurrent=2)
    assert [limiter.enter(who), limiter.enter(who)] == [None, None]
    assert limiter.enter(who).reason == "over-limit-concurrent"

    limiter.leave(who, tokens=0)
    assert limiter.enter(who) is None


def test_every_kind_of_refusal_gives_its_place_back(slot: WorkerSlot, clock: Clock):
    limiter = SharedLimiter.open(slot, clock=clock)
    both = account(requests_per_minute=1, concurrent=1)
    limiter.enter(both)
    limiter.leave(both, tokens=0)
    assert [limiter.enter(both).reason for _ in range(3)] == ["over-limit-requests"] * 3

    clock.s += 60
    assert limiter.enter(both) is None


def test_accounts_do_not_share(slot: WorkerSlot, clock: Clock):
    limiter = SharedLimiter.open(slot, clock=clock)

    assert all(limiter.enter(account(f"a{at}", requests_per_minute=1)) is None for at in range(500))
    assert all(limiter.enter(account(f"a{at}", requests_per_minute=1)) is not None for at in range(500))


def test_no_limits_count_nothing(slot: WorkerSlot):
    limiter, who = SharedLimiter.open(slot), account()

    assert all(limiter.enter(who) is None for _ in range(1000))
    limiter.leave(who, tokens=10**9)
    assert limiter.headers(who) == []


def test_headers_say_what_is_left_as_openai_does(slot: WorkerSlot, clock: Clock):
    limiter, who = SharedLimiter.open(slot, clock=clock), account(requests_per_minute=60, tokens_per_minute=1200)
    limiter.enter(who)
    limiter.leave(who, tokens=100)

    assert dict(limiter.headers(who)) == {
        b"x-ratelimit-limit-requests": b"60",
        b"x-ratelimit-remaining-requests": b"59",
        b"x-ratelimit-reset-requests": b"1s",
        b"x-ratelimit-limit-tokens": b"1200",
        b"x-ratelimit-remaining-tokens": b"1100",
        b"x-ratelimit-reset-tokens": b"5s",
    }


@given(
    limit=st.integers(1, 200),
    pauses=st.lists(st.floats(0, 5, allow_subnormal=False), min_size=1, max_size=300),
)
def test_no_window_sees_more_than_burst_and_rate(limit: int, pauses: list[float]):
    """In any stretch of t seconds at most limit * (1 + t / 60) calls, whatever the arrivals."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        slot, clock = WorkerSlot.claim(Path(folder), most=2), Clock()
        limiter, who = SharedLimiter.open(slot, accounts=128, clock=clock), account(requests_per_minute=limit)
        came = []
        for pause in pauses:
            clock.s += pause
            if limiter.enter(who) is None:
                limiter.leave(who, tokens=0)
                came.append(clock.s)
        slot.release()
    assert came
    for first in range(len(came)):
        for last in range(first, len(came)):
            assert last - first + 1 <= limit * (1 + (came[last] - came[first]) / 60) + 1e-3


# --- The table --------------------------------------------------------------------------------------------------------


def test_a_full_table_refuses_and_takes_the_place_of_the_idle(slot: WorkerSlot, clock: Clock, tmp_path: Path):
    limiter = SharedLimiter.open(slot, accounts=16, clock=clock)
    busy = [account(f"a{at}", requests_per_minute=1) for at in range(16)]
    assert [limiter.enter(who) for who in busy] == [None] * 16

    assert limiter.enter(account("late", requests_per_minute=1)).reason == "limits-full"
    for who in busy[:8]:
        limiter.leave(who, tokens=0)
    clock.s += 61
    assert limiter.enter(account("late", requests_per_minute=1)) is None
    assert limiter.enter(account("late", requests_per_minute=1)).reason == "over-limit-requests"


def test_an_account_whose_row_was_given_away_gets_another(slot: WorkerSlot, clock: Clock, tmp_path: Path):
    table = AccountTable.open(tmp_path / "t", slot, meters=1, rows=1, clock=clock)
    table.spend(table.row("first"), 0, 5.0)
    with pytest.raises(TableFull):
        table.row("second")

    clock.s += 6
    table.spend(table.row("second"), 0, 7.0)
    assert table.empty_at(table.row("second"), 0) == pytest.approx(clock.s + 7.0)
    clock.s += 8
    assert table.empty_at(table.row("first"), 0) <= clock.s


def test_other_sizes_are_refused_while_another_worker_uses_the_file(slot: WorkerSlot, tmp_path: Path):
    other = WorkerSlot.claim(slot.folder, most=4)
    used = SharedLimiter.open(slot, accounts=64)

    with pytest.raises(SharedUnusable, match="other sizes"):
        SharedLimiter.open(other, accounts=128)
    del used  # as the kernel does for a process that ends
    assert SharedLimiter.open(other, accounts=128).enter(account(concurrent=1)) is None


def test_a_gateway_starts_again_with_another_number_of_workers(slot: WorkerSlot):
    """Those that start together all have numbers before the first of them opens the file of the last run."""
    SharedLimiter.open(slot)
    slot.release()
    slots = [WorkerSlot.claim(slot.folder, most=7) for _ in range(2)]

    first, second = [SharedLimiter.open(each) for each in slots]

    assert first.enter(account(concurrent=1)) is None
    assert second.enter(account(concurrent=1)) is not None


# --- Several processes ------------------------------------------------------------------------------------------------


def _hammer(folder: str, tries: int, go: Connection, told: Connection) -> None:
    slot = WorkerSlot.claim(Path(folder), most=4)
    limiter, who = SharedLimiter.open(slot), account(requests_per_minute=600, concurrent=1_000_000)
    told.send(slot.index)
    go.recv()
    admitted = sum(limiter.enter(who) is None for _ in range(tries))
    alone = _alone(limiter, Path(folder) / "held", 1.0)
    told.send((admitted, alone, time.monotonic()))
    go.recv()


def _alone(limiter: SharedLimiter, mark: Path, seconds: float) -> int:
    """How often this process had the only place; fails where another had it as well."""
    one, often, until = account("one", concurrent=1), 0, time.monotonic() + seconds
    while time.monotonic() < until:
        if limiter.enter(one) is None:
            os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
            mark.unlink()
            limiter.leave(one, tokens=0)
            often += 1
    return often


def test_workers_together_let_in_no_more_than_the_limit(tmp_path: Path):
    """3 processes ask 2,000 times each; 600 are allowed and 10 more a second. And one place is one place."""
    pipes = [(SPAWN.Pipe(), SPAWN.Pipe()) for _ in range(3)]
    workers = [SPAWN.Process(target=_hammer, args=(str(tmp_path), 2000, go[1], told[1])) for go, told in pipes]
    for worker in workers:
        worker.start()
    numbers = [told[0].recv() for _, told in pipes]
    start = time.monotonic()
    for go, _ in pipes:
        go[0].send(None)
    results = [told[0].recv() for _, told in pipes]
    for go, _ in pipes:
        go[0].send(None)
    for worker in workers:
        worker.join(20)

    assert sorted(numbers) == [0, 1, 2]
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    admitted, end = sum(result[0] for result in results), max(result[2] for result in results)
    assert 600 <= admitted <= 600 + 10 * (end - start) + 3
    assert all(result[1] > 0 for result in results), "each had the place at some time"


def _hold(folder: str, told: Connection) -> None:
    slot = WorkerSlot.claim(Path(folder), most=4)
    limiter = SharedLimiter.open(slot)
    told.send([limiter.enter(account(concurrent=3)) is None for _ in range(3)])
    time.sleep(60)


def test_a_killed_workers_places_are_given_back(tmp_path: Path):
    slot = WorkerSlot.claim(tmp_path, most=4)
    limiter, who = SharedLimiter.open(slot), account(concurrent=3)
    mine, theirs = SPAWN.Pipe()
    worker = SPAWN.Process(target=_hold, args=(str(tmp_path), theirs))
    worker.start()
    assert mine.recv() == [True, True, True]
    assert limiter.enter(who).reason == "over-limit-concurrent"

    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    until = time.monotonic() + 5
    while limiter.enter(who) is not None and time.monotonic() < until:
        time.sleep(0.05)

    assert [limiter.enter(who), limiter.enter(who)] == [None, None]
    assert limiter.enter(who) is not None
    slot.release()


def test_a_worker_that_comes_again_takes_the_number_and_frees_its_places(tmp_path: Path):
    first = WorkerSlot.claim(tmp_path, most=4)
    who = account(concurrent=1)
    assert SharedLimiter.open(first).enter(who) is None
    first.release()  # as the kernel does for one that dies

    again = WorkerSlot.claim(tmp_path, most=4)
    assert (again.index, again.id != first.id) == (0, True)
    assert SharedLimiter.open(again).enter(who) is None
    again.release()


def test_no_number_is_given_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("safecase.serve._worker._PATIENCE_S", 0.05)
    slots = [WorkerSlot.claim(tmp_path, most=2) for _ in range(2)]

    assert [slot.index for slot in slots] == [0, 1]
    with pytest.raises(SharedUnusable, match="all 2 worker numbers"):
        WorkerSlot.claim(tmp_path, most=2)
    for slot in slots:
        slot.release()
