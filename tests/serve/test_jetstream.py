"""Events through NATS JetStream. Needs a server named by SAFECASE_NATS; each test has a stream of its own."""

import asyncio
import contextlib
import os
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from safecase.evidence import (
    Completeness,
    EventRow,
    EventStream,
    StorageTrouble,
    StreamAddress,
    WorkerEnd,
    connect_nats,
    encode_event,
)
from safecase.serve import EventRecorder, JetStreamSink, Row, ServeError, SinkTrouble, WorkerSlot, open_sink
from tests.serve.events import event
from tests.serve.test_recorder import recording, until

SERVER = os.environ.get("SAFECASE_NATS", "")
needs_server = [
    pytest.mark.nats,
    pytest.mark.skipif(not SERVER, reason="SAFECASE_NATS names no server"),
]


@pytest.fixture
async def stream() -> AsyncIterator[StreamAddress]:
    pytest.importorskip("nats", reason="nats-py (extra `nats`) is not installed")
    address = StreamAddress(server=SERVER, stream=f"test-{uuid.uuid4().hex[:12]}")
    yield address
    connection = await connect_nats(SERVER)
    from nats.js.errors import NotFoundError

    with contextlib.suppress(NotFoundError):
        await connection.jetstream().delete_stream(address.stream)
    await connection.close()


@pytest.fixture
def slot(tmp_path: Path) -> Iterator[WorkerSlot]:
    claimed = WorkerSlot.claim(tmp_path / "run")
    yield claimed
    claimed.release()


def url(address: StreamAddress) -> str:
    return f"{address.server}/{address.stream}"


def rows(count: int, first: int = 0) -> list[Row]:
    events = [event(at) for at in range(first, first + count)]
    return [
        Row(key=one.event_id.encode(), shard=b"3", line=encode_event(one, worker="w", seq=at))
        for at, one in enumerate(events, first)
    ]


class Proxy:
    """Stands before the server; a test can hang up and stop answering."""

    def __init__(self) -> None:
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to = urlsplit(SERVER)
        there, back = await asyncio.open_connection(to.hostname, to.port or 4222)
        self._writers += [writer, back]
        for ends in ((reader, back), (there, writer)):
            task = asyncio.create_task(self._pump(*ends))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()


async def read_all(address: StreamAddress, count: int, group: str = "g") -> list[EventRow | WorkerEnd]:
    consumer, found = await EventStream.open(url(address), group=group), []
    while len(found) < count and (more := await consumer.read(wait_s=1.0)):
        found += more
        await consumer.confirm()
    await consumer.close()
    return found


