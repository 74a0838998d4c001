"""What a sandbox holds in, what it lets through, and that it refuses where it would hold nothing."""

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from safecase.suites import _sandbox_engines as engines
from safecase.suites._sandbox import HOME, ExecResult, Sandbox, SandboxLimits, Service
from safecase.suites._sandbox_box import open_sandbox
from safecase.suites._sandbox_engines import Engine, find_engine
from safecase.suites._sandbox_errors import NoSandbox, SandboxBroken, SandboxError, Uncontained
from safecase.suites._sandbox_probe import check_containment
from tests.suites.sandboxes import ENGINE, NEEDS_SANDBOX, the_engine

pytestmark = NEEDS_SANDBOX
LIMITS = SandboxLimits(
    wall_s=10, disk_mb=8, file_mb=4, memory_mb=256, total_memory_mb=300, processes=32, output_bytes=4096
)


IS_BUBBLEWRAP = pytest.mark.skipif(getattr(ENGINE, "name", "") != "bubblewrap", reason="spoils its command line")


@pytest_asyncio.fixture
async def box() -> AsyncIterator[Sandbox]:
    async with await open_sandbox(the_engine(), files={"notes/a.txt": b"hello"}, limits=LIMITS) as opened:
        yield opened


async def shell(box: Sandbox, text: str, *, timeout_s: float | None = None) -> ExecResult:
    return await box.exec(["bash", "-c", text], timeout_s=timeout_s)


async def python(box: Sandbox, text: str, *, timeout_s: float | None = None) -> ExecResult:
    return await box.exec(["python3", "-c", text], timeout_s=timeout_s)


# What it lets through


async def test_a_command_sees_its_files_input_and_a_clean_environment(box: Sandbox):
    seen = await box.exec(["bash", "-c", "cat notes/a.txt -; pwd; env | cut -d= -f1 | sort"], stdin=b" there\n")

    assert seen.ended == "exited"
    assert seen.exit_code == 0
    assert seen.stdout.decode().split() == [
        *("hello", "there", HOME, "HOME", "LANG", "PATH", "PWD", "PYTHONDONTWRITEBYTECODE", "SHLVL", "TMPDIR", "_")
    ]


async def test_files_stay_from_one_command_to_the_next_and_come_out_as_they_are(box: Sandbox):
    await box.write("sub/data.bin", bytes(range(256)))

    assert (await shell(box, "cp sub/data.bin /tmp/b; echo no >&2; exit 3")).exit_code == 3
    assert await box.read("/tmp/b") == bytes(range(256))


async def test_a_missing_file_and_a_missing_program_are_told_apart_from_a_broken_sandbox(box: Sandbox):
    with pytest.raises(FileNotFoundError):
        await box.read("absent")
    with pytest.raises(OSError, match="Read-only"):
        await box.write("/usr/x", b"")
    missing = await box.exec(["no-such-program"])

    assert missing.exit_code == 127
    assert b"No such file" in missing.stderr
    for odd in (["echo", "\0"], ["echo", "\ud800"], ["echo", "x" * (1 << 18)], [""]):
        assert (await box.exec(odd)).exit_code == 127
    assert (await shell(box, "echo alive")).stdout == b"alive\n"


async def test_reading_a_pipe_or_a_device_does_not_stop_the_sandbox(box: Sandbox):
    await shell(box, "mkfifo pipe")

    for path in ("pipe", "/dev/zero"):
        with pytest.raises(OSError, match="not a regular file"):
            await box.read(path)


async def test_a_signal_is_told_apart_from_an_exit_code(box: Sandbox):
    assert (await box.exec(["python3", "-c", "import os; os.kill(os.getpid(), 11)"])).exit_code == -11


# What it holds in


async def test_the_network_is_out_of_reach(box: Sandbox):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        reached = await python(
            box,
            f"""
import socket
for address in [("127.0.0.1", {port}), ("192.0.2.1", 80), ("10.0.0.1", 53)]:
    try:
        socket.create_connection(address, timeout=1); print("reached", address)
    except OSError as error:
        print(type(error).__name__)
print(len(open("/proc/net/dev").readlines()) - 2, len(open("/proc/net/route").readlines()) - 1)
""",
        )

    assert "reached" not in reached.text
    assert reached.stdout.split()[-2:] == [b"1", b"0"]  # the loopback device alone, and no route


async def test_files_of_the_host_are_out_of_reach(box: Sandbox, tmp_path: Path):
    (tmp_path / "secret").write_text("x")
    (tmp_path / "secret").chmod(0o644)
    host = [tmp_path / "secret", Path(__file__), Path("/etc/machine-id"), Path.home() / ".bashrc"]
    looked = await shell(box, f"for f in {' '.join(map(str, host))}; do cat $f > /dev/null && echo READ $f; done")

    assert "READ" not in looked.text


