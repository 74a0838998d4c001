"""Every call leaves an event, or no call is taken.

    record -> queue in memory -> drain task -> sink
                                     |  sink down
                                     v
                                 spool on disk -> sink, later, in order
                                     |  spool cannot be written either
                                     v
                                 rows held in memory, and `refusal()` says no until they are out

Events are numbered as they come in, and the count lies in shared memory, so what a `kill -9` lost is seen afterwards:
whoever takes over the dead worker's spool delivers it and says how many numbers there were. Not `durable`, a kill loses
at most the last `gather_s` and the batch under way; `durable`, each event is in the spool before `record` returns,
which costs a write on every call, and a kill loses none. A power cut is another matter: see `FsyncPolicy`.
"""

import asyncio
import contextlib
import logging
import time
import zlib
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from safecase.evidence import EVENT_SHARDS, CallEvent, encode_end, encode_event
from safecase.serve._errors import ServeError, SinkTrouble
from safecase.serve._retention import Retention
from safecase.serve._sinks import Sink
from safecase.serve._spool import Row, Spool
from safecase.serve._values import Refusal
from safecase.serve._worker import WorkerSlot

_LOG = logging.getLogger("safecase.serve")
_ADOPT_EVERY_S = 5.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0
_LONGEST_LINE = 900_000  # bytes; what a NATS server takes by default, less the headers
_MOST_TEXT, _MOST_RULINGS = 500, 100
_ENCODED_AT_ONCE = 16  # events, 10 us each, before calls have their turn
_SPOOLED_AT_ONCE = 8  # batches, before newer events have their turn


@dataclass(frozen=True, slots=True, kw_only=True)
class RecorderStats:
    """How a recorder stands. Counts begin with the worker.

    Attributes:
        taken: events since the start; delivered: of them, and of dead workers, those that reached the sink.
        lost: events that were given up, each a gap in the numbers.
        queued: in memory; spooled_bytes: on disk.
        sink_fault, fault: why the sink, and why recording as a whole, does not work; None where it does.
    """

    taken: int
    delivered: int
    lost: int
    queued: int
    spooled_bytes: int
    sink_fault: str | None
    fault: str | None


