"""Counts per account that all worker processes share: a file in memory, fixed rows, no locks on the hot path.

The problem: several processes add to one number without a lock. If two read it, add and write back, one addition is
lost; and a process that the scheduler stops between reading and writing erases all that happened meanwhile. So nobody
writes what others write: each worker adds to a cell of its own, and who wants the number sums the cells.

    row:  hash | base per meter | a cell per meter and worker | a cell per worker: calls in flight

A *meter* is a leaky bucket in the form of the generic cell rate algorithm (ITU-T I.371, annex A): what was spent is
counted in seconds of the rate, and `base + sum of cells` is the instant at which the bucket will be empty. A bucket
found empty moves `base` up to now, the only word that several write; it hardly moves and is one aligned 8-byte store.

Error. Whoever asks adds first and looks then, so workers that race for the last place can all be refused and are never
all let in. When an idle account wakes, the workers that see it in the same microsecond may each forget the others'
first addition: at most one per worker. A worker stopped by the scheduler just before it moves `base`, through a whole
idle spell, can give the account its burst once more.
"""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from safecase.serve._rows import HashedRows
from safecase.serve._worker import WorkerSlot


class AccountTable:
    """Meters and a count of calls in flight for each account. Open one per file and process.

    Args of `open`:
        path: the file, made where there is none; worthless after a reboot, and then made anew.
        slot: this worker.
        meters: leaky buckets per account.
        rows: accounts that are not idle at one time; half as many are placed without trouble.
        clock: seconds, the same in every process: `time.monotonic` on Linux.
    """

    def __init__(
        self, held: HashedRows, *, rows: int, meters: int, slot: WorkerSlot, clock: Callable[[], float]
    ) -> None:
        self._held, self._slot, self._rows, self._meters = held, slot, rows, meters
        self.clock = clock
        self._workers = slot.most
        self._row_words = 1 + meters + meters * slot.most + slot.most
        self._cells, self._hashes, self._known = held.body.cast("d"), held.words, held.known
        self._in_flight_at = 1 + meters + meters * slot.most
        self._used = held.note  # how many workers there ever were: cells of the others hold nothing and are not read
        with held.locked():
            self._used[0] = max(self._used[0], slot.index + 1)
        self._tidied_at = float("-inf")
        self._clear_in_flight(slot.index)  # what this number's last holder had open when it died

    @classmethod
    def open(
        cls, path: Path, slot: WorkerSlot, *, meters: int, rows: int, clock: Callable[[], float] = time.monotonic
    ) -> "AccountTable":
        """Map the file, making it where there is none.

        Raises:
            SharedUnusable: it cannot be written, or living workers use it with other sizes.
        """
        words = 1 + meters + meters * slot.most + slot.most
        held = HashedRows.open(path, slot, make=b"safecase-meter-2", rows=rows, kinds=meters, row_words=words)
        return cls(held, rows=rows, meters=meters, slot=slot, clock=clock)

    # --- The hot path -------------------------------------------------------------------------------------------------

    def row(self, account: str) -> int:
        """Where an account's words begin.

        Raises:
            TableFull: too many accounts are active.
        """
        known = self._known.get(account)
        if known is not None and self._hashes[known[0]] == known[1]:  # not given to another account since
            return known[0]
        return self._held.place(account, is_idle=self._is_idle, take=self._take)

    def empty_at(self, row: int, meter: int) -> float:
        """When a meter's bucket will be empty; in the past where it is."""
        cells, first, used = self._cells, row + 1 + self._meters + meter * self._workers, self._used[0]
        return cells[row + 1 + meter] + (cells[first] if used == 1 else sum(cells[first : first + used]))

    def spend(self, row: int, meter: int, seconds: float) -> float:
        """Add to a meter; the instant at which it will be empty."""
        cells, now, used = self._cells, self.clock(), self._used[0]
        first = row + 1 + self._meters + meter * self._workers
        cells[first + self._slot.index] += seconds
        total = cells[first] if used == 1 else sum(cells[first : first + used])
        empty_at = cells[row + 1 + meter] + total
        if empty_at - seconds >= now:
            return empty_at
        cells[row + 1 + meter] = now - (total - seconds)
        return now + seconds

    def refund(self, row: int, meter: int, seconds: float) -> None:
        """Take back what this worker spent."""
        self._cells[row + 1 + self._meters + meter * self._workers + self._slot.index] -= seconds

    def take(self, row: int) -> int:
        """Count a call in; calls of the account in flight, this one included."""
        cells, first, used = self._cells, row + self._in_flight_at, self._used[0]
        cells[first + self._slot.index] += 1.0
        return int(cells[first] if used == 1 else sum(cells[first : first + used]))

    def give(self, row: int) -> None:
        """Count a call out."""
        self._cells[row + self._in_flight_at + self._slot.index] -= 1.0

    # --- Rarely -------------------------------------------------------------------------------------------------------

    def give_back_of_the_dead(self, row: int) -> bool:
        """Whether calls in flight of dead workers were taken out. Looked at once a second at most."""
        now = self.clock()
        if now - self._tidied_at < 1.0:
            return False
        self._tidied_at = now
        first, found = row + self._in_flight_at, False
        for index in range(self._workers):
            if self._cells[first + index] > 0.0:
                with self._slot.if_dead(index) as is_dead:
                    if is_dead:
                        self._clear_in_flight(index)
                        found = True
        return found

    def _clear_in_flight(self, index: int) -> None:
        column = np.asarray(self._cells).reshape(self._rows, self._row_words)
        cells = column[:, self._in_flight_at + index]
        for at in np.flatnonzero(cells):  # only pages in use are written
            cells[at] = 0.0

    def _take(self, row: int) -> None:
        """Empty the meters of a row; under the lock. Cells stay, since others add to them."""
        now = self.clock()
        for meter in range(self._meters):
            self._cells[row + 1 + meter] += now - self.empty_at(row, meter)

    def _is_idle(self, row: int) -> bool:
        now = self.clock()
        first = row + self._in_flight_at
        in_flight = sum(self._cells[first : first + self._workers])
        return in_flight == 0.0 and all(self.empty_at(row, meter) <= now for meter in range(self._meters))
