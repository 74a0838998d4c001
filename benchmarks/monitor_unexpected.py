"""How soon the monitor sees what testing missed, how often it is wrong, and what looking costs.

    python benchmarks/monitor_unexpected.py cost [--calls 20000]
    python benchmarks/monitor_unexpected.py wild DATA [--runs 5]
    python benchmarks/monitor_unexpected.py silence [--runs 200]

`cost`: milliseconds of CPU a call for placing, clusters and rates, by the share of texts that never came before.
`wild`: DATA is a folder of public sets (JSON lines with "text"); ordinary requests, each from an account of its own,
are the controlled phase, then in-the-wild jailbreak prompts come among others of them, one call in twenty. `silence`:
bursty accounts under a layer that fires in 2 % of accounts and stops, beside as many runs where it does not.
"""

import argparse
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from safecase.assess import RequestReader
from safecase.compose import ATTACKS, compose, load_shipped_bank
from safecase.detect import Embedder, open_embedder
from safecase.evidence import CallEvent, RulingRecord, format_utc
from safecase.monitor import (
    Changes,
    Clusters,
    Detectors,
    Layer,
    Places,
    Reference,
    Seen,
    Text,
    Unit,
    Usual,
    make_reference,
)

BEGIN = datetime(2026, 4, 7, tzinfo=UTC)
STACK = "5" * 64
LAYER = "input-classifier"
ORDINARY = (
    "xstest_prompts",
    "cyse_frr",
    "hh_harmless_pairs",
    "openai_moderation",
    "diasafety",
    "tau2_benign_scenarios",
)
NEW = "inthewild_jailbreak"


def reference(embedder: Embedder) -> Reference:
    """What the shipped bank assesses under every one-request attack, a part of it."""
    rng = random.Random(0)
    scenarios = list(compose(load_shipped_bank(), attacks=[one for one in ATTACKS if one.play is None]))
    some = rng.sample(scenarios, 3000)
    return make_reference(
        [Text(one.messages[-1].content, one.intent_id, one.category, one.attack, True) for one in some], embedder
    )


def call(number: int, account: str, prompt: str, *, fires: bool = False) -> Seen:
    """A call of an account, one a second."""
    ruling = RulingRecord(
        layer=LAYER, stage="input", action="withhold" if fires else "allow", score=None, principle=None, latency_ms=0.1
    )
    event = CallEvent(
        event_id=f"{number:032x}", at=format_utc(BEGIN + timedelta(seconds=number)), account=account, key_id="k",
        route="/v1/chat/completions", permit="", context="closed", stack_digest=STACK, model="m",
        outcome="withheld" if fires else "served", status=200, withheld_by=LAYER if fires else None, rulings=(ruling,),
        prompt=prompt,
    )  # fmt: skip
    return Seen(event=event, prompt=prompt, reply="", source="made", offset=str(number))


def clusters_of(places: Places, made: Reference, *, min_accounts: int = 5) -> Clusters:
    """With nothing usual known."""
    return Clusters(
        radius=made.radius, dimensions=made.embedder.dimensions, secret=bytes(32), is_beyond=places.is_beyond,
        source="benchmark", min_accounts=min_accounts,
    )  # fmt: skip


# --- Cost -------------------------------------------------------------------------------------------------------------


def made_up(count: int, distinct: float, seed: int) -> Iterator[str]:
    """Prompts of ordinary words, 120 to 350 characters, of which a share never came before."""
    rng = random.Random(seed)
    words = "the of and to in is you that it he was for on are as with his they at be this have from".split()
    words += [f"{one}{other}" for one in ("gar", "let", "riv", "bud", "plan", "hist") for other in ("den", "ter", "er")]
    known = [" ".join(rng.choices(words, k=rng.randint(25, 65))) for _ in range(2000)]
    for _ in range(count):
        yield " ".join(rng.choices(words, k=rng.randint(25, 65))) if rng.random() < distinct else rng.choice(known)


