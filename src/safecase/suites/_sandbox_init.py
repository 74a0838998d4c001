"""The first process inside a sandbox: runs commands for the host, one at a time, and holds them to their limits.

The host sends this file's text in the first line, calls `main`, and speaks to it in JSON lines over standard input and
output. It is process 1 of its own process namespace, so that none inside can signal it, and it is not dumpable, so
that none can look into it or write to its pipes. Only the standard library, and any Python from 3.8 on: it runs on
whatever the engine has.

    host -> inside   exec, write, read (answered by `id`); listen; open, data, shut, close (of a connection)
    inside -> host   the answers; open, data, shut, close
"""

import base64
import contextlib
import ctypes
import errno
import functools
import json
import os
import resource
import selectors
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

_BLOCK = 1 << 16
_TICK_S = 0.1
_CONNECTIONS = 32
_PR_SET_DUMPABLE = 4
_MB = 1 << 20


class Init:
    """One loop over the host's lines, the running command's pipes, and connections."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.home: str = config["home"]
        self.env: dict[str, str] = config["env"]
        self.limits: dict[str, Any] = config["limits"]
        self.selector = selectors.DefaultSelector()
        self.inbox = b""
        self.command: Command | None = None
        self.connections: dict[int, Connection] = {}
        self.next_connection = 0

    def run(self) -> None:
        """Serve until the host closes our standard input."""
        os.chdir(self.home)
        self.selector.register(0, selectors.EVENT_READ, self.on_host)
        self.wake_for_children()
        self.tell({"ready": sys.version})
        while True:
            for key, _ in self.selector.select(_TICK_S if self.command else None):
                if key.fd in self.selector.get_map():  # an earlier event of this round may have closed it
                    key.data()
            if self.command:
                self.command.look()

    def wake_for_children(self) -> None:
        """Let a child's end wake the loop."""
        awake, waker = os.pipe()
        os.set_blocking(awake, False)
        os.set_blocking(waker, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        self.selector.register(awake, selectors.EVENT_READ, lambda: os.read(awake, _BLOCK))

    def tell(self, value: dict[str, Any]) -> None:
        """Send one line to the host."""
        data = json.dumps(value).encode() + b"\n"
        while data:
            data = data[os.write(1, data) :]

    def on_host(self) -> None:
        """Take what the host sent; without a host there is no reason to live."""
        block = os.read(0, _BLOCK)
        if not block:
            sys.exit(0)
        *lines, self.inbox = (self.inbox + block).split(b"\n")
        for line in lines:
            self.obey(json.loads(line))

    def obey(self, order: dict[str, Any]) -> None:
        """Carry out one order."""
        op = order["op"]
        if op == "exec":
            Command(self, order)
        elif op in ("write", "read"):
            self.on_file(order)
        elif op == "listen":
            self.listen(order)
        elif op == "open":
            spawn_connection(self, order)
        elif order["conn"] in self.connections:
            getattr(self.connections[order["conn"]], "host_" + op)(order)

    def on_file(self, order: dict[str, Any]) -> None:
        """Write or read a file for the host."""
        path = Path(self.home, order["path"])
        try:
            if order["op"] == "write":
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(base64.b64decode(order["data"]))
                self.tell({"id": order["id"]})
            else:
                self.tell({"id": order["id"], "data": encoded(read_capped(path, self.limits["file_mb"] * _MB))})
        except OSError as error:
            self.tell({"id": order["id"], "error": error.strerror or str(error), "errno": error.errno})

    def listen(self, order: dict[str, Any]) -> None:
        """Take connections on loopback and hand them to the host."""
        server = socket.create_server(("127.0.0.1", order["port"]), backlog=16)

        def accept() -> None:
            taken, _ = server.accept()
            if len(self.connections) >= _CONNECTIONS:
                taken.close()
                return
            self.next_connection += 1
            self.tell({"op": "open", "conn": self.next_connection})
            Connection(self, self.next_connection, taken.detach())

        self.selector.register(server, selectors.EVENT_READ, accept)
        self.tell({"id": order["id"]})

    def child_limits(self) -> None:
        """What only a command has to keep to; the rest bounds this process too."""
        cpu = self.limits["cpu_s"]
        resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu))

    def spawn(self, argv: list[str], **pipes: Any) -> "subprocess.Popen[bytes]":
        """Start a program; raises OSError where it cannot."""
        return subprocess.Popen(  # noqa: S603 - running what it is told is what a sandbox is for
            argv, cwd=self.home, env=self.env, start_new_session=True, preexec_fn=self.child_limits, **pipes
        )


