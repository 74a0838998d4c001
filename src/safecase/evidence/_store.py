"""The stores of trials and judgements: append-only, streamed, every segment listed in the ledger."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from safecase.evidence._errors import AlreadyStored, Problem, UnsealedHazard
from safecase.evidence._segments import Segment, Segments
from safecase.evidence._values import Judgement, Trial
from safecase.evidence._vault import HAZARDOUS_DOMAINS, is_keepable_turn, keepable_explanations

ANSWERED = {"answered", "not-stored"}
"""Statuses that are an answer; the others may be tried again."""

_STATUS_COLUMNS = ("trial_id", "status")


class TrialStore:
    """The trials of a case, in `evidence/trials/`.

    One trial id has one answer, for ever: an attempt that failed (error, timeout, unparsed) may be followed by
    another, which then stands for it, and an answer may not. So nobody can sample until the answer pleases.

    Making a store touches nothing on disk. Several processes may append; the ledger's lock orders them. One object
    is for one thread.

    Args:
        case_dir: the case; its ledger is `case_dir/ledger.jsonl`.
        section: keep them in `evidence/<section>/trials/` instead, apart from the trials that gates are held against.
    """

    def __init__(self, case_dir: Path, *, section: str = "") -> None:
        self._segments: Segments[Trial] = Segments(case_dir, "trials", section)
        self._answered: set[str] = set()
        self._scanned = 0

    def open(self, *, at: datetime | None = None, actor: str = "safecase") -> "TrialStore":
        """Make ready for writing: adopt a segment that a crash left unlisted, clear away what it left half-written.

        `append` does the same first. A stage that writes calls this before it reads, so that it reads those rows too.

        Returns:
            The store itself.
        """
        with self._segments.writing(at=at or datetime.now(UTC), actor=actor):
            pass
        return self

    def append(self, rows: Sequence[Trial], *, at: datetime | None = None, actor: str = "safecase") -> Segment:
        """Write rows as one segment and list it in the ledger. All of them are kept, or none.

        Args:
            rows: at least one; a few hundred to a few thousand make a good segment.
            at: when, for the ledger; aware; now by default.
            actor: who, for the ledger.

        Raises:
            AlreadyStored: a trial has its answer on record, or comes twice.
            UnsealedHazard: a plain answer in chem-bio or cyber, or any answer where status is "not-stored".
            UnstorableRow: a value cannot be kept exactly (NaN, half a surrogate pair).
            DiskFull: no space left.
            LedgerBroken: the ledger's end does not hold.
            ValueError: no rows, or a naive time.
        """
        _must_have(rows)
        for row in rows:
            must_be_keepable(row)
        data = self._segments.codec.encode(rows)
        with self._segments.writing(at=at or datetime.now(UTC), actor=actor) as writer:
            self._scan()
            self._must_be_new(rows)
            segment = writer.add(data, rows=len(rows))
            self._answered.update(row.trial_id for row in rows if row.status in ANSWERED)
            self._scanned += 1
        return segment

    def read(self, where: Mapping[str, object] | None = None, *, every_attempt: bool = False) -> Iterator[Trial]:
        """Trials in the order they were written, streamed: memory does not grow with the number of trials.

        Args:
            where: column to the wanted value or values, such as `{"arm": "bare", "domain": {"cyber", "chem-bio"}}`.
            every_attempt: also failed attempts that a later one stands for.

        Raises:
            CorruptedSegment: a segment is missing or changed; raised before any of its rows is given.
            ValueError: `where` names no column.
        """
        return self._segments.read(where, every=every_attempt)

    def ids(self, *, answered: bool = False) -> set[str]:
        """Ids of all trials on record, or only of those with an answer (the others may be tried again).

        A segment that the next `append` will adopt is on record too: nothing in it need run again.

        Raises:
            CorruptedSegment: a segment is missing or changed.
        """
        statuses = itertools.chain(self._statuses(self._segments.listed()), self._pending())
        return {trial_id for trial_id, status in statuses if not answered or status in ANSWERED}

    def segments(self) -> tuple[Segment, ...]:
        """The listed segments, in order."""
        return tuple(self._segments.listed())

    def sealed_segments(self) -> tuple[Segment, ...]:
        """The listed segments that hold at least one sealed answer.

        Raises:
            CorruptedSegment: a segment is missing or changed.
        """
        return tuple(
            segment
            for segment in self._segments.listed()
            if any(
                batch.column("sealed").null_count < batch.num_rows
                for batch in self._segments.batches(segment, ("sealed",))
            )
        )

    def check(self) -> list[Problem]:
        """Hold every segment against the ledger: missing, changed, unlisted and miscounted ones are named.

        Raises:
            LedgerBroken: a line of the ledger cannot be read; `Ledger.check` says more.
        """
        return self._segments.check()

    def _must_be_new(self, rows: Sequence[Trial]) -> None:
        batch: set[str] = set()
        for row in rows:
            if row.trial_id in self._answered:
                raise AlreadyStored(f"trial {row.trial_id!r} has an answer on record, which nothing may replace")
            if row.trial_id in batch:
                raise AlreadyStored(f"trial {row.trial_id!r} comes twice in one batch; keep one")
            batch.add(row.trial_id)

    def _scan(self) -> None:
        fresh = self._segments.listed()[self._scanned :]
        self._answered.update(trial_id for trial_id, status in self._statuses(fresh) if status in ANSWERED)
        self._scanned += len(fresh)

    def _pending(self) -> Iterator[tuple[str, str]]:
        for batch in self._segments.pending_batches(_STATUS_COLUMNS):
            yield from _pairs(batch, *_STATUS_COLUMNS)

    def _statuses(self, segments: Sequence[Segment]) -> Iterator[tuple[str, str]]:
        for segment in segments:
            for batch in self._segments.batches(segment, _STATUS_COLUMNS):
                yield from _pairs(batch, *_STATUS_COLUMNS)


class JudgementStore:
    """The judgements of a case, in `evidence/judgements/`.

    A trial may be judged again: of several judgements by one judge the last one stands, and all stay on record.

    Args:
        case_dir: the case; its ledger is `case_dir/ledger.jsonl`.
        section: as in `TrialStore`.
    """

    def __init__(self, case_dir: Path, *, section: str = "") -> None:
        self._segments: Segments[Judgement] = Segments(case_dir, "judgements", section)

    def open(self, *, at: datetime | None = None, actor: str = "safecase") -> "JudgementStore":
        """Make ready for writing, as `TrialStore.open`."""
        with self._segments.writing(at=at or datetime.now(UTC), actor=actor):
            pass
        return self

    def append(self, rows: Sequence[Judgement], *, at: datetime | None = None, actor: str = "safecase") -> Segment:
        """Write rows as one segment and list it in the ledger. All of them are kept, or none.

        Raises:
            UnstorableRow: a score is NaN or infinite, or text cannot be kept exactly.
            DiskFull: no space left.
            LedgerBroken: the ledger's end does not hold.
            ValueError: no rows, or a naive time.
        """
        _must_have(rows)
        data = self._segments.codec.encode(rows)
        with self._segments.writing(at=at or datetime.now(UTC), actor=actor) as writer:
            return writer.add(data, rows=len(rows))

    def read(self, where: Mapping[str, object] | None = None, *, every_judgement: bool = False) -> Iterator[Judgement]:
        """The judgement that stands for each trial and judge, streamed in segment order.

        Args:
            where: column to the wanted value or values, such as `{"judge": "embedded"}`.
            every_judgement: also those that a later one by the same judge stands for.

        Raises:
            CorruptedSegment: a segment is missing or changed; raised before any of its rows is given.
            ValueError: `where` names no column.
        """
        return self._segments.read(where, every=every_judgement)

    def ids(self, *, judge: str | None = None) -> set[str]:
        """Ids of the trials judged, by any judge or by one.

        Raises:
            CorruptedSegment: a segment is missing or changed.
        """
        return {
            trial_id
            for segment in self._segments.listed()
            for batch in self._segments.batches(segment, ("trial_id", "judge"))
            for trial_id, by in _pairs(batch, "trial_id", "judge")
            if judge in (None, by)
        }

    def segments(self) -> tuple[Segment, ...]:
        """The listed segments, in order."""
        return tuple(self._segments.listed())

    def check(self) -> list[Problem]:
        """Hold every segment against the ledger, as `TrialStore.check`."""
        return self._segments.check()


def _pairs(batch: Any, first: str, second: str) -> Iterator[tuple[str, str]]:  # an Arrow record batch
    yield from zip(batch.column(first).to_pylist(), batch.column(second).to_pylist(), strict=True)


def _must_have(rows: Sequence[object]) -> None:
    if not rows:
        raise ValueError("nothing to append: a segment holds at least one row")


def must_be_keepable(trial: Trial) -> None:
    """Fail closed on answers that law 4 keeps out of plain storage. A withheld answer is our own text."""
    if trial.status == "not-stored" and (trial.response is not None or trial.sealed is not None):
        raise UnsealedHazard(f"trial {trial.trial_id!r} is not-stored and carries an answer; keep its digest only")
    if trial.domain in HAZARDOUS_DOMAINS and trial.response is not None and trial.withheld_by is None:
        line = f"trial {trial.trial_id!r} ({trial.domain}) carries its answer in plain text"
        raise UnsealedHazard(f"{line}; put Vault.seal(...) in `sealed` and None in `response`")
    if trial.explanations != keepable_explanations(trial.explanations, domain=trial.domain, status=trial.status):
        line = f"trial {trial.trial_id!r} ({trial.domain}) carries a reason that speaks of an answer kept apart"
        raise UnsealedHazard(f"{line}; pass its explanations through `keepable_explanations`")
    if not all(is_keepable_turn(turn, domain=trial.domain) for turn in trial.turns):
        line = f"trial {trial.trial_id!r} ({trial.domain}) carries an earlier answer in plain text among its turns"
        raise UnsealedHazard(f"{line}; pass them through `keepable_turns`")
