"""A monitor on JetStream: members share, none waits long, and nothing is lost by a kill or a server that goes away."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from safecase.evidence import StreamAddress, connect_nats, encode_event
from safecase.monitor import EventJetStream, Monitor, MonitorOptions, MonitorStore, SourceTrouble
from safecase.serve import JetStreamSink, Row

from .broker import Broker
from .calls import EveryTenth, event

SERVER = os.environ.get("SAFECASE_NATS", "")
QUICK = MonitorOptions(batch=500, commit_s=0.05, idle_s=0.01)
pytestmark = pytest.mark.nats
needs_server = pytest.mark.skipif(not SERVER, reason="SAFECASE_NATS names no server")


class Ids:
    """A watcher that adds up the ids it saw, in whatever order they come."""

    name = "ids"

    def __init__(self):
        self.count, self.total = 0, 0

    def saw(self, seen):
        self.count, self.total = self.count + 1, self.total + int(seen.event.event_id, 16)
        return ()

    def state(self):
        return f"{self.count} {self.total}".encode()

    def restore(self, state):
        self.count, self.total = map(int, state.split())


async def publish(server, stream, numbers, *, per_message=1, shard=None):
    sink = JetStreamSink(StreamAddress(server=server, stream=stream, per_message=per_message), ack_s=20)
    rows = [
        Row(
            key=f"{number:032x}".encode(),
            shard=b"%d" % (number % 16 if shard is None else shard),
            line=encode_event(event(number), worker="w0", seq=number),
        )
        for number in numbers
    ]
    for first in range(0, len(rows), 500):
        await sink.write(rows[first : first + 500])
    await sink.close()


async def until(is_so, patience_s=30.0):
    async with asyncio.timeout(patience_s):
        while not is_so():  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(0.01)


@pytest.fixture
async def stream():
    pytest.importorskip("nats", reason="nats-py (extra `nats`) is not installed")
    name = f"test-{uuid.uuid4().hex[:12]}"
    yield name
    from nats.js.errors import NotFoundError

    connection = await connect_nats(SERVER)
    with contextlib.suppress(NotFoundError):
        await connection.jetstream().delete_stream(name)
    await connection.close()


async def watch(store, source, calls):
    """Run a monitor until it has seen so many."""
    ids, stop = Ids(), asyncio.Event()
    monitor = Monitor(store, [source], detectors=EveryTenth(), watchers=[ids], options=QUICK)
    running = asyncio.create_task(monitor.run(stop=stop))
    await until(lambda: ids.count >= calls or running.done())
    stop.set()
    await running
    return ids


@needs_server
async def test_every_call_of_a_stream_is_seen_once_however_its_rows_travel(stream, tmp_path):
    await publish(SERVER, stream, range(700))
    await publish(SERVER, stream, range(600, 1500), per_message=32)  # a hundred come twice, in other messages
    store = MonitorStore(tmp_path / "monitor.sqlite")

    ids = await watch(store, EventJetStream(f"{SERVER}/{stream}"), 1500)

    assert (ids.count, ids.total) == (1500, sum(range(1500)))
    assert store.counts()["repeats"] <= 100  # some of them may still be on their way
    store.close()


@needs_server
async def test_a_second_start_sees_only_what_is_new(stream, tmp_path):
    await publish(SERVER, stream, range(400))
    store, url = MonitorStore(tmp_path / "monitor.sqlite"), f"{SERVER}/{stream}"
    await watch(store, EventJetStream(url), 400)
    await publish(SERVER, stream, range(400, 650))

    ids = await watch(store, EventJetStream(url), 650)

    assert (ids.count, ids.total) == (650, sum(range(650)))
    store.close()


@needs_server
async def test_two_members_share_what_there_is(stream, tmp_path):
    await publish(SERVER, stream, range(3000))
    stores = [MonitorStore(tmp_path / f"{number}.sqlite") for number in range(2)]
    seen, stop = [Ids(), Ids()], asyncio.Event()
    monitors = [
        Monitor(store, [EventJetStream(f"{SERVER}/{stream}")], detectors=EveryTenth(), watchers=[ids], options=QUICK)
        for store, ids in zip(stores, seen, strict=True)
    ]
    running = [asyncio.create_task(monitor.run(stop=stop)) for monitor in monitors]
    await until(lambda: sum(ids.count for ids in seen) >= 3000)
    stop.set()
    await asyncio.gather(*running)

    assert sum(ids.total for ids in seen) == sum(range(3000))
    assert all(ids.count for ids in seen)
    for store in stores:
        store.close()


@needs_server
async def test_more_is_given_out_than_a_server_would_by_itself(stream):
    """A consumer's own limit of 1,000 unconfirmed messages would hold a monitor to 2,000 calls a second."""
    await publish(SERVER, stream, range(2500))
    connection = await connect_nats(SERVER)
    old = await connection.jetstream().pull_subscribe(f"{stream}.>", durable="monitor", stream=stream)
    assert (await old.consumer_info()).config.max_ack_pending == 1000
    source = EventJetStream(f"{SERVER}/{stream}")
    await source.open(None)

    found = []
    while more := await source.read(2000):
        found += more

    assert len(found) == 2500
    await source.close()
    await connection.close()


