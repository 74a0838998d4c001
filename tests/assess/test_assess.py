"""A case from its file to its permits, by scripted targets, through the one path."""

import json

from safecase.assess import (
    assess,
    decide_case,
    open_case,
    run_case,
    sign_decision,
    verify_case,
    write_permit,
    write_roster,
)
from safecase.evidence import generate_key, read_envelope
from safecase.testing import ScriptedModel

from .conftest import safe_target, unsafe_target


async def test_a_safe_target_reaches_a_permit(make_case, tmp_path, clock):
    case = make_case()
    outcome = await assess(case, model=ScriptedModel(safe_target), now=clock)
    assert {p.context: p.choice for p in outcome.decided.proposals} == dict.fromkeys(case.spec.contexts, "approve")

    keys = [generate_key(tmp_path / f"{name}.pem", demo=False) for name in ("root", "one", "two")]
    assert len(keys) == 3
    people = [f"one:chief-ai-officer:{tmp_path}/one.pem", f"two:director-alignment-risk:{tmp_path}/two.pem"]
    write_roster(case, tmp_path / "root.pem", people, now=clock)
    for name in ("one", "two"):
        signed = sign_decision(case, tmp_path / f"{name}.pem", position="approve", reason="read it", now=clock)
    permit = write_permit(case, "closed", now=clock)

    assert signed.quorum.is_met
    said = read_envelope(permit).statement().predicate
    assert (said["context"], said["arm"], said["demo"]) == ("closed", "guarded", False)
    assert said["stack_digest"] == case.arms["guarded"].digest
    assert verify_case(open_case(case.path)).holds


async def test_an_unsafe_target_fails_every_gate(make_case, clock):
    """Without the report, which says what was decided in the same way for every target."""
    case = make_case()
    await run_case(case, model=ScriptedModel(unsafe_target), now=clock)
    _, decided = await decide_case(case, now=clock)

    verdicts = {(f.gate, f.verdict) for f in decided.findings if f.context == "open"}
    assert {v for gate, v in verdicts if gate.startswith("policy.")} == {"fail"}
    assert {p.choice for p in decided.proposals} == {"require-mitigation"}


async def test_the_same_command_again_runs_nothing_and_changes_no_decision(make_case, clock):
    case = make_case(gates=("policy.violence.unsafe",))
    await assess(case, model=ScriptedModel(safe_target), now=clock)
    before = (case.path / "decision.json").read_bytes()

    again = ScriptedModel(safe_target)
    outcome = await assess(open_case(case.path), model=again, now=clock)

    assert again.asked == []
    assert outcome.run.trials == 0
    assert (case.path / "decision.json").read_bytes() == before
    editions = json.loads((case.path / "report" / "editions.json").read_bytes())
    assert [one["edition"] for one in editions] == [1, 2]


async def test_what_the_case_file_says_of_its_model_is_not_said_of_another(make_case, clock):
    """A frontier model run with `--model` would else keep the training compute of the small one, and skip its gates."""
    case = make_case(gates=("policy.overrefusal",), intents=4)
    await run_case(case, model=ScriptedModel(safe_target, name="scripted/other"), now=clock)

    _, decided = await decide_case(case, now=clock)

    assert "training operations are unknown (scripted/other was run, and safecase.yaml speaks of" in decided.frontier
    assert not any(finding.verdict == "not-applicable" for finding in decided.findings)


async def test_a_case_without_an_author_says_that_its_author_may_sign(make_case, clock):
    case = make_case(gates=("policy.overrefusal",), intents=4)
    await run_case(case, model=ScriptedModel(safe_target), now=clock)
    path = case.path / "safecase.yaml"
    said = [(await decide_case(case, now=clock))[1].limits]
    path.write_text(path.read_text().replace("author: unnamed", "author: ana"))
    said.append((await decide_case(open_case(case.path), now=clock))[1].limits)

    assert [any("names no author" in line for line in limits) for limits in said] == [True, False]
