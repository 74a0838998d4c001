"""From source to store: exactly once, whatever comes twice, stops or fails."""

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from safecase.evidence import encode_event
from safecase.monitor import (
    AlertTrouble,
    Console,
    EventFiles,
    EventQueue,
    Monitor,
    MonitorOptions,
    MonitorStore,
    Rates,
    SourceTrouble,
    StoreTrouble,
    Unit,
    log_files,
    open_source,
    span_files,
)

from .calls import DIGESTS, Counter, EveryTenth, event, promises, write_events

QUICK = MonitorOptions(batch=50, commit_s=0.0, idle_s=0.01)


def _monitor(store, *sources, watchers=None, sinks=(), **more):
    made = [Counter()] if watchers is None else watchers
    return Monitor(store, sources, detectors=EveryTenth(), watchers=made, sinks=sinks, options=QUICK, **more)


@pytest.fixture
def store(tmp_path):
    opened = MonitorStore(tmp_path / "monitor.sqlite")
    yield opened
    opened.close()


async def test_every_call_of_a_folder_is_seen_once(tmp_path, store):
    write_events(tmp_path / "events" / "w0-0.jsonl", range(230))
    counter = Counter()

    tally = await _monitor(store, EventFiles(tmp_path / "events"), watchers=[counter]).run(once=True)

    assert (tally.calls, tally.repeats, counter.total) == (230, 0, 230)
    assert [alert.what for alert in store.alerts()] == ["100", "200"]


async def test_a_second_run_sees_only_what_is_new(tmp_path, store):
    write_events(tmp_path / "events" / "w0-0.jsonl", range(150))
    await _monitor(store, EventFiles(tmp_path / "events")).run(once=True)
    write_events(tmp_path / "events" / "w0-0.jsonl", range(150, 200), first=150)
    counter, source = Counter(), EventFiles(tmp_path / "events")

    tally = await _monitor(store, source, watchers=[counter]).run(once=True)

    assert (tally.calls, counter.total) == (50, 200)
    assert source.missing() == 0
    assert len(store.alerts()) == 2


async def test_an_event_that_comes_twice_counts_once(tmp_path, store):
    """A dead worker's spool is delivered by another, in another file."""
    write_events(tmp_path / "events" / "w0-0.jsonl", range(100))
    write_events(tmp_path / "events" / "w1-0.jsonl", range(50, 120), worker="w1")
    counter = Counter()

    tally = await _monitor(store, EventFiles(tmp_path / "events"), watchers=[counter]).run(once=True)

    assert (tally.calls, tally.repeats, counter.total) == (120, 50, 120)


async def test_events_that_never_came_are_known(tmp_path, store):
    write_events(tmp_path / "events" / "w0-0.jsonl", range(10))
    write_events(tmp_path / "events" / "w0-0.jsonl", range(13, 20), first=13)
    source = EventFiles(tmp_path / "events")

    await _monitor(store, source).run(once=True)

    assert source.missing() == 3


async def test_a_damaged_line_stops_the_monitor_and_names_file_and_byte(tmp_path, store):
    write_events(tmp_path / "events" / "w0-0.jsonl", range(3))
    with (tmp_path / "events" / "w0-0.jsonl").open("ab") as file:
        file.write(b"{nonsense}\n")

    with pytest.raises(SourceTrouble, match=r"w0-0.jsonl: byte \d+"):
        await _monitor(store, EventFiles(tmp_path / "events")).run(once=True)


async def test_a_line_under_way_is_left_until_it_is_whole(tmp_path, store):
    file = tmp_path / "events" / "w0-0.jsonl"
    write_events(file, range(5))
    whole = encode_event(event(5), worker="w0", seq=5) + b"\n"
    with file.open("ab") as opened:
        opened.write(whole[:40])
    first = await _monitor(store, EventFiles(file.parent)).run(once=True)
    with file.open("ab") as opened:
        opened.write(whole[40:])

    second = await _monitor(store, EventFiles(file.parent)).run(once=True)

    assert (first.calls, second.calls) == (5, 1)


async def test_a_commit_that_fails_changes_nothing(tmp_path, store):
    write_events(tmp_path / "events" / "w0-0.jsonl", range(120))
    store._db.execute("create trigger full before insert on alerts begin select raise(abort, 'disk full'); end")

    with pytest.raises(StoreTrouble, match="disk full"):
        await _monitor(store, EventFiles(tmp_path / "events")).run(once=True)

    assert store.alerts() == []
    assert store.position(EventFiles(tmp_path / "events").name) is None or store.counts()["calls"] < 120
    store._db.execute("drop trigger full")
    store.close()
    again, counter = MonitorStore(tmp_path / "monitor.sqlite"), Counter()
    await _monitor(again, EventFiles(tmp_path / "events"), watchers=[counter]).run(once=True)
    assert counter.total == 120
    again.close()


