"""The host's side of a sandbox: speaks with its first process, and carries a player's connections to a service."""

import asyncio
import base64
import contextlib
import itertools
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import asdict
from importlib.resources import files as package_files
from typing import Any, Self

from safecase.suites._sandbox import HOME, ExecResult, Sandbox, SandboxLimits, Service
from safecase.suites._sandbox_engines import Engine
from safecase.suites._sandbox_errors import SandboxBroken

_START_S = 30.0
_GRACE_S = 15.0  # over a command's own time: to kill and collect what it left
_LINE = 256 << 20  # a file read whole comes in one line
_ENV = {"HOME": HOME, "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": "/tmp"}  # noqa: S108
_BOOT = (
    "import json;first=json.loads(open(0,'rb',buffering=0,closefd=False).readline());"
    "init={'__name__':'init'};exec(first['init'],init);init['main'](first['config'])"
)

_Order = dict[str, Any]  # Any: a line of the protocol is JSON


class _Box:
    """One sandbox, as `Sandbox` describes it."""

    def __init__(self, process: asyncio.subprocess.Process, limits: SandboxLimits) -> None:
        self._process = process
        self._limits = limits
        self._ids = itertools.count()
        self._waiting: dict[int, asyncio.Future[_Order]] = {}
        self._turn = asyncio.Lock()
        self._reader: asyncio.Task[None] | None = None
        self._service: _Box | None = None
        self.on_connection: Callable[[_Order], None] = lambda _: None

    @classmethod
    async def start(cls, engine: Engine, limits: SandboxLimits) -> Self:
        """Start the first process and wait until it is ready."""
        starting = asyncio.ensure_future(_start_process(engine, limits))
        try:
            process = await asyncio.shield(starting)  # asyncio leaves pipes open when it is interrupted here
        except asyncio.CancelledError:
            await cls(await starting, limits).close()
            raise
        box = cls(process, limits)
        try:
            box.send({"init": _init_source(), "config": {"home": HOME, "env": _ENV, "limits": asdict(limits)}})
            await box._wait_for_ready()
        except BaseException:
            await box.close()
            raise
        box._reader = asyncio.create_task(box._read())
        return box

    async def exec(self, argv: Sequence[str], *, timeout_s: float | None = None, stdin: bytes = b"") -> ExecResult:
        wall_s = self._limits.wall_s if timeout_s is None else timeout_s
        async with self._turn:
            answer = await self._ask(
                {"op": "exec", "argv": list(argv), "timeout_s": wall_s, "stdin": _encoded(stdin)}, within_s=wall_s
            )
        return ExecResult(
            ended=answer["ended"],
            exit_code=answer["exit_code"],
            stdout=base64.b64decode(answer["stdout"]),
            stderr=base64.b64decode(answer["stderr"]),
        )

    async def write(self, path: str, data: bytes) -> None:
        _raise_os_error(await self._ask({"op": "write", "path": path, "data": _encoded(data)}), path)

    async def read(self, path: str) -> bytes:
        answer = await self._ask({"op": "read", "path": path})
        _raise_os_error(answer, path)
        return base64.b64decode(answer["data"])

    async def close(self) -> None:
        boxes = [box for box in (self, self._service) if box]
        for box in boxes:
            box._end()
        ends = asyncio.gather(*(box._wait_for_end() for box in boxes))
        try:
            await asyncio.shield(ends)
        except asyncio.CancelledError:  # it takes a moment, and half of it would leave something behind
            await ends
            raise

    async def _wait_for_end(self) -> None:
        await self._process.wait()
        if self._reader:
            await asyncio.gather(self._reader, return_exceptions=True)

    def _end(self) -> None:
        """Kill. The namespace ends with its first process, and bubblewrap's child with bubblewrap, but for two moments.

        While it sets up, the child waits for a parent that is gone: hence the group. Between its new session and its
        bond to the parent it gets neither signal, and ends because its input does.
        """
        if self._process.stdin and not self._process.stdin.is_closing():
            self._process.stdin.transport.abort()
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def serve(self, service: Service, behind: "_Box") -> None:
        """Carry every connection to the service's port into the sandbox behind."""
        self._service = behind

        def to_service(order: _Order) -> None:
            behind.send({**order, "argv": list(service.argv)} if order["op"] == "open" else order)

        self.on_connection = to_service
        behind.on_connection = self.send
        _raise_os_error(await self._ask({"op": "listen", "port": service.port}), f"port {service.port}")

    def send(self, order: _Order) -> None:
        """Send one line inside; a sandbox that ended takes no more."""
        stdin = self._process.stdin
        if stdin and not stdin.is_closing() and self._process.returncode is None:
            stdin.write(json.dumps(order).encode() + b"\n")

    async def _ask(self, order: _Order, *, within_s: float = _START_S) -> _Order:
        number = next(self._ids)
        future: asyncio.Future[_Order] = asyncio.get_running_loop().create_future()
        if self._process.returncode is not None:
            raise SandboxBroken(f"the sandbox ended with {self._process.returncode}")
        self._waiting[number] = future
        self.send({**order, "id": number})
        try:
            async with asyncio.timeout(within_s + _GRACE_S):
                return await future
        except TimeoutError:
            raise SandboxBroken(f"the sandbox gave no answer to {order['op']!r} in {within_s + _GRACE_S:g} s") from None
        finally:
            self._waiting.pop(number, None)

    async def _wait_for_ready(self) -> None:
        stdout, stderr = self._process.stdout, self._process.stderr
        if stdout is None or stderr is None:
            raise SandboxBroken("the sandbox has no pipes")
        try:
            async with asyncio.timeout(_START_S):
                line = await stdout.readline()
                if b'"ready"' not in line:
                    said = (await stderr.read(4096)).decode(errors="replace").strip()
                    raise SandboxBroken(f"the sandbox did not start: {said or line!r}")
        except TimeoutError:
            raise SandboxBroken(f"the sandbox did not start in {_START_S:g} s") from None

    async def _read(self) -> None:
        """Hand each line to whoever waits for it, until the sandbox ends."""
        async for line in _lines(self._process):
            order = json.loads(line)
            if "op" in order:
                self.on_connection(order)
            elif (future := self._waiting.get(order["id"])) and not future.done():
                future.set_result(order)
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(SandboxBroken("the sandbox ended while it was asked"))