def cost(calls: int, embedder: Embedder) -> None:
    """CPU by part, beside what the embedded detectors take."""
    made = reference(embedder)
    reader = RequestReader(load_shipped_bank())
    layers = {STACK: [Layer(name=LAYER, stage="input", is_always_asked=True)]}
    for distinct in (0.3, 1.0):
        detectors = Detectors(reader, reads_attacks=True)
        places = Places(_Nothing(), made, reader.heads)
        clusters = clusters_of(places, made)
        changes = Changes(layers, reader.known_categories, {STACK: _usual(reader)}, unit=Unit(filter_bits=20))
        rng = random.Random(1)
        seen = [
            call(number, f"a{rng.randrange(10**6)}", prompt)
            for number, prompt in enumerate(made_up(calls, distinct, seed=7))
        ]
        spent = dict.fromkeys(("detectors", "places", "clusters", "rates", "state"), 0.0)
        watch = _Timed(spent)
        for first in range(0, calls, 2000):
            read = watch("detectors", detectors.read, seen[first : first + 2000])
            placed = watch("places", places.read, read)
            watch("clusters", _see, clusters, placed)
            watch("rates", _see, changes, placed)
            watch("state", clusters.state)
            watch("state", changes.state)
        row = {name: round(1000 * value / calls, 4) for name, value in spent.items()}
        extra = sum(value for name, value in spent.items() if name != "detectors")
        print(
            json.dumps(
                {
                    "distinct": distinct,
                    "ms_a_call": row,
                    "calls_per_cpu_second_by_itself": round(calls / extra),
                    "with_detectors": round(calls / sum(spent.values())),
                    "clusters": len(clusters),
                    "state_mib": round((len(clusters.state()) + len(changes.state())) / 2**20, 2),
                }
            ),
            flush=True,
        )


class _Nothing:
    def read(self, batch: Sequence[Seen]) -> list[Seen]:
        """As they come."""
        return list(batch)


def _usual(reader: RequestReader) -> list[Usual]:
    names = ["silence/" + LAYER, "errors/" + LAYER, *(f"drift/{one}" for one in ("beyond", "attack-like", "long"))]
    names += [f"drift/category/{one}" for one in reader.known_categories]
    return [
        Usual(id=one, direction="falling" if one.startswith("silence") else "rising", bound=0.1, rate=0.1, accounts=999)
        for one in names
    ]


class _Timed:
    """Adds the CPU of what it calls."""

    def __init__(self, spent: dict[str, float]) -> None:
        self._spent = spent

    def __call__(self, name: str, work: Callable[..., Any], *arguments: Any) -> Any:
        began = time.process_time()
        done = work(*arguments)
        self._spent[name] += time.process_time() - began
        return done


def _see(watcher: Clusters | Changes, batch: Sequence[Seen]) -> None:
    list(watcher.saw_all(batch))


# --- In-the-wild jailbreaks among ordinary traffic --------------------------------------------------------------------


def texts_of(folder: Path, name: str) -> list[str]:
    """The texts of one set; of a dialogue its first turn."""
    rows = (json.loads(line) for line in (folder / f"{name}.jsonl").open(encoding="utf-8"))
    return [row["text"].removeprefix("Human: ").split("\n\nAssistant:")[0].strip() for row in rows]


