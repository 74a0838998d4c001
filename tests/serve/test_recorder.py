"""No event is lost silently: sinks fail and come back, disks fill, workers are killed."""

import asyncio
import contextlib
import errno
import itertools
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from safecase.evidence import (
    CallEvent,
    Completeness,
    EventLog,
    EventRow,
    EventUnreadable,
    WorkerEnd,
    decode_row,
    encode_event,
    read_events,
)
from safecase.serve import EventRecorder, JsonlSink, Retention, Row, ServeError, SinkTrouble, WorkerSlot, open_sink
from tests.serve.events import event, ruling


class Sink:
    """Remembers rows; says no while `is_down`."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.is_down = False

    async def write(self, rows: Sequence[Row]) -> None:
        if self.is_down:
            raise SinkTrouble("the sink is down")
        self.lines += [row.line for row in rows]

    async def close(self) -> None:
        pass

    def rows(self) -> list[EventRow | WorkerEnd]:
        return [decode_row(line) for line in self.lines]

    def numbers(self) -> list[int]:
        return [row.seq for row in self.rows() if isinstance(row, EventRow)]


@pytest.fixture
def slot(tmp_path: Path) -> Iterator[WorkerSlot]:
    claimed = WorkerSlot.claim(tmp_path / "run")
    yield claimed
    claimed.release()


@contextlib.asynccontextmanager
async def recording(recorder: EventRecorder):
    await recorder.start()
    try:
        yield recorder
    finally:
        await recorder.close(patience_s=2.0)


async def until(is_true: Callable[[], object], seconds: float = 5.0) -> None:
    """Wait, and fail where it never comes."""
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end, "it did not come"
        await asyncio.sleep(0.01)


# --- Rows -------------------------------------------------------------------------------------------------------------


def test_a_row_comes_back_as_it_was():
    full = event(
        5,
        outcome="withheld",
        reason="safeguard",
        withheld_by="input-classifier",
        rulings=(ruling(), ruling("allow", enforced=False, error="TimeoutError")),
        tiers=("vetted",),
        tokens_in=3,
        first_s=0.25,
        prompt='says "hi"\n\u2028',
        kept="flagged",
    )

    assert decode_row(encode_event(full, worker="w0", seq=9)) == EventRow(worker="w0", seq=9, event=full)


def test_half_a_surrogate_pair_does_not_stop_an_event():
    row = decode_row(encode_event(event(prompt="a\ud800b"), worker="w0", seq=0))

    assert row.event.prompt == "a?b"


def test_a_field_of_a_later_version_is_passed_over():
    line = encode_event(event(), worker="w0", seq=0).replace(b'"at"', b'"colour":"red","at"')

    assert decode_row(line).event == event()


@pytest.mark.parametrize("line", [b"", b"{}", b"null", b'{"end":{}}', b'{"worker":"w","seq":"x","event":{}}', b"\xff"])
def test_what_is_no_row_is_refused_without_its_text(line: bytes):
    with pytest.raises(EventUnreadable, match="no event row"):
        decode_row(line)


def test_gaps_are_found_in_any_order():
    seen = Completeness()
    numbers = [4, 0, 1, 7, 7]
    fresh = [seen.note(EventRow(worker="w", seq=at, event=event(at))) for at in numbers]
    seen.note(WorkerEnd(worker="w", taken=10))

    assert fresh == [True, True, True, True, False]
    assert [(gap.first, gap.last) for gap in seen.gaps()] == [(2, 3), (5, 6), (8, 9)]


# --- Files ------------------------------------------------------------------------------------------------------------


async def test_events_reach_files_in_order_and_the_end_says_how_many(slot: WorkerSlot, tmp_path: Path):
    async with recording(EventRecorder(open_sink(tmp_path / "events"), slot)) as recorder:
        for at in range(600):
            assert recorder.refusal() is None
            recorder.record(event(at))

    *rows, end = read_events(tmp_path / "events")
    assert [row.event for row in rows] == [event(at) for at in range(600)]
    assert end == WorkerEnd(worker=slot.id, taken=600)
    assert list((slot.folder / "spool").iterdir()) == []


async def test_a_quiet_gateway_delivers_within_a_moment(slot: WorkerSlot, tmp_path: Path):
    async with recording(EventRecorder(open_sink(tmp_path / "events"), slot)) as recorder:
        recorder.record(event(1))
        await until(lambda: list(read_events(tmp_path / "events")), 1.0)


async def test_segments_are_rotated_and_a_reader_goes_on_where_it_stopped(slot: WorkerSlot, tmp_path: Path):
    sink = JsonlSink(tmp_path / "events", segment_bytes=2000)
    log = EventLog(tmp_path / "events")
    async with recording(EventRecorder(sink, slot, batch=3)) as recorder:
        for at in range(30):
            recorder.record(event(at))
        await until(lambda: recorder.stats().delivered == 30)
        first = log.read(11)
        later = EventLog(tmp_path / "events", positions=log.positions).read()

    assert len(list((tmp_path / "events").glob("*.jsonl"))) > 3
    assert [row.seq for row in first + later] == list(range(30))


def test_a_line_being_written_is_left_alone(tmp_path: Path):
    lines = [encode_event(event(at), worker="w", seq=at) + b"\n" for at in range(2)]
    file = tmp_path / "a.jsonl"
    file.write_bytes(lines[0] + lines[1][:-20])
    log = EventLog(tmp_path)

    assert [row.seq for row in log.read()] == [0]
    assert log.read() == []
    file.write_bytes(lines[0] + lines[1])
    assert [row.seq for row in log.read()] == [1]


def test_a_changed_line_is_named(tmp_path: Path):
    (tmp_path / "a.jsonl").write_bytes(encode_event(event(), worker="w", seq=0) + b"\n{broken}\n")

    with pytest.raises(EventUnreadable, match=r"a\.jsonl: byte \d+"):
        list(read_events(tmp_path))


# --- A sink that is down ----------------------------------------------------------------------------------------------


async def test_a_sink_that_was_down_gets_everything_later_in_order(slot: WorkerSlot):
    sink = Sink()
    async with recording(EventRecorder(sink, slot, batch=10)) as recorder:
        recorder.record(event(0))
        await until(lambda: sink.lines)
        sink.is_down = True
        for at in range(1, 100):
            recorder.record(event(at))
        await until(lambda: recorder.stats().spooled_bytes > 0 and recorder.stats().queued == 0)
        assert recorder.refusal() is None, "the spool records"
        assert "down" in recorder.stats().sink_fault
        sink.is_down = False
        for at in range(100, 120):
            recorder.record(event(at))
        await until(lambda: recorder.stats().delivered == 120)
        assert recorder.stats().spooled_bytes == 0

    assert sink.numbers() == list(range(120))


async def test_events_of_a_stop_while_the_sink_is_down_are_delivered_by_the_next_start(slot: WorkerSlot):
    sink = Sink()
    sink.is_down = True
    async with recording(EventRecorder(sink, slot)) as recorder:
        for at in range(50):
            recorder.record(event(at))
    assert sink.lines == []

    sink.is_down = False
    again = WorkerSlot.claim(slot.folder)
    async with recording(EventRecorder(sink, again)) as recorder:
        await until(lambda: len(sink.lines) == 51)
    assert sink.rows()[50] == WorkerEnd(worker=slot.id, taken=50)
    assert sink.numbers() == list(range(50))
    again.release()


async def test_long_spools_go_over_segments(slot: WorkerSlot, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("safecase.serve._spool._SEGMENT_BYTES", 3000)
    monkeypatch.setattr("safecase.serve._spool._AT_ONCE", 700)  # shorter than some lines
    sink = Sink()
    sink.is_down = True
    async with recording(EventRecorder(sink, slot, batch=4)) as recorder:
        for at in range(60):
            recorder.record(event(at, model="m" * (at * 20)))
        await until(lambda: recorder.stats().queued == 0)
        assert len(list((slot.folder / "spool" / slot.id).glob("*.rows"))) > 3
        sink.is_down = False
        await until(lambda: recorder.stats().delivered == 60)

    assert sink.numbers() == list(range(60))


async def test_a_spool_that_somebody_removed_is_a_gap_and_not_the_end(slot: WorkerSlot):
    sink = Sink()
    sink.is_down = True
    async with recording(EventRecorder(sink, slot)) as recorder:
        recorder.record(event(0))
        await until(lambda: recorder.stats().spooled_bytes > 0)
        for file in (slot.folder / "spool" / slot.id).glob("*.rows"):
            file.unlink()
        sink.is_down = False
        await until(lambda: recorder.stats().spooled_bytes == 0)
        recorder.record(event(1))
        await until(lambda: sink.lines)

    seen = Completeness()
    for row in sink.rows():
        seen.note(row)
    assert [(gap.first, gap.last) for gap in seen.gaps()] == [(0, 0)]


async def test_a_sink_that_hangs_does_not_hold_up_the_spool(slot: WorkerSlot):
    class Hanging(Sink):
        async def write(self, rows: Sequence[Row]) -> None:
            if self.is_down:
                await asyncio.sleep(0.5)
            await super().write(rows)

    sink = Hanging()
    sink.is_down = True
    async with recording(EventRecorder(sink, slot, most_queued=40)) as recorder:
        recorder.record(event(0))
        await until(lambda: recorder.stats().sink_fault)
        for at in range(1, 100):
            assert recorder.refusal() is None
            recorder.record(event(at))
            await asyncio.sleep(0.01)
        sink.is_down = False
        await until(lambda: recorder.stats().delivered == 100)

    assert sink.numbers() == list(range(100))


# --- Nothing can be recorded ------------------------------------------------------------------------------------------


async def test_a_full_spool_refuses_calls_until_it_drains(slot: WorkerSlot):
    sink = Sink()
    sink.is_down = True
    async with recording(EventRecorder(sink, slot, most_spooled_bytes=2000, batch=2)) as recorder:
        for at in range(20):
            recorder.record(event(at))
        await until(lambda: recorder.refusal() is not None)
        assert (recorder.refusal().status, recorder.refusal().reason) == (503, "cannot-record")
        recorder.record(event(20))  # a call that was under way
        sink.is_down = False
        await until(lambda: recorder.refusal() is None)
        await until(lambda: recorder.stats().delivered == 21)

    assert sink.numbers() == list(range(21))


@pytest.mark.parametrize("durable", [False, True])
async def test_a_full_disk_refuses_calls_and_loses_nothing(
    slot: WorkerSlot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durable: bool
):
    """The disk takes half a batch and then no more, as disks do; neither file keeps half a line."""
    true_pwrite, is_full = os.pwrite, True

    def pwrite(descriptor: int, data: bytes, at: int) -> int:
        if is_full and len(data) > 100:
            true_pwrite(descriptor, bytes(data)[:50], at)
            raise OSError(errno.ENOSPC, "No space left on device")
        return true_pwrite(descriptor, data, at)

    async with recording(EventRecorder(open_sink(tmp_path / "events"), slot, durable=durable)) as recorder:
        monkeypatch.setattr(os, "pwrite", pwrite)
        for at in range(10):
            recorder.record(event(at))
        await until(lambda: recorder.refusal() is not None)
        assert list(read_events(tmp_path / "events")) == []
        is_full = False
        await until(lambda: recorder.refusal() is None)
        await until(lambda: recorder.stats().delivered == 10)

    assert [row.seq for row in read_events(tmp_path / "events") if isinstance(row, EventRow)] == list(range(10))


async def test_a_full_queue_refuses_calls_early_and_counts_what_it_gives_up(slot: WorkerSlot):
    sink = Sink()
    async with recording(EventRecorder(sink, slot, most_queued=8)) as recorder:
        for at in range(6):
            assert recorder.refusal() is None
            recorder.record(event(at))
        assert recorder.refusal().reason == "cannot-record"
        for at in range(6, 10):  # calls in flight go on ending
            recorder.record(event(at))
        assert recorder.stats().lost == 2
        await until(lambda: recorder.stats().delivered == 8)
        assert recorder.refusal() is None

    seen = Completeness()
    for row in sink.rows():
        seen.note(row)
    assert [(gap.first, gap.last) for gap in seen.gaps()] == [(8, 9)]


@pytest.mark.parametrize("durable", [False, True])
async def test_no_call_is_taken_before_the_start_after_the_end_or_when_the_drain_broke(slot: WorkerSlot, durable: bool):
    class Broken(Sink):
        async def write(self, rows: Sequence[Row]) -> None:
            raise RuntimeError("a bug")

    recorder = EventRecorder(Broken(), slot, durable=durable)
    assert recorder.refusal().reason == "cannot-record"
    await recorder.start()
    assert recorder.refusal() is None
    recorder.record(event())
    await until(lambda: recorder.refusal() is not None)
    assert "not running" in recorder.stats().fault
    recorder.record(event(1))  # a call that was under way
    assert recorder.refusal() is not None
    with pytest.raises(RuntimeError, match="a bug"):
        await recorder.close()
    recorder.record(event(2))
    assert recorder.refusal() is not None

    sink = Sink()
    again = WorkerSlot.claim(slot.folder)
    async with recording(EventRecorder(sink, again)):
        await until(lambda: len(sink.lines) == 3)
    assert sink.numbers() == [0, 1], "what the broken one had taken was spooled at its end"
    again.release()


async def test_what_can_be_put_nowhere_at_the_end_is_counted_and_a_gap(slot: WorkerSlot):
    sink = Sink()
    sink.is_down = True
    recorder = EventRecorder(sink, slot, most_spooled_bytes=10)
    await recorder.start()
    for at in range(3):
        recorder.record(event(at))
    await recorder.close(patience_s=0.2)
    assert recorder.stats().lost == 3

    sink.is_down = False
    again, seen = WorkerSlot.claim(slot.folder), Completeness()
    async with recording(EventRecorder(sink, again)):
        await until(lambda: sink.lines)
    for row in sink.rows():
        seen.note(row)
    assert [gap.count for gap in seen.gaps()] == [3]
    again.release()


async def test_without_a_place_for_the_spool_it_does_not_start(slot: WorkerSlot, tmp_path: Path):
    (tmp_path / "file").write_text("")

    with pytest.raises(ServeError, match="cannot be spooled"):
        await EventRecorder(Sink(), slot, spool=tmp_path / "file" / "spool").start()


async def test_what_retention_drops_never_reaches_a_disk(slot: WorkerSlot, tmp_path: Path):
    sink = JsonlSink(tmp_path / "events")
    async with recording(EventRecorder(sink, slot, retention=Retention(), durable=True)) as recorder:
        recorder.record(event(0, prompt="plain words", reply="plain answer"))
        recorder.record(event(1, prompt="flagged, ada@example.org", outcome="withheld"))

    written = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert b"plain words" not in written
    assert b"ada@example.org" not in written
    assert b"flagged, [email]" in written


async def test_content_that_breaks_its_reader_is_dropped_and_the_decision_kept(
    slot: WorkerSlot, monkeypatch: pytest.MonkeyPatch
):
    def breaks(_: str) -> str:
        raise RecursionError("too deep")

    monkeypatch.setattr("safecase.serve._retention.redacted", breaks)
    sink = Sink()
    async with recording(EventRecorder(sink, slot)) as recorder:
        recorder.record(event(0, prompt="x", outcome="withheld"))

    assert sink.rows()[0].event == event(0, outcome="withheld")


async def test_an_event_too_long_for_any_sink_is_cut_and_not_in_everybodys_way(slot: WorkerSlot):
    sink = Sink()
    async with recording(EventRecorder(sink, slot)) as recorder:
        recorder.record(event(0, finish_reason="x" * 2_000_000, rulings=(ruling(error="y" * 10**6),) * 3))
        recorder.record(event(1))

    first = sink.rows()[0].event
    assert len(first.finish_reason) == len(first.rulings[0].error) == 500
    assert sink.numbers() == [0, 1]


async def test_a_file_system_that_takes_no_more_refuses_calls_until_it_does(slot: WorkerSlot, tmp_path: Path):
    """The limit on a file's size is the system's own: a write is cut short, the next one fails."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with recording(EventRecorder(open_sink(tmp_path / "events"), slot, batch=20)) as recorder:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
        try:
            for at in range(200):
                recorder.record(event(at))
            await until(lambda: recorder.refusal() is not None)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        await until(lambda: recorder.refusal() is None)
        await until(lambda: recorder.stats().delivered == 200)

    assert [row.seq for row in read_events(tmp_path / "events") if isinstance(row, EventRow)] == list(range(200))


