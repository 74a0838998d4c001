"""Engines that can hold a sandbox: Docker where one answers, bubblewrap otherwise."""

import itertools
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from safecase.suites._sandbox import HOME, SandboxLimits
from safecase.suites._sandbox_errors import NoSandbox

EngineName = Literal["docker", "bubblewrap"]

_MB = 1 << 20
_FIRST_UID = 1_600_000_000  # far from any real account; one each, so that process limits are not shared
_uids = itertools.count(_FIRST_UID + os.getpid() * 1024 % 400_000_000)
_DOCKER_ANSWERS_S = 10.0
_NOBODY = 65534
_IMAGE = "python:3.11-slim"
IMAGE_VARIABLE = "SAFECASE_SANDBOX_IMAGE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A way to start a process that can reach neither network nor host.

    Attributes:
        command: limits -> arguments that put a program into a new sandbox, as process 1 and not root.
        env: environment of the engine's own program; what runs inside sees none of it.
    """

    name: EngineName
    command: Callable[[SandboxLimits], tuple[str, ...]]
    env: Mapping[str, str] = field(default_factory=dict)


def find_engine(prefer: EngineName | None = None, *, image: str | None = None) -> Engine:
    """Choose an engine: Docker where its daemon answers and has the image, bubblewrap otherwise.

    Args:
        prefer: take this one or none.
        image: what Docker runs, already there (nothing is pulled); it needs python3. By default what
            SAFECASE_SANDBOX_IMAGE names, else `python:3.11-slim`.

    Raises:
        NoSandbox: neither is here, or not the one that was asked for.
    """
    finders: dict[EngineName, Callable[[], Engine | str]] = {
        "docker": lambda: _docker(image or os.environ.get(IMAGE_VARIABLE) or _IMAGE),
        "bubblewrap": _bubblewrap,
    }
    reasons = {}
    for name, find in finders.items():
        if prefer in (None, name):
            found = find()
            if isinstance(found, Engine):
                return found
            reasons[name] = found
    said = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
    raise NoSandbox(f"no sandbox, so nothing is run ({said}); `apt-get install bubblewrap` is enough on Linux")


def _docker(image: str) -> Engine | str:
    program = shutil.which("docker")
    if program is None:
        return "not installed"
    # The client finds its daemon by these; they stay with the client.
    env = {name: value for name in ("PATH", "HOME", "DOCKER_HOST", "DOCKER_CONTEXT") if (value := os.environ.get(name))}
    for arguments, reason in (
        (("version", "--format", "{{.Server.Version}}"), "no daemon answers"),
        (("image", "inspect", "--format", "{{.Id}}", image), f"image {image!r} is not there"),
    ):
        if not _succeeds((program, *arguments), env):
            return reason
    return Engine(name="docker", command=lambda limits: _docker_command(program, image, limits), env=env)


def _docker_command(program: str, image: str, limits: SandboxLimits) -> tuple[str, ...]:
    # The owner too: runc gives a tmpfs the mode of the folder below it, which is 755 where the image has none.
    tmpfs = f"rw,nosuid,nodev,exec,mode=1777,uid={_NOBODY},gid={_NOBODY},size={limits.disk_mb * _MB}"
    tmpfs += f",nr_inodes={limits.files}"
    return (
        *(program, "run", "--rm", "--interactive", "--pull", "never", "--entrypoint", ""),
        *("--network", "none", "--ipc", "none", "--cgroupns", "private", "--hostname", "sandbox"),
        *("--read-only", "--tmpfs", f"{HOME}:{tmpfs}", "--tmpfs", f"/tmp:{tmpfs}"),  # noqa: S108
        *("--user", f"{_NOBODY}:{_NOBODY}", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
        *("--memory", f"{limits.total_memory_mb}m", "--memory-swap", f"{limits.total_memory_mb}m"),
        *("--pids-limit", str(limits.processes + 1), "--workdir", HOME, "--env", "PATH=/usr/local/bin:/usr/bin:/bin"),
        image,
    )


def _bubblewrap() -> Engine | str:
    if not Path("/usr/bin/python3").exists():
        return "/usr/bin/python3 is missing"
    program = shutil.which("bwrap")
    if program is None:
        return "bwrap is not installed"
    if "--disable-userns" not in _output((program, "--help")):
        return "bwrap is older than 0.8 and can neither cap a tmpfs nor forbid further namespaces"
    drop: str | None = None
    if os.geteuid() == 0:
        drop = shutil.which("setpriv")
        if drop is None:
            return "setpriv is not installed, and as root process limits contain nothing without it"
    return Engine(name="bubblewrap", command=lambda limits: (*_drop_root(drop), *_bubblewrap_command(program, limits)))


def _drop_root(setpriv: str | None) -> tuple[str, ...]:
    if setpriv is None:
        return ()
    uid = str(next(_uids))
    return (setpriv, f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--inh-caps=-all", "--")


def _bubblewrap_command(program: str, limits: SandboxLimits) -> tuple[str, ...]:
    size = str(limits.disk_mb * _MB)
    libraries = [name for name in ("lib", "lib32", "lib64", "bin", "sbin") if Path("/", name).exists()]
    return (
        program,
        *("--unshare-user", "--disable-userns", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"),
        *("--unshare-cgroup-try", "--hostname", "sandbox", "--as-pid-1", "--new-session", "--die-with-parent"),
        *("--ro-bind", "/usr", "/usr", "--tmpfs", "/usr/local", "--remount-ro", "/usr/local"),
        *(part for name in libraries for part in _library(name)),
        *("--ro-bind-try", "/etc/alternatives", "/etc/alternatives"),
        *("--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"),
        *("--proc", "/proc", "--dev", "/dev", "--size", str(_MB), "--tmpfs", "/dev/shm", "--remount-ro", "/dev/shm"),  # noqa: S108
        *("--remount-ro", "/dev", "--size", size, "--tmpfs", "/tmp", "--size", size, "--tmpfs", HOME),  # noqa: S108
        *("--remount-ro", "/", "--clearenv", "--setenv", "PATH", "/usr/bin:/bin", "--chdir", HOME, "--"),
    )


def _library(name: str) -> tuple[str, ...]:
    """A merged system links /lib to /usr/lib; an older one has a folder of its own."""
    path = Path("/", name)
    if path.is_symlink():
        return ("--symlink", str(path.readlink()).removeprefix("/"), f"/{name}")
    return ("--ro-bind", f"/{name}", f"/{name}")


def _output(command: tuple[str, ...]) -> str:
    done = subprocess.run(command, env={}, capture_output=True, timeout=_DOCKER_ANSWERS_S, check=False)  # noqa: S603
    return (done.stdout + done.stderr).decode(errors="replace")


def _succeeds(command: tuple[str, ...], env: Mapping[str, str]) -> bool:
    try:
        done = subprocess.run(command, env=env, capture_output=True, timeout=_DOCKER_ANSWERS_S, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