async def _start_process(engine: Engine, limits: SandboxLimits) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *engine.command(limits),
        *("python3", "-I", "-c", _BOOT),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=dict(engine.env),
        start_new_session=True,
        limit=_LINE,
    )


async def open_sandbox(
    engine: Engine,
    *,
    files: Mapping[str, bytes] | None = None,
    limits: SandboxLimits | None = None,
    service: Service | None = None,
) -> Sandbox:
    """Open a sandbox, to be closed when done with.

    Args:
        files: path below the home directory -> content.
        service: answers on 127.0.0.1 inside, from a second sandbox that shares nothing with this one.

    Raises:
        SandboxBroken: it did not start.
    """
    limits = limits or SandboxLimits()
    box = await _Box.start(engine, limits)
    try:
        if service:
            behind = await _Box.start(engine, limits)
            box._service = behind
            await _write_all(behind, service.files)
            await box.serve(service, behind)
        await _write_all(box, files or {})
    except BaseException:
        await box.close()
        raise
    return box


async def _write_all(box: _Box, files: Mapping[str, bytes]) -> None:
    for path, data in files.items():
        await box.write(path, data)


async def _lines(process: asyncio.subprocess.Process) -> AsyncIterator[bytes]:
    while process.stdout and (line := await process.stdout.readline()):
        yield line


def _init_source() -> str:
    return (package_files("safecase.suites") / "_sandbox_init.py").read_text("utf-8")


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _raise_os_error(answer: _Order, path: str) -> None:
    if "error" in answer:
        raise OSError(answer.get("errno", 0), answer["error"], path)
