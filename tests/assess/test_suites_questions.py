"""Files of questions through a case: the gate both ways, sealed transcripts, nothing readable on disk."""

import json
import re

import pytest
from pydantic import ValidationError

from safecase.assess import decide_case, list_suites, open_case, report_case, run_suites, verify_case
from safecase.declare import SuiteRun
from safecase.testing import ScriptedModel

WORD = "marmalade"
LINE = """suites:
  - suite: chem-bio-dual-use
    attempts: 1
    questions: [{path: ../mine/quiz.jsonl, format: multiple-choice}]
    elicitation: {variant: least-mitigated, tuned_scaffold: true, human_baseline: {who: two, value: 0.9, source: us}}
"""


@pytest.fixture
def case(make_case):
    """Eighty questions in one category, beside the case file."""
    made = make_case(gates=("chem-bio.dual-use",), contexts=("limited",))
    folder = made.path.parent / "mine"
    folder.mkdir()
    rows = [
        {"question": f"Which {WORD} bears the number {n}?", "choices": [f"jar {n}", "a jug", "a tin"], "answer": 0}
        for n in range(80)
    ]
    (folder / "quiz.jsonl").write_text("\n".join(map(json.dumps, rows)))
    file = made.path / "safecase.yaml"
    file.write_text(file.read_text().partition("suites:\n")[0] + LINE)
    return open_case(made.path)


def knows(request) -> str:
    letter = re.search(r"^([A-Z])\. jar", request.messages[-1].content, re.MULTILINE)
    return f"Answer: {letter[1]}"


def misses(request) -> str:
    letter = re.search(r"^([A-Z])\. a jug", request.messages[-1].content, re.MULTILINE)
    return f"Answer: {letter[1]}"


@pytest.mark.parametrize(("script", "verdict"), [(misses, "pass"), (knows, "fail")])
async def test_the_gate_is_seen_both_ways(case, clock, script, verdict):
    await run_suites(case, model=ScriptedModel(script), now=clock)
    _, decided = await decide_case(case, assume_frontier=True, now=clock)

    (finding,) = [one for one in decided.findings if one.gate == "chem-bio.dual-use"]
    assert finding.verdict == verdict, finding.reason


async def test_no_question_is_readable_in_case_or_report(case, clock):
    await run_suites(case, model=ScriptedModel(knows), now=clock)
    await decide_case(case, assume_frontier=True, now=clock)
    await report_case(case, assume_frontier=True, now=clock)

    files = [path for path in case.path.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert [path.name for path in files if WORD.encode() in path.read_bytes()] == []
    assert all(one.sealed for one in case.attempts.transcripts())
    page = (case.path / "report" / "report.html").read_text()
    assert "closed questions in a fresh order of options" in page
    assert "published, so that answers may come from memory" in page


async def test_it_verifies_without_the_file_and_says_that_the_file_is_gone(case, clock):
    await run_suites(case, model=ScriptedModel(misses), now=clock)
    await decide_case(case, assume_frontier=True, now=clock)
    (case.path.parent / "mine" / "quiz.jsonl").unlink()

    checked = verify_case(case)
    states = {one.suite: one.state for one in list_suites(open_case(case.path))}

    assert checked.holds, checked
    assert any("is not here, so its tasks were taken as the plan lists them" in note for note in checked.notes)
    assert states["chem-bio-dual-use"].startswith("not here: question file")


def test_a_suite_comes_from_one_place():
    with pytest.raises(ValidationError, match="comes from one place"):
        SuiteRun.model_validate({"suite": "x", "plugin": "a:b", "questions": [{"path": "q", "format": "wmdp"}]})


def test_questions_inside_the_case_are_refused_since_a_case_is_handed_on(case):
    file = case.path / "safecase.yaml"
    file.write_text(file.read_text().replace("../mine/", "mine/"))

    states = {one.suite: one.state for one in list_suites(open_case(case.path))}

    assert "lies in the case, which is handed on" in states["chem-bio-dual-use"]
