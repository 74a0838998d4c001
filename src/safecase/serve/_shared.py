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

A row is found by a keyed 64-bit hash of the account, remembered by each process. A new account takes a lock once.
"""

import contextlib
import fcntl
import mmap
import os
import struct
import time
from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path

import numpy as np

from safecase.serve._errors import SharedUnusable
from safecase.serve._worker import WorkerSlot

_HEADER = struct.Struct("<16s16s16sQQQ")  # make, boot, hash key, rows, meters, workers
_MAKE = b"safecase-meter-1"
_START = 4096
_PROBES = 64
_MOST_REMEMBERED = 200_000


class TableFull(SharedUnusable):
    """No row is free for another account near its place, and none there is idle."""


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
        self, view: memoryview, hash_key: bytes, *, rows: int, meters: int, slot: WorkerSlot, clock: Callable[[], float]
    ) -> None:
        self._slot, self._rows, self._meters, self._hash_key = slot, rows, meters, hash_key
        self.clock = clock
        self._workers = slot.most
        self._row_words = 1 + meters + meters * slot.most + slot.most
        body = view[_START:]
        self._cells, self._hashes = body.cast("d"), body.cast("Q")
        self._in_flight_at = 1 + meters + meters * slot.most
        self._known: dict[str, tuple[int, int]] = {}
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
        size = _START + rows * words * 8
        try:
            with _locked(path):
                hash_key = _prepare(path, slot, size=size, rows=rows, meters=meters)
                with path.open("r+b") as file:
                    view = memoryview(mmap.mmap(file.fileno(), size))
        except OSError as error:
            raise SharedUnusable(f"{path}: cannot be shared ({error.strerror}); name a folder to write to") from None
        table = cls(view, hash_key, rows=rows, meters=meters, slot=slot, clock=clock)
        table._path = path
        return table

    _path: Path

    # --- The hot path -------------------------------------------------------------------------------------------------

    def row(self, account: str) -> int:
        """Where an account's words begin.

        Raises:
            TableFull: too many accounts are active.
        """
        known = self._known.get(account)
        if known is not None and self._hashes[known[0]] == known[1]:  # not given to another account since
            return known[0]
        return self._place(account)

    def empty_at(self, row: int, meter: int) -> float:
        """When a meter's bucket will be empty; in the past where it is."""
        first = row + 1 + self._meters + meter * self._workers
        return self._cells[row + 1 + meter] + sum(self._cells[first : first + self._workers])

    def spend(self, row: int, meter: int, seconds: float) -> float:
        """Add to a meter; the instant at which it will be empty."""
        cells, now = self._cells, self.clock()
        first = row + 1 + self._meters + meter * self._workers
        cells[first + self._slot.index] += seconds
        total = sum(cells[first : first + self._workers])
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
        cells, first = self._cells, row + self._in_flight_at
        cells[first + self._slot.index] += 1.0
        return int(sum(cells[first : first + self._workers]))

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

    def _place(self, account: str) -> int:
        digest = int.from_bytes(blake2b(account.encode(), digest_size=8, key=self._hash_key).digest(), "little") or 1
        row = self._probe(digest)
        if row is None:
            with _locked(self._path):
                row = self._probe(digest)
                if row is None:
                    row = self._free_row(digest)
                    self._hashes[row] = digest
        if len(self._known) >= _MOST_REMEMBERED:
            self._known.clear()
        self._known[account] = (row, digest)
        return row

    def _candidates(self, digest: int) -> Iterator[int]:
        return (((digest + step) % self._rows) * self._row_words for step in range(_PROBES))

    def _probe(self, digest: int) -> int | None:
        return next((row for row in self._candidates(digest) if self._hashes[row] == digest), None)

    def _free_row(self, digest: int) -> int:
        """A row never used, else one whose account is idle; under the lock. Cells stay, since others add to them."""
        now = self.clock()
        rows = tuple(self._candidates(digest))
        row = next((row for row in rows if not self._hashes[row]), None)
        if row is None:
            row = next((row for row in rows if self._is_idle(row, now)), None)
        if row is None:
            raise TableFull(f"{self._path}: {self._rows} rows do not hold all active accounts; give it more rows")
        for meter in range(self._meters):
            self._cells[row + 1 + meter] += now - self.empty_at(row, meter)
        return row

    def _is_idle(self, row: int, now: float) -> bool:
        first = row + self._in_flight_at
        in_flight = sum(self._cells[first : first + self._workers])
        return in_flight == 0.0 and all(self.empty_at(row, meter) <= now for meter in range(self._meters))


def _prepare(path: Path, slot: WorkerSlot, *, size: int, rows: int, meters: int) -> bytes:
    """Make the file unless it is there and fits; the key of its hashes."""
    boot = _boot()
    if path.exists() and path.stat().st_size >= _START:
        with path.open("rb") as file:
            make, made_in, hash_key, *sizes = _HEADER.unpack(file.read(_HEADER.size))
        if (make, made_in, sizes) == (_MAKE, boot, [rows, meters, slot.most]):
            return bytes(hash_key)
        if made_in == boot and _others_alive(slot):
            raise SharedUnusable(f"{path}: other workers use it with other sizes; stop them all before changing one")
    hash_key = os.urandom(16)
    new = path.with_name(f".{path.name}.new")
    with new.open("wb") as file:
        file.write(_HEADER.pack(_MAKE, boot, hash_key, rows, meters, slot.most))
        file.flush()
        os.posix_fallocate(file.fileno(), 0, size)  # a hole that finds no room on a full disk would kill the worker
    new.replace(path)
    return hash_key


def _others_alive(slot: WorkerSlot) -> bool:
    for index in range(slot.most):
        with slot.if_dead(index) as is_dead:
            if index != slot.index and not is_dead:
                return True
    return False


def _boot() -> bytes:
    """Names this run of the machine: a monotonic clock means nothing in another."""
    try:
        text = Path("/proc/sys/kernel/random/boot_id").read_bytes()
    except OSError:
        text = b"unknown"
    return blake2b(text.strip(), digest_size=16).digest()


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
