"""Immutable segments in a folder, each named for its bytes and listed in the ledger.

One append, under the ledger's lock:

    encode -> write .tmp -> fsync -> rename to 000007-<12 hex>.parquet -> ledger entry {path, sha256, rows}

Killed before the rename, the batch was never there. Killed between rename and entry, the next writer finds one
segment with the next number whose name fits its bytes and *adopts* it: an entry says so. Any other file that the
ledger does not list is foreign and never read.
"""

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from safecase.evidence._case_files import TMP_SUFFIX, write_atomic
from safecase.evidence._digest import digest_bytes, digest_file
from safecase.evidence._errors import CorruptedSegment, DiskFull, Problem
from safecase.evidence._ledger import LEDGER_NAME, Chain, Entry, Ledger, check_file
from safecase.evidence._tasks import TaskAttempt, Transcript
from safecase.evidence._time import format_utc
from safecase.evidence._values import Judgement, Trial

if TYPE_CHECKING:
    from safecase.evidence._arrow import Codec

Row = TypeVar("Row", Trial, Judgement, TaskAttempt, Transcript)
Kind = Literal["trials", "judgements", "attempts", "transcripts"]

_NAME = re.compile(r"(?P<seq>\d{6,})-(?P<digest>[0-9a-f]{12})\.parquet")
_RESTORE = "restore it from a copy of the case"


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One immutable file of rows.

    Attributes:
        path: relative to the case, with forward slashes.
        sha256: of its bytes, 64 hex digits.
        rows: how many it holds.
        seq: its number, from 0; later segments win over earlier ones.
        entry: the ledger entry that lists it.
    """

    path: str
    sha256: str
    rows: int
    seq: int
    entry: Entry


class Segments(Generic[Row]):
    """What the stores of rows share: files, ledger entries and streaming.

    Args:
        case_dir: the case.
        kind: names the folder under `evidence/` and the action in the ledger.
        section: a folder between the two, for rows that are kept apart from those of the case's plan.
    """

    def __init__(self, case_dir: Path, kind: Kind, section: str = "") -> None:
        self.case_dir = case_dir
        self.kind = kind
        self.folder = case_dir / "evidence" / section / kind
        self.ledger = Ledger(case_dir / LEDGER_NAME)
        self._listed: list[Segment] = []
        self._offset = 0
        self._lines = 0

    @property
    def codec(self) -> "Codec[Row]":
        """How rows lie in a segment. Loading it loads pyarrow, so it happens on first use."""
        from safecase.evidence import _arrow  # late: pyarrow takes 0.2 s

        codec: Any = _arrow.CODECS[self.kind]  # chosen by `kind`, one per Row
        return codec  # type: ignore[no-any-return]

    def listed(self) -> list[Segment]:
        """The segments that the ledger lists, in order; reads only what the ledger gained since the last call.

        Raises:
            LedgerBroken: a line cannot be read.
            CorruptedSegment: the ledger lists a segment under a name that no segment has.
        """
        for entry, offset in self.ledger.entries_from(self._offset, first_line=self._lines + 1):
            if self._is_ours(entry):
                self._listed.append(self._segment(entry))
            self._offset, self._lines = offset, self._lines + 1
        return list(self._listed)

    @contextlib.contextmanager
    def writing(self, *, at: datetime, actor: str) -> Iterator["Writer[Row]"]:
        """Hold the ledger's lock; a segment that a crash left unlisted is adopted first."""
        format_utc(at)  # refuses a naive time before anything is written
        if not actor:
            raise ValueError("an append needs an actor: the person or program that wrote")
        with self.ledger.writing(at=at) as chain:
            writer = Writer(self, chain, at=at, actor=actor)
            writer.clear_away()
            writer.adopt()
            yield writer

    def read(self, where: Mapping[str, object] | None, *, every: bool) -> Iterator[Row]:
        """Rows in segment order, about a thousand in memory at a time.

        Args:
            where: column to the wanted value, or to a collection of wanted values.
            every: also the rows that a later row with the same key stands for.

        Raises:
            CorruptedSegment: a listed segment is missing or changed; no row of it is given.
            ValueError: `where` names no column.
        """
        codec = self.codec
        if unknown := sorted(set(where or {}) - set(codec.schema.names)):
            raise ValueError(f"{self.kind} have no column {unknown[0]!r}; they have {', '.join(codec.schema.names)}")
        segments = self.listed()
        stale: Mapping[str, set[int]] = {} if every else self._stale(segments)
        for segment in segments:
            skip = stale.get(segment.path, set())
            start = 0
            for batch in self.batches(segment):
                if keep := [i for i in range(batch.num_rows) if start + i not in skip] if skip else None:
                    kept = batch.take(keep)
                else:
                    kept = batch.slice(0, 0) if keep == [] else batch
                start += batch.num_rows
                yield from codec.rows(codec.select(kept, where or {}))

    def batches(self, segment: Segment, columns: Sequence[str] | None = None) -> Iterator[Any]:
        """Record batches (Arrow) of one segment, given only after its whole digest has been held to the ledger's.

        Raises:
            CorruptedSegment: missing, changed or unreadable.
        """
        if problem := check_file(self.case_dir, segment.path, sha256=segment.sha256, entry=segment.entry):
            raise CorruptedSegment(problem)
        try:
            with self._open(self.case_dir / segment.path) as file:
                yield from self.codec.batches(file, columns)
        except (ValueError, OSError) as error:
            raise self._unreadable(segment.path, error) from error

    def pending_batches(self, columns: Sequence[str]) -> Iterator[Any]:
        """Record batches of what the next writer will adopt."""
        for path in self.pending():
            with self._open(path) as file:
                yield from self.codec.batches(file, columns)

    def check(self) -> list[Problem]:
        """Hold every segment against the ledger, and the folder against the list.

        Returns:
            One problem per segment that is missing, changed, unreadable, listed twice, or not listed.

        Raises:
            LedgerBroken: a line of the ledger cannot be read; `Ledger.check` says more.
        """
        with self.ledger.reading():
            segments = self.listed()
            found = [problem for segment in segments if (problem := self._check_one(segment)) is not None]
            seen: set[str] = set()
            for segment in segments:
                if segment.path in seen:
                    what = f"ledger entry {segment.entry.seq} lists it a second time"
                    found.append(Problem(file=self.case_dir / segment.path, what=what, mend=_RESTORE))
                seen.add(segment.path)
            return found + [self._foreign(path) for path in self.unlisted()]

    def pending(self) -> list[Path]:
        """What the next writer will adopt: nothing, or the one segment that a crash left unlisted."""
        with self.ledger.reading():
            return [path for path in self.unlisted() if self.adoptable_rows(path) is not None]

    def unlisted(self) -> list[Path]:
        """Files in the folder that the ledger does not list, those being written left out."""
        if not self.folder.is_dir():
            return []
        known = {self.case_dir / segment.path for segment in self.listed()}
        return sorted(path for path in self.folder.iterdir() if path not in known and not _is_being_written(path))

    def relative(self, path: Path) -> str:
        """A path as the ledger writes it."""
        return path.relative_to(self.case_dir).as_posix()

    def adoptable_rows(self, path: Path) -> int | None:
        """Rows of an unlisted file if it is what a crash leaves: the next number, its name fitting its bytes."""
        name = _NAME.fullmatch(path.name)
        if name is None or int(name["seq"]) != self.next_seq() or not digest_file(path).startswith(name["digest"]):
            return None
        try:
            with self._open(path) as file:
                return int(file.metadata.num_rows)
        except (ValueError, OSError):
            return None

    def next_seq(self) -> int:
        """The number after the last listed segment's."""
        return max((segment.seq for segment in self._listed), default=-1) + 1

    def _open(self, path: Path) -> Any:  # pyarrow ships no types
        from safecase.evidence import _arrow  # late: pyarrow takes 0.2 s

        return _arrow.open_segment(path, self.codec)

    def _is_ours(self, entry: Entry) -> bool:
        path = entry.subject.get("path")
        return (
            entry.action in {f"{self.kind}-written", "adopted"}
            and isinstance(path, str)
            and path.startswith(f"{self.relative(self.folder)}/")
        )

    def _segment(self, entry: Entry) -> Segment:
        subject = entry.subject
        path = str(subject["path"])
        name = _NAME.fullmatch(path.removeprefix(f"{self.relative(self.folder)}/"))
        sha256, rows = subject.get("sha256"), subject.get("rows")
        if name is None or not isinstance(sha256, str) or not isinstance(rows, int):
            what = f"ledger entry {entry.seq} lists it, and it is no segment's name, digest and count of rows"
            raise CorruptedSegment(Problem(file=self.case_dir / path, what=what, mend=_RESTORE))
        return Segment(path=path, sha256=sha256, rows=rows, seq=int(name["seq"]), entry=entry)

    def _check_one(self, segment: Segment) -> Problem | None:
        if problem := check_file(self.case_dir, segment.path, sha256=segment.sha256, entry=segment.entry):
            return problem
        try:
            with self._open(self.case_dir / segment.path) as file:
                rows = file.metadata.num_rows
        except (ValueError, OSError) as error:
            return self._unreadable(segment.path, error).problem
        if rows == segment.rows:
            return None
        what = f"it holds {rows} rows, ledger entry {segment.entry.seq} says {segment.rows}"
        return Problem(file=self.case_dir / segment.path, what=what, mend=_RESTORE)

    def _foreign(self, path: Path) -> Problem:
        if self.adoptable_rows(path) is not None:
            what = "the ledger does not list it; a crash between writing and listing leaves such a segment"
            return Problem(file=path, what=what, mend="the next run that writes to this case adopts it")
        return Problem(
            file=path, what="the ledger does not list it, so it is never read", mend="move it out of the case"
        )

    def _unreadable(self, path: str, error: Exception) -> CorruptedSegment:
        what = f"it cannot be read ({str(error).splitlines()[0] if str(error) else type(error).__name__})"
        return CorruptedSegment(Problem(file=self.case_dir / path, what=what, mend=_RESTORE))

    def _stale(self, segments: Sequence[Segment]) -> dict[str, set[int]]:
        """Positions of the rows that a later row stands for, by segment. Usually there are none."""
        import pyarrow as pa  # late: pyarrow takes 0.2 s
        import pyarrow.compute as pc

        keys = {segment.path: self._keys(segment) for segment in segments}
        chunks = [chunk for found in keys.values() for chunk in found]
        if pc.count_distinct(pa.chunked_array(chunks, type=pa.string())).as_py() == sum(map(len, chunks)):
            return {}
        stale: dict[str, set[int]] = {}
        seen: set[str] = set()
        for segment in reversed(segments):
            names = [name for chunk in keys[segment.path] for name in chunk.to_pylist()]
            for position in range(len(names) - 1, -1, -1):
                if names[position] in seen:
                    stale.setdefault(segment.path, set()).add(position)
                seen.add(names[position])
        return stale

    def _keys(self, segment: Segment) -> list[Any]:  # Arrow arrays
        return [self.codec.keys(batch) for batch in self.batches(segment, self.codec.key)]


