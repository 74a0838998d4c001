"""What the gateway costs beside a bare pass-through proxy, in one run.

    benchmarks/peers/install_gateways.sh DIR              once, for the peers
    python benchmarks/gateway.py [--seconds 5] [--rounds 5] [--only bare,rules]
        [--peers DIR [--peer-rounds 3]] [--json]

A stub upstream in a process of its own answers after 20 ms, or streams 64 chunks 20 ms apart. Each server takes one
process, alone on the last core as far as this benchmark goes (the load and the stub have the others); its CPU time is
read from /proc, so that a busy machine disturbs it less than a clock would. Servers take turns within every round; the
median of the rounds counts, and of `times bare` that of the ratios within each round, with the least and the
most beside it. No text is asked twice in a row of thousands. `bare` passes bytes. The next three are the gateway
with keys, limits, metrics, events into files and traces of one call in a hundred: `none` without layers, `rules` with
declared words, a count per account and shapes of personal data, `default` with the stack that ships and its linear
classifiers; `layers_us_on_prompt` is what their layers take for the prompt alone, called in this process without a
server around them. Peers run alone, one after the other; one that is not installed is *not run*. They do other work:
LiteLLM checks a key and passes on, NeMo looks for the same words.
"""

import argparse
import asyncio
import contextlib
import functools
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
_TEXTS = 2_000
_TURNS = 7
PEERS = {
    "litellm": ("litellm", "litellm_gateway.py"),
    "nemo-iorails": ("nemo", "nemo_gateway.py", "iorails"),
    "nemo-colang": ("nemo", "nemo_gateway.py", "colang"),
}
"""Name: folder of its installation, script, what the script is told."""
STACKED = {"rules", "default"}
SERVERS = ("bare", "none", "rules", "default")
_PROMPT = (
    "Please explain to a curious student how the tides come about, which part the moon has in them and which part the "
    "sun, why there are two high waters a day in most places and one in some, and how sailors in former times wrote "
    "down tables by which they could tell the hour of high water in a harbour for years ahead. Write in plain words, "
    "give one example with figures, and end with two questions that the student can answer alone after a walk along "
    "the shore with a notebook, a watch and a stick."
)


@contextlib.contextmanager
def running(
    script: str, *arguments: str, python: str = sys.executable, core: int | None = None
) -> Iterator[tuple[str, str, int]]:
    """Base URL, key and process id of a server, once it says them.

    Args:
        core: the only one that it may use.

    Raises:
        RuntimeError: it ended before it did.
    """
    with tempfile.TemporaryDirectory() as home:
        told = subprocess.DEVNULL if python != sys.executable else None  # peers say much
        own = {"HOME": home} if python != sys.executable else {}
        command = [python, str(HERE / script), *arguments]
        pinned = None if core is None else functools.partial(os.sched_setaffinity, 0, {core})
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=told,
            text=True,
            env=os.environ | own,
            preexec_fn=pinned,
        )
        try:
            assert process.stdout is not None
            url, _, key = process.stdout.readline().strip().partition(" ")
            if not url:
                raise RuntimeError("did not start")
            yield url, key, process.pid
        finally:
            process.kill()
            process.communicate()


