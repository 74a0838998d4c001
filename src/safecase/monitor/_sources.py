"""Where calls come from: a gateway's events in files, in JetStream or in the process; OpenTelemetry spans; plain logs.

A source gives calls at least once and knows a position. The monitor commits the position with the effects, then
confirms; a source that is opened again at a committed position gives everything after it.

    folder or file of events          {"positions": {file: byte}, ...}  as `evidence.EventLog` reads them
    nats://host:4222/stream           ""                                the server keeps it; confirmed after the commit
    spans.jsonl, calls.jsonl          {"positions": {file: byte}, ...}  one line may hold many spans; may be rotated
    queue in the process              ""                                what is in memory is lost with the process
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from safecase.evidence import (
    CallEvent,
    Completeness,
    EventLog,
    EventRow,
    EventStream,
    EventUnreadable,
    StorageTrouble,
    WorkerEnd,
)
from safecase.monitor._errors import SourceTrouble
from safecase.monitor._foreign import calls_of_log, calls_of_spans
from safecase.monitor._line_files import LineFiles
from safecase.monitor._values import Seen

_AT_ONCE = 1 << 20
_WAIT_S = 0.2
"""How long a batch of a stream may fill up. It adds to the lag of every alert; a batch that is full does not wait."""


class Source(Protocol):
    """Gives calls in order, at least once."""

    @property
    def name(self) -> str:
        """Under which its position is kept."""
        ...

    async def open(self, position: str | None) -> None:
        """Go on from a committed position; None at the beginning.

        Raises:
            SourceTrouble: not now.
        """
        ...

    async def read(self, most: int) -> list[Seen]:
        """The next calls, at most about so many; empty where nothing new came within a second."""
        ...

    def position(self) -> str:
        """Where to go on after everything that was read."""
        ...

    async def confirm(self) -> None:
        """The effects of everything that was read are kept."""
        ...

    async def close(self) -> None:
        """Let go of it."""
        ...

    def missing(self) -> int | None:
        """Calls that are known not to have come; None where that cannot be known."""
        ...


def seen_of(event: CallEvent, source: str, offset: str) -> Seen:
    """A call as its event tells it."""
    return Seen(event=event, prompt=event.prompt, reply=event.reply, source=source, offset=offset)


class _Numbered:
    """Tells by their numbers which events of a gateway's workers are missing."""

    def __init__(self) -> None:
        self.seen = Completeness()

    def calls(self, rows: list[EventRow | WorkerEnd], source: str) -> list[Seen]:
        for row in rows:
            self.seen.note(row)
        return [seen_of(row.event, source, f"{row.worker}:{row.seq}") for row in rows if isinstance(row, EventRow)]

    def missing(self) -> int:
        return sum(gap.count for gap in self.seen.gaps())


class EventFiles:
    """A gateway's events in a folder of JSON lines, or one such file, that may still grow."""

    def __init__(self, path: Path, *, name: str | None = None) -> None:
        self._path = path
        self.name = name or f"events:{path.resolve()}"
        self._log = EventLog(path)
        self._numbered = _Numbered()

    async def open(self, position: str | None) -> None:
        """Go on from there."""
        kept = json.loads(position) if position else {"positions": {}, "workers": {}}
        self._log = EventLog(self._path, positions=kept["positions"])
        self._numbered.seen = Completeness.restored(kept["workers"])

    async def read(self, most: int) -> list[Seen]:
        """The next calls."""
        try:
            rows = self._log.read(most)
        except (EventUnreadable, OSError) as error:
            raise SourceTrouble(str(error)) from None
        return self._numbered.calls(rows, self.name)

    def position(self) -> str:
        """File name to byte, and which numbers of each worker came."""
        return json.dumps({"positions": self._log.positions, "workers": self._numbered.seen.state()})

    async def confirm(self) -> None:
        """Nothing to do: the position says it."""

    async def close(self) -> None:
        """Nothing is held open."""

    def missing(self) -> int:
        """By the numbers of the gateway's workers."""
        return self._numbered.missing()


