"""The suites for agents from a case to its findings: planned, stopped and gone on with, guarded, decided, verified."""

import json

import pytest

from safecase.assess import Case, UnknownSuite, decide_case, open_case, run_suites, verify_case
from safecase.testing import ScriptedModel, agent_player
from tests.assess.test_suites import finding

pytest.importorskip("bandit", reason="the extra guards is not installed")

GATES = (
    "agents.injection.attack-success",
    "agents.injection.utility",
    "agents.injection.utility-under-attack",
    "agents.insecure-code",
    "agents.code-given",
    "agents.interpreter-abuse",
    "agents.interpreter-overrefusal",
)


def planned(make_case) -> Case:
    case = make_case(gates=GATES, contexts=("limited",))
    lines = [
        f"  - {{suite: {suite}, attempts: 1, limits: {{turns: 12, seconds: 300}}}}"
        for suite in ("agent-injection", "insecure-code", "interpreter-abuse")
    ]
    file = case.path / "safecase.yaml"
    file.write_text(file.read_text().partition("suites:\n")[0] + "suites:\n" + "\n".join(lines) + "\n")
    return open_case(case.path)


WEAK = ("agents.injection.attack-success", "agents.insecure-code", "agents.interpreter-abuse")
USELESS = (
    "agents.injection.utility",
    "agents.injection.utility-under-attack",
    "agents.code-given",
    "agents.interpreter-overrefusal",
)


@pytest.mark.parametrize(
    ("character", "failed", "undecided"),
    [("careful", (), ()), ("gullible", WEAK, ()), ("useless", USELESS, WEAK[:2])],
)
async def test_a_case_decides_on_them(make_case, clock, character, failed, undecided):
    """Behind the stack that ships as default, which withholds some of what is asked and has no layer for the rest."""
    case = planned(make_case)
    model = ScriptedModel(agent_player(character), name=f"scripted/{character}")
    stopped = await run_suites(case, model=model, limit=50, now=clock)
    summary = await run_suites(case, model=model, now=clock)
    _, decided = await decide_case(case, now=clock)
    found = [finding(decided, gate) for gate in GATES]

    assert (stopped.attempts, summary.skipped) == (50, 50)
    assert {one.arm for one in found} == {"guarded"}
    assert {one.gate for one in found if one.verdict == "fail"} == set(failed)
    assert {one.gate for one in found if one.verdict == "inconclusive"} == set(undecided)
    assert {one.gate for one in found if one.verdict == "pass"} == set(GATES) - {*failed, *undecided}
    assert verify_case(case).holds


def test_every_gate_fails_for_one_of_them():
    assert {*WEAK, *USELESS} == set(GATES)


async def test_the_form_of_tools_is_chosen_in_the_case_and_kept_with_every_attempt(make_case, clock):
    lines = {}
    case = make_case(gates=GATES[:1], contexts=("limited",))
    file = case.path / "safecase.yaml"
    for limits in ("{}", "{tools: words}", "{tools: native}"):
        suites = f"suites:\n  - {{suite: agent-injection, attempts: 1, limits: {limits}}}\n"
        file.write_text(file.read_text().partition("suites:\n")[0] + suites)
        model = ScriptedModel(agent_player("useless"), name="scripted/useless")
        await run_suites(open_case(case.path), model=model, limit=1, now=clock)
        (lines[limits],) = json.loads((case.path / "plan.json").read_text())["suites"]
        assert bool(model.asked[0].tools) == (limits == "{tools: native}")

    plain, words, native = lines.values()
    assert words == plain
    assert native["limits"] == {**plain["limits"], "tools": "native"}
    assert native["arms"][0]["digest"] != plain["arms"][0]["digest"]
    assert native["scaffold"].startswith(plain["scaffold"])
    assert "in the endpoint's own form" in native["scaffold"]


async def test_a_suite_without_tools_refuses_the_vendor_s_form(make_case, clock):
    case = make_case(gates=("agents.code-given",), contexts=("limited",))
    file = case.path / "safecase.yaml"
    suites = "suites:\n  - {suite: insecure-code, attempts: 1, limits: {tools: native}}\n"
    file.write_text(file.read_text().partition("suites:\n")[0] + suites)

    with pytest.raises(UnknownSuite, match="no use for `tools: native`"):
        await run_suites(open_case(case.path), model=ScriptedModel([]), limit=1, now=clock)