def cpu_s(pid: int) -> float:
    """CPU time that a process has had, all its threads."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def request(url: str, key: str, *, streams: bool, number: int = 0) -> bytes:
    """A chat of some 500 characters; another text for each number, since a server may remember what it has read."""
    host = url.split("/")[2]
    body = json.dumps(
        {
            "model": "stub",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": f"{_PROMPT} Case {number}."},
            ],
            "temperature": 0.7,
            "max_tokens": 300,
            **({"stream": True} if streams else {}),
        },
        separators=(",", ":"),
    ).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\nAccept: */*\r\n"
        f"Content-Type: application/json\r\nUser-Agent: benchmark\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Asker(asyncio.Protocol):
    """One connection that asks again as soon as it is answered.

    Attributes:
        times: seconds from asking to the last byte. firsts: to the first byte of the body.
    """

    def __init__(self, asks: Iterator[bytes], until: float) -> None:
        self.asks, self.until = asks, until
        self.times: list[float] = []
        self.firsts: list[float] = []
        self.failed = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.go()

    def go(self) -> None:
        self.buffer = bytearray()
        self.began, self.first = time.perf_counter(), 0.0
        self.transport.write(next(self.asks))  # type: ignore[attr-defined]  # a stream's transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head = self.buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        if not self.first and b'"content":"The' in self.buffer.replace(b'": "', b'":"'):
            self.first = time.perf_counter()
        if self.buffer.endswith(b"\r\n0\r\n\r\n") if self.is_chunked(head) else self.is_whole(head):
            now = time.perf_counter()
            self.times.append(now - self.began)
            self.firsts.append((self.first or now) - self.began)
            is_empty = self.is_chunked(head) and not self.first
            self.failed += is_empty or not self.buffer.startswith(b"HTTP/1.1 200")
            if now < self.until:
                self.go()
            else:
                self.transport.close()
                self.done.set_result(None)

    def is_chunked(self, head: int) -> bool:
        return b"chunked" in self.buffer[:head].lower()

    def is_whole(self, head: int) -> bool:
        lines = bytes(self.buffer[:head]).lower().split(b"\r\n")
        length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length"))
        return len(self.buffer) >= head + 4 + length

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("closed"))


async def load(url: str, key: str, pid: int, *, seconds: float, connections: int, streams: bool) -> dict[str, float]:
    """Ask over so many connections for so long."""
    loop = asyncio.get_running_loop()
    port = int(url.split(":")[2].split("/")[0])
    asks = itertools.cycle(
        [request(url, key, streams=streams, number=number) for number in range(1_000, 1_000 + _TEXTS)]
    )

    async def ask_all(span_s: float) -> list[Asker]:
        until = time.perf_counter() + span_s
        opened = [loop.create_connection(lambda: Asker(asks, until), "127.0.0.1", port) for _ in range(connections)]
        askers = [asker for _, asker in await asyncio.gather(*opened)]
        await asyncio.gather(*(asker.done for asker in askers))
        return askers

    await ask_all(min(1.0, seconds / 2))  # connections to the upstream, caches
    began, spent = time.perf_counter(), cpu_s(pid)
    askers = await ask_all(seconds)
    spent, took = cpu_s(pid) - spent, time.perf_counter() - began
    times = sorted(time for asker in askers for time in asker.times)
    firsts = sorted(first for asker in askers for first in asker.firsts)
    if failures := sum(asker.failed for asker in askers):
        raise RuntimeError(f"{failures} of {len(times)} answers were errors")
    return {
        "requests": len(times),
        "per_s": len(times) / took,
        "cpu_us": 1e6 * spent / len(times),
        "p50_ms": 1e3 * statistics.median(times),
        "p99_ms": 1e3 * times[int(0.99 * (len(times) - 1))],
        "first_ms": 1e3 * statistics.median(firsts),
    }


def measure(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Ours, the bare proxy and each peer that is installed, in turns."""
    names = [name for name in SERVERS if name in options.only.split(",")]
    cores = sorted(os.sched_getaffinity(0))
    core = cores.pop() if len(cores) > 1 else None
    os.sched_setaffinity(0, cores)
    with contextlib.ExitStack() as stack:
        upstream, *_ = stack.enter_context(running("_gateway_stub.py", "--words", str(options.words)))
        servers = {
            name: stack.enter_context(running("_gateway_server.py", name, upstream, core=core)) for name in names
        }
        notes: dict[str, str] = {}
        for name, parts in PEERS.items() if options.peers is not None else ():
            try:
                servers[name] = stack.enter_context(peer(options.peers, upstream, *parts, core=core))
            except (RuntimeError, OSError) as error:
                notes[name] = f"not run: {error}"
        rounds: dict[str, list[Round]] = {name: [] for name in servers}
        for turn in range(options.rounds):
            asked = [name for name in servers if name in names or turn < options.peer_rounds]
            for name in [name for name in asked if not notes.get(name, "").startswith("not run")]:
                try:
                    rounds[name].append(one_round(servers[name], options, streams=name not in notes))
                except NoStream as error:  # in the first round: from now on without
                    notes[name] = f"streams not run: {error}"
                    rounds[name].append(one_round(servers[name], options, streams=False))
                except (RuntimeError, OSError) as error:
                    notes[name] = f"not run: {error}"
        found = {name: _summary(turns, rounds.get("bare", []), words=options.words) for name, turns in rounds.items()}
        for name in STACKED & found.keys():
            found[name]["first_content_characters"] = asyncio.run(held_back(name))
            found[name]["layers_us_on_prompt"] = round(asyncio.run(layers_us(name)))
        return found | {name: found.get(name, {}) | {"note": note} for name, note in notes.items()}


@contextlib.contextmanager
def peer(folder: Path, upstream: str, name: str, script: str, *told: str, core: int | None) -> Iterator[Any]:
    """A peer's server.

    Raises:
        RuntimeError: it is not installed, or did not start.
    """
    python = folder / name / "bin" / "python"
    if not python.exists():
        raise RuntimeError("not installed")
    with running(f"peers/{script}", upstream, *told, python=str(python), core=core) as server:
        yield server


Round = dict[str, dict[str, float]]
"""By kind of load, its figures."""


class NoStream(RuntimeError):
    """A server answers whole and does not stream."""


def one_round(server: tuple[str, str, int], options: argparse.Namespace, *, streams: bool = True) -> Round:
    """Whole answers over few and over many connections, then streams over few."""
    few, many = options.connections, options.many
    how = {"seconds": options.seconds}
    found = {
        "whole": asyncio.run(load(*server, streams=False, connections=few, **how)),
        "many": asyncio.run(load(*server, streams=False, connections=many, **how)),
    }
    if streams:
        try:
            found["streamed"] = asyncio.run(load(*server, streams=True, connections=few, **how))
        except RuntimeError as error:
            raise NoStream(str(error)) from None
    return found


