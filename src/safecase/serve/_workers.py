"""Worker processes behind one socket: restarted when they die, replaced one by one, drained before they leave.

The parent binds the socket and never accepts. Workers share it, rather than each binding its own with SO_REUSEPORT:
what the kernel has queued belongs to the socket, so a worker that leaves takes no waiting connection with it.

A worker that leaves stops accepting at once, tells every client in its answers to come back on another connection
(`Connection: close`), lingers for the clients that keep a connection open, answers what it has, and then ends.
"""

import contextlib
import logging
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Protocol

import uvicorn

from safecase.serve._config import AsgiApp, Message, Receive, Scope, Send
from safecase.serve._errors import CannotListen
from safecase.serve._server import server_config, settle

LOG = logging.getLogger("safecase.serve")

_TICK_S = 0.1
_LOOK_S = 0.5
_CLOSE = (b"connection", b"close")


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """What a worker runs.

    Attributes:
        fault: why it would serve nobody now; None when it would.
    """

    app: AsgiApp
    fault: Callable[[], str | None]


class Setup(Protocol):
    """How to build the app in a worker. It travels to the worker's process, so it holds names and no open things."""

    def open(self) -> AbstractAsyncContextManager[Running]:
        """Build it from the files as they are now."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a supervisor waits, in seconds.

    Attributes:
        start_s: for a worker to be ready.
        linger_s: for idle connections of a worker that leaves, so that a request already on its way is answered.
        drain_s: for what it is answering; it is cut off then.
        backoff_s: most between two starts of a worker that keeps dying.
    """

    start_s: float = 120.0
    linger_s: float = 2.0
    drain_s: float = 30.0
    backoff_s: float = 10.0


def listen(host: str, port: int) -> socket.socket:
    """The socket that workers share. Port 0 takes a free one.

    Raises:
        CannotListen: the address is taken, or is none of this machine's.
    """
    try:
        return socket.create_server((host, port), family=_family(host), backlog=4096, reuse_port=False)
    except OSError as error:
        line = f"cannot listen on {host}:{port} ({error.strerror})"
        raise CannotListen(f"{line}; give another --host or --port") from error


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


@dataclass(slots=True, eq=False)
class _Worker:
    process: BaseProcess
    pipe: Connection
    started_s: float
    leaves_by_s: float | None = None


class Supervisor:
    """Keeps a number of workers running until it is told to stop. To be run in the main thread of the parent.

    SIGHUP replaces the workers one by one, each by one built from the files as they are then; where the first of them
    would not serve, the old ones go on. SIGTERM and SIGINT drain all and end.

    Args:
        say: is told in a line what happens.
        wants: what new workers would be built of, in a word; "" where that is not known. Workers built of something
            else are replaced as on SIGHUP, again and again until that comes out. Asked twice a second.
    """

    def __init__(
        self,
        setup: Setup,
        sock: socket.socket,
        *,
        workers: int,
        patience: Patience | None = None,
        say: Callable[[str], None] = LOG.warning,
        wants: Callable[[], str] = lambda: "",
    ) -> None:
        self._setup, self._sock, self._wanted = setup, sock, workers
        self._patience, self._say = patience or Patience(), say
        self._spawn = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []
        self._leaving: list[_Worker] = []
        self._restart_at_s, self._wait_s = 0.0, 0.1
        self._must_stop = self._must_reload = False
        self._wants, self._built_of = wants, ""
        self._look_at_s, self._look_again_s = 0.0, _LOOK_S

    def run(self, on_ready: Callable[[], None] = lambda: None) -> bool:
        """Start the workers, call `on_ready` once all are, and keep them until stopped.

        Returns:
            Whether they came up; False where one died before it was ready the first time.
        """
        with self._signals():
            try:
                if not self._start_all():
                    return False
                on_ready()
                while not self._must_stop:
                    self._tend()
                return True
            finally:
                self._drain()

    def _start_all(self) -> bool:
        self._built_of = self._wants()
        self._workers = [self._start() for _ in range(self._wanted)]
        for worker in self._workers:
            word = self._word_of(worker)
            if word is None:
                return self._must_stop
            if word:
                self._say(f"worker {worker.process.pid} is up and serves nothing: {word}")
        return True

    def _tend(self) -> None:
        """One turn: end what is over, replace what died, reload where asked."""
        wait([worker.process.sentinel for worker in (*self._workers, *self._leaving)], timeout=_TICK_S)
        self._reap()
        for worker in [one for one in self._workers if not one.process.is_alive()]:
            self._workers.remove(worker)
            self._say(f"worker {worker.process.pid} died ({_death(worker.process.exitcode)})")
            is_quick = time.monotonic() - worker.started_s < self._patience.backoff_s
            self._wait_s = min(self._wait_s * 2, self._patience.backoff_s) if is_quick else 0.1
            self._restart_at_s = time.monotonic() + self._wait_s
        if len(self._workers) < self._wanted and time.monotonic() >= self._restart_at_s:
            self._workers.append(self._start())
        if self._must_reload or self._is_outdated():
            self._must_reload = False
            self._reload()

    def _is_outdated(self) -> bool:
        """Whether the workers are built of something else than what is wanted; asked now and then."""
        if time.monotonic() < self._look_at_s:
            return False
        self._look_at_s = time.monotonic() + self._look_again_s
        return self._wants() not in {"", self._built_of}

    def _reload(self) -> None:
        """Replace every worker, one by one; leave off at the first that would not serve."""
        wanted = self._wants()
        self._look_again_s = min(self._look_again_s * 2, self._patience.backoff_s)  # until it comes out
        for old in list(self._workers):
            new = self._start()
            word = self._word_of(new)
            if self._must_stop or word is None or word:
                new.process.kill()
                new.process.join()
                self._say(f"not reloaded, the workers go on as they are: {word or 'the new one did not come up'}")
                return
            self._workers[self._workers.index(old)] = new
            self._leave(old)
        self._built_of, self._look_again_s = wanted, _LOOK_S
        self._say(f"reloaded {len(self._workers)} workers")

    def _start(self) -> _Worker:
        ours, theirs = self._spawn.Pipe(duplex=False)
        process = self._spawn.Process(
            target=_work, args=(self._setup, self._sock, theirs, self._patience, os.getpid()), name="safecase-worker"
        )
        process.start()
        theirs.close()
        return _Worker(process=process, pipe=ours, started_s=time.monotonic())

    def _word_of(self, worker: _Worker) -> str | None:
        """What a starting worker says: "" that it serves, else why not; None where it died, hung, or we are to stop."""
        until = time.monotonic() + self._patience.start_s
        while time.monotonic() < until and not self._must_stop:
            if wait([worker.pipe, worker.process.sentinel], timeout=_TICK_S):
                with contextlib.suppress(EOFError, OSError):
                    return str(worker.pipe.recv()) if worker.pipe.poll() else None
                return None
        return None

    def _leave(self, worker: _Worker) -> None:
        patience = self._patience
        worker.leaves_by_s = time.monotonic() + patience.linger_s + patience.drain_s + 1.0
        worker.process.terminate()
        self._leaving.append(worker)

    def _reap(self) -> None:
        for worker in list(self._leaving):
            if worker.process.is_alive() and time.monotonic() > (worker.leaves_by_s or 0.0):
                self._say(f"worker {worker.process.pid} did not drain in time; killed")
                worker.process.kill()
                worker.process.join()
            if not worker.process.is_alive():
                self._leaving.remove(worker)

    def _drain(self) -> None:
        """Tell every worker to leave, and wait until all have."""
        self._sock.close()
        for worker in self._workers:
            self._leave(worker)
        self._workers = []
        while self._leaving:
            wait([worker.process.sentinel for worker in self._leaving], timeout=_TICK_S)
            self._reap()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        def stop(_: int, __: FrameType | None) -> None:
            self._must_stop = True

        def reload(_: int, __: FrameType | None) -> None:
            self._must_reload = True

        wanted = {signal.SIGTERM: stop, signal.SIGINT: stop, signal.SIGHUP: reload}
        before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        return f"by {signal.Signals(-code).name}"
    return f"exit code {code}"


