"""What can fail around a call and not in its upstream: safeguards, events, disk, keys, permit."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from safecase.safeguard import Exchange, Ruling, Stack
from safecase.serve import (
    EventRecorder,
    FileKeyBook,
    JsonlSink,
    Refusal,
    Row,
    SinkTrouble,
    Upstream,
    WorkerSlot,
    add_key,
    revoke_key,
)
from safecase.testing import StubEndpoint, StubReply

from .gateways import Running, gateway, words_stack
from .test_faults import ask

WORDS = "All is well. "


class Odd:
    """A layer that rules as it is told to."""

    name, stage, digest, reach = "odd", "output", "odd", 10

    def __init__(self, rules: Callable[[Exchange], Any]) -> None:
        self._rules = rules

    async def check(self, exchange: Exchange) -> Any:
        ruled = self._rules(exchange)
        return await ruled if asyncio.iscoroutine(ruled) else ruled


NONSENSE: dict[str, Callable[[Exchange], Any]] = {
    "nothing": lambda _: None,
    "a word": lambda _: "allow",
    "an action that is none": lambda _: Ruling(action="perhaps"),  # type: ignore[arg-type]
    "a score that is none": lambda _: Ruling(action="allow", score=float("nan")),
    "a stretch behind the end": lambda _: Ruling(action="replace", spans=((10**6, 10**6 + 5),)),
    "a stretch before the start": lambda _: Ruling(action="replace", spans=((-9, -2),)),
    "a stretch back to front": lambda _: Ruling(action="replace", spans=((5, 2),)),
    "a stretch of words": lambda _: Ruling(action="replace", spans=(("a", "b"),)),  # type: ignore[arg-type]
    "an exit": lambda _: (_ for _ in ()).throw(RuntimeError("not its words")),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("what", NONSENSE)
async def test_a_safeguard_that_rules(what: str, stream: bool):
    stack = Stack(id="o", layers=(Odd(NONSENSE[what]),), system_prompt=None, timeout_s=1.0, digest="o")
    async with StubEndpoint([WORDS * 20]) as stub, gateway(stub.url, stack=stack) as running:
        status, text = await ask(running, stream=stream)
        await running.wait_for_events()

    assert (status, "content_filter" in text, "All is well" in text) == (200, True, False)
    assert (running.event.outcome, running.event.reason) == ("withheld", "safeguard-failed")


async def test_a_safeguard_whose_process_is_killed_withholds_until_it_is_back():
    """It asks another process, as guard models do."""
    answers = "import sys\nfor line in sys.stdin: print('yes', flush=True)"

    async def begin() -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(sys.executable, "-c", answers, stdin=pipe, stdout=pipe)

    other = await begin()

    async def rules(exchange: Exchange) -> Ruling:
        assert other.stdin is not None
        assert other.stdout is not None
        other.stdin.write(b"?\n")
        await other.stdin.drain()
        return Ruling(action={b"yes\n": "allow"}[await other.stdout.readline()])  # type: ignore[arg-type]

    stack = Stack(id="o", layers=(Odd(rules),), system_prompt=None, timeout_s=1.0, digest="o")
    async with StubEndpoint([WORDS * 20]) as stub, gateway(stub.url, stack=stack) as running:
        before = await ask(running)
        other.kill()
        await other.wait()
        during = [await ask(running, stream=stream) for stream in (False, True)]
        other = await begin()
        after = await ask(running)
        await running.wait_for_events(4)
    other.kill()
    await other.wait()

    assert WORDS in before[1]
    assert all(WORDS not in text and "content_filter" in text for _, text in during)
    assert WORDS in after[1]
    assert [event.reason for event in running.recorder.events] == ["", "safeguard-failed", "safeguard-failed", ""]


# --- Events -----------------------------------------------------------------------------------------------------------


class Moody:
    """A sink that is down, or slow, as long as it is told."""

    def __init__(self) -> None:
        self.is_down, self.pause_s = False, 0.0
        self.rows: list[Row] = []

    async def write(self, rows: Sequence[Row]) -> None:
        await asyncio.sleep(self.pause_s)
        if self.is_down:
            raise SinkTrouble("down")
        self.rows += rows

    async def close(self) -> None:
        return None


@contextlib.asynccontextmanager
async def recorded(folder: Path, sink: Any, **options: Any) -> AsyncIterator[tuple[Running, EventRecorder]]:
    slot = WorkerSlot.claim(folder / "run")
    recorder = EventRecorder(sink, slot, gather_s=0.01, **options)
    await recorder.start()
    try:
        async with StubEndpoint() as stub, gateway(stub.url, recorder=recorder) as running:
            yield running, recorder
    finally:
        await recorder.close()
        slot.release()


async def delivered(recorder: EventRecorder, count: int) -> None:
    async with asyncio.timeout(20):
        while recorder.stats().delivered < count:  # noqa: ASYNC110 - a recorder tells nobody
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("mood", ["down", "slow"])
async def test_calls_go_on_while_events_cannot_be_delivered_and_each_arrives_once(mood: str, tmp_path: Path):
    sink = Moody()
    async with recorded(tmp_path, sink) as (running, recorder):
        sink.is_down, sink.pause_s = mood == "down", 0.5 * (mood == "slow")
        statuses = [(await ask(running))[0] for _ in range(20)]
        sink.is_down, sink.pause_s = False, 0.0
        await delivered(recorder, 20)
        stats = recorder.stats()

    assert statuses == [200] * 20
    assert (stats.taken, stats.delivered, stats.lost) == (20, 20, 0)
    assert len({row.key for row in sink.rows if row.shard != b"end"}) == 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True)
    if made.returncode:
        pytest.skip("only root may make a small file system here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


async def test_a_full_disk_takes_no_calls_and_loses_no_event(small_disk: Path):
    """Sink and spool lie on one disk, which somebody else fills."""
    filler = small_disk / "filler"
    async with recorded(small_disk, JsonlSink(small_disk / "events")) as (running, recorder):
        first = (await ask(running))[0]
        await delivered(recorder, 1)
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4_096)
        during = []
        for _ in range(60):
            during.append((await ask(running))[0])
            await asyncio.sleep(0.02)
        fault = recorder.stats().fault
        filler.unlink()
        async with asyncio.timeout(15):
            while (await ask(running))[0] != 200:  # noqa: ASYNC110 - it is what is asked
                await asyncio.sleep(0.05)
        await delivered(recorder, recorder.stats().taken)
        stats = recorder.stats()

    assert first == 200
    assert during[-1] == 503
    assert fault is not None
    assert (stats.delivered, stats.lost) == (stats.taken, 0)


def test_shared_files_are_reserved_before_anything_is_counted(small_disk: Path):
    """A hole in a mapped file that finds no room later would kill the worker with SIGBUS."""
    program = (
        "import sys; from pathlib import Path; from safecase.serve import SharedLimiter, SharedUnusable, WorkerSlot\n"
        "try: SharedLimiter.open(WorkerSlot.claim(Path(sys.argv[1])))\n"
        "except SharedUnusable: print('told')"
    )
    done = subprocess.run([sys.executable, "-c", program, str(small_disk)], capture_output=True, text=True)

    assert (done.returncode, done.stdout) == (0, "told\n"), done.stderr


async def test_an_observer_that_fails_breaks_no_call(caplog: pytest.LogCaptureFixture):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    seen = []
    observers = (full, lambda event, _: seen.append(event))
    async with StubEndpoint() as stub, gateway(stub.url, observers=observers) as running:
        status, _ = await ask(running)
        await running.wait_for_events()

    assert (status, len(seen)) == (200, 1)
    assert "an observer missed call" in caplog.text


# --- Keys and permit --------------------------------------------------------------------------------------------------


async def test_no_key_opens_while_their_file_is_broken_and_all_do_again_afterwards(tmp_path: Path):
    file = tmp_path / "keys.json"
    key = add_key(file, account="me", at=datetime.now(UTC)).token
    good = file.read_bytes()
    async with StubEndpoint() as stub, gateway(stub.url, keys=FileKeyBook(file)) as running:

        async def status() -> int:
            headers = {"Authorization": f"Bearer {key}"}
            body = {"model": "stub", "messages": [{"role": "user", "content": "Hi"}]}
            url = f"{running.url}/chat/completions"
            async with aiohttp.ClientSession() as session, session.post(url, json=body, headers=headers) as got:
                return got.status

        async def becomes(wanted: int) -> None:
            async with asyncio.timeout(10):
                while await status() != wanted:  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0.05)

        await becomes(200)
        for broken in (b"", good[: len(good) // 2], b"[]", b"\xff" * 100):
            replaced(file, broken)
            await becomes(401)
            replaced(file, good)
            await becomes(200)


def replaced(file: Path, data: bytes) -> None:
    new = file.with_suffix(".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.write(descriptor, data)
    os.close(descriptor)
    new.replace(file)


async def test_a_permit_that_falls_ends_streams_within_a_moment():
    async with (
        StubEndpoint([StubReply(text=WORDS * 500, pause_s=0.01)]) as stub,
        gateway(Upstream(base_url=stub.url, serves="stub"), stack=words_stack()) as running,
    ):
        waiting = asyncio.create_task(ask(running, stream=True))
        await asyncio.sleep(0.5)
        running.authority.refusal = Refusal(status=503, reason="revoked", message="No more.")
        async with asyncio.timeout(2):
            status, text = await waiting
            while stub.in_flight:  # noqa: ASYNC110 - a stub tells nobody
                await asyncio.sleep(0.02)
        await running.wait_for_events()

    *_, error, done, _ = text.split("\n\n")
    assert (status, done) == (200, "data: [DONE]")
    assert json.loads(error.removeprefix("data: "))["error"]["code"] == "revoked"
    assert (running.event.outcome, running.event.reason) == ("cut", "revoked")


@pytest.mark.parametrize("end", ["revoked", "suspended"])
async def test_a_stream_ends_soon_after_its_key_is_no_longer_served_and_others_go_on(tmp_path: Path, end: str):
    file = tmp_path / "keys.json"
    issued = [add_key(file, account=name, at=datetime.now(UTC)) for name in ("theirs", "mine")]
    book = FileKeyBook(file, look_every_s=0.1)
    async with (
        StubEndpoint([StubReply(text=WORDS * 60, pause_s=0.02)] * 2) as stub,
        gateway(Upstream(base_url=stub.url, serves="stub"), stack=words_stack(), keys=book) as running,
    ):
        theirs, mine = [asyncio.create_task(ask(running, stream=True, key=key.token)) for key in issued]
        await asyncio.sleep(0.5)
        if end == "revoked":
            revoke_key(file, issued[0].key_id, by="J", why="leaked", at=datetime.now(UTC))
        else:
            running.authority.denied["theirs"] = Refusal(status=403, reason="suspended", message="No more.")
        async with asyncio.timeout(2):
            status, text = await theirs
        assert not mine.done()
        _, whole = await mine
        await running.wait_for_events(2)

    *_, error, done, _ = text.split("\n\n")
    code = {"revoked": "invalid-api-key", "suspended": "suspended"}[end]
    assert (status, done) == (200, "data: [DONE]")
    assert json.loads(error.removeprefix("data: "))["error"]["code"] == code
    assert '"error"' not in whole
    assert [(event.outcome, event.reason) for event in running.recorder.events] == [("cut", code), ("served", "")]


async def test_every_call_that_began_is_counted_though_none_ends():
    """A killed worker leaves no event of what it was answering; that it was is known."""
    begun = []
    async with (
        StubEndpoint([StubReply(delay_s=30)]) as stub,
        gateway(stub.url, begins=lambda: begun.append(1)) as running,
    ):
        waiting = asyncio.create_task(ask(running))
        async with asyncio.timeout(5):
            while not stub.in_flight:  # noqa: ASYNC110 - a stub tells nobody
                await asyncio.sleep(0.02)
        known = (len(begun), len(running.recorder.events))
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting
        await running.wait_for_events()

    assert known == (1, 0)