@needs_server
async def test_shards_are_seen_whole_and_an_idle_one_holds_up_nobody(stream):
    await publish(SERVER, stream, range(160))
    source = EventJetStream(f"{SERVER}/{stream}", shards=tuple(range(8)))
    await source.open(None)
    found = []
    while more := await source.read(1000):
        found += more
    await publish(SERVER, stream, [1000], shard=7)
    began = time.monotonic()

    (last,) = await source.read(1000)

    assert {int(seen.event.event_id, 16) % 16 for seen in found} == set(range(8))
    assert len(found) == 80
    assert int(last.event.event_id, 16) == 1000
    assert time.monotonic() - began < 1.5  # eight shards of half a second each would be four
    assert source.missing() is None
    await source.close()


@needs_server
async def test_a_stream_that_is_not_there_is_trouble_and_no_end(stream):
    with pytest.raises(SourceTrouble, match="first event"):
        await EventJetStream(f"{SERVER}/{stream}").open(None)


# --- Killed -----------------------------------------------------------------------------------------------------------

CHILD = """
import asyncio, sys
from pathlib import Path
from safecase.monitor import EventJetStream, Monitor, MonitorStore
from tests.monitor.calls import EveryTenth
from tests.monitor.test_stream import QUICK, Ids

class Loud(Ids):
    def saw(self, seen):
        super().saw(seen)
        if self.count % 37 == 0:
            print(self.count, flush=True)
        return ()

store = MonitorStore(Path(sys.argv[2]))
monitor = Monitor(store, [EventJetStream(sys.argv[1])], detectors=EveryTenth(), watchers=[Loud()], options=QUICK)
asyncio.run(monitor.run())
"""


async def _impatient(server, stream):
    """A consumer that gives out again after a second what nobody confirmed; by itself it waits half a minute."""
    from nats.js.api import ConsumerConfig

    connection = await connect_nats(server)
    config = ConsumerConfig(durable_name="monitor", name="monitor", filter_subject=f"{stream}.>", ack_wait=1)
    await connection.jetstream().add_consumer(stream, config=config)
    await connection.close()


@pytest.fixture
def broker(tmp_path):
    pytest.importorskip("nats", reason="nats-py (extra `nats`) is not installed")
    made = Broker(tmp_path / "nats")
    made.start()
    yield made
    made.stop()


async def test_kill_nine_of_a_monitor_loses_nothing_and_counts_nothing_twice(broker, tmp_path):
    await publish(broker.url, "events", range(10))
    await _impatient(broker.url, "events")
    path, url = tmp_path / "monitor.sqlite", f"{broker.url}/events"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])}
    for number in range(4):
        await publish(broker.url, "events", range(number * 500 + 10, number * 500 + 510))
        child = subprocess.Popen(  # noqa: ASYNC220 - it is killed while this goes on
            [sys.executable, "-c", CHILD, url, str(path)], env=environment, stdout=subprocess.PIPE
        )
        for _ in range(1 + 2 * number):  # each is killed at work, a little later in its way than the one before
            await asyncio.to_thread(child.stdout.readline)
        child.kill()
        await asyncio.to_thread(child.communicate)
    store = MonitorStore(path)

    ids = await watch(store, EventJetStream(url), 2010)

    assert (ids.count, ids.total) == (2010, sum(range(2010)))
    assert store.counts()["calls"] == 2010
    store.close()


async def test_a_server_that_is_killed_and_comes_back_loses_nothing(broker, tmp_path):
    await publish(broker.url, "events", range(1000))
    await _impatient(broker.url, "events")
    store, ids, stop = MonitorStore(tmp_path / "monitor.sqlite"), Ids(), asyncio.Event()
    source = EventJetStream(f"{broker.url}/events")
    monitor = Monitor(store, [source], detectors=EveryTenth(), watchers=[ids], options=QUICK)
    running = asyncio.create_task(monitor.run(stop=stop))
    for number in range(3):
        await until(lambda calls=1 + 1000 * number: ids.count >= calls)  # at work on what was published last
        broker.stop(signal.SIGKILL)
        await asyncio.sleep(0.2)
        broker.start()
        await publish(broker.url, "events", range(1000 * (number + 1), 1000 * (number + 2)))
    await until(lambda: ids.count >= 4000, patience_s=60)
    stop.set()
    await running

    assert (ids.count, ids.total) == (4000, sum(range(4000)))
    store.close()