async def held_back(name: str) -> int:
    """Characters of a streaming answer that have come before the first of them goes out."""
    from _gateway_server import stack_of
    from _gateway_stub import word

    from safecase.safeguard import Piece, StreamGuard, exchange_of

    guard = StreamGuard(stack_of(name), exchange_of({"messages": [{"role": "user", "content": _PROMPT}]}))
    text = "".join(map(word, range(200)))
    for count, letter in enumerate(text, start=1):
        if await guard.feed(Piece(text=letter)):
            return count
    return len(text)


async def layers_us(name: str) -> float:
    """CPU microseconds that the layers take for one prompt, in this process: the median of the rounds."""
    from _gateway_server import stack_of

    from safecase.safeguard import exchange_of

    stack, costs = stack_of(name), []
    for turn in range(_TURNS):
        asked = [
            exchange_of({"messages": [{"role": "user", "content": f"{_PROMPT} Case {turn * _TEXTS + number}."}]})
            for number in range(_TEXTS)
        ]
        began = time.process_time()
        for exchange in asked:
            await stack.rule(exchange)
        costs.append((time.process_time() - began) / len(asked))
    return 1e6 * statistics.median(costs)


def _summary(rounds: list[Round], bare: list[Round], *, words: int) -> dict[str, Any]:
    """Medians over the rounds; against bare, of the ratios within each."""
    if not rounds:
        return {}

    def middle(how: str, field: str) -> float:
        return statistics.median(turn[how][field] for turn in rounds)

    costs = [turn["whole"]["cpu_us"] for turn in rounds]
    summary = {
        "cpu_us_per_request": round(middle("whole", "cpu_us"), 1),
        "  least to most": f"{min(costs):.0f}-{max(costs):.0f}",
        "requests_per_s": round(middle("whole", "per_s")),
        "p50_ms": round(middle("whole", "p50_ms"), 1),
        "p99_ms": round(middle("whole", "p99_ms"), 1),
        "many_cpu_us": round(middle("many", "cpu_us"), 1),
        "many_per_s": round(middle("many", "per_s")),
        "many_p50_ms": round(middle("many", "p50_ms"), 1),
        "many_p99_ms": round(middle("many", "p99_ms"), 1),
        "requests": round(sum(turn["whole"]["requests"] for turn in rounds)),
    }
    summary |= _against(rounds, bare, "times_bare", lambda turn: turn["whole"]["cpu_us"])
    streamed = [turn for turn in rounds if "streamed" in turn]
    if not streamed:
        return summary

    def chunk_us(turn: Round) -> float:
        # A stream costs a request and its chunks; the role, the end and [DONE] are counted as chunks too.
        return (turn["streamed"]["cpu_us"] - turn["whole"]["cpu_us"]) / (words + 3)

    return (
        summary
        | {
            "cpu_us_per_chunk": round(statistics.median(map(chunk_us, streamed)), 2),
            "cpu_us_per_stream": round(statistics.median(turn["streamed"]["cpu_us"] for turn in streamed)),
            "first_content_ms": round(statistics.median(turn["streamed"]["first_ms"] for turn in streamed), 1),
        }
        | _against(streamed, bare, "chunk_times_bare", chunk_us)
    )


def _against(
    rounds: list[Round], bare: list[Round], name: str, cost: Callable[[Round], float]
) -> dict[str, float | str]:
    ratios = [cost(turn) / cost(other) for turn, other in zip(rounds, bare, strict=False)]
    if not ratios:
        return {}
    return {name: round(statistics.median(ratios), 2), f"  {name}, range": f"{min(ratios):.2f}-{max(ratios):.2f}"}


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description="what the gateway costs beside a bare proxy")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each round and server")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer-rounds", type=int, default=3, help="of them with the peers, which take minutes each")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--many", type=int, default=400, help="connections of the second load")
    parser.add_argument("--words", type=int, default=64, help="of an answer; each is a chunk of a stream")
    parser.add_argument("--only", default=",".join(SERVERS))
    parser.add_argument("--peers", type=Path, help="where install_gateways.sh put them")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    before = f"{os.getloadavg()[0]:.1f}"
    found = measure(options)
    if options.json:
        print(json.dumps({"connections": [options.connections, options.many], "load_before": before, "servers": found}))
        return
    print(
        f"{platform.python_implementation()} {platform.python_version()}, {os.cpu_count()} cores, load before {before}"
    )
    notes = {name: row.pop("note") for name, row in found.items() if "note" in row}
    columns = list(dict.fromkeys(column for row in found.values() for column in row))
    print(f"{'':26}" + "".join(f"{name:>14}" for name in found))
    for column in columns:
        print(f"{column:26}" + "".join(f"{row.get(column, '-')!s:>14}" for row in found.values()))
    for name, note in notes.items():
        print(f"{name}: {note}")


if __name__ == "__main__":
    main()
