"""Counts of account layers that all worker processes share, so that workers hold an account to one limit together.

    row:  hash | seconds of a slot | a cell per worker and slot: number of the slot, count

Nobody writes what others write, as in `_shared.py`: a worker counts in cells of its own, nine of them, one after the
other and round again, each with the number of the slot that it counts. One aligned 8-byte word holds both, so no one
reads a count with another slot's number. The total is the sum over all cells that are young enough. A worker that dies
leaves its counts, and whoever takes its number goes on with them.

Error. A worker that the scheduler stops between finding a row and writing to it, through the account's whole idle spell
and until the row is another's, adds one to that other account. It never makes a count smaller.
"""

import threading
import time
from collections.abc import Callable

from safecase.safeguard import Stack, counting_in
from safecase.serve._rows import HashedRows
from safecase.serve._worker import WorkerSlot

_SLOTS = 9  # of a window in eighths: it touches nine
_BITS = 24
_MOST = (1 << _BITS) - 1  # a cell stays at its most; no limit of an eighth of a window is near it
_LATEST = 1 << (64 - _BITS)


class SharedCounts:
    """`safeguard.Counts` over all workers of a run folder.

    Args of `open`:
        slot: this worker.
        name: of the file in the folder; counts that mean different things need different files.
        keys: rows of the table, 1.2 KiB each with 16 workers. A layer that counts requests and attempts takes two for
            an account that has both. Half as many are placed without trouble; a row whose window is over is given away.
        clock: the clock of the layers that count here.
    """

    def __init__(self, held: HashedRows, slot: WorkerSlot, clock: Callable[[], float]) -> None:
        self._held, self._words, self._seconds = held, held.words, held.body.cast("d")
        self._mine, self._all = 2 + slot.index * _SLOTS, slot.most * _SLOTS
        self._clock = clock
        self._lock = threading.Lock()
        with held.locked():  # cells of workers that never were need not be read
            held.note[0] = max(held.note[0], slot.index + 1)

    @classmethod
    def open(
        cls,
        slot: WorkerSlot,
        *,
        name: str = "counts.bin",
        keys: int = 32_768,
        clock: Callable[[], float] = time.monotonic,
    ) -> "SharedCounts":
        """Share a file in the slot's folder with the other workers.

        Raises:
            SharedUnusable: the file cannot be used.
        """
        words = 2 + slot.most * _SLOTS
        make = b"safecase-counts1"
        held = HashedRows.open(slot.folder / name, slot, make=make, rows=keys, kinds=_SLOTS, row_words=words)
        return cls(held, slot, clock)

    def add(self, key: str, *, slot: int, slot_s: float, count: int = 1) -> None:
        """Count in a slot of time.

        Raises:
            TableFull: too many keys are in use.
            ValueError: the slot's number does not fit a cell.
        """
        if not 0 <= slot < _LATEST:
            raise ValueError(f"slot {slot!r} of {slot_s!r} s cannot be counted; give the layer a longer window")

        def take(row: int) -> None:
            self._seconds[row + 1] = slot_s
            for at in range(row + 2, row + 2 + self._all):
                self._words[at] = 0

        while True:
            row = self._held.find(key)
            if row is None:
                row = self._held.place(key, is_idle=self._is_idle, take=take)
            digest, at = self._held.known[key][1], row + self._mine + slot % _SLOTS
            with self._lock:
                word = self._words[at]
                held = word & _MOST if word >> _BITS == slot else 0
                self._words[at] = slot << _BITS | min(max(held + count, 0), _MOST)
            if self._words[row] == digest:  # else it was given to another meanwhile, and is looked for anew
                return

    def total(self, key: str, *, since: int) -> int:
        """The sum of all workers' slots from `since` on.

        Raises:
            TableFull: the key has no row, and could have none now.
        """
        row = self._held.find(key)
        if row is None:
            self._held.room(key, is_idle=self._is_idle)
            return 0
        words, youngest = self._words[row + 2 : row + 2 + self._held.note[0] * _SLOTS].tolist(), since << _BITS
        if self._words[row] != self._held.known[key][1]:
            return 0  # idle until now, so its row was given away
        return sum([word & _MOST for word in words if word >= youngest])

    def _is_idle(self, row: int) -> bool:
        newest = max(self._words[row + 2 : row + 2 + self._all]) >> _BITS
        return bool((newest + _SLOTS + 1) * self._seconds[row + 1] <= self._clock())


def counting_together(stack: Stack, slot: WorkerSlot, *, name: str = "counts.bin") -> Stack:
    """A stack whose account layers count in a file that all workers share; a stack without any as it is.

    Raises:
        SharedUnusable: the file cannot be used.
    """
    return counting_in(stack, lambda: SharedCounts.open(slot, name=name))