# --- In the worker ----------------------------------------------------------------------------------------------------


def _work(setup: Setup, sock: socket.socket, pipe: Connection, patience: Patience, parent: int) -> None:
    """What a worker process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent says when to leave
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    import uvloop

    uvloop.run(_serve(setup, sock, pipe, patience, parent))


async def _serve(setup: Setup, sock: socket.socket, pipe: Connection, patience: Patience, parent: int) -> None:
    async with setup.open() as running:
        gate = _Gate(running.app)
        config = server_config(
            gate,
            loop="none",  # one runs already
            log_config=None,
            timeout_keep_alive=65,
            timeout_graceful_shutdown=int(patience.drain_s) or 1,
        )

        settle()

        def up() -> None:
            pipe.send(running.fault() or "")
            pipe.close()

        await _Server(config, gate, up=up, linger_s=patience.linger_s, parent=parent).serve(sockets=[sock])


@dataclass(slots=True)
class _Gate:
    """The app, with word to every client to come back on another connection once the worker leaves."""

    app: AsgiApp
    is_leaving: bool = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def closing(message: Message) -> None:
            if self.is_leaving and message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), _CLOSE]}
            await send(message)

        await self.app(scope, receive, closing)


class _Server(uvicorn.Server):
    """Uvicorn's server, which leaves in two steps instead of closing connections that a client is about to use."""

    def __init__(
        self, config: uvicorn.Config, gate: _Gate, *, up: Callable[[], None], linger_s: float, parent: int
    ) -> None:
        super().__init__(config)
        self._gate, self._up, self._linger_s, self._parent = gate, up, linger_s, parent
        self._leaves_at_s: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - as uvicorn calls it
        """A signal to leave; acted on in the next tick, by the loop."""
        self._gate.is_leaving = True

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second, and once as soon as connections are taken."""
        if counter == 0:
            self._up()
        if os.getppid() != self._parent:
            self._gate.is_leaving = True  # the supervisor is gone, and with it whoever would restart us
        if self._gate.is_leaving and self._leaves_at_s is None:
            for server in self.servers:
                server.close()
            self._leaves_at_s = time.monotonic() + self._linger_s
        is_over = await super().on_tick(counter)
        if self._leaves_at_s is None:
            return is_over
        return not self.server_state.connections or time.monotonic() >= self._leaves_at_s