@pytest.mark.skipif(getattr(ENGINE, "name", "") != "bubblewrap", reason="an image has folders of its own")
async def test_only_the_programs_of_the_host_are_there(box: Sandbox):
    looked = await shell(box, "cat /etc/passwd /etc/hostname; ls / /home; ls /usr/local")

    assert looked.text.count("No such file") == 2
    assert set(looked.stdout.split()) <= set(
        b"/: /home: bin dev etc home lib lib32 lib64 proc sbin tmp usr player".split()
    )


async def test_nothing_can_be_written_but_home_and_tmp(box: Sandbox):
    written = await shell(
        box,
        "find / -xdev -writable -not -type l 2>/dev/null; for d in / /usr /dev /dev/shm /home /usr/local /etc /proc; "
        "do touch $d/x 2>/dev/null && echo WROTE $d; done; touch ~/x /tmp/x && echo fine",
    )

    assert "WROTE" not in written.text
    assert written.stdout.split()[-1] == b"fine"


async def test_processes_of_the_host_and_process_1_are_out_of_reach(box: Sandbox):
    tried = await python(
        box,
        f"""
import os
print(sorted(int(n) for n in os.listdir("/proc") if n.isdigit()) == [1, os.getpid()])
for act in (lambda: os.kill({os.getpid()}, 0), lambda: os.listdir("/proc/1/fd"), lambda: open("/proc/1/mem", "rb")):
    try:
        act(); print("did")
    except OSError as error:
        print(type(error).__name__)
os.kill(1, 9)
""",
    )

    assert tried.stdout.split() == [b"True", b"ProcessLookupError", b"PermissionError", b"PermissionError"]
    assert (await shell(box, "echo alive")).stdout == b"alive\n"


async def test_no_privilege_and_no_further_namespace(box: Sandbox):
    seen = await shell(
        box, "id -u; grep -E 'CapEff|CapBnd|NoNewPrivs' /proc/self/status; unshare -Ur true && echo MADE"
    )

    assert seen.stdout.split() == [
        *(seen.stdout.split()[0], b"CapEff:", b"0" * 16, b"CapBnd:", b"0" * 16, b"NoNewPrivs:", b"1")
    ]
    assert seen.stdout.split()[0] != b"0"


async def test_a_fork_bomb_stays_below_its_limit_and_is_gone_afterwards(box: Sandbox):
    bombed = await shell(box, "bomb() { bomb | bomb & }; bomb; sleep 1", timeout_s=5)
    after = await shell(box, "echo /proc/[0-9]*")

    assert b"Resource temporarily unavailable" in bombed.stderr
    assert len(after.stdout.split()) == 2  # process 1 and the shell that asks


async def test_a_full_disk_stays_inside(box: Sandbox):
    free_before = shutil.disk_usage("/").free
    filled = await python(
        box,
        """
for number in range(100):
    open(f"f{number}", "wb").write(bytes(1 << 20))
""",
    )
    grown = await python(box, "open('/tmp/large', 'wb').write(bytes(5 << 20))")

    assert "No space left on device" in filled.text
    assert "File too large" in grown.text
    assert free_before - shutil.disk_usage("/").free < 100 << 20


async def test_a_flood_of_files_is_stopped(box: Sandbox):
    box_of_few = await open_sandbox(the_engine(), limits=replace(LIMITS, files=500))
    async with box_of_few:
        flooded = await python(box_of_few, "n = 0\nwhile True:\n    open(f'{n}', 'w').close()\n    n += 1")

    assert flooded.ended in ("over-files", "exited")  # bubblewrap: noticed and killed; Docker: refused by the tmpfs
    assert not flooded.is_success


async def test_one_process_and_all_together_keep_to_their_memory(box: Sandbox):
    one = await python(box, "bytearray(300 << 20)")
    many = await python(
        box,
        "import os, time\nfor _ in range(4): os.fork()\nx = bytearray(b'x') * (20 << 20)\ntime.sleep(8)",
        timeout_s=9,
    )

    assert "MemoryError" in one.text
    assert many.ended in ("over-memory", "exited")
    assert not many.is_success
    assert (await shell(box, "echo alive")).stdout == b"alive\n"


@pytest.mark.parametrize("stream", ["", ">&2"])
async def test_a_flood_of_output_is_cut_and_ended(box: Sandbox, stream: str):
    flooded = await shell(box, f"yes {stream}")

    assert flooded.ended == "flooded"
    assert flooded.exit_code is None
    assert max(len(flooded.stdout), len(flooded.stderr)) == LIMITS.output_bytes


