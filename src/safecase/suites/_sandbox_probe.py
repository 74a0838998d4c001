"""Try to get out before anything untrusted is let in."""

import asyncio
import json
import os
import secrets
import socket
import tempfile
from dataclasses import replace

from safecase.models import PlatformFailed
from safecase.suites._sandbox import SandboxLimits
from safecase.suites._sandbox_box import open_sandbox
from safecase.suites._sandbox_engines import Engine, find_engine
from safecase.suites._sandbox_errors import SandboxError, Uncontained

# Runs inside; prints the names of what it could do and should not. `told` holds what of the host it looks for.
_PROBE = r"""
import json, os, socket, subprocess, sys, time
told = json.loads(sys.stdin.read())
got_out = []

def attempt(name, act):
    try:
        if act():
            got_out.append(name)
    except (OSError, MemoryError, subprocess.SubprocessError):
        pass

def writes(path, megabytes):
    with open(path, "wb") as file:
        for _ in range(megabytes):
            file.write(bytes(1 << 20))
    return True

def fills():
    written = 0
    for number in range(1000):
        try:
            written += writes(f"/tmp/fill{number}", 1)
        except OSError:
            break
    for number in range(written + 1):
        os.path.exists(f"/tmp/fill{number}") and os.unlink(f"/tmp/fill{number}")
    return written > told["disk_mb"]

def forks():
    children = []
    try:
        for _ in range(told["processes"] + 8):
            pid = os.fork()
            if pid == 0:
                time.sleep(30)
                os._exit(0)
            children.append(pid)
    finally:
        for pid in children:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
    return True

attempt("be root on a real file", lambda: os.getuid() == 0)
attempt("reach the host's loopback", lambda: socket.create_connection(("127.0.0.1", told["port"]), timeout=2))
attempt("see a network interface", lambda: len(open("/proc/net/dev").readlines()) > 3)
attempt("see a file of the host", lambda: any(os.path.exists(path) for path in told["paths"]))
attempt("see the host's environment", lambda: told["secret"] in json.dumps(dict(os.environ)))
attempt("see the host's processes", lambda: sum(name.isdigit() for name in os.listdir("/proc")) > 8)
attempt("look into process 1", lambda: os.listdir("/proc/1/fd") and os.readlink("/proc/1/fd/0"))
attempt("write outside", lambda: any(map(lambda path: os.access(path, os.W_OK), told["closed"])))
attempt("write a file over the limit", lambda: writes("/tmp/large", told["file_mb"] + 1))
attempt("fill more than its disk", fills)
attempt("take more memory than it has", lambda: len(bytearray((told["memory_mb"] + 1) << 20)))
attempt("make a namespace of its own", lambda: subprocess.run(
    ["unshare", "-Ur", "true"], stderr=subprocess.DEVNULL).returncode == 0)
attempt("start more processes than it may", forks)
print(json.dumps(got_out))
"""


async def check_containment(engine: Engine, *, limits: SandboxLimits | None = None) -> None:
    """Prove on this machine, now, that what runs inside stays inside; a second or so, once before a suite.

    Raises:
        Uncontained: something got out, or the probe did not run to its end.
        SandboxBroken: no sandbox starts.
    """
    limits = replace(limits or SandboxLimits(), disk_mb=8, file_mb=4, processes=24, memory_mb=256)
    secret = secrets.token_hex(16)
    with tempfile.NamedTemporaryFile(prefix=secret) as canary, socket.create_server(("127.0.0.1", 0)) as listener:
        told = {
            "secret": secret,
            "port": listener.getsockname()[1],
            "paths": [canary.name],
            "closed": ["/", "/usr", "/usr/bin", "/dev", "/home", "/proc/sys"],
            **{name: getattr(limits, name) for name in ("disk_mb", "file_mb", "processes", "memory_mb")},
        }
        with _in_environment(secret):
            box = await open_sandbox(engine, limits=limits)
        async with box:
            result = await box.exec(["python3", "-c", _PROBE], timeout_s=30, stdin=json.dumps(told).encode())
    if not result.is_success:
        raise Uncontained(f"{engine.name}: the probe {result.ended} with {result.exit_code}: {result.text[-500:]!r}")
    if got_out := json.loads(result.stdout):
        raise Uncontained(f"{engine.name}: what runs inside can {'; '.join(got_out)}; nothing is run")


class _in_environment:  # noqa: N801 - used as a `with` verb
    """Keep a value in our own environment for a moment, to see that it is not handed on."""

    def __init__(self, value: str) -> None:
        self._value = value

    def __enter__(self) -> None:
        os.environ[f"SAFECASE_PROBE_{self._value}"] = self._value

    def __exit__(self, *_: object) -> None:
        del os.environ[f"SAFECASE_PROBE_{self._value}"]


async def proven_engine(suite: str) -> Engine:
    """An engine for a suite, seen to hold a moment ago.

    Raises:
        PlatformFailed: there is none, or it does not hold.
    """
    try:
        engine = await asyncio.to_thread(find_engine)
        await check_containment(engine)
    except SandboxError as error:
        raise PlatformFailed(f"suite {suite}: {error}") from error
    return engine
