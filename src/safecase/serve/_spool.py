"""Rows on a worker's own disk, waiting until they can be delivered; they outlive the worker.

    spool/<worker id>/state           three numbers in shared memory, so that a kill leaves them: numbers taken,
                                      and segment and byte up to which rows were delivered
    spool/<worker id>/00000001.rows   message id, shard, row, a line each

The owner holds a lock on `state`. A folder whose lock is free belongs to nobody any more, and any worker may take it
over: deliver what is left, then say how many numbers the dead worker had given out.
"""

import fcntl
import mmap
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_STATE = struct.Struct("=QQQ")
_TAKEN = struct.Struct("=Q")
_SEGMENT_BYTES = 8 << 20
_AT_ONCE = 256 << 10


@dataclass(frozen=True, slots=True)
class Row:
    """One row on its way: what names it for good, where it goes, its line without newline.

    Attributes:
        shard: last part of a stream's subject: "end", or a number.
    """

    key: bytes
    shard: bytes
    line: bytes


class Spool:
    """A queue of rows on disk. Not for several threads at once.

    Args:
        folder: this spool's own.
        most_bytes: beyond it nothing more is taken.
        create: make it where there is none; off for taking one over.

    Raises:
        OSError: the folder cannot be made or written; from `append` too, and then nothing of it was kept.
        BlockingIOError: another process owns it.
    """

    def __init__(self, folder: Path, *, most_bytes: int, create: bool = True) -> None:
        if create:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder, self._most_bytes = folder, most_bytes
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0)
        self._state_file = os.open(folder / "state", flags, 0o600)
        self._tail: int | None = None
        try:
            self._own_state()
        except OSError:
            os.close(self._state_file)
            raise
        self._taken: int
        self._taken, segment, self._at = _STATE.unpack(self._state)
        self._segment: int = segment or 1
        self._last = max([self._segment, *(int(file.stem) for file in folder.glob("*.rows"))])
        self._last_bytes = self._size(self._last)
        self.bytes = sum(map(self._size, range(self._segment, self._last + 1))) - self._at

    def _own_state(self) -> None:
        fcntl.flock(self._state_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        seen = os.fstat(self._state_file)
        if seen.st_nlink == 0:
            raise FileNotFoundError(f"{self._folder}: another worker took it over and removed it")
        if seen.st_size < _STATE.size:
            os.pwrite(self._state_file, bytes(_STATE.size), 0)  # written, not truncated: its block is reserved
            os.fsync(self._state_file)
        self._state = mmap.mmap(self._state_file, _STATE.size)

    @property
    def taken(self) -> int:
        """Numbers given out so far, the dead owner's too."""
        return self._taken

    def take(self) -> int:
        """The next number; that it was given out survives a kill."""
        number = self._taken
        self._taken = number + 1
        _TAKEN.pack_into(self._state, 0, self._taken)
        return number

    def append(self, rows: Sequence[Row]) -> None:
        """Add rows: all, or none and an error."""
        data = b"".join(b"%s\t%s\t%s\n" % (row.key, row.shard, row.line) for row in rows)
        if self.bytes + len(data) > self._most_bytes:
            raise OSError(f"the spool holds {self.bytes} bytes and may hold {self._most_bytes}")
        if self._last_bytes >= _SEGMENT_BYTES:
            self._begin_segment()
        if self._tail is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
            self._tail = os.open(self._file(self._last), flags, 0o600)
        try:
            write_all(self._tail, data, self._last_bytes)
        except OSError:
            os.ftruncate(self._tail, self._last_bytes)
            raise
        self._last_bytes += len(data)
        self.bytes += len(data)

    def peek(self, most: int) -> tuple[tuple[Row, ...], int]:
        """The oldest rows of one segment, and their bytes for `drop`. Empty where none are left."""
        while self.bytes > 0:
            if lines := self._lines(most):
                return tuple(Row(*line[:-1].split(b"\t", 2)) for line in lines), sum(map(len, lines))
            self._give_up_segment()
        return (), 0

    def drop(self, length: int) -> None:
        """Forget rows that were delivered."""
        self._at += length
        self.bytes -= length
        if self._segment < self._last:
            if self._at >= self._size(self._segment):
                self._next_segment()
        elif self.bytes == 0 and self._at >= _SEGMENT_BYTES:
            self._begin_segment()
            self._next_segment()
        _STATE.pack_into(self._state, 0, self._taken, self._segment, self._at)

    def close(self, *, remove: bool = False) -> None:
        """Let go of it; with `remove`, for good."""
        self._close_tail()
        if remove:
            for file in self._folder.iterdir():
                file.unlink()
            self._folder.rmdir()
        self._state.close()
        os.close(self._state_file)

    def _lines(self, most: int) -> list[bytes]:
        try:
            with self._file(self._segment).open("rb") as file:
                file.seek(self._at)
                lines = list(_whole_lines(file.read(_AT_ONCE), most))
                if not lines:  # a line longer than what is read at once, or the half line of a writer that was killed
                    file.seek(self._at)
                    lines = [line for line in [file.readline()] if line.endswith(b"\n")]
        except FileNotFoundError:
            return []
        return lines

    def _give_up_segment(self) -> None:
        """Nothing whole is left in a segment that should hold more: its writer was killed, or somebody removed it."""
        if self._segment == self._last:
            self._begin_segment()
        self._next_segment()
        self.bytes = sum(map(self._size, range(self._segment, self._last + 1)))

    def _begin_segment(self) -> None:
        self._close_tail()
        self._last, self._last_bytes = self._last + 1, 0

    def _next_segment(self) -> None:
        self._file(self._segment).unlink(missing_ok=True)
        self._segment, self._at = self._segment + 1, 0

    def _close_tail(self) -> None:
        if self._tail is not None:
            os.close(self._tail)
            self._tail = None

    def _file(self, segment: int) -> Path:
        return self._folder / f"{segment:08d}.rows"

    def _size(self, segment: int) -> int:
        try:
            return self._file(segment).stat().st_size
        except FileNotFoundError:
            return 0


def write_all(descriptor: int, data: bytes, at: int) -> None:
    """Write bytes at a place in a file, in as many calls as it takes."""
    rest = memoryview(data)
    while rest:
        done = os.pwrite(descriptor, rest, at)
        rest, at = rest[done:], at + done


def _whole_lines(data: bytes, most: int) -> Iterator[bytes]:
    at = 0
    for _ in range(most):
        end = data.find(b"\n", at)
        if end < 0:
            return
        yield data[at : end + 1]
        at = end + 1