class Writer(Generic[Row]):
    """Adds segments while the ledger's lock is held. Get one from `Segments.writing`."""

    def __init__(self, segments: Segments[Row], chain: Chain, *, at: datetime, actor: str) -> None:
        self._segments: Segments[Row] = segments
        self._chain = chain
        self._at = at
        self._actor = actor

    def clear_away(self) -> None:
        """Remove what a killed writer left half-written; with the lock held, no other writer is at work."""
        if self._segments.folder.is_dir():
            for path in self._segments.folder.iterdir():
                if _is_being_written(path):
                    path.unlink()

    def adopt(self) -> None:
        """List the segment that was renamed and never listed, if there is one."""
        for path in self._segments.unlisted():
            rows = self._segments.adoptable_rows(path)
            if rows is not None:
                self._list("adopted", path, sha256=digest_file(path), rows=rows)

    def add(self, data: bytes, *, rows: int) -> Segment:
        """Write one segment and list it; on a full disk neither is there."""
        segments = self._segments
        segments.listed()
        sha256 = digest_bytes(data)
        path = segments.folder / f"{segments.next_seq():06d}-{sha256[:12]}.parquet"
        write_atomic(path, data, replace=False)
        try:
            self._list(f"{segments.kind}-written", path, sha256=sha256, rows=rows)
        except DiskFull:  # the ledger took its line back. Any other end, Ctrl-C too, may come after the line was
            path.unlink()  # written: then the segment stays, listed, or to be adopted by the next writer.
            raise
        written: Segment = segments.listed()[-1]
        return written

    def _list(self, action: str, path: Path, *, sha256: str, rows: int) -> None:
        subject = {"path": self._segments.relative(path), "sha256": sha256, "rows": rows}
        self._chain.append(action, actor=self._actor, subject=subject, at=self._at)


def _is_being_written(path: Path) -> bool:
    return path.name.startswith(".") and path.name.endswith(TMP_SUFFIX)