class Command:
    """The one command that runs."""

    def __init__(self, init: Init, order: dict[str, Any]) -> None:
        self.init = init
        self.order = order
        self.deadline = time.monotonic() + order["timeout_s"]
        self.next_look = 0.0
        self.pipes: dict[str, Any] = {}
        self.output: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        init.command = self
        try:
            self.process = self.start(base64.b64decode(order["stdin"]))
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            reason = f"{order['argv'][0]}: {getattr(error, 'strerror', None) or error}\n".encode()
            self.output["stderr"] += reason
            self.answer("exited", 127)

    def start(self, stdin: bytes) -> "subprocess.Popen[bytes]":
        # Standard input is a file: a pipe that nobody reads would stop this loop.
        with tempfile.TemporaryFile() as file:
            file.write(stdin)
            file.seek(0)
            process = self.init.spawn(self.order["argv"], stdin=file, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.pipes = {"stdout": process.stdout, "stderr": process.stderr}
        for name, pipe in self.pipes.items():
            os.set_blocking(pipe.fileno(), False)
            self.init.selector.register(pipe, selectors.EVENT_READ, functools.partial(self.on_output, name, pipe))
        return process

    def on_output(self, name: str, pipe: Any) -> None:
        """Keep what the command wrote, up to the cap."""
        block = pipe.read(_BLOCK)
        if block is None:
            return
        if not block:
            self.init.selector.unregister(pipe)
            return
        kept = self.output[name]
        room = self.init.limits["output_bytes"] - len(kept)
        kept += block[:room]
        if len(block) > room:
            self.end("flooded")

    def look(self) -> None:
        """See whether it ended, and whether it keeps to its limits."""
        if self.process.poll() is not None:
            self.end("exited")
        elif time.monotonic() > self.deadline:
            self.end("timed-out")
        elif time.monotonic() > self.next_look:
            self.next_look = time.monotonic() + _TICK_S
            if memory_in_use() > self.init.limits["total_memory_mb"] * _MB:
                self.end("over-memory")
            elif files_in_use(self.init.home) > self.init.limits["files"]:
                self.end("over-files")

    def end(self, how: str) -> None:
        """Kill everything inside but ourselves, take the last output, and answer."""
        if self.init.command is not self:
            return
        code = self.process.poll()
        kill_all()
        self.process.wait()
        reap_all()
        for name, pipe in self.pipes.items():
            if is_registered(self.init.selector, pipe):
                self.init.selector.unregister(pipe)
                room = self.init.limits["output_bytes"] - len(self.output[name])
                self.output[name] += (pipe.read(room) if room else b"") or b""
            pipe.close()
        self.answer(how, code if how == "exited" else None)

    def answer(self, how: str, code: "int | None") -> None:
        self.init.command = None
        self.init.tell(
            {
                "id": self.order["id"],
                "ended": how,
                "exit_code": code,
                "stdout": encoded(self.output["stdout"]),
                "stderr": encoded(self.output["stderr"]),
            }
        )


class Connection:
    """Bytes between the host and a descriptor inside: a player's connection, or a service's program."""

    def __init__(self, init: Init, name: int, fd: int, process: "subprocess.Popen[bytes] | None" = None) -> None:
        self.init = init
        self.name = name
        self.socket = socket.socket(fileno=fd)
        self.process = process
        self.socket.settimeout(5.0)  # whoever does not read for so long is dropped
        init.connections[name] = self
        init.selector.register(self.socket, selectors.EVENT_READ, self.on_data)

    def on_data(self) -> None:
        try:
            block = self.socket.recv(_BLOCK)
        except OSError:
            self.drop()
            return
        if block:
            self.init.tell({"op": "data", "conn": self.name, "data": encoded(block)})
        elif self.process:
            self.drop()
        else:
            self.init.selector.unregister(self.socket)
            self.init.tell({"op": "shut", "conn": self.name})

    def host_data(self, order: dict[str, Any]) -> None:
        try:
            self.socket.sendall(base64.b64decode(order["data"]))
        except OSError:
            self.drop()

    def host_shut(self, _: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def host_close(self, _: dict[str, Any]) -> None:
        self.drop()

    def drop(self) -> None:
        """Close our end and tell the host."""
        if self.init.connections.pop(self.name, None) is None:
            return
        if is_registered(self.init.selector, self.socket):
            self.init.selector.unregister(self.socket)
        self.socket.close()
        if self.process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.init.tell({"op": "close", "conn": self.name})


def spawn_connection(init: Init, order: "dict[str, Any]") -> None:
    """Start the service's program on a connection of its own; where it cannot start, the connection is closed."""
    ours, theirs = socket.socketpair()
    try:
        process = init.spawn(order["argv"], stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError):
        ours.close()
        init.tell({"op": "close", "conn": order["conn"]})
    else:
        Connection(init, order["conn"], ours.detach(), process)
    finally:
        theirs.close()


def kill_all() -> None:
    """End every process but this one, at once: as process 1, -1 means all others of the namespace."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)


def reap_all() -> None:
    """Collect every process that was killed: until then it counts against the limit."""
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()


def memory_in_use() -> int:
    """Bytes of private memory of all other processes."""
    pages = 0
    for process in Path("/proc").glob("[0-9]*"):
        if process.name != "1":
            with contextlib.suppress(OSError):
                _, resident, shared, *_ = (process / "statm").read_text().split()
                pages += int(resident) - int(shared)
    return pages * resource.getpagesize()


def files_in_use(home: str) -> int:
    """Inodes taken in the fuller of the two places that can be written."""
    taken = [os.statvfs(path) for path in (home, "/tmp")]  # noqa: S108 - the sandbox's own
    return max(state.f_files - state.f_ffree for state in taken)


def read_capped(path: Path, cap: int) -> bytes:
    """The first `cap` bytes of a regular file; a pipe or a device would stop this loop."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        return file.read(cap)


def is_registered(selector: selectors.BaseSelector, file: Any) -> bool:
    try:
        selector.get_key(file)
    except (KeyError, ValueError):
        return False
    return True


def encoded(data: "bytes | bytearray") -> str:
    return base64.b64encode(data).decode()


def main(config: "dict[str, Any]") -> None:
    """Bind ourselves by the limits, and serve."""
    limits = config["limits"]
    if os.getpid() != 1 or os.getuid() == 0:
        sys.exit("refused: a sandbox's first process must be process 1 and must not be root")
    if ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0):
        sys.exit("refused: cannot hide the first process from the others")
    for what, value in (
        (resource.RLIMIT_AS, limits["memory_mb"] * _MB),
        (resource.RLIMIT_NPROC, limits["processes"]),
        (resource.RLIMIT_FSIZE, limits["file_mb"] * _MB),
        (resource.RLIMIT_NOFILE, 256),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (value, value))
    Init(config).run()
