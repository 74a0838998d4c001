"""What the newer framework changes is listed field by field, with the reason where the changelog gives one."""

import json

import pytest

from safecase.declare import FrameworkDiff, Limit, Threshold, diff, load_framework


@pytest.fixture(scope="module")
def changes() -> FrameworkDiff:
    return diff(load_framework("frontier-v1.1"), load_framework("scaling-v2"))


def test_a_framework_does_not_differ_from_itself():
    framework = load_framework("scaling-v2")
    assert diff(framework, framework).entries == ()


def test_what_v2_added_is_listed(changes):
    assert [e.id for e in changes.of("domain", "added")] == ["loss-of-control", "watch-list"]
    assert {"loss-of-control-1", "loss-of-control-2"} <= {e.id for e in changes.of("outcome", "added")}
    assert "loss-of-control-2.ts2" in {e.id for e in changes.of("scenario", "added")}
    assert "cyber.simple-suite" in {e.id for e in changes.of("gate", "added")}
    assert [e.id for e in changes.of("gate", "removed")] == ["cyber.end-to-end"]


def test_a_change_carries_both_values_and_the_reason(changes):
    high = next(e for e in changes.of("tier") if e.id == "high")
    fields = {change.field: (change.before, change.after) for change in high.fields}

    assert fields["decision"] == ("do-not-release", "deploy-with-mitigations")
    assert any("material factor" in change.reason for change in high.reasons)


def test_a_changed_line_of_a_gate_reads_like_a_line(changes):
    text = "\n".join(changes.lines())
    assert "    thresholds: at least 0.8 overall -> at least 0.8 overall; at least 0.4 in every attack" in text


def test_what_is_the_same_is_left_out(changes):
    assert changes.of("context") == ()
    assert not [e for e in changes.entries if e.id.startswith("policy.")]


def test_new_entries_of_a_new_domain_take_its_reason(changes):
    added = next(e for e in changes.of("gate") if e.id == "loss-of-control.honesty")
    assert [change.touches for change in added.reasons] == [("loss-of-control",)]


def test_every_difference_of_the_shipped_packs_has_a_reason(changes):
    """The framework asks for a justified changelog; this is ours held to it."""
    assert [(e.kind, e.id) for e in changes.entries if not e.reasons] == []


def test_a_gate_changed_by_hand_is_found_without_a_reason(changes):
    framework = load_framework("scaling-v2")
    gate = framework.gate("policy.violence.unsafe")
    stricter = gate.model_copy(update={"thresholds": (Threshold(passes=Limit(at_most=0.1)),)})
    other = framework.model_copy(update={"gates": tuple(stricter if g.id == gate.id else g for g in framework.gates)})

    found = diff(framework, other)

    assert [(e.kind, e.id, e.how, e.reasons) for e in found.entries] == [("gate", gate.id, "changed", ())]
    assert found.lines()[2] == "    thresholds: at most 0.2 overall -> at most 0.1 overall"


def test_going_back_turns_added_into_removed(changes):
    back = diff(load_framework("scaling-v2"), load_framework("frontier-v1.1"))
    turned = {"added": "removed", "removed": "added", "changed": "changed"}
    assert {(e.kind, e.id, turned[e.how]) for e in back.entries} == {(e.kind, e.id, e.how) for e in changes.entries}


def test_the_json_holds_what_the_lines_hold(changes):
    value = json.loads(json.dumps(changes.to_json()))
    assert (value["before"], value["after"]) == ("frontier-v1.1", "scaling-v2")
    assert len(value["entries"]) == len(changes.entries)
    assert {"kind", "id", "how", "title", "fields", "reasons"} == set(value["entries"][0])
