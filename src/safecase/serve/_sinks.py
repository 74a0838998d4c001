"""Where events are delivered to: files of JSON lines, or NATS JetStream. A sink has a batch safe, or says that not."""

import asyncio
import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from safecase.evidence import EvidenceError, StreamAddress, connect_nats
from safecase.serve._errors import ServeError, SinkTrouble
from safecase.serve._spool import Row, write_all

_MESSAGE_BYTES = 256 << 10  # a server takes 1 MiB unless it is told otherwise
FsyncPolicy = Literal["never", "batch"]


class Sink(Protocol):
    """Takes rows in order."""

    async def write(self, rows: Sequence[Row]) -> None:
        """Return when the rows are safe there. A row may come again after a failure; its key is then the same.

        Raises:
            SinkTrouble: not now.
        """
        ...

    async def close(self) -> None:
        """Let go of it."""
        ...


def open_sink(target: str | Path, *, fsync: FsyncPolicy = "batch") -> Sink:
    """A sink by its name: `nats://host:4222/stream` (or `tls://`), else a folder for JSON lines.

    Args:
        fsync: "batch" makes every batch outlast a power cut, "never" leaves that to the system. Files only.

    Raises:
        ServeError: the name is of no sink.
    """
    text = str(target)
    if "://" not in text:
        return JsonlSink(Path(target), fsync=fsync)
    try:
        return JetStreamSink(StreamAddress.parse(text))
    except ValueError as error:
        raise ServeError(str(error).replace(text, sink_name(text))) from None


def sink_name(target: str) -> str:
    """A sink as it may be told: without the user and the password that an address may hold.

    >>> sink_name("nats://gateway:secret@host:4222/events")
    'nats://host:4222/events'
    """
    scheme, sign, rest = target.partition("://")
    server, slash, path = rest.partition("/")
    return f"{scheme}{sign}{server.rpartition('@')[2]}{slash}{path}" if sign else target


class JsonlSink:
    """Segments `<worker id>-<number>.jsonl` in a folder, one writer each.

    Args:
        segment_bytes: from which on a new segment begins.
    """

    def __init__(self, folder: Path, *, fsync: FsyncPolicy = "batch", segment_bytes: int = 64 << 20) -> None:
        self._folder, self._fsync, self._segment_bytes = folder, fsync, segment_bytes
        self._name = f"{os.getpid():x}-{os.urandom(4).hex()}"
        self._number, self._bytes = 0, 0
        self._file: int | None = None

    async def write(self, rows: Sequence[Row]) -> None:
        """Append lines: all of them, or none and an error."""
        await asyncio.to_thread(self._write, b"".join(row.line + b"\n" for row in rows))

    async def close(self) -> None:
        """Close the segment."""
        self._close_file()

    def _write(self, data: bytes) -> None:
        try:
            file = self._opened()
            try:
                write_all(file, data, self._bytes)
                if self._fsync == "batch":
                    os.fsync(file)
            except OSError:
                os.ftruncate(file, self._bytes)
                raise
        except OSError as error:
            raise SinkTrouble(f"{self._folder}: events cannot be written ({error.strerror or error})") from None
        self._bytes += len(data)

    def _opened(self) -> int:
        if self._file is not None and self._bytes >= self._segment_bytes:
            self._close_file()
        if self._file is None:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            path = self._folder / f"{time.time_ns():016x}-{self._name}-{self._number + 1:06d}.jsonl"
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            self._number, self._bytes = self._number + 1, 0
        return self._file

    def _close_file(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


class JetStreamSink:
    """A JetStream stream, made where it is missing. The event id is the message id, so a retry is no duplicate.

    With several rows in a message a retry may divide them otherwise, and they come twice; their numbers tell.

    Args:
        ack_s: how long a batch may wait for its confirmations.
        keep_s: age at which the server forgets events, of a stream that is made here; None keeps them.
        duplicate_s: for how long the server knows a message id.
    """

    def __init__(
        self,
        address: StreamAddress,
        *,
        ack_s: float = 3.0,
        keep_s: float | None = None,
        duplicate_s: float = 600.0,
    ) -> None:
        self._address, self._ack_s, self._keep_s, self._duplicate_s = address, ack_s, keep_s, duplicate_s
        self._client: Any = None  # nats-py ships no types
        self._stream: Any = None

    async def write(self, rows: Sequence[Row]) -> None:
        """Publish all, then wait for every confirmation."""
        from nats.errors import Error

        try:
            stream = await self._connected()
            async with asyncio.timeout(self._ack_s):
                await self._publish(stream, rows)
        except (Error, EvidenceError, OSError, TimeoutError) as error:
            raise SinkTrouble(f"stream {self._address.stream!r}: {type(error).__name__}: {error}") from None

    async def close(self) -> None:
        """Hang up."""
        if self._client is not None:
            await self._client.close()

    async def _publish(self, stream: Any, rows: Sequence[Row]) -> None:
        waiting = []
        try:
            for row in _joined(rows, self._address.per_message):
                subject = f"{self._address.stream}.{row.shard.decode()}"
                headers = {"Nats-Msg-Id": row.key.decode()}
                waiting.append(await stream.publish_async(subject, row.line, headers=headers))
            for confirmed in waiting:
                await confirmed
        finally:
            for confirmed in waiting:
                if not confirmed.done():
                    confirmed.cancel()
                elif not confirmed.cancelled():
                    confirmed.exception()  # the first one was raised; the others are the same trouble

    async def _connected(self) -> Any:
        if self._client is None:
            client = await connect_nats(self._address.server)
            try:
                async with asyncio.timeout(self._ack_s):
                    stream = client.jetstream()
                    await self._make_stream(stream)
            except BaseException:
                await client.close()
                raise
            self._client, self._stream = client, stream
        if not self._client.is_connected:
            raise SinkTrouble("the connection is down and being made again")
        return self._stream

    async def _make_stream(self, stream: Any) -> None:
        from nats.js.errors import BadRequestError, NotFoundError

        try:
            await stream.stream_info(self._address.stream)
        except NotFoundError:
            with contextlib.suppress(BadRequestError):  # another worker was first
                await stream.add_stream(
                    name=self._address.stream,
                    subjects=[f"{self._address.stream}.*"],
                    max_age=self._keep_s,
                    duplicate_window=self._duplicate_s,
                )


def _joined(rows: Sequence[Row], per_message: int) -> Iterator[Row]:
    """Rows as they are, or several lines of one shard at a time, named by the first one and how many they are."""
    if per_message == 1:
        yield from rows
        return
    parts: dict[bytes, list[Row]] = {}
    for row in rows:
        part = parts.setdefault(row.shard, [])
        if part and (len(part) == per_message or _bytes(part) + len(row.line) > _MESSAGE_BYTES):
            yield _one(part)
            part.clear()
        part.append(row)
    yield from map(_one, filter(None, parts.values()))


def _bytes(rows: Sequence[Row]) -> int:
    return sum(len(row.line) for row in rows)


def _one(rows: Sequence[Row]) -> Row:
    first = rows[0]
    return Row(key=b"%s-%d" % (first.key, len(rows)), shard=first.shard, line=b"\n".join(row.line for row in rows))
