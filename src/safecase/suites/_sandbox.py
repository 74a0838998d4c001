"""The seam: a place where untrusted commands run without network and without our files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, Self

HOME = "/home/player"
"""The working directory inside, and the only place besides /tmp that can be written."""

Ended = Literal["exited", "timed-out", "flooded", "over-memory", "over-files"]
"""How a command ended: on its own, or killed for time, output, memory of all processes together, or number of files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxLimits:
    """What everything inside one sandbox may use.

    Attributes:
        wall_s: seconds that a command may take where `exec` names no other.
        cpu_s: processor seconds of one process.
        memory_mb: address space of one process.
        total_memory_mb: memory of all processes together, looked at ten times a second.
        processes: processes and threads at one time.
        disk_mb: size of each of the two places that can be written (tmpfs: they count as memory of the host).
        files: inodes in each of them.
        file_mb: size of one file.
        output_bytes: of standard output, and as much again of standard error; whoever writes more is ended.

    Raises:
        ValueError: a limit is not above 0.
    """

    wall_s: float = 60.0
    cpu_s: int = 60
    memory_mb: int = 512
    total_memory_mb: int = 768
    processes: int = 64
    disk_mb: int = 64
    files: int = 20_000
    file_mb: int = 32
    output_bytes: int = 64 * 1024

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            if not (value := getattr(self, name)) > 0:
                raise ValueError(f"limit {name} must be above 0, got {value!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecResult:
    """What came of one command.

    Attributes:
        exit_code: 0 to 255, minus the signal's number where one ended it; None unless it `exited`.
        stdout, stderr: at most `SandboxLimits.output_bytes` each.
    """

    ended: Ended
    exit_code: int | None
    stdout: bytes
    stderr: bytes

    @property
    def is_success(self) -> bool:
        """Whether it ended on its own with exit code 0."""
        return self.exit_code == 0

    @property
    def text(self) -> str:
        """Standard output, then standard error, as text."""
        return (self.stdout + self.stderr).decode(errors="replace")


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A program that answers connections, in a sandbox of its own; its files and memory are out of the player's reach.

    Attributes:
        argv: started once per connection, with the connection as standard input and output.
        files: path below the home directory -> content. What a connection must remember, it keeps in files there.
        port: where the player reaches it, on 127.0.0.1.
    """

    argv: tuple[str, ...]
    files: Mapping[str, bytes] = field(default_factory=dict)
    port: int = 8000


class Sandbox(Protocol):
    """A place to run commands in, one at a time. Nothing a command starts outlives it; files stay until `close`."""

    async def exec(self, argv: Sequence[str], *, timeout_s: float | None = None, stdin: bytes = b"") -> ExecResult:
        """Run one command in the home directory with a clean environment.

        Raises:
            SandboxBroken: the sandbox itself ended.
        """
        ...

    async def write(self, path: str, data: bytes) -> None:
        """Write a file; folders above it are made. A relative path starts at the home directory.

        Raises:
            OSError: it cannot be written inside.
            SandboxBroken: the sandbox itself ended.
        """
        ...

    async def read(self, path: str) -> bytes:
        """Read a file, at most `SandboxLimits.file_mb` of it.

        Raises:
            OSError: it cannot be read inside.
            SandboxBroken: the sandbox itself ended.
        """
        ...

    async def close(self) -> None:
        """End every process inside and let the files go; doing it twice does no harm."""
        ...

    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, *_: object) -> None:
        """Close."""
        ...
