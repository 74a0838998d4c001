"""Kill a run with SIGKILL at random moments, start it again each time, and count what was lost or doubled.

    python benchmarks/kills.py [--kills 20] [--trials 6000] [--seed 1] [--json]

After every kill: no trial that was acknowledged before is gone, none is there twice, the plan is the same byte for
byte. At the end: exactly the planned trials, each once, and the case verifies. Loopback only.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
CASE = """\
id: kills
title: a run that is killed
framework: scaling-v2
model: {{name: "openai/stub@{url}", title: stub, safeguard_state: partial}}
contexts: [closed]
sampling: {{gates: [policy.violence.unsafe, policy.overrefusal, cyber.refusal], intents: 100}}
generation: {{max_tokens: 64, temperature: 0.0, seed: 7}}
"""


@contextlib.contextmanager
def stub(delay_ms: float) -> Iterator[str]:
    """The base URL of a stub endpoint in a process of its own."""
    process = subprocess.Popen([sys.executable, HERE / "_stub.py", str(delay_ms)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def run(case: Path, *, trials: int, home: Path) -> "subprocess.Popen[bytes]":
    """The command that is killed and started again, always the same."""
    return subprocess.Popen(
        [sys.executable, "-m", "safecase", "run", str(case), "--limit", str(trials), "--workers", "64"],
        env={**os.environ, "SAFECASE_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def acknowledged(case: Path) -> list[str]:
    """Ids of the trials that the ledger lists, in order, repeats included."""
    from safecase.evidence import TrialStore

    if not (case / "ledger.jsonl").exists():
        return []
    return [trial.trial_id for trial in TrialStore(case).read(every_attempt=True)]


def kill_and_go_on(folder: Path, *, kills: int, trials: int, seed: int) -> dict[str, Any]:
    """Run the proof in a folder and say what was found."""
    rng = random.Random(seed)
    case, home = folder / "kills", folder / "home"
    case.mkdir()
    lost = doubled = changed_plans = survived = 0
    before: set[str] = set()
    plan: bytes | None = None
    with stub(20) as url:
        (case / "safecase.yaml").write_text(CASE.format(url=url), encoding="utf-8")
        for _ in range(kills):
            process = run(case, trials=trials, home=home)
            # Half of the kills fall while the plan is made, the rest while rows are written: about 300 ms of trials
            # stand between them and the end, so that all of them hit a run at work.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=rng.uniform(0.3, 3.0))
                survived += 1
            process.send_signal(signal.SIGKILL)
            process.wait()
            there = acknowledged(case)
            lost += len(before - set(there))
            doubled += len(there) - len(set(there))
            before = set(there)
            if (case / "plan.json").exists():
                now = (case / "plan.json").read_bytes()
                changed_plans += plan is not None and now != plan
                plan = now
        started = time.perf_counter()
        last = run(case, trials=trials, home=home).wait()
        recovery_s = time.perf_counter() - started
    there = acknowledged(case)
    return {
        "kills": kills,
        "kills_after_the_end": survived,
        "trials": len(there),
        "wanted": trials,
        "lost": lost + len(before - set(there)),
        "doubled": doubled + len(there) - len(set(there)),
        "changed_plans": changed_plans,
        "last_exit_code": last,
        "last_run_s": round(recovery_s, 1),
        "verifies": _verifies(case, home),
    }


def _verifies(case: Path, home: Path) -> bool:
    command = [sys.executable, "-m", "safecase"]
    env = {**os.environ, "SAFECASE_HOME": str(home)}
    steps = (["decide", str(case)], ["verify", str(case)])
    codes = [
        subprocess.run([*command, *step], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
        for step in steps
    ]
    return codes[1] == 0


def main() -> None:
    """Parse, kill, print."""
    parser = argparse.ArgumentParser(description="kill a run at random moments and start it again")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--trials", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = kill_and_go_on(Path(folder), kills=options.kills, trials=options.trials, seed=options.seed)
    print(json.dumps(found) if options.json else "\n".join(f"{name:24} {value}" for name, value in found.items()))
    failed = found["lost"] or found["doubled"] or found["changed_plans"] or found["trials"] != found["wanted"]
    sys.exit(1 if failed or not found["verifies"] else 0)


if __name__ == "__main__":
    main()