async def test_time_runs_out_for_the_sleeping_the_busy_and_the_deaf(box: Sandbox):
    for text in ("sleep 60", "while :; do :; done", "trap '' TERM INT; exec 1>&- 2>&-; sleep 60; sleep 60"):
        started = time.monotonic()
        ended = await shell(box, text, timeout_s=0.5)

        assert ended.ended == "timed-out"
        assert ended.exit_code is None
        assert time.monotonic() - started < 3


async def test_processor_time_runs_out():
    async with await open_sandbox(the_engine(), limits=replace(LIMITS, cpu_s=1)) as box:
        ended = await shell(box, "while :; do :; done", timeout_s=8)

    assert ended.exit_code == -signal.SIGKILL


async def test_nothing_outlives_its_command(box: Sandbox):
    started = await shell(box, "setsid nohup sleep 300 & (setsid sleep 301 &) ; echo started")
    after = await shell(box, "echo /proc/[0-9]*; ls /proc/*/exe")

    assert started.stdout == b"started\n"
    assert len(after.stdout.split(b"\n")[0].split()) == 2


async def test_nothing_outlives_its_sandbox_nor_the_process_that_opened_it(tmp_path: Path):
    script = f"""
import asyncio, sys
from safecase.suites._sandbox_box import open_sandbox
from safecase.suites._sandbox_engines import find_engine
async def main():
    box = await open_sandbox(find_engine({the_engine().name!r}))
    print("open", flush=True)
    await box.exec(["sleep", "31337"], timeout_s=100)
asyncio.run(main())
"""
    process = subprocess.Popen(  # noqa: ASYNC220 - it is to be killed from outside
        [sys.executable, "-c", script], stdout=subprocess.PIPE, env=os.environ
    )
    assert process.stdout
    assert process.stdout.readline() == b"open\n"
    await wait_until(lambda: commands_with("31337") > 0)
    process.kill()
    process.wait()
    process.stdout.close()

    await wait_until(lambda: commands_with("31337") == 0)


def commands_with(word: str) -> int:
    found = 0
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = path.read_bytes().split(b"\0")
        except OSError:  # it ended while we looked
            continue
        found += word.encode() in arguments
    return found


async def wait_until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so():  # noqa: ASYNC110 - processes of others tell nobody that they ended
            await asyncio.sleep(0.05)


@IS_BUBBLEWRAP
@pytest.mark.skipif(os.geteuid() != 0, reason="tells its own sandboxes by the uids that root gives them")
async def test_stopping_while_a_sandbox_starts_leaves_nothing_behind():
    uids: set[str] = set()

    def command(limits: SandboxLimits) -> tuple[str, ...]:
        parts = the_engine().command(limits)
        uids.update(part.removeprefix("--reuid=") for part in parts if part.startswith("--reuid="))
        return parts

    for wait_s in (0.001 * number for number in range(40)):
        opening = asyncio.create_task(open_sandbox(replace(the_engine(), command=command), limits=LIMITS))
        await asyncio.sleep(wait_s)
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        if not opening.cancelled():  # it was open before it could be stopped
            await opening.result().close()

    assert len(uids) >= 39
    await wait_until(lambda: not uids & running_uids())


def running_uids() -> set[str]:
    found = set()
    for path in Path("/proc").glob("[0-9]*/status"):
        try:
            found.add(re.search(r"^Uid:\t(\d+)", path.read_text(), flags=re.MULTILINE)[1])  # type: ignore[index]
        except OSError:  # it ended while we looked
            continue
    return found


async def test_whoever_waits_for_a_sandbox_that_ends_is_told(box: Sandbox):
    asking = asyncio.create_task(shell(box, "sleep 30"))
    await asyncio.sleep(0.2)
    box._process.kill()  # type: ignore[attr-defined]

    with pytest.raises(SandboxBroken):
        await asking
    with pytest.raises(SandboxBroken):
        await shell(box, "true")


# Services


ECHO = """
import sys
print(open("secret").read(), flush=True)
for line in sys.stdin:
    print(line.strip().upper(), flush=True)
"""


async def test_a_service_answers_on_loopback_and_its_files_and_processes_are_out_of_reach():
    service = Service(
        argv=("python3", "service.py"), files={"service.py": ECHO.encode(), "secret": b"banner"}, port=9000
    )
    async with await open_sandbox(the_engine(), limits=LIMITS, service=service) as box:
        talked = await python(
            box,
            """
import socket
for word in (b"one", b"two"):
    with socket.create_connection(("127.0.0.1", 9000)) as there:
        there.sendall(word + b"\\n")
        there.shutdown(socket.SHUT_WR)
        print(b"".join(iter(lambda: there.recv(100), b"")).split())
""",
        )
        looked = await shell(box, "ls -A ~; grep -l banner /proc/[0-9]*/cmdline; ls -d /proc/[0-9]* | wc -l")

    assert talked.stdout.decode().splitlines() == ["[b'banner', b'ONE']", "[b'banner', b'TWO']"]
    assert int(looked.stdout.split()[-1]) <= 4