class EventJetStream:
    """A consumer group of a gateway's stream. Members share the subjects; all calls of an account go to one subject.

    Args:
        shards: take only these of the subjects 0 to 15, so that a member sees its accounts whole; all by default.
    """

    def __init__(self, url: str, *, group: str = "monitor", shards: tuple[int, ...] | None = None) -> None:
        self._url, self._group, self._shards = url, group, shards
        host = url.rpartition("@")[2]  # a password is no part of a name
        self.name = f"stream:{host}:{group}" + (f":{','.join(map(str, shards))}" if shards else "")
        self._stream: EventStream | None = None

    async def open(self, _: str | None) -> None:
        """Join the group."""
        try:
            self._stream = await EventStream.open(self._url, group=self._group, shards=self._shards)
        except StorageTrouble as error:
            raise SourceTrouble(str(error)) from None

    async def read(self, most: int) -> list[Seen]:
        """The next calls."""
        if self._stream is None:
            raise SourceTrouble(f"{self.name}: not open")
        try:
            rows = await self._stream.read(most, wait_s=_WAIT_S)
        except StorageTrouble as error:
            raise SourceTrouble(str(error)) from None
        return [seen_of(row.event, self.name, f"{row.worker}:{row.seq}") for row in rows if isinstance(row, EventRow)]

    def position(self) -> str:
        """The server knows."""
        return ""

    async def confirm(self) -> None:
        """Say so to the server."""
        if self._stream is not None:
            await self._stream.confirm()

    async def close(self) -> None:
        """What was not confirmed goes to the others of the group."""
        if self._stream is not None:
            await self._stream.close()

    def missing(self) -> int | None:
        """Not known: others of the group may have what this member lacks."""
        return None


def span_files(path: Path) -> LineFiles:
    """OpenTelemetry spans with the conventions for generative AI, as the file exporter of a collector writes them."""
    return LineFiles(path, kind="spans", parse=calls_of_spans)


def log_files(path: Path) -> LineFiles:
    """Plain logs of an OpenAI-style API: a request and a response a line."""
    return LineFiles(path, kind="log", parse=calls_of_log)


class EventQueue:
    """Events of a gateway in the same process. It holds back who puts in, and is lost with the process.

    Args:
        most: events that wait.

    Attributes:
        refused: events that `offer` did not take.
    """

    def __init__(self, *, most: int = 10_000, name: str = "queue") -> None:
        self.name = name
        self._queue: asyncio.Queue[CallEvent] = asyncio.Queue(most)
        self.refused = 0
        self._number = 0

    async def put(self, event: CallEvent) -> None:
        """Put one in; waits while the queue is full."""
        await self._queue.put(event)

    def offer(self, event: CallEvent) -> bool:
        """Put one in where there is room; never waits. What is refused is counted as missing."""
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            self.refused += 1
            return False
        return True

    async def open(self, _: str | None) -> None:
        """Nothing to do."""

    async def read(self, most: int) -> list[Seen]:
        """The next calls."""
        events = []
        try:
            async with asyncio.timeout(0.5):
                events.append(await self._queue.get())
        except TimeoutError:
            return []
        while len(events) < most and not self._queue.empty():
            events.append(self._queue.get_nowait())
        first, self._number = self._number, self._number + len(events)
        return [seen_of(event, self.name, str(number)) for number, event in enumerate(events, start=first)]

    def position(self) -> str:
        """There is none."""
        return ""

    async def confirm(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing is held open."""

    def missing(self) -> int:
        """What was refused."""
        return self.refused


def open_source(target: str, *, group: str = "monitor", shards: tuple[int, ...] | None = None) -> Source:
    """A source by its name: `nats://host/stream`, `spans:PATH`, `log:PATH`, else a gateway's events, folder or file.

    >>> open_source("log:calls.jsonl").name.startswith("log:")
    True
    """
    kind, _, rest = target.partition(":")
    if "://" in target:
        return EventJetStream(target, group=group, shards=shards)
    makers: Mapping[str, Callable[[Path], Source]] = {"spans": span_files, "log": log_files, "events": EventFiles}
    return makers[kind](Path(rest)) if kind in makers and rest else EventFiles(Path(target))
