"""The loop stands beside what other libraries left in the process."""

import asyncio
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from safecase.models import run_to_end, told_to_stop


async def answer() -> int:
    await asyncio.sleep(0)
    return 42


@contextmanager
def listening() -> Iterator[socket.socket]:
    """A wakeup descriptor such as another loop sets; gone afterwards."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    before = signal.set_wakeup_fd(ours.fileno(), warn_on_full_buffer=False)
    try:
        yield ours
    finally:
        signal.set_wakeup_fd(before)
        ours.close()
        theirs.close()


def test_a_descriptor_that_an_unclosed_loop_left_behind_does_not_stop_a_run() -> None:
    """uvloop alone fails here with EBADF when it puts the closed descriptor back."""
    with listening() as waker:
        waker.close()

        assert run_to_end(answer()) == 42
        assert signal.set_wakeup_fd(-1) == -1


def test_a_descriptor_that_somebody_waits_at_is_put_back() -> None:
    with listening() as waker:
        run_to_end(answer())

        assert signal.set_wakeup_fd(-1) == waker.fileno()


def test_a_run_in_another_thread_leaves_the_descriptor_alone() -> None:
    found: list[int] = []
    with listening() as waker:
        thread = threading.Thread(target=lambda: found.append(run_to_end(answer())))
        thread.start()
        thread.join()

        assert found == [42]
        assert signal.set_wakeup_fd(-1) == waker.fileno()


def test_a_running_loop_is_refused() -> None:
    async def within() -> None:
        run_to_end(answer())

    with pytest.raises(RuntimeError, match="runs in this thread already"):
        asyncio.run(within())


def test_who_was_told_to_stop_leaves_no_descriptor_even_where_the_loop_stays_open() -> None:
    """As under `nest_asyncio`, whose `asyncio.run` never closes its loop."""

    async def wait() -> bool:
        with told_to_stop() as stop:
            signal.raise_signal(signal.SIGTERM)
            await stop.wait()
        return stop.is_set()

    before = signal.getsignal(signal.SIGTERM)
    loop = asyncio.new_event_loop()
    try:
        assert loop.run_until_complete(wait())

        assert signal.set_wakeup_fd(-1) == -1
        assert signal.getsignal(signal.SIGTERM) == before
    finally:
        loop.close()
