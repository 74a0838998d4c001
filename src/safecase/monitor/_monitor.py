"""The way of a call: read, told from repeats, read by the detectors, seen by the watchers, committed, delivered.

    read -> new ones -> (opened) -> detectors -> watchers -> ... -> commit -> confirm -> deliver
                                                              at most commit_s

Nothing is read ahead: a batch is worked through before the next is asked for, so a monitor that is slower than its
traffic leaves the traffic where it is safe.
"""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Protocol

from safecase.monitor._alerts import AlertSink
from safecase.monitor._errors import AlertTrouble, SourceTrouble
from safecase.monitor._sources import Source
from safecase.monitor._store import MonitorStore
from safecase.monitor._values import Alert, Seen, Watcher, alert_id, is_flagged

_LOG = logging.getLogger("safecase.monitor")
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0
_FEW = 100  # calls that hold up the loop for so short that a thread does not pay

Opener = Callable[[Sequence[Seen]], list[Seen]]
"""Opens what is sealed, and says so in a ledger first."""


class BatchReader(Protocol):
    """Gives every call its reading."""

    def read(self, batch: Sequence[Seen]) -> list[Seen]:
        """The same calls in the same order."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorOptions:
    """How a monitor runs.

    Attributes:
        batch: calls read at once.
        commit_s: the longest between commits while calls come; alerts leave with a commit.
        alert_s: the shortest between commits that are made since an alert waits.
        idle_s: between looks at sources that have nothing.
    """

    batch: int = 2000
    commit_s: float = 0.5
    alert_s: float = 0.25
    idle_s: float = 0.2


@dataclass(slots=True)
class Tally:
    """What one run did: calls seen, repeats passed over, alerts raised, sinks that have not taken all of them."""

    calls: int = 0
    repeats: int = 0
    alerts: int = 0
    commits: int = 0
    undelivered: list[str] = field(default_factory=list)


class Monitor:
    """Watches sources until it is stopped, or until they hold nothing new.

    Args:
        store: closed by the caller.
        sources: one is best; several take turns.
        opener: opens sealed content; None leaves it sealed.
    """

    def __init__(
        self,
        store: MonitorStore,
        sources: Sequence[Source],
        *,
        detectors: BatchReader,
        watchers: Sequence[Watcher],
        sinks: Sequence[AlertSink] = (),
        opener: Opener | None = None,
        options: MonitorOptions | None = None,
    ) -> None:
        self._store, self._sources, self._detectors = store, tuple(sources), detectors
        self._watchers = {watcher.name: watcher for watcher in watchers}
        self._sinks, self._opener, self._options = tuple(sinks), opener, options or MonitorOptions()
        self._alerts: list[Alert] = []
        self._judged: list[Seen] = []
        self._flagged: list[str] = []
        self._counts: Counter[str] = Counter()
        self._due = self._committed = 0.0
        self._is_dirty = False
        self._news = asyncio.Event()
        self.tally = Tally()

    async def run(self, *, once: bool = False, stop: asyncio.Event | None = None) -> Tally:
        """Go on from the last commit.

        Args:
            once: end when the sources have nothing new.
            stop: end after the batch under way.

        Raises:
            SourceTrouble: a source cannot be opened, or (`once`) read.
            StoreTrouble: nothing can be committed, or a state cannot be taken up again.
        """
        stop = stop or asyncio.Event()
        for name, watcher in self._watchers.items():
            if (state := self._store.state(name)) is not None:
                watcher.restore(state)
        deliveries = [asyncio.create_task(self._deliver_to(sink)) for sink in self._sinks]
        try:
            for source in self._sources:
                await source.open(self._store.position(source.name))
            await self._watch(once, stop)
            await self._commit()
        finally:
            for source in self._sources:
                await source.close()
            for task in deliveries:
                task.cancel()
            await asyncio.gather(*deliveries, return_exceptions=True)
        self.tally.undelivered = [sink.name for sink in self._sinks if not await self._deliver_once(sink)]
        return self.tally

    async def _watch(self, once: bool, stop: asyncio.Event) -> None:
        pauses: dict[str, tuple[float, float]] = {}  # source in trouble -> how long it is left alone, until when
        while not stop.is_set():
            found = 0
            for source in self._sources:
                pause, until = pauses.get(source.name, (_FIRST_PAUSE_S, 0.0))
                if time.monotonic() < until:
                    continue
                try:
                    found += await self._take(source)
                    pauses.pop(source.name, None)
                except SourceTrouble as error:
                    if once:
                        raise
                    _LOG.warning("%s; trying again in %.1f s", error, pause)
                    pauses[source.name] = (min(2 * pause, _LONGEST_PAUSE_S), time.monotonic() + pause)
            if not found or self._is_due(time.monotonic()):
                await self._commit()
            if not found:
                if once:
                    return
                await _wait(stop, self._options.idle_s)
            await asyncio.sleep(0)  # deliveries have their turn

    def _is_due(self, now: float) -> bool:
        return now >= self._due or (bool(self._alerts) and now - self._committed >= self._options.alert_s)

    async def _take(self, source: Source) -> int:
        batch = await source.read(self._options.batch)
        if not batch:
            return 0
        if not self._is_dirty:
            self._is_dirty, self._due = True, time.monotonic() + self._options.commit_s
        fresh = [seen for seen in batch if self._store.is_new(seen.event.event_id)]
        self.tally.calls += len(fresh)
        self.tally.repeats += len(batch) - len(fresh)
        self._counts.update({"calls": len(fresh), "repeats": len(batch) - len(fresh)})
        if len(fresh) < _FEW:
            self._work(fresh)
        else:
            await asyncio.to_thread(self._work, fresh)  # deliveries and the broker's client go on meanwhile
        return len(batch)

    def _work(self, fresh: list[Seen]) -> None:
        if self._opener is not None:
            fresh = self._opener(fresh)
        block = self._detectors.read(fresh)
        for seen in block:
            if seen.reading is not None and seen.reading.is_unsafe is not None:
                self._judged.append(seen)
            if is_flagged(seen):
                self._flagged.append(seen.event.event_id)
        said = [alert for watcher in tuple(self._watchers.values()) for alert in self._say(watcher, block)]
        self._alerts += sorted(said, key=attrgetter("at"))  # in the order of calls, wherever a block happens to end

    def _say(self, watcher: Watcher, block: Sequence[Seen]) -> Iterator[Alert]:
        """What a watcher says. One that breaks is left out from then on, loudly, and does not silence the others."""
        calls = _Block(block)
        saw_all = getattr(watcher, "saw_all", None)
        try:
            if saw_all is not None:
                yield from saw_all(calls)
            else:
                for seen in calls:
                    yield from watcher.saw(seen)
        except Exception as error:  # noqa: BLE001 - the boundary that turns a broken watcher into an alert
            seen = calls.last
            _LOG.exception("watcher %s broke at event %s", watcher.name, seen.event.event_id)
            del self._watchers[watcher.name]
            yield _broke(watcher.name, seen, error)

    async def _commit(self) -> None:
        if not self._is_dirty:
            return
        self._store.commit(
            positions={source.name: source.position() for source in self._sources},
            states={name: watcher.state() for name, watcher in self._watchers.items()},
            alerts=self._alerts,
            judged=self._judged,
            counts={**self._counts, "commits": 1},
            flagged=self._flagged,
        )
        self.tally.alerts += len(self._alerts)
        self.tally.commits += 1
        if self._alerts:
            self._news.set()
        self._alerts, self._judged, self._flagged, self._counts = [], [], [], Counter()
        self._is_dirty, self._committed = False, time.monotonic()
        for source in self._sources:
            await source.confirm()

    # --- Deliveries ---------------------------------------------------------------------------------------------------

    async def _deliver_to(self, sink: AlertSink) -> None:
        pause = _FIRST_PAUSE_S
        while True:
            if await self._deliver_once(sink):
                pause = _FIRST_PAUSE_S
                await _wait(self._news, self._options.idle_s)
                self._news.clear()
            else:
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_S)

    async def _deliver_once(self, sink: AlertSink) -> bool:
        """Whether the sink has taken all that is committed; what it has not is tried again, by the next run too."""
        try:
            while waiting := self._store.undelivered(sink.name):
                for alert in waiting:
                    await sink.deliver(alert)
                    self._store.mark_delivered(sink.name, [alert.alert_id])
        except AlertTrouble as error:
            _LOG.warning("alerts to %s stay undelivered: %s", sink.name, error)
            return False
        except Exception as error:  # noqa: BLE001 - a sink that breaks must neither end unheard nor stop the others
            _LOG.error("alerts to %s stay undelivered: it broke (%s: %s)", sink.name, type(error).__name__, error)
            return False
        return True


class _Block:
    """Calls, and which of them was given out last."""

    def __init__(self, calls: Sequence[Seen]) -> None:
        self._calls = calls

    def __iter__(self) -> Iterator[Seen]:
        for call in self._calls:
            self.last = call
            yield call


def _broke(name: str, seen: Seen, error: Exception) -> Alert:
    return Alert(
        alert_id=alert_id("watcher-failed", name, seen.event.event_id),
        at=seen.event.at,
        kind="watcher-failed",
        severity="critical",
        series=name,
        what=f"watcher {name} broke ({type(error).__name__}) and sees nothing until the monitor is started again",
        event_ids=(seen.event.event_id,),
    )


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):  # `wait_for` of Python 3.11 may swallow a cancellation
            await event.wait()
