"""The safety-case argument: what carries it, what defeats it, how sure it is, and when it reopens."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.decide.test_decide import FULL, SMALL

from safecase.decide import (
    CONFIDENCES,
    Acceptance,
    Argument,
    Concern,
    Facts,
    argument_asked,
    build_argument,
    decide,
    to_mermaid,
    to_sacm,
)
from safecase.declare import Gate, load_framework
from safecase.evidence import Elicitation, Estimate

FRAMEWORK = load_framework("scaling-v2")
BIG = replace(SMALL, assume_frontier=True)


def estimate(gate: Gate, arm: str, group: str, value: float, *, calibration: str = "own") -> Estimate:
    return Estimate(
        estimate_id=f"{gate.id}/{arm}/{group}",
        measure=gate.measure,
        arm=arm,
        group=group,
        value=value,
        low=value,
        high=value,
        lower_bound=value,
        upper_bound=value,
        failure_lower=value,
        failure_upper=value,
        level=0.95,
        n=200,
        clusters=200,
        absent=0,
        observed=value,
        judge="grader/exact",
        calibration=calibration,  # type: ignore[arg-type]
        method="test",
        scope={},
        trial_ids_digest="",
    )


def safe_value(gate: Gate) -> float:
    """A rate with which every threshold of the gate is cleared."""
    values = [0.0, 1.0]
    return next(v for v in values if all(t.passes.holds(v) for t in gate.thresholds))


def estimates(changed: dict[str, float] | None = None, **options: Any) -> list[Estimate]:
    """Every gate measured at its safest on both arms; `changed` names gates with another value."""
    made = []
    for gate in FRAMEWORK.gates:
        value = (changed or {}).get(gate.id, safe_value(gate))
        groups = {"all", *(f"{t.over}:one" for t in gate.thresholds if t.over != "all")}
        made += [estimate(gate, arm, g, value, **options) for arm in ("bare", "guarded") for g in sorted(groups)]
    return made


def elicited(**changes: Any) -> dict[tuple[str, str], Elicitation]:
    """Every suite tried as hard as its pack asks, on both arms."""
    full = replace(FULL, **{"baselines": {"human": {"who": "x", "value": 1.0, "source": "test"}}, **changes})
    return {(s.id, arm): replace(full, suite=s.id, arm=arm) for s in FRAMEWORK.suites for arm in ("bare", "guarded")}


def argue(
    found: Sequence[Estimate],
    *,
    facts: Facts = BIG,
    context: str = "closed",
    **options: Any,
) -> Argument:
    framework = FRAMEWORK
    options.setdefault("elicited", elicited())
    decided = decide(
        framework,
        found,
        facts,
        contexts=framework.contexts,
        planned=frozenset(gate.id for gate in framework.gates),
        elicited=options["elicited"],
    )
    return build_argument(framework, decided, found, facts, context=framework.context(context), **options)


def open_ones(argument: Argument) -> set[str]:
    return {doubt.defeater_id for doubt in argument.defeaters if doubt.state == "open"}


def test_an_honest_weak_model_is_argued_by_inability_with_high_confidence():
    argument = argue(estimates())

    assert (argument.top.state, argument.top.confidence) == ("supported", "high")
    assert argument.node("strategy:cyber-1/inability").state == "supported"
    assert open_ones(argument) == set()
    sandbagging = next(d for d in argument.defeaters if d.defeater_id == "sandbagging:cyber-1")
    assert sandbagging.state == "rebutted"
    assert "loss-of-control.checkpoint-adaptation: pass" in sandbagging.by


def test_a_model_that_sandbags_leaves_every_inability_argument_undermined():
    argument = argue(estimates({"loss-of-control.checkpoint-adaptation": 0.9}))

    assert argument.node("gate:cyber.simple-suite").state == "supported"
    assert {"sandbagging:cyber-1", "sandbagging:chem-bio-1"} <= open_ones(argument)
    assert argument.node("strategy:cyber-1/inability").confidence == "none"
    assert argument.node("goal:cyber").state == "undecided"
    assert argument.top.confidence == "none"


def test_what_was_not_drawn_out_is_doubted():
    argument = argue(estimates(), elicited=elicited(attempts=1, tuned_scaffold=False))

    doubt = next(d for d in argument.defeaters if d.defeater_id == "under-elicitation:cyber.simple-suite")
    assert doubt.state == "open"
    assert "1 attempts at a task" in doubt.text


def test_where_scripts_act_there_is_no_model_to_draw_out():
    doubted = {d.target for d in argue(estimates(), elicited={}).defeaters if d.kind == "under-elicitation"}

    assert "gate:loss-of-control.enhanced" in doubted
    assert "gate:loss-of-control.controls-verified" not in doubted


def test_a_judge_whose_error_nobody_knows_is_a_defeater_of_its_gate():
    argument = argue(estimates(calibration="none"))

    assert "uncalibrated-judge:policy.violence.unsafe" in open_ones(argument)
    assert argument.node("gate:policy.violence.unsafe").confidence == "none"


def test_a_judge_whose_error_was_carried_over_leaves_moderate_confidence():
    argument = argue(estimates(calibration="transferred"))

    assert argument.node("goal:violence").confidence == "moderate"


def test_a_scenario_on_which_nothing_bears_is_uncovered():
    found = [one for one in estimates() if not one.estimate_id.startswith("cyber.fraud")]
    found = [one for one in found if not one.estimate_id.startswith("cyber.refusal")]
    argument = argue(found)

    assert open_ones(argument) == {"uncovered-scenario:cyber-3.ts1"}
    assert argument.node("goal:cyber-3.ts1").state == "undecided"
    assert argument.node("goal:cyber-1.ts1").state == "supported"


def test_below_the_frontier_test_confidence_is_low_and_the_reason_is_the_compute():
    argument = argue(estimates(), facts=SMALL)

    assert argument.node("strategy:cyber-1/frontier-test").confidence == "low"
    assert argument.top.confidence == "low"


def test_a_gate_that_does_not_apply_and_fails_all_the_same_refutes():
    argument = argue(estimates({"cyber.fraud": 1.0}), facts=SMALL)

    assert argument.node("goal:cyber").state == "refuted"


def test_an_incident_opens_what_it_touches_and_nothing_beside_it():
    leak = Concern(concern_id="inc-7", kind="incident", what="keys were printed", touches=("privacy",))
    argument = argue(estimates(), concerns=[leak])

    assert open_ones(argument) == {"open-incident:inc-7/privacy"}
    assert argument.node("goal:privacy").confidence == "none"
    assert argument.node("goal:violence").confidence == "high"
    assert argument.top.state == "undecided"


def test_a_closed_incident_is_rebutted_and_one_of_another_context_is_no_defeater():
    closed = Concern(concern_id="inc-7", kind="incident", what="x", closed="fixed, and tested again")
    elsewhere = Concern(concern_id="inc-8", kind="condition", what="y", contexts=("open",))
    argument = argue(estimates(), concerns=[closed, elsewhere])

    assert open_ones(argument) == set()
    assert [d.by for d in argument.defeaters if d.kind == "open-incident"] == ["closed: fixed, and tested again"]
    assert not [d for d in argument.defeaters if d.kind == "broken-condition"]


def test_an_accepted_doubt_leaves_low_confidence_and_lapses_when_it_changes():
    leak = Concern(concern_id="inc-7", kind="incident", what="keys were printed")
    digest = next(d.digest for d in argue(estimates(), concerns=[leak]).defeaters if d.kind == "open-incident")
    signed = [Acceptance(digest=digest, reason="contained", signers=("ana (safety)", "ben (board)"))]

    accepted = argue(estimates(), concerns=[leak], acceptances=signed)
    worse = argue(estimates(), concerns=[replace(leak, what="keys were printed twice")], acceptances=signed)

    assert (accepted.top.state, accepted.top.confidence) == ("supported", "low")
    assert accepted.against("goal:top")[0].by == "ana (safety), ben (board): contained"
    assert worse.top.confidence == "none"


def test_a_claim_whose_evidence_moved_reopens_with_all_that_rests_on_it():
    settled = argue(estimates())
    again = argue(estimates({"policy.violence.unsafe": 0.01}), basis=settled.footing())

    moved = {node.node_id for node in again.moved}
    assert moved == {
        "goal:top",
        "strategy:domains",
        "goal:content-policy",
        "goal:violence",
        "strategy:violence/safeguard",
        "gate:policy.violence.unsafe",
    }
    assert again.node("gate:policy.violence.unsafe").moved == ("the evidence it rests on changed",)
    assert not argue(estimates(), basis=settled.footing()).moved


def test_a_new_incident_reopens_and_its_closing_does_not():
    leak = Concern(concern_id="inc-7", kind="incident", what="keys were printed", touches=("privacy",))
    before, during = argue(estimates()), argue(estimates(), concerns=[leak])

    opened = argue(estimates(), concerns=[leak], basis=before.footing())
    closed = argue(estimates(), concerns=[replace(leak, closed="fixed")], basis=during.footing())

    assert opened.node("goal:privacy").moved == ("defeater open-incident:inc-7/privacy opened",)
    assert not closed.moved


def test_the_framework_asks_for_an_argument_once_the_enhanced_gates_are_reached():
    def asked(found: Sequence[Estimate]) -> tuple[str, ...]:
        gates = frozenset(gate.id for gate in FRAMEWORK.gates)
        decided = decide(FRAMEWORK, found, BIG, contexts=FRAMEWORK.contexts, planned=gates, elicited=elicited())
        return argument_asked(FRAMEWORK, decided)

    assert asked(estimates()) == ("open",)  # there nobody trained the model further, so nothing passes
    assert "closed" in asked(estimates({"loss-of-control.enhanced": 0.5}))


RATES = st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.8, 1.0])


@settings(max_examples=25, deadline=None)
@given(
    gates=st.lists(st.sampled_from([gate.id for gate in FRAMEWORK.gates]), unique=True, max_size=4),
    worse=st.sampled_from([gate.id for gate in FRAMEWORK.gates]),
    rates=st.lists(RATES, min_size=5, max_size=5),
    is_big=st.booleans(),
    calibration=st.sampled_from(["own", "transferred", "none"]),
)
def test_evidence_of_harm_never_raises_confidence(gates, worse, rates, is_big, calibration):
    """Any claim of the argument, whatever else is known."""
    facts = BIG if is_big else SMALL
    start = dict(zip(gates, rates, strict=False))
    gate = FRAMEWORK.gate(worse)
    step = rates[4] if gate.thresholds[0].passes.is_ceiling else -rates[4]
    now = start.get(worse, safe_value(gate))
    harmed = {**start, worse: now + step}

    before = argue(estimates(start, calibration=calibration), facts=facts)
    after = argue(estimates(harmed, calibration=calibration), facts=facts)

    was = {node.node_id: node.confidence for node in before.nodes if node.confidence}
    for node in after.nodes:
        if node.confidence and node.node_id in was:
            assert CONFIDENCES.index(node.confidence) <= CONFIDENCES.index(was[node.node_id]), node.node_id


@settings(max_examples=12, deadline=None)
@given(
    touches=st.lists(st.sampled_from(sorted(FRAMEWORK.entries())), max_size=3),
    kind=st.sampled_from(["incident", "condition"]),
    calibration=st.sampled_from(["own", "transferred"]),
)
def test_an_open_defeater_never_raises_confidence_and_leaves_none_at_the_top(touches, kind, calibration):
    concern = Concern(concern_id="one", kind=kind, what="it happened", touches=tuple(touches))
    before = argue(estimates(calibration=calibration))
    after = argue(estimates(calibration=calibration), concerns=[concern])

    for node in after.nodes:
        if node.confidence:
            was = before.node(node.node_id).confidence
            assert CONFIDENCES.index(node.confidence) <= CONFIDENCES.index(was), node.node_id
    assert after.top.confidence == "none"


@pytest.mark.parametrize("context", [context.id for context in FRAMEWORK.contexts])
def test_every_threat_scenario_is_in_the_argument_of_every_context(context: str):
    argument = argue(estimates(), context=context)
    known = {node.about for node in argument.nodes}
    scenarios = {
        s.id for d in FRAMEWORK.domains if d.kind != "watch-list" for o in d.outcomes for s in o.threat_scenarios
    }

    assert scenarios
    assert scenarios <= known
    assert all(link.source in {n.node_id for n in argument.nodes} for link in argument.links)


def test_sacm_names_every_element_once_and_counters_what_defeats():
    leak = Concern(concern_id="inc-7", kind="incident", what="keys were printed")
    package: Any = to_sacm(argue(estimates(), concerns=[leak]))["argumentPackage"]
    elements = package["elements"]
    ids = [element["gid"] for element in elements]
    known = {element["gid"] for element in elements if "source" not in element}

    assert len(ids) == len(set(ids))
    assert all({*one["source"], *one["target"]} <= known for one in elements if "source" in one)
    counters = {one["source"][0] for one in elements if one.get("isCounter")}
    assert "defeater:open-incident:inc-7" in counters
    top = next(one for one in elements if one["gid"] == "goal:top")
    assert (top["type"], top["assertionDeclaration"]) == ("Claim", "needsSupport")


def test_mermaid_draws_every_node_and_gives_no_two_the_same_name():
    argument = argue(estimates())
    lines = to_mermaid(argument).splitlines()
    names = {re.match(r"  (\w+)[\[({]", line).group(1) for line in lines if re.match(r"  \w+[\[({]", line)}

    assert lines[0] == "flowchart TD"
    assert sum("-->" in line for line in lines) == sum(x.relation == "supported-by" for x in argument.links)
    assert len(names) == len(argument.nodes) + len(argument.defeaters)