class EventRecorder:
    """Takes events in the event loop's thread, delivers them in the background.

    Args:
        sink: closed with the recorder.
        slot: this worker; the spool lies in `spool/` of its folder, or in `spool`.
        retention: what of the content is kept.
        durable: write each event to the spool before `record` returns.
        most_queued: events in memory; at three quarters no more calls are taken, since those in flight end too.
        most_spooled_bytes: of this worker's spool.
        gather_s: how long events are gathered to a batch.
        batch: rows handed to the sink at once.
    """

    def __init__(
        self,
        sink: Sink,
        slot: WorkerSlot,
        *,
        retention: Retention | None = None,
        spool: Path | None = None,
        durable: bool = False,
        most_queued: int = 20_000,
        most_spooled_bytes: int = 1 << 30,
        gather_s: float = 0.05,
        batch: int = 256,
    ) -> None:
        self._sink, self._worker = sink, slot.id
        self._retention = Retention() if retention is None else retention
        self._root = slot.folder / "spool" if spool is None else spool
        self._durable, self._gather_s, self._batch = durable, gather_s, batch
        self._most_queued, self._high = most_queued, most_queued * 3 // 4
        self._most_spooled_bytes = most_spooled_bytes
        self._queue: deque[tuple[int, CallEvent]] = deque()
        self._held: list[Row] = []
        self._wake, self._closing, self._one_writer = asyncio.Event(), asyncio.Event(), asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._is_open = self._is_draining = False
        self._fault: str | None = None
        self._sink_fault: str | None = None
        self._sink_due, self._pause_s, self._adopt_due = 0.0, _FIRST_PAUSE_S, 0.0
        self._delivered = self._lost = 0

    _spool: Spool
    _forwarding: "asyncio.Task[None]"

    async def start(self) -> None:
        """Begin to deliver, what dead workers left first.

        Raises:
            ServeError: the spool cannot be made, so nothing could be recorded when the sink fails.
        """
        try:
            self._spool = Spool(self._root / self._worker, most_bytes=self._most_spooled_bytes)
        except OSError as error:
            line = f"{self._root}: events cannot be spooled there ({error.strerror or error})"
            raise ServeError(f"{line}; give a folder that this user may write to") from None
        self._is_open = self._is_draining = True
        self._wake.set()  # so that what dead workers left is looked at before the first event
        self._forwarding = asyncio.create_task(self._forward())
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(self._ended)

    def refusal(self) -> Refusal | None:
        """Why no call may be taken now."""
        if self._is_draining and self._fault is None and len(self._queue) < self._high:
            return None
        return _CANNOT_RECORD

    def record(self, event: CallEvent) -> None:
        """Take one event. Never raises; it waits for a disk only where the recorder is durable."""
        if not self._is_open:
            self._lost += 1
            _LOG.error("event %s is lost: the recorder is not running", event.event_id)
            return
        seq = self._spool.take()
        event = self._retention.select(event)
        if self._durable:
            self._write_ahead(seq, event)
        elif len(self._queue) < self._most_queued:
            self._queue.append((seq, event))
        else:
            self._give_up(seq, event, "the queue is full")
        self._wake.set()

    async def close(self, *, patience_s: float = 10.0) -> None:
        """Deliver what is left, or spool it; then say how many events there were.

        Args:
            patience_s: where it can be neither delivered nor spooled, this long.
        """
        self._closing.set()
        self._wake.set()
        if self._task is not None and self._is_open:
            for task in (self._task, self._forwarding):
                await asyncio.wait([task], timeout=patience_s)
                task.cancel()
                await asyncio.wait([task])
            self._is_open = False
            await self._end()
        await self._sink.close()

    def stats(self) -> RecorderStats:
        """How it stands; for metrics and the health page."""
        is_started = self._task is not None
        return RecorderStats(
            taken=self._spool.taken if is_started else 0,
            delivered=self._delivered,
            lost=self._lost,
            queued=len(self._queue) + len(self._held),
            spooled_bytes=self._spool.bytes if is_started else 0,
            sink_fault=self._sink_fault,
            fault=self._fault if self._is_draining else "the recorder is not running",
        )

    # --- The drain ----------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while not (self._closing.is_set() and self._is_out()):
            if not self._closing.is_set():
                if self._is_out() and not self._spool.bytes:
                    await _set_within(self._wake, _ADOPT_EVERY_S)
                await _set_within(self._closing, self._gather_s)
            self._wake.clear()
            await self._pass()

    async def _pass(self) -> None:
        for _ in range(1 + len(self._queue) // self._batch):
            await self._encode()
            if not await self._is_put():
                break
        if self._forwarding.done():
            self._forwarding.result()  # a bug there ends the drain too
            self._forwarding = asyncio.create_task(self._forward())
        if self._closing.is_set() and not self._is_out():
            await asyncio.sleep(self._gather_s)

    async def _forward(self) -> None:
        """Deliver what is spooled, here and by the dead. Beside the drain, which a hanging sink must not hold up."""
        for _ in range(_SPOOLED_AT_ONCE):
            if not await self._deliver(self._spool):
                break
        await self._adopt()

    async def _encode(self) -> None:
        """Take the oldest events in hand as rows. They leave the queue only then, so that a cancellation loses none."""
        if self._held or not self._queue:
            return
        batch = list(islice(self._queue, self._batch))
        rows: list[Row] = []
        for at in range(0, len(batch), _ENCODED_AT_ONCE):
            some = batch[at : at + _ENCODED_AT_ONCE]
            if any(event.prompt is not None or event.reply is not None for _, event in some):
                rows += await asyncio.to_thread(self._encoded, some)  # texts are screened, redacted and sealed
            else:
                # A thread would take the interpreter from the calls just the same, and hand it back slowly.
                rows += self._encoded(some)
                await asyncio.sleep(0)
        for _ in batch:
            self._queue.popleft()
        self._held += rows

    async def _is_put(self) -> bool:
        """Deliver the rows in hand, or spool them; False where neither works, and they stay in hand."""
        rows = tuple(self._held)  # a durable recorder may add to them meanwhile
        if not rows:
            return True
        is_straight = self._sink_fault is None and not self._spool.bytes and await self._written(rows)
        if is_straight or self._is_spooled(rows) or (not self._spool.bytes and await self._written(rows)):
            self._fault = None
            del self._held[: len(rows)]
            return True
        return False

    async def _deliver(self, spool: Spool) -> bool:
        """Deliver a batch from a spool; False where none is left or the sink takes none."""
        rows, length = spool.peek(self._batch)
        if not rows or not await self._written(rows):
            return False
        spool.drop(length)
        return True

    async def _written(self, rows: Sequence[Row]) -> bool:
        if time.monotonic() < self._sink_due:
            return False
        try:
            async with self._one_writer:
                await self._sink.write(rows)
        except SinkTrouble as error:
            if self._sink_fault is None:
                _LOG.warning("events are spooled: %s", error)
            self._sink_fault = str(error)
            self._sink_due = time.monotonic() + self._pause_s
            self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
            return False
        self._sink_fault, self._pause_s = None, _FIRST_PAUSE_S
        self._delivered += sum(row.shard != _END for row in rows)
        return True

    def _encoded(self, batch: Iterable[tuple[int, CallEvent]]) -> list[Row]:
        return [self._row(seq, event) for seq, event in batch]

    def _row(self, seq: int, event: CallEvent) -> Row:
        try:
            event = self._retention.finish(event)
        except Exception:  # noqa: BLE001  # whatever a text does to its reader, the decision about it is kept
            _LOG.exception("the content of event %s is dropped", event.event_id)
            event = replace(event, prompt=None, reply=None, kept=None, sample_p=None)
        shard = b"%d" % (zlib.crc32(event.account.encode("utf-8", "replace")) % EVENT_SHARDS)
        line = encode_event(event, worker=self._worker, seq=seq)
        if len(line) > _LONGEST_LINE:
            _LOG.warning("event %s has %d bytes, its texts are cut", event.event_id, len(line))
            line = encode_event(_cut(event), worker=self._worker, seq=seq)
        return Row(key=event.event_id.encode(), shard=shard, line=line)

    def _write_ahead(self, seq: int, event: CallEvent) -> None:
        row = self._row(seq, event)
        if not self._held and self._is_spooled([row]):
            return
        if len(self._held) < self._most_queued:
            self._held.append(row)
        else:
            self._give_up(seq, event, "the queue is full")

    def _is_spooled(self, rows: Sequence[Row]) -> bool:
        try:
            self._spool.append(rows)
        except OSError as error:
            if self._fault is None:
                _LOG.error("events can be neither delivered nor spooled (%s): no call is taken", error)
            self._fault = f"events can be neither delivered ({self._sink_fault}) nor spooled ({error})"
            return False
        self._fault = None
        return True

    def _give_up(self, seq: int, event: CallEvent, why: str) -> None:
        self._lost += 1
        _LOG.error("event %s, number %d of %s, is lost: %s", event.event_id, seq, self._worker, why)

    def _is_out(self) -> bool:
        return not self._queue and not self._held

    def _ended(self, task: "asyncio.Task[None]") -> None:
        """No event is taken once nobody drains, whatever the reason."""
        if not task.cancelled() and (error := task.exception()) is not None:
            _LOG.error("the recorder stopped", exc_info=error)
        self._is_draining = False

    # --- The dead, and the own end ------------------------------------------------------------------------------------

    async def _adopt(self) -> None:
        """Deliver what workers left that are gone, and say how many numbers each had given out."""
        if time.monotonic() < max(self._adopt_due, self._sink_due) or self._spool.bytes:
            return
        self._adopt_due = time.monotonic() + _ADOPT_EVERY_S
        for folder in sorted(self._root.iterdir()):
            if folder.name != self._worker and folder.is_dir():
                with contextlib.suppress(BlockingIOError, FileNotFoundError):  # it lives; another took it over
                    await self._take_over(Spool(folder, most_bytes=self._most_spooled_bytes, create=False), folder.name)

    async def _take_over(self, spool: Spool, worker: str) -> None:
        while await self._deliver(spool):
            pass
        is_done = not spool.bytes and await self._written([_end_row(worker, spool.taken)])
        spool.close(remove=is_done)

    async def _end(self) -> None:
        """Spool what is still in memory, deliver what is spooled and say how many there were, or leave it to others."""
        left = [*self._held, *self._encoded(self._queue)]
        self._held, is_done = [], False
        self._queue.clear()
        if left and not self._is_spooled(left):
            self._lost += len(left)
            _LOG.error("%d events of %s are lost: they could be neither delivered nor spooled", len(left), self._worker)
        try:
            while await self._deliver(self._spool):
                pass
            is_done = not self._spool.bytes and await self._written([_end_row(self._worker, self._spool.taken)])
        finally:
            self._spool.close(remove=is_done)


_END = b"end"
_CANNOT_RECORD = Refusal(
    status=503,
    reason="cannot-record",
    message="The gateway cannot record what happens, so it takes no calls now. Try again later.",
    retry_after_s=1.0,
)


def _cut(event: CallEvent) -> CallEvent:
    """An event that every sink takes, whatever an upstream or a layer wrote into it."""
    fields: dict[str, Any] = {name: getattr(event, name) for name in CallEvent.__slots__}  # of every type
    fields |= {name: value[:_MOST_TEXT] for name, value in fields.items() if isinstance(value, str)}
    fields["rulings"] = tuple(
        replace(ruling, layer=ruling.layer[:_MOST_TEXT], error=ruling.error and ruling.error[:_MOST_TEXT])
        for ruling in event.rulings[:_MOST_RULINGS]
    )
    fields["explanations"] = ()
    return CallEvent(**fields | dict.fromkeys(("prompt", "reply", "sealed", "kept", "sample_p")))


def _end_row(worker: str, taken: int) -> Row:
    return Row(key=f"{worker}-end".encode(), shard=_END, line=encode_end(worker=worker, taken=taken))


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
