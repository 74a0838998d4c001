"""What each seam of the gateway costs on a call, in CPU time of the worker.

    PYTHONPATH=src python benchmarks/gateway_seams.py [--calls 20000] [--json]

Best of five rounds on one process, so a busy machine is felt little; the drain's figures are one round. With
SAFECASE_NATS the drain into JetStream is measured too, in a stream that is deleted afterwards.
"""

import argparse
import asyncio
import gc
import json
import os
import platform
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from safecase.evidence import CallEvent, RulingRecord, connect_nats, decode_row, encode_event
from safecase.serve import (
    Account,
    Allowance,
    EventRecorder,
    FileKeyBook,
    JsonlSink,
    Metrics,
    Retention,
    SharedLimiter,
    WorkerSlot,
    add_key,
    open_sink,
)

ROUNDS = 5


def call(number: int, *, layers: int = 6) -> CallEvent:
    """An ordinary call: served, ruled on by a few layers, without content."""
    ruled = tuple(
        RulingRecord(
            layer=f"layer-{at}", stage="input", action="allow", score=0.02, principle=None, latency_ms=0.1 * at
        )
        for at in range(layers)
    )
    return CallEvent(
        event_id=f"{number:032x}",
        at="2026-11-21T10:00:00.000000Z",
        account=f"acct-{number % 100}",
        key_id="abcdefgh2345",
        route="/v1/chat/completions",
        permit="a" * 64,
        context="controlled",
        stack_digest="b" * 64,
        model="small",
        outcome="served",
        status=200,
        rulings=ruled,
        streamed=True,
        characters_in=500,
        characters_out=800,
        tokens_in=120,
        tokens_out=200,
        finish_reason="stop",
        latency_s=0.8,
        first_s=0.1,
        request_sha256="c" * 64,
    )


def cost_us(act: Callable[[], object], calls: int) -> float:
    """CPU microseconds of one call, the best round."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.process_time()
        for _ in range(calls):
            act()
        best = min(best, (time.process_time() - start) / calls)
    return best * 1e6


def on_the_path(folder: Path, calls: int) -> Iterator[tuple[str, float]]:
    """Keys, limits, metrics, traces."""
    slot = WorkerSlot.claim(folder / "run")
    token = add_key(folder / "keys.json", at=datetime.now(UTC)).token
    keys = FileKeyBook(folder / "keys.json")
    yield "key: find", cost_us(lambda: keys.find(token), calls)
    yield "key: find a wrong one", cost_us(lambda: keys.find(token[:-1] + "x"), calls)

    limiter = SharedLimiter.open(slot)
    allowance = Allowance(requests_per_minute=1e9, tokens_per_minute=1e12, concurrent=1000)
    account = Account(id="acme", key_id="k", allowance=allowance)

    def enter_and_leave() -> None:
        limiter.enter(account)
        limiter.leave(account, tokens=320)

    yield "limits: enter and leave, all three limits", cost_us(enter_and_leave, calls)
    yield "limits: headers", cost_us(lambda: limiter.headers(account), calls)

    metrics, plain, ruled = Metrics.open(slot), call(1, layers=0), call(1)
    yield "metrics: count, no layer", cost_us(lambda: metrics.count(plain), calls)
    yield "metrics: count, 6 layers", cost_us(lambda: metrics.count(ruled), calls)
    line = encode_event(ruled, worker=slot.id, seq=1)
    yield "event: encode, 6 layers (in the drain)", cost_us(lambda: encode_event(ruled, worker=slot.id, seq=1), calls)
    yield "event: decode, 6 layers (the reader)", cost_us(lambda: decode_row(line), calls)
    keep = Retention()
    yield "retention: select, nothing kept", cost_us(lambda: keep.select(ruled), calls)
    yield from tracing(ruled, calls)
    slot.release()


def tracing(event: CallEvent, calls: int) -> Iterator[tuple[str, float]]:
    """A call that is not drawn, and one that is."""
    try:
        from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
    except ImportError:
        return
    from safecase.serve import Traces

    class Nowhere(SpanExporter):
        def export(self, spans: object) -> SpanExportResult:  # noqa: ARG002 - as the seam has it
            return SpanExportResult.SUCCESS

    never, always = Traces(Nowhere(), sample=0.0), Traces(Nowhere(), sample=1.0)
    parent = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
    yield "trace: not drawn", cost_us(lambda: never.observe(event), calls)
    yield "trace: not drawn, the caller has one", cost_us(lambda: never.observe(event, parent), calls)
    yield "trace: drawn, 6 layers", cost_us(lambda: always.observe(event), max(1, calls // 20))
    never.close()
    always.close()


async def recording(folder: Path, calls: int, *, sink: object, durable: bool) -> tuple[float, float]:
    """CPU microseconds of an event: in `refusal` and `record`, and behind it until it is delivered."""
    slot = WorkerSlot.claim(folder)
    salt = time.time_ns()  # a server that saw an event's id would not store it again
    recorder = EventRecorder(sink, slot, durable=durable, most_queued=2 * calls)  # type: ignore[arg-type]
    await recorder.start()
    events = [call(at + salt) for at in range(calls)]
    gc.collect()
    gc.freeze()  # or a collection of the prepared events is counted to whoever comes by
    start = time.process_time()
    for event in events:
        recorder.refusal()
        recorder.record(event)
    before = time.process_time()
    await recorder.close(patience_s=120)
    after = time.process_time()
    assert recorder.stats().delivered == calls, recorder.stats()
    slot.release()
    return (before - start) / calls * 1e6, (after - before) / calls * 1e6


async def recorders(folder: Path, calls: int) -> dict[str, float]:
    """Every way to record."""
    found: dict[str, float] = {}
    ways = (("files", "never", False), ("files", "batch", False), ("files, durable", "never", True))
    await recording(folder / "run-warm", 500, sink=JsonlSink(folder / "warm"), durable=False)
    for at, (name, fsync, durable) in enumerate(ways):
        sink = JsonlSink(folder / f"events-{at}", fsync=fsync)  # type: ignore[arg-type]
        on, behind = await recording(folder / f"run-{at}", calls, sink=sink, durable=durable)
        found |= {f"record: {name}, fsync {fsync}": on, f"  drained behind: {name}, fsync {fsync}": behind}
    if server := os.environ.get("SAFECASE_NATS"):
        for per_message in (1, 32):
            stream = f"bench-{uuid.uuid4().hex[:8]}"
            name = f"{server}/{stream}?per_message={per_message}"
            await recording(folder / "run-warm", 500, sink=open_sink(name), durable=False)
            on, behind = await recording(folder / "run-nats", calls, sink=open_sink(name), durable=False)
            what = f"JetStream, {per_message} in a message"
            found |= {f"record: {what}": on, f"  drained behind: {what}": behind}
            connection = await connect_nats(server)
            await connection.jetstream().delete_stream(stream)
            await connection.close()
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        found = dict(on_the_path(Path(name), given.calls)) | asyncio.run(recorders(Path(name), given.calls))
    machine = {"python": platform.python_version(), "cores": os.cpu_count(), "load": os.getloadavg()[0]}
    if given.json:
        print(json.dumps({"machine": machine, "us": found}, indent=1))
        return
    print(f"Python {machine['python']}, {machine['cores']} cores, load {machine['load']:.1f}; CPU us a call")
    for what, us in found.items():
        print(f"{us:8.2f}  {what}")


if __name__ == "__main__":
    main()