class TestWithAServer:
    pytestmark = needs_server

    async def test_events_reach_a_stream_that_is_made_for_them(self, stream: StreamAddress, slot: WorkerSlot):
        async with recording(EventRecorder(open_sink(url(stream)), slot)) as recorder:
            for at in range(300):
                recorder.record(event(at))

        found = await read_all(stream, 301)
        seen = Completeness()
        assert all(seen.note(row) for row in found)
        assert seen.gaps() == ()
        assert [row.event for row in found if isinstance(row, EventRow)] == [event(at) for at in range(300)]

    async def test_a_batch_that_comes_again_is_no_duplicate(self, stream: StreamAddress):
        sink = JetStreamSink(stream)
        await sink.write(rows(20))
        await sink.write(rows(20, first=10))
        await sink.close()

        assert [row.seq for row in await read_all(stream, 40)] == list(range(30))

    async def test_a_server_that_was_away_gets_everything_in_order(self, stream: StreamAddress, slot: WorkerSlot):
        proxy = Proxy()
        await proxy.start()
        sink = JetStreamSink(StreamAddress(server=f"nats://127.0.0.1:{proxy.port}", stream=stream.stream), ack_s=1.0)
        async with recording(EventRecorder(sink, slot)) as recorder:
            recorder.record(event(0))
            await until(lambda: recorder.stats().delivered == 1)
            await proxy.stop()
            for at in range(1, 100):
                recorder.record(event(at))
            await until(lambda: recorder.stats().spooled_bytes > 0)
            assert recorder.refusal() is None
            await proxy.start()
            await until(lambda: recorder.stats().delivered == 100, 15)
        await proxy.stop()

        numbers = [row.seq for row in await read_all(stream, 101) if isinstance(row, EventRow)]
        assert numbers == list(range(100))

    async def test_what_was_not_confirmed_comes_again_to_another_of_the_group(self, stream: StreamAddress):
        sink = JetStreamSink(stream)
        await sink.write(rows(4))
        await sink.close()
        connection = await connect_nats(SERVER)
        from nats.js.api import ConsumerConfig

        await connection.jetstream().add_consumer(
            stream.stream, ConsumerConfig(durable_name="g", ack_wait=0.5, ack_policy="explicit")
        )
        await connection.close()
        first = await EventStream.open(url(stream), group="g")
        assert len(await first.read()) == 4
        await first.close()
        await asyncio.sleep(0.6)

        assert [row.seq for row in await read_all(stream, 4)] == [0, 1, 2, 3]
        assert await read_all(stream, 1) == []

    async def test_a_message_that_is_no_row_is_counted_and_not_sent_again(self, stream: StreamAddress):
        sink = JetStreamSink(stream)
        await sink.write([Row(key=b"x", shard=b"0", line=b"not a row"), *rows(1)])
        await sink.close()
        consumer = await EventStream.open(url(stream), group="g")

        assert [row.seq for row in await consumer.read()] == [0]
        assert consumer.unreadable == 1
        await consumer.confirm()
        assert await consumer.read(wait_s=0.2) == []
        await consumer.close()

    async def test_several_rows_in_a_message_come_all_and_stay_in_order(self, stream: StreamAddress, slot: WorkerSlot):
        async with recording(EventRecorder(open_sink(f"{url(stream)}?per_message=32"), slot)) as recorder:
            for at in range(300):
                recorder.record(event(at))
        connection = await connect_nats(SERVER)
        messages = (await connection.jetstream().stream_info(stream.stream)).state.messages
        await connection.close()
        found = await read_all(stream, 301)

        assert messages < 100
        assert sorted(row.seq for row in found if isinstance(row, EventRow)) == list(range(300))
        of_one = [row.seq for row in found if isinstance(row, EventRow) and row.event.account == "acct-3"]
        assert of_one == sorted(of_one)

    async def test_one_shard_holds_all_calls_of_an_account(self, stream: StreamAddress, slot: WorkerSlot):
        async with recording(EventRecorder(open_sink(url(stream)), slot)) as recorder:
            for at in range(70):
                recorder.record(event(at))
        shard = int(stream.subject("acct-3").rsplit(".", 1)[1])
        consumer = await EventStream.open(url(stream), group="g", shards=[shard])
        accounts = [row.event.account for row in await consumer.read(200)]
        await consumer.close()

        assert accounts.count("acct-3") == 10


def test_joined_rows_stay_below_what_a_server_takes():
    from safecase.serve._sinks import _joined

    long = [Row(key=b"%d" % at, shard=b"0", line=b"x" * 100_000) for at in range(7)]
    messages = list(_joined(long, 32))

    assert [len(one.line) for one in messages] == [200_001, 200_001, 200_001, 100_000]
    assert [one.key for one in messages] == [b"0-2", b"2-2", b"4-2", b"6-1"]


async def test_without_a_server_the_sink_says_so_soon_and_without_the_password():
    pytest.importorskip("nats")
    sink = open_sink("nats://me:hunter2@127.0.0.1:9/events")

    with pytest.raises(SinkTrouble, match="no NATS server answers at 127") as told:
        await sink.write(rows(1))
    assert "hunter2" not in str(told.value)
    with pytest.raises(StorageTrouble):
        await EventStream.open("nats://127.0.0.1:9/events", group="g")


@pytest.mark.parametrize(
    "name", ["http://host/x", "nats:///x", "nats://host/a b", "nats://host/a.b", "nats://h/s?per_message=0"]
)
def test_a_sink_of_no_known_kind_is_refused(name: str):
    with pytest.raises(ServeError, match=r"nats://|stream name|per_message"):
        open_sink(name)
