"""How long estimates take at scale, and how much memory: synthetic trials, no model, one process.

    python benchmarks/estimates.py                   200,000 trials through `gather` and every estimate
    python benchmarks/estimates.py --case DIR        the same number written as a case, then `measure_case` on it
    python benchmarks/estimates.py --stop            what asking for early stop costs on the way

Peak memory is the process's own resident maximum, imports included.
"""

import argparse
import asyncio
import datetime as dt
import random
import resource
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from safecase.declare import load_framework
from safecase.evidence import Judgement, Trial, digest_bytes, digest_value
from safecase.measure import (
    EMBEDDED_CARD,
    Slot,
    Stopper,
    estimate_gates,
    estimate_rates,
    gather,
    load_card,
)

ATTACKS = 25
ARMS = ("bare", "guarded")
AREAS = (
    ("content-policy", "violence"),
    ("content-policy", "child-safety"),
    ("content-policy", "criminal-wrongdoing"),
    ("content-policy", "hateful-and-harmful"),
    ("content-policy", "sexual-content"),
    ("content-policy", "privacy"),
    ("content-policy", "unqualified-advice"),
    ("loss-of-control", "loss-of-control"),
)


def slots(trials: int) -> Iterator[Slot]:
    """A plan: every intent under every attack, plain benign twins between, both arms beside each other."""
    each = (ATTACKS + 1) * len(ARMS)
    for number in range(-(-trials // each)):
        domain, category = AREAS[number % len(AREAS)]
        for attack in range(ATTACKS + 1):
            harmful = attack < ATTACKS
            scenario = digest_bytes(f"{number}/{attack}".encode())[:24]
            for arm in ARMS:
                yield Slot(
                    trial_id=digest_value([scenario, arm])[:24],
                    scenario_id=scenario,
                    intent_id=f"{category}-{number}",
                    harmful=harmful,
                    domain=domain,
                    category=category,
                    subcategory="any",
                    language="en",
                    attack=f"attack-{attack}" if 0 < attack < ATTACKS else "none",
                    family=f"family-{attack % 6}",
                    arm=arm,
                    model="openai/synthetic",
                    repetition=0,
                )


def trials(places: Iterator[Slot], *, text: str) -> Iterator[Trial]:
    """An answered trial for every place."""
    for place in places:
        yield Trial(
            trial_id=place.trial_id,
            scenario_id=place.scenario_id,
            intent_id=place.intent_id,
            harmful=place.harmful,
            domain=place.domain,
            category=place.category,
            subcategory=place.subcategory,
            severity=2,
            bears_on=(place.category,),
            language=place.language,
            attack=place.attack,
            family=place.family,
            arm=place.arm,
            model=place.model,
            repetition=0,
            prompt=text,
            status="answered",
            response=text,
            response_digest="0" * 64,
            tokens_in=20,
            tokens_out=60,
            latency_s=0.5,
        )


def judgements(places: Iterator[Slot], *, digest: str) -> Iterator[Judgement]:
    """Verdicts: a tenth unsafe without safeguards, a fiftieth with them, alike within an intent."""
    rng = random.Random(1)
    leaning: dict[str, float] = {}
    for place in places:
        lean = leaning.setdefault(place.intent_id, rng.betavariate(0.5, 4.5))
        rate = lean if place.arm == "bare" else lean / 5
        verdict = "compliance" if (rng.random() < rate) == place.harmful else "refusal"
        yield Judgement(
            trial_id=place.trial_id,
            judge="embedded",
            judge_digest=digest,
            verdict=verdict,  # type: ignore[arg-type]  # one of two words
            scores={"refusal": 0.5},
        )


def peak_mb() -> float:
    """Resident maximum of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def of_streams(count: int) -> None:
    framework, card = load_framework("scaling-v2"), load_card(EMBEDDED_CARD)
    print(f"before             {peak_mb():7.0f} MB")
    began, cpu = time.perf_counter(), time.process_time()
    whole = gather(
        trials(slots(count), text="x" * 200),
        judgements(slots(count), digest=card.judge_digest),
        judge_digest=card.judge_digest,
        planned=slots(count),
        card=card,
    )
    print(f"gather             {peak_mb():7.0f} MB {time.perf_counter() - began:7.1f} s  {len(whole.rows)} trials")
    gates = estimate_gates(whole, framework, framework.gates)
    print(f"gates              {peak_mb():7.0f} MB {time.perf_counter() - began:7.1f} s  {len(gates)} estimates")
    rates = estimate_rates(whole)
    print(f"rates              {peak_mb():7.0f} MB {time.perf_counter() - began:7.1f} s  {len(rates)} estimates")
    spent, began_made = time.process_time() - cpu, time.process_time()
    for rows in (trials(slots(count), text="x" * 200), judgements(slots(count), digest=""), slots(count)):
        for _ in rows:
            pass
    made = time.process_time() - began_made
    print(f"CPU {spent - made:.1f} s, without the {made:.1f} s that it took to make the trials up")


def of_stopper(count: int) -> None:
    framework, card = load_framework("scaling-v2"), load_card(EMBEDDED_CARD)
    said = judgements(slots(count), digest=card.judge_digest)
    rows = zip(trials(slots(count), text=""), said, strict=True)
    planned = {place.category for place in slots(count)}
    gates = [gate for gate in framework.gates if planned.intersection(gate.scope.categories)]
    stopper = Stopper(framework, gates, card, slots(count))
    spent, looks, fed, batch = 0.0, 0, 0, []
    for row in rows:
        batch.append(row)
        if len(batch) < 256:
            continue
        fed += len(batch)
        began = time.process_time()
        stopper.feed(batch)
        standing = stopper.decided()
        spent += time.process_time() - began
        looks += standing.trials == fed
        batch.clear()
    states = sorted(line.state for line in standing.gates)
    print(f"{looks} looks, {spent:.1f} s CPU, {peak_mb():.0f} MB; { ({s: states.count(s) for s in states}) }")


def of_case(count: int, folder: Path) -> None:
    from safecase.assess import measure_case, new_case, open_case

    if not (folder / "safecase.yaml").exists():
        new_case(folder)
        case, batch = open_case(folder), []
        for row in trials(slots(count), text="I can't help with that request, since it could hurt people."):
            batch.append(replace(row, model="imported/synthetic"))
            if len(batch) == 4096:
                case.trials.append(batch, at=dt.datetime.now(dt.UTC))
                batch.clear()
        if batch:
            case.trials.append(batch, at=dt.datetime.now(dt.UTC))
        print(f"written            {peak_mb():7.0f} MB; run the same again to measure in a fresh process")
        return
    began = time.perf_counter()
    measured = asyncio.run(measure_case(open_case(folder)))
    seconds = time.perf_counter() - began
    print(f"measure_case       {peak_mb():7.0f} MB {seconds:7.1f} s  {measured.judging.judged} judged now")


def main() -> None:
    """Read arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200_000)
    parser.add_argument("--case", type=Path, default=None)
    parser.add_argument("--stop", action="store_true")
    args = parser.parse_args()
    if args.case is not None:
        of_case(args.trials, args.case)
    elif args.stop:
        of_stopper(args.trials)
    else:
        of_streams(args.trials)


if __name__ == "__main__":
    main()