async def test_a_queue_holds_back_who_puts_in(store):
    queue = EventQueue(most=20)
    counter, stop = Counter(), asyncio.Event()
    running = asyncio.create_task(_monitor(store, queue, watchers=[counter]).run(stop=stop))
    for number in range(200):
        await queue.put(event(number))
    await asyncio.sleep(0.1)
    stop.set()
    await running

    assert counter.total == 200
    full = EventQueue(most=1)
    assert [full.offer(event(0)), full.offer(event(1))] == [True, False]
    assert full.missing() == 1


async def test_a_broken_watcher_is_said_aloud_and_silences_nobody(tmp_path, store):
    class Broken(Counter):
        name = "broken"

        def saw(self, one):
            raise RuntimeError("a bug")

    write_events(tmp_path / "events" / "w0-0.jsonl", range(30))
    counter = Counter()

    await _monitor(store, EventFiles(tmp_path / "events"), watchers=[Broken(), counter]).run(once=True)

    assert counter.total == 30
    assert [alert.kind for alert in store.alerts()] == ["watcher-failed"]
    assert store.state("broken") is None


async def test_a_watcher_that_breaks_within_a_block_names_the_call_and_keeps_what_was_said(tmp_path, store):
    class Broken(Counter):
        name = "broken"

        def saw_all(self, block):
            for one in block:
                if self.total == 120:
                    raise RuntimeError("a bug")
                yield from self.saw(one)

    write_events(tmp_path / "events" / "w0-0.jsonl", range(130))

    await _monitor(store, EventFiles(tmp_path / "events"), watchers=[Broken()]).run(once=True)

    said, failed = store.alerts()
    assert said.what == "100"
    assert failed.kind == "watcher-failed"
    assert failed.event_ids == (f"{120:032x}",)


async def test_an_alert_leaves_before_the_next_commit_is_due(tmp_path, store):
    write_events(tmp_path / "events" / "w0-0.jsonl", range(250))
    slow = MonitorOptions(batch=50, commit_s=3600.0, alert_s=0.0, idle_s=0.01)
    monitor = Monitor(
        store, [EventFiles(tmp_path / "events")], detectors=EveryTenth(), watchers=[Counter()], options=slow
    )

    tally = await monitor.run(once=True)

    assert tally.commits == 3  # with the alerts at 100 and 200, and at the end


async def test_a_sink_that_is_down_gets_its_alerts_later_and_holds_up_nobody(tmp_path, store):
    class Down:
        name = "down"

        def __init__(self):
            self.is_up, self.took = False, []

        async def deliver(self, alert):
            if not self.is_up:
                raise AlertTrouble("down")
            self.took.append(alert.what)

    write_events(tmp_path / "events" / "w0-0.jsonl", range(200))
    lines, down = [], Down()
    await _monitor(store, EventFiles(tmp_path / "events"), sinks=[Console(lines.append), down]).run(once=True)
    assert len(lines) == 2
    assert len(store.undelivered("down")) == 2
    down.is_up = True

    await _monitor(store, EventFiles(tmp_path / "events"), sinks=[Console(lines.append), down]).run(once=True)

    assert down.took == ["100", "200"]
    assert len(lines) == 2


async def test_a_sink_that_breaks_is_named_tried_again_and_holds_up_nobody(tmp_path, store, caplog):
    """Whatever it raises: a registry that is locked, a ledger that is broken, a pipe that is shut."""

    class Broken:
        name = "broken"
        tries = 0

        async def deliver(self, alert):
            self.tries += 1
            if self.tries <= 2:
                raise BrokenPipeError("shut")
            if self.tries == 4:
                stop.set()

    write_events(tmp_path / "events" / "w0-0.jsonl", range(200))
    lines, broken, stop = [], Broken(), asyncio.Event()
    watching = _monitor(store, EventFiles(tmp_path / "events"), sinks=[broken, Console(lines.append)])
    run = asyncio.create_task(watching.run(stop=stop))
    async with asyncio.timeout(30):
        tally = await run
    assert tally.undelivered == []
    assert len(lines) == 2
    assert "alerts to broken stay undelivered: it broke (BrokenPipeError: shut)" in caplog.text

    write_events(tmp_path / "events" / "w0-0.jsonl", range(200, 300), first=200)
    broken.deliver = None
    tally = await _monitor(store, EventFiles(tmp_path / "events"), sinks=[broken, Console(lines.append)]).run(once=True)

    assert tally.undelivered == ["broken"]
    assert len(lines) == 3