def wild(folder: Path, runs: int, embedder: Embedder) -> None:
    """Calls and accounts of the new kind until an attack-like cluster of it is shown, and what else was."""
    made = reference(embedder)
    reader = RequestReader(load_shipped_bank())
    ordinary, new = [one for name in ORDINARY for one in texts_of(folder, name)], texts_of(folder, NEW)
    new_texts = set(new)
    for run in range(runs):
        rng = random.Random(run)
        known, later = _parted(ordinary, rng)
        places = Places(Detectors(reader), made, reader.heads)
        before = clusters_of(places, made)
        for one in places.read([call(i, f"b{i}", text) for i, text in enumerate(known)]):
            list(before.saw(one))
        usual = before.usual()
        places = Places(Detectors(reader), made, reader.heads, usual=usual)
        live = clusters_of(places, made)
        mixed = _mixed(later, rng.sample(new, len(new)), rng)
        alerts = []
        came = 0
        for one in places.read([call(10_000 + i, f"l{i}", text) for i, text in enumerate(mixed)]):
            came += one.prompt in new_texts
            alerts += [(came, one.prompt in new_texts, alert) for alert in live.saw(one)]
        found = [(after, alert) for after, is_new, alert in alerts if is_new and alert.severity == "warning"]
        shown = live.clusters(nearest=made.nearest, attack=made.attack_near)
        row = {
            "run": run,
            "usual_clusters": len(usual),
            "live_calls": len(mixed),
            "new_calls": came,
            "new_calls_until_shown": found[0][0] if found else None,
            "alerts_attack_like": sum(alert.severity == "warning" for _, _, alert in alerts),
            "of_these_by_new_calls": len(found),
            "alerts_other": sum(alert.severity == "info" for _, _, alert in alerts),
            "largest_attack_like": max((one.accounts for one in shown if one.label), default=0),
            "beyond": round(live.beyond / live.seen, 3),
            "radius": round(made.radius, 3),
        }
        print(json.dumps(row), flush=True)


def _parted(texts: Sequence[str], rng: random.Random) -> tuple[list[str], list[str]]:
    shuffled = rng.sample(list(texts), len(texts))
    half = len(shuffled) // 2
    return shuffled[:half], shuffled[half:]


def _mixed(ordinary: Sequence[str], new: Sequence[str], rng: random.Random) -> list[str]:
    """One call in twenty is of the new kind, as long as both last."""
    left, mixed = list(new), []
    for text in ordinary:
        mixed.append(text)
        if left and rng.random() < 1 / 19:
            mixed.append(left.pop())
    return mixed


# --- A layer that falls silent ----------------------------------------------------------------------------------------


def silence(runs: int) -> None:
    """Accounts until the end of a layer's firing shows, and runs with a false alarm where it goes on."""
    rates = [Usual(id=f"silence/{LAYER}", direction="falling", bound=0.02, rate=0.02, accounts=5000)]
    for stops_after in (None, 3000):
        delays, false = [], 0
        for run in range(runs):
            said = _silent_run(np.random.default_rng(run), rates, accounts=10_000, stops_after=stops_after)
            if stops_after is None or (said is not None and said <= stops_after):
                false += said is not None
            elif said is not None:
                delays.append(said - stops_after)
        row = {
            "stops_after": stops_after,
            "runs": runs,
            "false_alarms": false,
            "found": len(delays),
            "median_accounts_until_found": float(np.median(delays)) if delays else None,
        }
        print(json.dumps(row), flush=True)


def _silent_run(
    rng: np.random.Generator, rates: Sequence[Usual], *, accounts: int, stops_after: int | None
) -> int | None:
    """One run of bursty accounts: one in fifty tries again and again, and is stopped as long as the layer fires."""
    watch = Changes(
        {STACK: [Layer(name=LAYER, stage="input", is_always_asked=True)]}, (), {STACK: rates},
        unit=Unit(settle_s=60.0, filter_bits=18),
    )  # fmt: skip
    number = 0
    for account in range(accounts):
        is_bad = rng.random() < 0.02
        fires = is_bad and (stops_after is None or account < stops_after)
        for _ in range(int(rng.geometric(1 / 20 if is_bad else 1 / 2))):
            number += 1
            for alert in watch.saw(call(number, f"a{account}", "hello", fires=fires)):
                if alert.kind == "layer-silent":
                    return account
    return None


def main() -> None:
    """Run the part that is asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=["cost", "wild", "silence"])
    parser.add_argument("data", nargs="?", type=Path)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--embedder", choices=["hashed", "minilm"], default="hashed")
    asked = parser.parse_args()
    if asked.part == "cost":
        cost(asked.calls, open_embedder(asked.embedder))
    elif asked.part == "silence":
        silence(asked.runs)
    elif asked.data is None:
        parser.error("wild needs the folder of the public sets")
    else:
        wild(asked.data, asked.runs, open_embedder(asked.embedder))


if __name__ == "__main__":
    main()
