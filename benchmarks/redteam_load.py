"""Does a campaign hold when everybody comes at once?

    PYTHONPATH=src python benchmarks/redteam_load.py [--people 2500] [--messages 6] [--think 8] [--arms both]

Three processes on loopback: a stub endpoint that answers after 50 ms, `safecase redteam open`, and this one, which
plays the participants, each with a key of their own. First they talk (each thinks an exponential time between
messages, one in ten files a finding), then all send one message at the same moment and obey `Retry-After` until it is
through. Prints machine, date, messages a second, latency, what was turned away, the server's peak memory, and whether
every acknowledged message and finding is in evidence exactly once.
"""

import argparse
import asyncio
import csv
import datetime as dt
import json
import multiprocessing
import os
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from safecase.assess import new_case, open_case, utc_now
from safecase.evidence import TrialStore
from safecase.redteam import SECTION, issue_keys, load_campaign, read_findings
from safecase.testing import StubEndpoint, StubReply

CAMPAIGN = """\
id: load
title: Load test
scope: {{domains: [content-policy], rules: Simulated participants only.}}
arms: {arms}
teams: [{{id: event, title: Event, kind: public-event, seats: {people}}}]
limits: {{messages_per_minute: 60, tokens: 1000000}}
opens: "{opens}"
closes: "{closes}"
consent: Simulated.
"""
ARMS = {"both": "{bare: 1, guarded: 1}", "bare": "{bare: 1}", "guarded": "{guarded: 1}"}
LINES = 256
ASKED = "Tell me, step by step, how somebody would get around the rule that we spoke of a moment ago."


@dataclass
class Seen:
    """What the participants saw. Latencies in seconds, of acknowledged messages, first try to answer."""

    latencies: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    acknowledged: list[tuple[str, int]] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    dropped: int = 0


def stub(port: "multiprocessing.Queue[str]") -> None:
    """The model: a fixed answer after 50 ms."""

    async def serve() -> None:
        async with StubEndpoint(lambda _: StubReply(text="Here is a short overview of it.", delay_s=0.05)) as endpoint:
            port.put(endpoint.target())
            while True:
                endpoint.asked.clear()
                await asyncio.sleep(1)

    raise_files()
    asyncio.run(serve())


def raise_files() -> None:
    """As many open files as the machine allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Person:
    """One participant."""

    def __init__(self, session: aiohttp.ClientSession, url: str, key: str, seen: Seen, rng: random.Random) -> None:
        self.session, self.url, self.seen, self.rng = session, url, seen, rng
        self.headers = {"Authorization": f"Bearer {key}"}
        self.conversation = ""

    async def call(self, method: str, path: str, body: object = None) -> tuple[int, dict[str, object], float]:
        """Status, JSON, and seconds to wait where it says so; a dropped connection is told apart."""
        try:
            async with self.session.request(method, self.url + path, json=body, headers=self.headers) as response:
                wait = float(response.headers.get("Retry-After", 0))
                return response.status, await response.json(), wait
        except aiohttp.ClientError as fault:
            self.seen.statuses[type(fault).__name__] += 1
            self.seen.dropped += 1
            return 0, {}, 1.0

    async def until_through(self, method: str, path: str, body: object = None) -> dict[str, object]:
        """Try again as the server asks."""
        while True:
            status, value, wait = await self.call(method, path, body)
            self.seen.statuses[f"{method} {status}" if method == "GET" else str(status)] += 1
            if status in {200, 201}:
                return value
            if status not in {0, 429, 503}:
                raise SystemExit(f"unexpected {status}: {value}")
            await asyncio.sleep(wait * self.rng.uniform(0.5, 1.5))

    async def begin(self) -> None:
        """Read the scope and begin a conversation."""
        scope = await self.until_through("GET", "v1/scope")
        body = {"category": "violence", "vector": "plain", "consent": scope["consent_digest"]}
        self.conversation = str((await self.until_through("POST", "v1/conversations", body))["conversation"])

    async def say(self) -> None:
        """One message, until it is acknowledged."""
        started = time.perf_counter()
        path = f"v1/conversations/{self.conversation}/messages"
        got = await self.until_through("POST", path, {"text": ASKED})
        self.seen.latencies.append(time.perf_counter() - started)
        self.seen.acknowledged.append((self.conversation, int(str(got["index"]))))

    async def talk(self, messages: int, think_s: float) -> None:
        """Come, talk, and perhaps file a finding."""
        await asyncio.sleep(self.rng.uniform(0, think_s))
        await self.begin()
        for _ in range(messages):
            await asyncio.sleep(self.rng.expovariate(1 / think_s))
            await self.say()
        if self.rng.random() < 0.1:
            body = {"category": "violence", "severity": 2, "vector": "plain", "comment": "simulated"}
            got = await self.until_through("POST", f"v1/conversations/{self.conversation}/finding", body)
            self.seen.findings.append(str(got["finding"]))


def line(name: str, seen: Seen, seconds: float) -> str:
    """One row of the table."""
    ordered = sorted(seen.latencies)
    p50, p95, p99 = (ordered[min(len(ordered) - 1, int(len(ordered) * q))] * 1_000 for q in (0.50, 0.95, 0.99))
    return (
        f"| {name} | {len(ordered):,} | {len(ordered) / seconds:,.0f} | {p50:,.0f} | {p95:,.0f} | {p99:,.0f} "
        f"| {seen.statuses['429']:,} | {seen.statuses['503']:,} | {seen.dropped} |"
    )


async def play(url: str, keys: list[str], options: argparse.Namespace) -> tuple[Seen, Seen, float, float]:
    """Both phases; what was seen in each, and the seconds they took."""
    talking, storm = Seen(), Seen()
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=120)
    timeout = aiohttp.ClientTimeout(total=300)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        people = [Person(session, url, key, talking, random.Random(n)) for n, key in enumerate(keys)]
        started = time.perf_counter()
        await asyncio.gather(*(person.talk(options.messages, options.think) for person in people))
        between = time.perf_counter()
        for person in people:
            person.seen = storm
        await asyncio.gather(*(person.say() for person in people))
        return talking, storm, between - started, time.perf_counter() - between


def peak_mb(pid: int) -> float:
    """Most memory a process ever had resident, MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(row.split()[1]) for row in status.splitlines() if row.startswith("VmHWM")) / 1024