async def test_a_source_in_trouble_does_not_hold_up_the_others(tmp_path, store):
    """What the others show is committed and said while it is down."""

    class Down(EventQueue):
        async def read(self, most):
            raise SourceTrouble("down")

    write_events(tmp_path / "events" / "w0-0.jsonl", range(200))
    stop, lines = asyncio.Event(), []

    def write(line):
        lines.append(line)
        if len(lines) == 2:
            stop.set()

    monitor = _monitor(store, EventFiles(tmp_path / "events"), Down(name="down"), sinks=[Console(write)])
    async with asyncio.timeout(20):
        tally = await monitor.run(stop=stop)

    assert tally.calls == 200
    assert len(lines) == 2


async def test_two_monitors_do_not_share_a_file(tmp_path, store):
    with pytest.raises(StoreTrouble, match="another monitor"):
        MonitorStore(tmp_path / "monitor.sqlite")


def test_a_file_of_another_version_is_refused(tmp_path):
    with sqlite3.connect(tmp_path / "old.sqlite") as database:
        database.execute("pragma user_version = 99")
    database.close()

    with pytest.raises(StoreTrouble, match="version 99"):
        MonitorStore(tmp_path / "old.sqlite")


def test_the_window_of_known_events_stays_small(tmp_path):
    opened = MonitorStore(tmp_path / "monitor.sqlite", window=100)
    for start in range(0, 1000, 50):
        assert all(opened.is_new(str(number)) for number in range(start, start + 50))
        opened.commit(positions={}, states={}, alerts=[])

    assert not opened.is_new("999")
    assert opened._db.execute("select count(*) from seen").fetchone()[0] == 100
    opened.close()
    again = MonitorStore(tmp_path / "monitor.sqlite", window=100)
    assert not again.is_new("901")
    assert again.is_new("1")
    again.close()


# --- Killed -----------------------------------------------------------------------------------------------------------

CHILD = """
import asyncio, os, signal, sys, time
from pathlib import Path
from tests.monitor.calls import Counter, DIGESTS, EveryTenth, promises, write_events
from safecase.monitor import Console, EventFiles, Monitor, MonitorOptions, MonitorStore, Rates, Unit

folder = Path(sys.argv[1])

def watch(once):
    store = MonitorStore(folder / "monitor.sqlite")
    watchers = [Counter(), Rates(promises(), DIGESTS, unit=Unit(settle_s=5, filter_bits=12))]
    out = (folder / "alerts.txt").open("a")
    def write(line):
        out.write(line + chr(10)); out.flush()
    options = MonitorOptions(batch=37, commit_s=0.002, idle_s=0.01)
    sources = [EventFiles(folder / "events")]
    sinks = [Console(write)]
    monitor = Monitor(store, sources, detectors=EveryTenth(), watchers=watchers, sinks=sinks, options=options)
    asyncio.run(monitor.run(once=once))
    os._exit(0)

for number in range(12):  # events come in while monitors are killed, each a little later in its way than the one before
    write_events(folder / "events" / "w0-0.jsonl", range(number * 300, number * 300 + 300), first=number * 300)
    child = os.fork()
    if not child:
        watch(once=False)
    time.sleep(0.004 + 0.015 * number)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
watch(once=True)
"""


def _effects(folder):
    opened = MonitorStore(folder / "monitor.sqlite")
    rates = Rates(promises(), DIGESTS, unit=Unit(settle_s=5, filter_bits=12))
    rates.restore(opened.state("rates"))
    alerts, calls = [alert.alert_id for alert in opened.alerts()], opened.counts()["calls"]
    found = opened.state("counter"), rates.panels(), alerts, calls
    opened.close()
    return found