async def test_a_crowd_of_connections_breaks_neither_sandbox():
    service = Service(argv=("python3", "service.py"), files={"service.py": ECHO.encode(), "secret": b"s"})
    async with await open_sandbox(the_engine(), limits=LIMITS, service=service) as box:
        crowd = "import socket\nx = [socket.create_connection(('127.0.0.1', 8000)) for _ in range(100)]"
        await python(box, crowd)
        after = await python(
            box, "import socket\nprint(socket.create_connection(('127.0.0.1', 8000), timeout=5).recv(9))", timeout_s=8
        )

    assert after.stdout == b"b's\\n'\n"


# Failing closed


async def test_the_probe_finds_this_machine_contained():
    await check_containment(the_engine())


def weakened(
    *, without: tuple[str, ...] = (), instead: tuple[str, str] | None = None, late: tuple[str, ...] = ()
) -> Engine:
    """The engine with a part of its command line spoiled."""

    def command(limits: SandboxLimits) -> tuple[str, ...]:
        parts = [part for part in the_engine().command(limits) if part not in without]
        end = len(parts) - 1 - parts[::-1].index("--remount-ro")  # before / is made read-only
        parts[end:end] = late
        return tuple(instead[1] if instead and part == instead[0] else part for part in parts)

    return replace(the_engine(), command=command)


@IS_BUBBLEWRAP
@pytest.mark.parametrize(
    ("spoiled", "finding"),
    [
        ({"without": ("--unshare-net",)}, "host's loopback"),
        ({"without": ("--disable-userns",)}, "namespace of its own"),
        ({"instead": (str(8 << 20), str(64 << 20))}, "more than its disk"),
        ({"without": ("--unshare-pid", "--as-pid-1")}, "process 1"),
    ],
)
async def test_the_probe_refuses_a_weaker_engine(spoiled: dict[str, tuple[str, ...]], finding: str):
    with pytest.raises(SandboxError, match=finding):
        await check_containment(weakened(**spoiled))  # type: ignore[arg-type]


@IS_BUBBLEWRAP
async def test_the_probe_finds_a_file_of_the_host(monkeypatch: pytest.MonkeyPatch):
    with tempfile.TemporaryDirectory() as shown:
        Path(shown).chmod(0o755)
        monkeypatch.setattr(tempfile, "tempdir", shown)

        with pytest.raises(Uncontained, match="see a file of the host"):
            await check_containment(weakened(late=("--ro-bind", shown, shown)))


@pytest.mark.skipif(
    getattr(ENGINE, "name", "") != "bubblewrap" or os.geteuid() != 0, reason="needs root and bubblewrap"
)
async def test_root_is_refused_inside():
    """A root that setpriv did not drop has no process limit."""

    def command(limits: SandboxLimits) -> tuple[str, ...]:
        whole = the_engine().command(limits)
        return whole[whole.index("--") + 1 :]

    with pytest.raises(SandboxBroken, match="must not be root"):
        await open_sandbox(replace(the_engine(), command=command))


def test_without_an_engine_one_line_says_what_is_missing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(engines.shutil, "which", lambda name: None)

    with pytest.raises(NoSandbox, match="docker: not installed; bubblewrap: bwrap is not installed"):
        find_engine()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs setpriv")
def test_root_without_setpriv_is_refused(monkeypatch: pytest.MonkeyPatch):
    which = shutil.which
    monkeypatch.setattr(engines.shutil, "which", lambda name: None if name == "setpriv" else which(name))

    with pytest.raises(NoSandbox, match="setpriv is not installed"):
        find_engine("bubblewrap")


def test_docker_is_taken_where_its_daemon_answers_and_has_the_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    program = tmp_path / "docker"
    program.write_text('#!/bin/sh\ncase "$*" in *present*|version*) exit 0;; *) exit 1;; esac\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    chosen = find_engine(image="present")
    line = " ".join(chosen.command(LIMITS))

    assert chosen.name == "docker"
    assert "--network none" in line
    assert "--read-only" in line
    assert "--cap-drop ALL" in line
    assert line.endswith("present")
    with pytest.raises(NoSandbox, match="image 'absent' is not there"):
        find_engine("docker", image="absent")


@pytest.mark.parametrize("name", ["wall_s", "processes", "output_bytes"])
def test_a_limit_must_be_above_zero(name: str):
    with pytest.raises(ValueError, match=f"{name} must be above 0"):
        replace(LIMITS, **{name: 0})


def test_uncontained_and_no_sandbox_are_told_apart():
    assert not issubclass(Uncontained, NoSandbox)
