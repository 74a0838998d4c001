"""The store of suite attempts: append-only, every segment listed in the ledger, transcripts in segments beside."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from safecase.evidence._digest import digest_value
from safecase.evidence._errors import AlreadyStored, Problem, UnsealedHazard
from safecase.evidence._ledger import LEDGER_NAME, Ledger
from safecase.evidence._segments import Segment, Segments
from safecase.evidence._store import ANSWERED
from safecase.evidence._tasks import TaskAttempt, Transcript
from safecase.evidence._vault import HAZARDOUS_DOMAINS, Vault

_STATUS_COLUMNS = ("attempt_id", "status")


class AttemptStore:
    """The attempts of a case's suites, in `evidence/attempts/`, their transcripts in `evidence/transcripts/`.

    As with trials, one attempt has one answer for ever: a failed one may be followed by another, an answered one may
    not. Making a store touches nothing on disk; the ledger's lock orders several writers.

    Args:
        case_dir: the case; its ledger is `case_dir/ledger.jsonl`.
    """

    def __init__(self, case_dir: Path) -> None:
        self._attempts: Segments[TaskAttempt] = Segments(case_dir, "attempts")
        self._transcripts: Segments[Transcript] = Segments(case_dir, "transcripts")
        self._ledger = Ledger(case_dir / LEDGER_NAME)
        self._answered: set[str] = set()
        self._scanned = 0

    def open(self, *, at: datetime | None = None, actor: str = "safecase") -> "AttemptStore":
        """Make ready for writing, as `TrialStore.open`."""
        for segments in (self._transcripts, self._attempts):
            with segments.writing(at=at or datetime.now(UTC), actor=actor):
                pass
        return self

    def append(
        self,
        rows: Sequence[TaskAttempt],
        transcripts: Sequence[Transcript] = (),
        *,
        domain: str,
        at: datetime | None = None,
        actor: str = "safecase",
    ) -> Segment:
        """Write attempts as one segment, their transcripts as another before it.

        Stopped between the two, the transcripts stand without attempts, which are then made again; never the reverse.

        Args:
            rows: at least one.
            domain: the suite's risk domain.

        Raises:
            AlreadyStored: an attempt has its answer on record, or comes twice.
            UnsealedHazard: a plain transcript in chem-bio or cyber.
            UnstorableRow, DiskFull, LedgerBroken: as `TrialStore.append`.
            ValueError: no rows, or a naive time.
        """
        if not rows:
            raise ValueError("nothing to append: a segment holds at least one row")
        self._must_be_sealed(transcripts, domain)
        data = self._attempts.codec.encode(rows)
        at = at or datetime.now(UTC)
        if transcripts:
            self._keep(transcripts, at=at, actor=actor)
        with self._attempts.writing(at=at, actor=actor) as writer:
            self._scan()
            self._must_be_new(rows)
            segment = writer.add(data, rows=len(rows))
            self._answered.update(row.attempt_id for row in rows if row.status in ANSWERED)
            self._scanned += 1
        return segment

    def read(self, where: Mapping[str, object] | None = None, *, every_attempt: bool = False) -> Iterator[TaskAttempt]:
        """Attempts in the order they were written; a failed one that a later one stands for is left out.

        Args:
            where: column to the wanted value or values, such as `{"suite": "ctf-simple", "arm": "bare"}`.
            every_attempt: those too.

        Raises:
            CorruptedSegment: a segment is missing or changed.
            ValueError: `where` names no column.
        """
        return self._attempts.read(where, every=every_attempt)

    def ids(self, *, answered: bool = False) -> set[str]:
        """Ids of all attempts on record, or only of those with an answer (the others may be made again)."""
        return {
            attempt_id
            for segment in self._attempts.listed()
            for attempt_id, status in self._statuses(segment)
            if not answered or status in ANSWERED
        }

    def transcripts(self, attempt_ids: Collection[str] | None = None) -> Iterator[Transcript]:
        """The transcript that stands for each attempt, sealed ones unopened."""
        where = None if attempt_ids is None else {"attempt_id": sorted(attempt_ids)}
        return self._transcripts.read(where, every=False)

    def unseal(
        self, transcripts: Sequence[Transcript], vault: Vault, *, actor: str, purpose: str, at: datetime
    ) -> dict[str, str]:
        """Open sealed transcripts, after one ledger entry that says who reads how many, and what for.

        Returns:
            Attempt id to the canonical JSON of its turns.

        Raises:
            SealBroken: one does not open (the entry stands: it was asked for).
            ValueError: an empty purpose.
        """
        if not purpose.strip():
            raise ValueError("a sealed transcript is read for a purpose; say which")
        blobs = {one.attempt_id: one.sealed for one in transcripts if one.sealed is not None}
        if not blobs:
            return {}
        subject = {"purpose": purpose, "count": len(blobs), "attempt_ids_digest": digest_value(sorted(blobs))}
        self._ledger.append("sealed-read", actor=actor, subject=subject, at=at)
        return {attempt_id: vault.unseal(blob, attempt_id) for attempt_id, blob in blobs.items()}

    def segments(self) -> tuple[Segment, ...]:
        """The listed segments of attempts, then those of transcripts, in order."""
        return (*self._attempts.listed(), *self._transcripts.listed())

    def sealed_segments(self) -> tuple[Segment, ...]:
        """The listed segments that hold at least one sealed transcript."""
        return tuple(
            segment
            for segment in self._transcripts.listed()
            if any(
                batch.column("sealed").null_count < batch.num_rows
                for batch in self._transcripts.batches(segment, ("sealed",))
            )
        )

    def check(self) -> list[Problem]:
        """Hold every segment against the ledger, as `TrialStore.check`."""
        return [*self._attempts.check(), *self._transcripts.check()]

    def _keep(self, transcripts: Sequence[Transcript], *, at: datetime, actor: str) -> None:
        data = self._transcripts.codec.encode(transcripts)
        with self._transcripts.writing(at=at, actor=actor) as writer:
            writer.add(data, rows=len(transcripts))

    def _must_be_new(self, rows: Sequence[TaskAttempt]) -> None:
        for row in rows:
            if row.attempt_id in self._answered:
                raise AlreadyStored(f"attempt {row.attempt_id!r} has an answer on record, which nothing may replace")
        if len({row.attempt_id for row in rows}) < len(rows):
            raise AlreadyStored("an attempt comes twice in one batch; keep one")

    def _scan(self) -> None:
        """Learn of the segments that others wrote since the last append."""
        for segment in self._attempts.listed()[self._scanned :]:
            self._answered.update(one for one, status in self._statuses(segment) if status in ANSWERED)
            self._scanned += 1

    def _must_be_sealed(self, transcripts: Sequence[Transcript], domain: str) -> None:
        if domain in HAZARDOUS_DOMAINS and (plain := next((one for one in transcripts if one.turns), None)):
            line = f"attempt {plain.attempt_id!r} ({domain}) carries its transcript in plain text"
            raise UnsealedHazard(f"{line}; put Vault.seal(...) in `sealed` and no turns")

    def _statuses(self, segment: Segment) -> Iterator[tuple[str, str]]:
        for batch in self._attempts.batches(segment, _STATUS_COLUMNS):
            yield from zip(*(batch.column(name).to_pylist() for name in _STATUS_COLUMNS), strict=True)
