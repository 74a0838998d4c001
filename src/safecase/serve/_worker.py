"""A number for each worker process, so that what workers share needs no locks: everyone writes only their own column.

A number is held by a lock on a file of its own. The kernel frees the lock when the process ends, however it ends, so
whoever can take the lock knows that its last holder is dead and may tidy up after it.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from safecase.serve._errors import SharedUnusable

_PATIENCE_S = 2.0


class WorkerSlot:
    """One worker's number in a run folder. Claim it after the process was forked or spawned, never before.

    Attributes:
        folder: what the workers of one gateway share; nothing else lies there.
        index: 0..most-1.
        most: numbers there are; workers at one time.
        id: unique for this claim; names the worker in events.
    """

    def __init__(self, folder: Path, index: int, most: int, held: int) -> None:
        self.folder, self.index, self.most = folder, index, most
        self.id = f"w{index}-{time.time_ns():x}-{os.getpid():x}"
        self._held = held

    @classmethod
    def claim(cls, folder: Path, *, most: int = 16) -> "WorkerSlot":
        """Take the lowest free number.

        Raises:
            SharedUnusable: all are taken, or the folder cannot be written.
        """
        until = time.monotonic() + _PATIENCE_S
        while True:
            try:
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                for index in range(most):
                    if (held := _try_lock(_lock_file(folder, index))) is not None:
                        return cls(folder, index, most, held)
            except OSError as error:
                line = f"{folder}: workers cannot share this folder ({error.strerror})"
                raise SharedUnusable(f"{line}; name one that this user may write to") from None
            if time.monotonic() > until:
                raise SharedUnusable(f"{folder}: all {most} worker numbers are taken; stop a worker or allow for more")
            time.sleep(0.02)  # somebody may hold a dead worker's number for a moment, to tidy up after it

    @contextlib.contextmanager
    def if_dead(self, index: int) -> Iterator[bool]:
        """Whether no process holds a number; while the block runs, none can take it."""
        if index == self.index:
            yield False
            return
        held = _try_lock(_lock_file(self.folder, index))
        try:
            yield held is not None
        finally:
            if held is not None:
                os.close(held)

    def release(self) -> None:
        """Give the number back. Done by the kernel where the process ends first."""
        if self._held >= 0:
            os.close(self._held)
            self._held = -1


def _lock_file(folder: Path, index: int) -> Path:
    return folder / f"worker-{index}.lock"


def _try_lock(path: Path) -> int | None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