async def test_kill_nine_at_any_moment_loses_nothing_and_counts_nothing_twice(tmp_path):
    """Killed twelve times while events come in; in the end the effects are those of one undisturbed run."""
    write_events(tmp_path / "calm" / "events" / "w0-0.jsonl", range(3600))
    opened, lines = MonitorStore(tmp_path / "calm" / "monitor.sqlite"), []
    watchers = [Counter(), Rates(promises(), DIGESTS, unit=Unit(settle_s=5, filter_bits=12))]
    source = EventFiles(tmp_path / "calm" / "events")
    await _monitor(opened, source, watchers=watchers, sinks=[Console(lines.append)]).run(once=True)
    opened.close()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])}
    killed = subprocess.run(  # noqa: ASYNC221 - nothing else runs meanwhile
        [sys.executable, "-c", CHILD, str(tmp_path / "killed")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert killed.returncode == 0, killed.stderr
    assert _effects(tmp_path / "killed") == _effects(tmp_path / "calm")
    assert _effects(tmp_path / "killed")[3] == 3600
    said = (tmp_path / "killed" / "alerts.txt").read_text().splitlines()
    assert set(said) == set(lines)  # a sink may hear twice, and never misses


# --- Other sources ----------------------------------------------------------------------------------------------------


def _span(number, **attributes):
    values = {"gen_ai.operation.name": {"stringValue": "chat"}, **attributes}
    return {
        "traceId": "a" * 32,
        "spanId": f"{number:016x}",
        "startTimeUnixNano": "1775563200000000000",
        "endTimeUnixNano": "1775563201500000000",
        "attributes": [{"key": key, "value": value} for key, value in values.items()],
    }


async def test_spans_become_calls(tmp_path):
    messages = json.dumps(
        [{"role": "system", "parts": []}, {"role": "user", "parts": [{"type": "text", "content": "Why?"}]}]
    )
    answer = json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": "Because."}]}])
    spans = [
        _span(
            1,
            **{
                "gen_ai.input.messages": {"stringValue": messages},
                "gen_ai.output.messages": {"stringValue": answer},
                "enduser.pseudo.id": {"stringValue": "u1"},
                "gen_ai.response.model": {"stringValue": "m"},
                "gen_ai.usage.input_tokens": {"intValue": "12"},
                "gen_ai.response.finish_reasons": {"arrayValue": {"values": [{"stringValue": "stop"}]}},
            },
        ),
        {**_span(2), "attributes": [{"key": "http.method", "value": {"stringValue": "GET"}}]},
        _span(3, **{"gen_ai.response.finish_reasons": {"arrayValue": {"values": [{"stringValue": "content_filter"}]}}}),
    ]
    line = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]})
    (tmp_path / "spans.jsonl").write_text(line + "\n{nonsense}\n" + line[:30])
    source = span_files(tmp_path / "spans.jsonl")
    await source.open(None)

    found = await source.read(100)

    assert [(one.prompt, one.reply, one.event.account, one.event.outcome) for one in found] == [
        ("Why?", "Because.", "u1", "served"),
        (None, None, "", "withheld"),
    ]
    assert found[0].event.tokens_in == 12
    assert found[0].event.latency_s == 1.5
    assert source.missing() == 1


LOGS = [
    {  # chat completions, nested
        "request": {"model": "m", "user": "u1", "messages": [{"role": "user", "content": "Why?"}]},
        "response": {
            "id": "c1",
            "created": 1775563200,
            "choices": [{"message": {"content": "So."}, "finish_reason": "stop"}],
        },
    },
    {  # parts, merged, an account of its own, time as text
        "id": "c2",
        "at": "2026-04-07T12:00:00Z",
        "account": "u2",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Why?"}]}],
        "choices": [{"message": {"content": None, "refusal": "So."}, "finish_reason": "stop"}],
    },
    {  # responses API
        "request": {"model": "m", "input": "Why?", "safety_identifier": "u3"},
        "response": {
            "id": "c3",
            "created_at": 1775563200,
            "output": [{"type": "message", "content": [{"type": "output_text", "text": "So."}]}],
        },
    },
]


@pytest.mark.parametrize("line", LOGS, ids=["nested", "merged", "responses"])
async def test_logs_become_calls(tmp_path, line):
    (tmp_path / "log.jsonl").write_text(json.dumps(line) + "\n")
    source = log_files(tmp_path / "log.jsonl")
    await source.open(None)

    (found,) = await source.read(10)

    assert (found.prompt, found.reply) == ("Why?", "So.")
    assert found.event.account.startswith("u")
    assert found.event.at == "2026-04-07T12:00:00.000000Z"


async def test_a_log_goes_on_from_its_position(tmp_path, store):
    lines = [{**LOGS[1], "id": f"c{number}"} for number in range(90)]
    file = tmp_path / "log.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines[:60]))
    first = Monitor(store, [log_files(file)], detectors=_Plain(), watchers=[], options=QUICK)
    assert (await first.run(once=True)).calls == 60
    with file.open("a") as opened:
        opened.write("".join(json.dumps(line) + "\n" for line in lines[60:]))

    second = await Monitor(store, [log_files(file)], detectors=_Plain(), watchers=[], options=QUICK).run(once=True)

    assert (second.calls, second.repeats) == (30, 0)


class _Plain:
    def read(self, batch):
        return list(batch)


def test_sources_are_named_by_kind(tmp_path):
    kinds = {target: type(open_source(target)).__name__ for target in ("events", "spans:x", "log:x", "nats://h:1/s")}

    assert kinds == {
        "events": "EventFiles",
        "spans:x": "LineFiles",
        "log:x": "LineFiles",
        "nats://h:1/s": "EventJetStream",
    }
    assert "secret" not in open_source("nats://user:secret@h:1/s").name