# --- A killed worker --------------------------------------------------------------------------------------------------


def _write_until_killed(folder: str, durable: bool, told: Connection) -> None:
    async def write() -> None:
        slot = WorkerSlot.claim(Path(folder) / "run")
        recorder = EventRecorder(open_sink(Path(folder) / "events"), slot, durable=durable)
        await recorder.start()
        for at in itertools.count():
            recorder.record(event(at))
            if at == 500:
                told.send(slot.id)
            if at % 20 == 0:
                await asyncio.sleep(0)

    asyncio.run(write())


@pytest.mark.parametrize("durable", [False, True])
async def test_what_a_kill_lost_is_known_to_the_event(tmp_path: Path, durable: bool):
    mine, theirs = multiprocessing.get_context("spawn").Pipe()
    worker = multiprocessing.get_context("spawn").Process(
        target=_write_until_killed, args=(str(tmp_path), durable, theirs)
    )
    worker.start()
    name = await asyncio.to_thread(mine.recv)
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()

    slot = WorkerSlot.claim(tmp_path / "run")
    async with recording(EventRecorder(open_sink(tmp_path / "events"), slot)):
        await until(lambda: any(isinstance(row, WorkerEnd) for row in read_events(tmp_path / "events")))
    seen, rows = Completeness(), list(read_events(tmp_path / "events"))
    came = sum(seen.note(row) for row in rows if isinstance(row, EventRow))
    taken = next(row.taken for row in rows if isinstance(row, WorkerEnd) and row.worker == name)
    for row in rows:
        seen.note(row)

    assert taken > 500
    assert came + sum(gap.count for gap in seen.gaps()) == taken
    if durable:  # at most the event whose `record` the kill interrupted
        assert taken - came <= 1
    slot.release()


async def test_two_workers_take_over_each_dead_spool_once(slot: WorkerSlot):
    down = Sink()
    down.is_down = True
    async with recording(EventRecorder(down, slot)) as recorder:
        for at in range(30):
            recorder.record(event(at))

    sink = Sink()
    others = [WorkerSlot.claim(slot.folder) for _ in range(3)]
    recorders = [EventRecorder(sink, other) for other in others]
    for recorder in recorders:
        await recorder.start()
    await until(lambda: len(sink.lines) >= 31)
    for recorder in recorders:
        await recorder.close()

    assert sorted(sink.numbers()) == list(range(30))
    assert sum(isinstance(row, WorkerEnd) and row.worker == slot.id for row in sink.rows()) == 1
    for other in others:
        other.release()


def test_events_take_little_time_to_encode():
    """The measured cost is in the benchmark; this only keeps an accident of a factor of ten out."""
    sample: CallEvent = event(1, rulings=(ruling(),) * 6)
    best = min(_timed(lambda: encode_event(sample, worker="w", seq=1)) for _ in range(5))

    assert best < 100e-6


def _timed(act: Callable[[], object]) -> float:
    start = time.process_time()
    for _ in range(200):
        act()
    return (time.process_time() - start) / 200