def cpu_s(pid: int) -> float:
    """CPU seconds a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def make_case(folder: Path, options: argparse.Namespace) -> list[str]:
    """A case with its campaign, and the keys."""
    new_case(folder / "case", gates=("policy.violence.unsafe",), attacks=("none",), contexts=("controlled",))
    now = utc_now()
    text = CAMPAIGN.format(
        arms=ARMS[options.arms],
        people=options.people,
        opens=now.isoformat(),
        closes=(now + dt.timedelta(days=1)).isoformat(),
    )
    (folder / "case" / "redteam.yaml").write_text(text)
    case, out = open_case(folder / "case"), folder / "keys.csv"
    issue_keys(case, load_campaign(case), team="event", count=options.people, out=out, now=utc_now)
    return [row["key"] for row in csv.DictReader(out.read_text().splitlines())]


def main() -> None:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--people", type=int, default=2_500)
    parser.add_argument("--messages", type=int, default=6)
    parser.add_argument("--think", type=float, default=8.0, help="mean seconds between messages of one participant")
    parser.add_argument("--arms", choices=list(ARMS), default="both")
    options = parser.parse_args()
    raise_files()
    busy = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["SAFECASE_HAZARD_KEY_FILE"] = str(folder / "hazard.key")
        keys = make_case(folder, options)
        queue: multiprocessing.Queue[str] = multiprocessing.Queue()
        model = multiprocessing.Process(target=stub, args=(queue,), daemon=True)
        model.start()
        command = [sys.executable, "-m", "safecase", "redteam", "open", str(folder / "case"), "--json", "--port", "0"]
        command += ["--model", queue.get(timeout=30), "--workers", str(LINES)]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        url = json.loads(server.stdout.readline())["url"]
        talking, storm, talk_s, storm_s = asyncio.run(play(url, keys, options))
        memory, cpu = peak_mb(server.pid), cpu_s(server.pid)
        server.terminate()
        stopped = server.wait(timeout=60)
        model.terminate()
        case = open_case(folder / "case")
        kept = Counter((trial.scenario_id, trial.attempt) for trial in TrialStore(case.path, section=SECTION).read())
        found = Counter(one.id for one in read_findings(case, "load"))
    told = talking.acknowledged + storm.acknowledged
    findings = talking.findings + storm.findings
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {utc_now().date()}")
    print(f"{options.people:,} participants, arms {options.arms}, {LINES} lines, stub answers after 50 ms")
    print(f"load average of everything else on the machine, before: {busy:.1f}\n")
    print("| phase | messages | messages/s | p50 ms | p95 ms | p99 ms | 429 | 503 | dropped |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    print(line(f"talking, {options.think:g} s between messages", talking, talk_s))
    print(line("all at the same moment", storm, storm_s))
    print(f"\nserver: peak {memory:.0f} MiB, {cpu / len(told) * 1_000:.2f} ms CPU a message, exit code {stopped}")
    once = sum(kept[one] == 1 for one in told)
    print(f"in evidence exactly once: {once:,} of {len(told):,} acknowledged messages; {len(kept):,} trials in all")
    print(f"in evidence exactly once: {sum(found[one] == 1 for one in findings):,} of {len(findings):,} findings")
    if once != len(told) or any(found[one] != 1 for one in findings) or stopped:
        raise SystemExit("NOT HELD")


if __name__ == "__main__":
    main()
