"""Workers die, are replaced and leave, and no accepted request is lost."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

PROGRAM = Path(__file__).parent / "slow_service.py"


@dataclass
class Service:
    process: "subprocess.Popen[bytes]"
    folder: Path
    port: int

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    async def get(self, path: str = "/") -> tuple[int, str]:
        """Pid of the worker that answered, and its word; over a connection of its own."""
        async with aiohttp.ClientSession() as session:
            return await self.get_by(session, path)

    async def get_by(self, session: aiohttp.ClientSession, path: str = "/") -> tuple[int, str]:
        async with session.post(f"http://127.0.0.1:{self.port}{path}") as response:  # which no client repeats
            pid, _, word = (await response.text()).partition(" ")
            return int(pid), word

    async def workers(self, wanted: int) -> set[int]:
        pids: set[int] = set()
        for _ in range(200):
            pids |= {pid for pid, _ in await asyncio.gather(*(self.get() for _ in range(4)))}
            if len(pids) >= wanted:
                break
        return pids


@contextlib.contextmanager
def started(folder: Path) -> Iterator[Service]:
    (folder / "word").write_text("first")
    process = subprocess.Popen([sys.executable, str(PROGRAM), str(folder), "2"], env={**os.environ})
    try:
        wait_until(lambda: (folder / "port").exists() or process.poll() is not None, within_s=60)
        yield Service(process=process, folder=folder, port=int((folder / "port").read_text()))
    finally:
        process.terminate()
        process.wait(timeout=15)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One for the tests that leave two workers behind."""
    with started(tmp_path_factory.mktemp("service")) as service:
        yield service


@pytest.fixture
def own_service(tmp_path: Path) -> Iterator[Service]:
    """One for a test that ends it."""
    with started(tmp_path) as service:
        yield service


def wait_until(holds, *, within_s: float) -> None:
    until = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < until, "not in time"
        time.sleep(0.05)


class Load:
    """Clients that ask one request after another over kept connections, and count what came back."""

    def __init__(self, service: Service, clients: int = 8) -> None:
        self._service, self._clients = service, clients
        self.answered: list[tuple[int, str]] = []
        self.lost: list[str] = []
        self._stop = asyncio.Event()

    async def __aenter__(self) -> "Load":
        self._tasks = [asyncio.create_task(self._client()) for _ in range(self._clients)]
        await asyncio.sleep(0.3)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await asyncio.gather(*self._tasks)

    async def _client(self) -> None:
        async with aiohttp.ClientSession() as session:
            while not self._stop.is_set():
                try:
                    self.answered.append(await self._service.get_by(session))
                except aiohttp.ClientError as fault:
                    self.lost.append(repr(fault))


async def test_a_reload_under_load_loses_nothing_and_takes_the_files_as_they_are(service):
    async with Load(service) as load:
        (service.folder / "word").write_text("second")
        service.process.send_signal(signal.SIGHUP)
        await asyncio.to_thread(wait_until, lambda: "reloaded 2 workers" in service.log, within_s=20)
        await asyncio.sleep(1.2)

    assert load.lost == []
    assert {word for _, word in load.answered} == {"first", "second"}
    assert {word for _, word in load.answered[-10:]} == {"second"}


async def test_workers_built_of_something_else_than_wanted_are_replaced_under_load_unasked(service):
    """As where a permit names other safeguards; tried again where the new one would not serve yet."""
    before = service.log.count("reloaded 2 workers")
    async with Load(service) as load:
        (service.folder / "word").write_text("third")
        (service.folder / "fault").write_text("half of the files are there")
        (service.folder / "wants").write_text("other safeguards")
        await asyncio.to_thread(wait_until, lambda: "half of the files" in service.log, within_s=20)
        (service.folder / "fault").unlink()
        await asyncio.to_thread(wait_until, lambda: service.log.count("reloaded 2 workers") > before, within_s=20)
        await asyncio.sleep(1.2)

    assert load.lost == []
    assert {word for _, word in load.answered[-10:]} == {"third"}
    assert service.log.count("reloaded 2 workers") == before + 1


async def test_a_reload_that_would_not_serve_is_refused_and_the_old_workers_go_on(service):
    before = await service.workers(2)
    (service.folder / "fault").write_text("the permit was revoked")

    service.process.send_signal(signal.SIGHUP)
    await asyncio.to_thread(wait_until, lambda: "not reloaded" in service.log, within_s=20)

    assert "not reloaded, the workers go on as they are: the permit was revoked" in service.log
    assert await service.workers(2) == before
    (service.folder / "fault").unlink()


async def test_a_worker_told_to_leave_under_load_answers_what_it_took_and_is_replaced(service):
    victim, *_ = await service.workers(2)
    async with Load(service) as load:
        os.kill(victim, signal.SIGTERM)
        await asyncio.to_thread(wait_until, lambda: f"worker {victim} died" in service.log, within_s=20)
        await asyncio.sleep(1.0)

    assert load.lost == []
    assert len(await service.workers(2)) == 2


async def test_a_request_on_its_way_over_a_kept_connection_is_answered(service):
    """A worker that leaves does not close a connection on which the next request may already travel."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    first = await ask_over(reader, writer)
    os.kill(int(first.split()[-2]), signal.SIGTERM)
    await asyncio.sleep(0.35)

    second = await ask_over(reader, writer)

    assert b"connection: close" not in first
    assert b"connection: close" in second
    assert second.split()[-2] == first.split()[-2]
    writer.close()


async def ask_over(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length"))
    return head + await reader.readexactly(int(length.split(b":")[1]))


async def test_a_killed_worker_is_replaced_and_others_serve_meanwhile(service):
    """What a process was answering when it was killed is gone with it; nothing else is."""
    victim, *_ = await service.workers(2)
    async with Load(service) as load:
        os.kill(victim, signal.SIGKILL)
        await asyncio.to_thread(wait_until, lambda: "died (by SIGKILL)" in service.log, within_s=10)
        after = len(load.answered)
        await asyncio.sleep(0.5)

    assert len(load.lost) <= 8
    assert len(load.answered) > after
    pids = await service.workers(2)
    assert len(pids) == 2
    assert victim not in pids


async def test_stopping_drains_what_is_being_answered(own_service):
    asked = asyncio.create_task(own_service.get("/long"))
    await asyncio.sleep(0.4)

    own_service.process.send_signal(signal.SIGTERM)

    assert (await asked)[1] == "first"
    await asyncio.to_thread(own_service.process.wait, 15)
    assert "ended True" in own_service.log
    with pytest.raises(aiohttp.ClientError):
        await own_service.get()


async def test_workers_end_when_their_supervisor_is_killed(own_service):
    pids = await own_service.workers(2)

    own_service.process.kill()

    await asyncio.to_thread(wait_until, lambda: not any(is_alive(pid) for pid in pids), within_s=10)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
