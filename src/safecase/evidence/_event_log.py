"""Events in files: read from the start, or on from where a reader stopped."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from safecase.evidence._event_rows import EventRow, EventUnreadable, WorkerEnd, decode_row

_AT_ONCE = 1 << 20


class EventLog:
    """A folder of `*.jsonl` (or one such file) that others may still be writing to.

    A last line without a newline is being written, or its writer died over it: it is left alone, and the numbers of
    the rows tell whether something is missing.

    Args:
        path: folder or file; one that is not there yet holds nothing.
        positions: file name to the byte to go on from, as `positions` was when the reader stopped.

    Attributes:
        positions: where the next read goes on; keep it once the effects of what was read are kept.
    """

    def __init__(self, path: Path, *, positions: Mapping[str, int] | None = None) -> None:
        self._path = path
        self.positions = dict(positions or {})

    def read(self, most: int = 1000) -> list[EventRow | WorkerEnd]:
        """The next rows, at most so many, worker by worker in their order; empty where nothing new is there.

        Raises:
            EventUnreadable: a whole line is no event row; the message names file and byte.
        """
        rows: list[EventRow | WorkerEnd] = []
        for file in self._files():
            while len(rows) < most and (more := self._read_file(file, most - len(rows))):
                rows += more
        return rows

    def _files(self) -> list[Path]:
        return [self._path] if self._path.is_file() else sorted(self._path.glob("*.jsonl"))

    def _read_file(self, file: Path, most: int) -> list[EventRow | WorkerEnd]:
        at = self.positions.get(file.name, 0)
        if file.stat().st_size <= at:
            return []
        with file.open("rb") as opened:
            opened.seek(at)
            lines = opened.read(_AT_ONCE).splitlines(keepends=True)
            if lines and not lines[0].endswith(b"\n"):  # one line longer than what is read at once, or half a line
                opened.seek(at)
                lines = [opened.readline()]
        rows = []
        for line in lines[:most]:
            if not line.endswith(b"\n"):
                break
            rows.append(_decoded(line, file, at))
            at += len(line)
        self.positions[file.name] = at
        return rows


def read_events(path: Path) -> Iterator[EventRow | WorkerEnd]:
    """Everything that a folder of events, or one file, holds now.

    Raises:
        EventUnreadable: a whole line is no event row.
    """
    log = EventLog(path)
    while rows := log.read():
        yield from rows


def _decoded(line: bytes, file: Path, at: int) -> EventRow | WorkerEnd:
    try:
        return decode_row(line)
    except EventUnreadable as error:
        raise EventUnreadable(f"{file}: byte {at}: {error}; restore the file from a copy") from None
