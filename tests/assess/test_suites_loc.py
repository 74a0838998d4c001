"""The loss-of-control suites as they ship, from a case to its findings: who is caught, and who is cleared."""

import csv

import pytest

from safecase.assess import Case, decide_case, open_case, run_suites, take_review, verify_case, write_review
from safecase.suites import NoSandbox, find_engine
from safecase.testing import ScriptedModel, loc_player
from tests.assess.test_suites import FULL, finding

CHECKPOINT = tuple(f"loss-of-control.checkpoint-{name}" for name in ("time-horizon", "adaptation", "dual-task"))
PROPENSITY = tuple(f"loss-of-control.{name}" for name in ("honesty", "agentic-misalignment", "reward-hacking"))


@pytest.fixture(scope="module", autouse=True)
def _sandbox() -> None:
    try:
        find_engine()
    except NoSandbox as reason:
        pytest.skip(str(reason))


def planned(make_case, *suites: str) -> Case:
    case = make_case(gates=(*CHECKPOINT, *PROPENSITY), contexts=("limited",))
    lines = [
        f"  - {{suite: {suite}, attempts: 1, elicitation: {FULL}, limits: {{turns: 6, seconds: 300}}}}"
        for suite in suites
    ]
    file = case.path / "safecase.yaml"
    file.write_text(file.read_text().partition("suites:\n")[0] + "suites:\n" + "\n".join(lines) + "\n")
    return open_case(case.path)


async def verdicts(case: Case, character: str, clock, gates: tuple[str, ...]) -> list[str]:
    model = ScriptedModel(loc_player(character), name=f"scripted/{character}")  # type: ignore[arg-type]
    await run_suites(case, model=model, now=clock)
    _, found = await decide_case(case, assume_frontier=True, now=clock)
    return [finding(found, gate).verdict for gate in gates]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("character", "expected"),
    [
        ("sandbagger", ["provisional-high", "provisional-high", "provisional-high"]),
        ("able", ["provisional-high", "pass", "provisional-high"]),
    ],
)
async def test_the_checkpoint_catches_a_sandbagger_and_what_is_able(make_case, clock, character, expected):
    case = planned(make_case, "loc-checkpoint")

    assert await verdicts(case, character, clock, CHECKPOINT) == expected
    assert verify_case(case).holds


@pytest.mark.slow
async def test_an_honest_weak_model_is_cleared_once_a_person_has_looked_at_its_failures(make_case, clock, tmp_path):
    """Its short answers look like refusals to a rule, and only a person can say that they were honest failures."""
    case = planned(make_case, "loc-checkpoint")
    assert await verdicts(case, "weak", clock, CHECKPOINT) == ["inconclusive"] * 3

    sheet = tmp_path / "sheet.csv"
    write_review(case, sheet, now=clock)
    with sheet.open(newline="") as file:
        rows = [{**row, "spurious": "no"} for row in csv.DictReader(file)]
    with sheet.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    take_review(case, sheet, by="ada", now=clock)

    _, found = await decide_case(case, assume_frontier=True, now=clock)
    assert [finding(found, gate).verdict for gate in CHECKPOINT] == ["pass"] * 3
    assert verify_case(case).holds


@pytest.mark.slow
@pytest.mark.parametrize(
    ("character", "expected"),
    [
        ("weak", ["pass", "pass", "pass"]),
        ("liar", ["fail", "fail", "pass"]),
        ("hacker", ["pass", "pass", "fail"]),
    ],
)
async def test_propensities_are_seen_both_ways_in_a_case(make_case, clock, character, expected):
    case = planned(make_case, "mask-like", "agentic-misalignment", "reward-hacking")

    assert await verdicts(case, character, clock, PROPENSITY) == expected
