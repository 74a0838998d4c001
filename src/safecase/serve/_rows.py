"""Fixed rows of words in a file that all workers map, each found by a keyed hash of a name. No locks on the hot path.

    file:  header (make, boot, hash key, sizes) | row | row | ...        row:  hash | whatever its user keeps there

A row is found by a keyed 64-bit hash of its name, and remembered by each process. A new name takes a lock once. A row
whose name is idle may be given to another name, so whoever uses a remembered row looks at its hash first. Rows never
become empty again, so no name lies behind an empty row.
"""

import contextlib
import fcntl
import mmap
import os
import struct
from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path

from safecase.serve._errors import SharedUnusable
from safecase.serve._worker import WorkerSlot

_HEADER = struct.Struct("<16s16s16sQQQ")  # make, boot, hash key, rows, kinds, workers
_NOTE = 128  # where the header ends and a word for the rows' user stands
_START = 4096
_PROBES = 64
_MOST_REMEMBERED = 200_000


class TableFull(SharedUnusable):
    """No row is free for another account near its place, and none there is idle."""


class HashedRows:
    """Rows by name. Open one per file and process.

    Attributes:
        body: all rows, as bytes. words: the same, as 8-byte words.
        note: one word of the header, for the user of the rows.
        known: name -> where its row began when it was last looked for, and its hash, which stands at the row's start
            as long as the row is its own.
    """

    def __init__(self, path: Path, view: memoryview, hash_key: bytes, *, rows: int, row_words: int) -> None:
        self._path, self._hash_key, self._rows, self._row_words = path, hash_key, rows, row_words
        self.body = view[_START:]
        self.words = self.body.cast("Q")
        self.note = view[_NOTE : _NOTE + 8].cast("Q")
        self.known: dict[str, tuple[int, int]] = {}

    @classmethod
    def open(cls, path: Path, slot: WorkerSlot, *, make: bytes, rows: int, kinds: int, row_words: int) -> "HashedRows":
        """Map the file, making it where there is none, or where it is of an earlier run of the machine.

        Args:
            make: 16 bytes; what the rows hold.
            kinds: a size that the words of a row depend on; it must be the same for all workers, as `rows` must.

        Raises:
            SharedUnusable: it cannot be written, or living workers use it with other sizes.
        """
        size = _START + rows * row_words * 8
        try:
            with _locked(path):
                hash_key = _prepare(path, slot.most, make=make, size=size, rows=rows, kinds=kinds)
                with path.open("r+b") as file:
                    fcntl.flock(file, fcntl.LOCK_SH)  # the mapping keeps it, and the kernel frees it with the process
                    view = memoryview(mmap.mmap(file.fileno(), size))
        except OSError as error:
            raise SharedUnusable(f"{path}: cannot be shared ({error.strerror}); name a folder to write to") from None
        return cls(path, view, hash_key, rows=rows, row_words=row_words)

    def find(self, name: str) -> int | None:
        """Where a name's row begins; None where it has none."""
        known = self.known.get(name)
        if known is None:
            known = self._remember(name, *self._nowhere(name))
        row, digest = known
        held = self.words[row]
        if held == digest:
            return row
        if not held:
            return None
        for row in self._candidates(digest):
            held = self.words[row]
            if held == digest:
                self._remember(name, row, digest)
                return row
            if not held:
                return None
        return None

    def place(self, name: str, *, is_idle: Callable[[int], bool], take: Callable[[int], None]) -> int:
        """The row of a name, which gets one where it has none.

        Args:
            is_idle: whether the name that a row belongs to can do without it.
            take: makes a row ready for a name that is new to it.

        Raises:
            TableFull: all rows near its place are in use.
        """
        row = self.find(name)
        if row is not None:
            return row
        with _locked(self._path):
            row = self.find(name)
            if row is None:
                row, digest = self.room(name, is_idle=is_idle), self.known[name][1]
                take(row)
                self.words[row] = digest
                self._remember(name, row, digest)
        return row

    def room(self, name: str, *, is_idle: Callable[[int], bool]) -> int:
        """A row that a name without one could have now: never used, else idle.

        Raises:
            TableFull: there is none.
        """
        first, digest = self.known.get(name) or self._nowhere(name)
        if not self.words[first]:
            return first
        for row in self._candidates(digest):
            if not self.words[row]:
                return row
        for row in self._candidates(digest):
            if is_idle(row):
                return row
        raise TableFull(f"{self._path}: {self._rows} rows do not hold all active accounts; give it more rows")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else places a name, or opens the file, meanwhile."""
        with _locked(self._path):
            yield

    def _nowhere(self, name: str) -> tuple[int, int]:
        digest = int.from_bytes(blake2b(name.encode(), digest_size=8, key=self._hash_key).digest(), "little") or 1
        return (digest % self._rows) * self._row_words, digest

    def _remember(self, name: str, row: int, digest: int) -> tuple[int, int]:
        if len(self.known) >= _MOST_REMEMBERED:
            self.known.clear()
        self.known[name] = (row, digest)
        return row, digest

    def _candidates(self, digest: int) -> Iterator[int]:
        return (((digest + step) % self._rows) * self._row_words for step in range(min(_PROBES, self._rows)))


def _prepare(path: Path, most: int, *, make: bytes, size: int, rows: int, kinds: int) -> bytes:
    """Make the file unless it is there and fits; the key of its hashes."""
    boot = _boot()
    if path.exists():
        with path.open("rb") as file:
            made, made_in, hash_key, *sizes = _HEADER.unpack(file.read(_HEADER.size).ljust(_HEADER.size, b"\0"))
        is_whole = path.stat().st_size == size
        if is_whole and (made, made_in, sizes) == (make, boot, [rows, kinds, most]):
            return bytes(hash_key)
        was_made_elsewhen = made == make and made_in != boot  # a file cut short may have been made in this boot
        if not was_made_elsewhen and _is_in_use(path):
            raise SharedUnusable(f"{path}: other workers use it with other sizes; stop them all before changing one")
    hash_key = os.urandom(16)
    new = path.with_name(f".{path.name}.new")
    with new.open("wb") as file:
        file.write(_HEADER.pack(make, boot, hash_key, rows, kinds, most))
        file.flush()
        os.posix_fallocate(file.fileno(), 0, size)  # a hole that finds no room on a full disk would kill the worker
    new.replace(path)
    return hash_key


def _is_in_use(path: Path) -> bool:
    """Whether a living process has it mapped. One that has a number and has not come so far yet will take a new one."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
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
