"""The risk map shows everything that the framework fears, and what cannot be measured yet."""

import json

from safecase.declare import load_framework, risk_map


def test_every_scenario_area_and_watched_outcome_has_a_row():
    framework = load_framework("scaling-v2")
    rows = risk_map(framework)

    scenarios = [s.id for d in framework.domains for o in d.outcomes for s in o.threat_scenarios]
    assert [row.scenario for row in rows if row.scenario] == scenarios
    assert {row.outcome for row in rows if row.kind == "content-policy"} == {
        area for domain in framework.domains if domain.kind == "content-policy" for area in domain.areas
    }
    assert len([row for row in rows if row.kind == "watch-list"]) == 4


def test_only_the_watch_list_has_no_gate():
    rows = risk_map(load_framework("scaling-v2"))
    assert {row.kind for row in rows if not row.gates} == {"watch-list"}
    assert all(row.gates for row in rows if row.kind != "watch-list")


def test_a_gate_without_a_suite_says_why_and_what_follows():
    (row,) = [row for row in risk_map(load_framework("scaling-v2")) if row.scenario == "cyber-1.ts1"]
    gates = {gate.gate: gate for gate in row.gates}

    assert gates["cyber.simple-suite"].status == "measurable"
    assert gates["cyber.complex-suite"].status == "not-measured"
    assert "called for when cyber.simple-suite is crossed" in gates["cyber.complex-suite"].why
    assert gates["cyber.refusal"].status == "measurable"
    assert gates["cyber.refusal"].own_figure


def test_a_gate_on_the_sister_scenario_does_not_show():
    (row,) = [row for row in risk_map(load_framework("scaling-v2")) if row.scenario == "loss-of-control-1.ts1"]
    names = {gate.gate for gate in row.gates}
    assert "loss-of-control.enhanced-research" in names
    assert "loss-of-control.enhanced" not in names


def test_rows_read_and_travel():
    (row,) = [row for row in risk_map(load_framework("scaling-v2")) if row.scenario == "cyber-2.ts1"]

    assert row.lines()[0] == "cyber > cyber-2 > cyber-2.ts1: TS.2.1: finds what expert teams need a month or more for"
    assert row.lines()[1].startswith("    needs: automated discovery and exploitation of vulnerabilities")
    assert json.loads(json.dumps(row.to_json()))["gates"][0]["gate"] == "cyber.simple-suite"
