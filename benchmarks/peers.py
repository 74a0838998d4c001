"""Our engine beside its peers, on one stub and as many prompts, in one run.

    benchmarks/peers/install.sh DIR                       once
    python benchmarks/peers.py --peers DIR [--prompts 2000] [--in-flight 200]

Each peer runs alone, as a process of its own, against a stub that answers after 50 ms on loopback. Prompts per second
are given over the whole process (start-up included) and from the first request to the last answer as the stub saw them;
CPU is of the process and its children; memory is the largest process's. A peer that is not installed is *not run*.

What is compared is not the same work: a bare loop keeps nothing; ours composes, judges and writes evidence.
"""

import argparse
import compileall
import contextlib
import datetime as dt
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent
DRIVERS = HERE / "peers"
_LONGEST_S = 540
_PROMPTS_AN_INTENT = 240
"""What one intent a gate gives or more: 11 gates of the pack, 25 attacks, some intents shared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One peer's figures; None where it was not run or failed, and `note` then says why."""

    name: str
    served: int | None = None
    whole_per_s: float | None = None
    per_s: float | None = None
    cpu_ms: float | None = None
    peak_mb: float | None = None
    note: str = ""


@contextlib.contextmanager
def stub() -> Iterator[str]:
    """The base URL of a stub endpoint in a process of its own."""
    process = subprocess.Popen([sys.executable, HERE / "_stub.py", "50"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def stats(url: str) -> dict[str, float]:
    """What the stub served since it was last asked."""
    with urllib.request.urlopen(url.removesuffix("/v1") + "/stats", timeout=10) as reply:
        return dict(json.load(reply))


def measure(name: str, command: list[str], url: str, *, folder: Path, extra: dict[str, str] | None = None) -> Line:
    """Run a command and read off what it took."""
    stats(url)
    env = {**os.environ, "HOME": str(folder), "PYTHONWARNINGS": "ignore", **(extra or {})}
    log = (folder / f"{name.split()[0]}.log").open("wb")
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=log, start_new_session=True)
    deadline = started + _LONGEST_S
    while True:
        done, status, usage = os.wait4(process.pid, os.WNOHANG)
        if done:
            break
        if time.perf_counter() > deadline:
            os.killpg(process.pid, signal.SIGKILL)
            _, status, usage = os.wait4(process.pid, 0)
            break
        time.sleep(0.02)
    process.returncode = os.waitstatus_to_exitcode(status)
    whole_s = time.perf_counter() - started
    log.close()
    seen = stats(url)
    served = int(seen["served"])
    if not served:
        tail = (folder / f"{name.split()[0]}.log").read_text(errors="replace").strip().splitlines()[-1:]
        return Line(name=name, note=f"failed: {tail[0][:80] if tail else process.returncode}")
    return Line(
        name=name,
        served=served,
        whole_per_s=served / whole_s,
        per_s=served / seen["seconds"],
        cpu_ms=1e3 * (usage.ru_utime + usage.ru_stime) / served,
        peak_mb=usage.ru_maxrss / 1024,
        note="" if process.returncode == 0 else f"exit code {process.returncode}",
    )


def ours(url: str, prompts: int, in_flight: int, folder: Path, *, arms: str) -> Line:
    """`safecase run`, as a user would, over a case with every attack."""
    case = folder / f"case-{arms}"
    case.mkdir()
    # As many intents for each gate as the prompts asked for need, so that no plan is made for what is not run.
    intents = -(-prompts // (_PROMPTS_AN_INTENT * (2 if arms == "both" else 1)))
    (case / "safecase.yaml").write_text(
        f"""\
id: peers
title: our engine beside its peers
framework: scaling-v2
model: {{name: "openai/stub@{url}", title: stub, safeguard_state: partial}}
contexts: [closed]
safeguards: {"default" if arms == "both" else "none"}
sampling: {{intents: {intents}}}
generation: {{max_tokens: 64, temperature: 0.0, seed: 7}}
""",
        encoding="utf-8",
    )
    name = "safecase, bare arm" if arms == "bare" else "safecase, bare and guarded arm"
    command = [sys.executable, "-m", "safecase", "run", str(case), "--limit", str(prompts)]
    extra = {"SAFECASE_HOME": str(folder / "home")}
    return measure(name, [*command, "--workers", str(in_flight)], url, folder=folder, extra=extra)


def promptfoo(binary: Path, url: str, prompts: int, in_flight: int, folder: Path) -> Line:
    """An evaluation of as many tests with one assertion each."""
    config = {
        "prompts": ["{{q}}"],
        "providers": [{"id": "openai:chat:stub", "config": {"apiBaseUrl": url, "apiKey": "stub", "max_tokens": 64}}],
        "tests": [
            {
                "vars": {"q": f"Tell me about case {n} in a few words."},
                "assert": [{"type": "not-icontains", "value": "no such words"}],
            }
            for n in range(prompts)
        ],
    }
    (folder / "promptfooconfig.json").write_text(json.dumps(config), encoding="utf-8")
    command = [str(binary), "eval", "-c", "promptfooconfig.json", "-o", "out.json", "--no-cache", "--no-progress-bar"]
    extra = {
        "PROMPTFOO_DISABLE_TELEMETRY": "1",
        "PROMPTFOO_DISABLE_UPDATE": "1",
        "PROMPTFOO_DISABLE_SHARING": "1",
        "PROMPTFOO_CONFIG_DIR": str(folder / "promptfoo"),
    }
    command += ["--no-table", "--max-concurrency", str(in_flight)]
    return measure("promptfoo", command, url, folder=folder, extra=extra)


def lines(url: str, peers: Path | None, prompts: int, in_flight: int, folder: Path) -> Iterator[Line]:
    """Every contender in turn."""
    arguments = [url, str(prompts), str(in_flight)]
    yield measure("bare aiohttp loop", [sys.executable, str(DRIVERS / "bare.py"), *arguments], url, folder=folder)
    yield ours(url, prompts, in_flight, folder, arms="bare")
    yield ours(url, prompts, in_flight, folder, arms="both")
    for name, driver in (("Inspect", "inspect"), ("PyRIT", "pyrit"), ("garak", "garak")):
        python = peers / driver / "bin" / "python" if peers else None
        if python is None or not python.exists():
            yield Line(name=name, note="not run: not installed")
            continue
        yield measure(name, [str(python), str(DRIVERS / f"{driver}_peer.py"), *arguments], url, folder=folder)
    binary = peers / "promptfoo" / "node_modules" / ".bin" / "promptfoo" if peers else None
    if binary is None or not binary.exists():
        yield Line(name="promptfoo", note="not run: not installed")
    else:
        yield promptfoo(binary, url, prompts, in_flight, folder)


def table(found: list[Line], *, prompts: int, in_flight: int) -> str:
    """Markdown."""
    rows = [
        f"{prompts} prompts, {in_flight} in flight, 50 ms a reply; {platform.machine()}, {os.cpu_count()} cores, "
        f"{dt.datetime.now(dt.UTC):%Y-%m-%d}.",
        "",
        "| | prompts/s, first to last | prompts/s, whole process | CPU ms a prompt | times the bare loop | peak MB | |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]
    bare_ms = found[0].cpu_ms
    for line in found:
        times = line.cpu_ms / bare_ms if line.cpu_ms and bare_ms else None
        cells = (
            _cell(line.per_s, 0),
            _cell(line.whole_per_s, 0),
            _cell(line.cpu_ms, 2),
            _cell(times, 1),
            _cell(line.peak_mb, 0),
        )
        asked = f"{line.served} requests" if line.served is not None and line.served != prompts else ""
        rows.append(f"| {line.name} | {' | '.join(cells)} | {line.note or asked} |")
    return "\n".join(rows)


def _cell(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def main() -> None:
    """Parse, run each, print one table."""
    parser = argparse.ArgumentParser(description="our engine beside its peers, on one stub, in one run")
    parser.add_argument("--peers", type=Path, default=os.environ.get("SAFECASE_PEERS"))
    parser.add_argument("--prompts", type=int, default=2000)
    parser.add_argument("--in-flight", type=int, default=200)
    options = parser.parse_args()
    peers = Path(options.peers).absolute() if options.peers else None
    found = []
    # The peers were compiled when they were installed, which a source tree is not.
    compileall.compile_dir(Path(find_spec("safecase").origin).parent, quiet=1)
    with stub() as url, tempfile.TemporaryDirectory() as folder:
        for line in lines(url, peers, options.prompts, options.in_flight, Path(folder)):
            print(f"{line.name}: {line.note or 'done'}", file=sys.stderr, flush=True)
            found.append(line)
    print(table(found, prompts=options.prompts, in_flight=options.in_flight))


if __name__ == "__main__":
    main()
