"""Keeps trials and events in segments, seconds apart, and says when what was handed over is on disk."""

import asyncio
import contextlib

from safecase.assess import CAMPAIGN_SECTION, Clock
from safecase.evidence import AlreadyStored, EvidenceError, Trial, TrialStore
from safecase.redteam._events import AnyEvent, EventStore

SECTION = CAMPAIGN_SECTION
"""Where the trials of people lie: `evidence/redteam/`, apart from those that gates are held against."""


class NotKept(Exception):
    """What was handed over could not be written; it is tried again with the next batch."""


class Recorder:
    """Buffers rows in the event loop, writes them in a thread.

    Args:
        seconds: what a kill loses at most.
        rows: a batch of so many is written at once.

    Attributes:
        fault: why the last write failed; None when all is well. While it stands, no more should be taken in.
    """

    def __init__(
        self, trials: TrialStore, events: EventStore, *, now: Clock, seconds: float = 2.0, rows: int = 1024
    ) -> None:
        self._trials, self._events, self._now = trials, events, now
        self._seconds, self._rows = seconds, rows
        self._new_trials: list[Trial] = []
        self._new_events: list[AnyEvent] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_closing = False
        self.fault: str | None = None

    @property
    def pending(self) -> int:
        """Rows that are not on disk yet."""
        return len(self._new_trials) + len(self._new_events)

    def start(self) -> None:
        """Begin to write in the background."""
        self._task = asyncio.create_task(self._run())

    def add(self, *events: AnyEvent, trial: Trial | None = None) -> None:
        """Take rows in; they are on disk within `seconds`."""
        if trial is not None:
            self._new_trials.append(trial)
        self._new_events.extend(events)
        if len(self._new_trials) >= self._rows:
            self._wake.set()

    async def kept(self) -> None:
        """Wait until everything taken in so far is on disk; those who wait together share one write.

        Raises:
            NotKept: it could not be written.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._wake.set()
        await future

    async def close(self) -> None:
        """Write what is left and stop.

        Raises:
            NotKept: it could not be written.
        """
        self._is_closing = True
        self._wake.set()
        if self._task is not None:
            await self._task
        if self.fault is not None:
            raise NotKept(self.fault)

    async def _run(self) -> None:
        while True:
            if not self._waiting and not self._is_closing:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._seconds):
                        await self._wake.wait()
            self._wake.clear()
            is_last = self._is_closing
            await self._flush()
            if is_last:
                return

    async def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        trials, self._new_trials = self._new_trials, []
        events, self._new_events = self._new_events, []
        try:
            # Trials first: an event that names an answer must never outlive it.
            if trials:
                await asyncio.to_thread(self._trials.append, trials, at=self._now())
                trials = []
            if events:
                await asyncio.to_thread(self._events.append, events, now=self._now)
                events = []
            self.fault = None
        except AlreadyStored:  # a write that seemed to fail had reached the disk
            have = await asyncio.to_thread(self._trials.ids, answered=True)
            trials = [trial for trial in trials if trial.trial_id not in have]
            self.fault = "the last batch was on disk already; it is being sorted out"
        except (EvidenceError, OSError) as error:
            self.fault = str(error)
        self._new_trials[:0], self._new_events[:0] = trials, events
        for future in waiting:
            if future.cancelled():
                continue
            if self.fault is None:
                future.set_result(None)
            else:
                future.set_exception(NotKept(self.fault))
