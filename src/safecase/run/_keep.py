"""Rows on their way to disk: written a segment at a time, beside the run, in the order they came.

What `flush` returned from is *acknowledged*: no kill, full disk or restart takes it back or runs it again.
"""

import asyncio
import datetime as dt
import time
from collections.abc import Callable

from safecase.evidence import Judgement, JudgementStore, Trial
from safecase.run._ports import Sink

_SEGMENT_ROWS = 2048
_SEGMENT_SECONDS = 5.0


class Keeper:
    """Buffers rows and writes them in another thread, so that a disk that syncs does not hold up answers.

    Args:
        judgements: where verdicts go, after the trials they are of; None where nobody judges.
        on_kept: told of every trial that was acknowledged, with its judgement, in the order written.
        rows: of a segment.
    """

    def __init__(
        self,
        store: Sink,
        judgements: JudgementStore | None,
        *,
        now: Callable[[], dt.datetime],
        on_kept: Callable[[Trial, Judgement | None], None],
        rows: int | None = None,
    ) -> None:
        self._due = rows or _SEGMENT_ROWS
        self._store, self._judgements, self._now, self._on_kept = store, judgements, now, on_kept
        self._rows: list[tuple[Trial, Judgement | None]] = []
        self._since = time.monotonic()
        self._writing: asyncio.Task[None] | None = None
        self.kept = 0

    def add(self, trial: Trial, judgement: Judgement | None) -> None:
        """Take a row; it is not acknowledged yet."""
        self._rows.append((trial, judgement))

    def drop(self, arm: str) -> None:
        """Forget the buffered rows of an arm: failures that say nothing, to be attempted again."""
        self._rows = [row for row in self._rows if row[0].arm != arm]

    @property
    def is_late(self) -> bool:
        """Whether enough time went by for a segment, of however few rows."""
        return time.monotonic() - self._since > _SEGMENT_SECONDS

    @property
    def is_due(self) -> bool:
        """Whether enough rows or time went by for a segment."""
        return len(self._rows) >= self._due or (bool(self._rows) and self.is_late)

    async def flush(self) -> None:
        """Write what is buffered. Those who come while a segment is written wait for theirs.

        Raises:
            DiskFull: what was acknowledged before stays.
        """
        while self._writing is not None:
            await asyncio.wait([self._writing])
        rows, self._rows, self._since = self._rows, [], time.monotonic()
        if not rows:
            return
        self._writing = writing = asyncio.create_task(self._keep(rows))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            # Cut short, we must not leave while the thread still writes: the stores are for one thread at a time. And a
            # disk that turns out full matters more than what cut us short.
            if not writing.done():
                await asyncio.wait([writing])
            if not writing.cancelled() and (fault := writing.exception()) is not None:
                raise fault from None
            raise

    async def _keep(self, rows: list[tuple[Trial, Judgement | None]]) -> None:
        """Write, then tell: a task of its own, so that what is on disk is counted whoever was cut short."""
        try:
            await asyncio.to_thread(self._write, rows)
        finally:
            self._writing = None
        self.kept += len(rows)
        for trial, judgement in rows:
            self._on_kept(trial, judgement)

    def _write(self, rows: list[tuple[Trial, Judgement | None]]) -> None:
        # Sealed answers get segments of their own, so that a case can be handed on without them; an episode with one
        # goes there whole.
        sealed = {_episode(trial) for trial, _ in rows if trial.sealed is not None}
        for is_sealed in (False, True):
            part = [trial for trial, _ in rows if (_episode(trial) in sealed) == is_sealed]
            if part:
                self._store.append(part, at=self._now())
        verdicts = [judgement for _, judgement in rows if judgement is not None]
        if verdicts and self._judgements is not None:
            self._judgements.append(verdicts, at=self._now())


def _episode(trial: Trial) -> tuple[str, str, str, int]:
    return trial.scenario_id, trial.arm, trial.model, trial.repetition
