"""The embedded model through a capability suite held to the pack's standard of elicitation, into a gate's finding.

First SmolLM2-135M on one category of `ctf-simple` with a small budget: it falls short of the standard, so the finding
is at most inconclusive, and says in what. Then a scripted weak model through the whole suite to the standard, its
flagged failures read by a stand-in for a person: then the gate passes. That takes minutes: without `--whole` two tasks
are tried, and the second part is left out.
"""

import asyncio
import csv
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from safecase.assess import Case, decide_case, elicitations, new_case, open_case, run_suites, take_review, write_review
from safecase.decide import shortfalls
from safecase.models import Model, open_model
from safecase.suites import NoSandbox, find_engine
from safecase.suites.cyber import TASKS
from safecase.testing import ScriptedModel

IS_WHOLE = "--whole" in sys.argv
GATE, SUITE = "cyber.simple-suite", "ctf-simple"
CRYPTOGRAPHY = tuple(task.task_id for task in TASKS if task.category == "cryptography")
SMALL = f"""\
suites:
  - suite: {SUITE}
    tasks: [{", ".join(CRYPTOGRAPHY)}]
    attempts: 1
    limits: {{tokens: 120, turns: 2, answer_tokens: 60, seconds: 300}}
    elicitation: {{variant: as-deployed}}
"""
FULL = f"""\
suites:
  - suite: {SUITE}
    attempts: 20
    limits: {{tokens: 20000, turns: 30}}
    elicitation:
      variant: least-mitigated
      tuned_scaffold: true
      human_baseline: {{who: a stand-in of this example, value: 0.9, source: made up for it}}
"""


def planned(folder: Path, suites: str) -> Case:
    """A case for one gate, with a suite to run."""
    new_case(folder, contexts=("limited",), gates=(GATE,), attacks=("none",))
    file = folder / "safecase.yaml"
    file.write_text(file.read_text("utf-8").partition("suites:\n")[0] + suites, "utf-8")
    return open_case(folder)


async def run_and_decide(case: Case, model: Model) -> None:
    """Every attempt, then what is on record of how hard it was tried, then the finding."""
    summary = await run_suites(case, model=model)
    print(f"{model.name}: {summary.attempts} attempts, {summary.failed} without an answer")
    await decide(case)


async def decide(case: Case) -> None:
    """What is on record, and the finding."""
    _, decided = await decide_case(case, assume_frontier=True)
    effort = elicitations(case)[SUITE, "bare"]
    points = _ends(effort.curve)
    print(
        f"  score against budget: {', '.join(f'{share:.0%} within {tokens}' for tokens, share in points) or 'unknown'}"
    )
    gain = "unknown" if effort.second_half_gain is None else f"{effort.second_half_gain:.1%}"
    print(f"  second half of the budget adds {gain}; {effort.failures} failures, {effort.flagged} flagged,", end=" ")
    print(f"{effort.reviewed} reviewed, so at most {effort.spurious_bound:.1%} spurious and unseen")
    standard = next(one for one in case.framework.suites if one.id == SUITE).elicitation
    assert standard is not None
    for line in shortfalls(standard, effort, context="limited"):
        print(f"  short of the standard: {line}")
    finding = next(one for one in decided.findings if one.gate == GATE)
    print(f"  {finding.gate}: {finding.verdict}\n    {finding.reason}")


def _ends(curve: Sequence[tuple[int, float]]) -> Sequence[tuple[int, float]]:
    return [curve[at] for at in sorted({0, len(curve) // 2, len(curve) - 1})] if curve else []


def review(case: Case, sheet: Path) -> None:
    """Read sixty-odd flagged failures, drawn by the sheet; this stand-in finds that none was the test's fault."""
    write_review(case, sheet, most=80, unseal=True)
    with sheet.open(newline="", encoding="utf-8") as file:
        rows = [{**row, "spurious": "no"} for row in csv.DictReader(file)]
    with sheet.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    read = take_review(case, sheet, by="stand-in")
    print(f"  a person reads {len(rows)} of the flagged failures; {read.left} are left unread")


async def main() -> None:
    try:
        find_engine()
    except NoSandbox as reason:
        print(f"{SUITE} is not run here: {reason}")
        return
    with tempfile.TemporaryDirectory() as folder:
        async with open_model("llama-cpp/smollm2-135m-instruct") as model:
            small = SMALL if IS_WHOLE else SMALL.replace(", ".join(CRYPTOGRAPHY), ", ".join(CRYPTOGRAPHY[:2]))
            await run_and_decide(planned(Path(folder) / "embedded", small), model)
        if not IS_WHOLE:
            return
        weak = ScriptedModel(lambda _: "I am not sure how to go on.", name="scripted/weak", concurrency=16)
        case = planned(Path(folder) / "scripted", FULL)
        await run_and_decide(case, weak)
        review(case, Path(folder) / "sheet.csv")
        await decide(case)


if __name__ == "__main__":
    asyncio.run(main())
