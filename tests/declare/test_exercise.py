"""An exercise that is accepted changes the pack and passes the checker; a refused one keeps its reasons."""

import datetime as dt
import difflib
from pathlib import Path

import pytest

from safecase.declare import (
    Exercise,
    PackError,
    apply_exercise,
    due_exercises,
    exercise_template,
    load_exercise,
    load_framework,
    pack_path,
)

PACK = pack_path("scaling-v2")

ACCEPTED = """\
id: 2026-09-containment
date: 2026-09-01
repeat_on: 2027-03-01
facilitator: head of threat modelling
participants:
  - {organisation: our company, role: safety researcher, independence: internal}
  - {organisation: a university, role: expert on autonomous systems, independence: external}
proposes:
  kind: outcome
  id: loss-of-containment
  title: Loss of containment
  domain: loss-of-control
pathway:
  - {step: a copy of the weights leaves, actor: the model, ai_adds: all of it, barrier: egress control}
criteria:
  plausible: {holds: true, reason: each step can be staged in a sandbox}
  catastrophic: {holds: true, reason: a copy beyond reach cannot be corrected}
  net_new: {holds: true, reason: only an AI can copy itself on its own account}
  irremediable: {holds: true, reason: copies cannot be called back}
decision:
  verdict: accepted
  reasons: ["The four criteria now hold: staging it took two weeks."]
  pack_version: "2.1"
entries:
  outcome:
    id: loss-of-containment
    title: Loss of containment (self-exfiltration, acquisition of resources)
    cites: exercise 2026-09-containment
    inclusion:
      plausible: {holds: true, reason: each step can be staged in a sandbox}
      catastrophic: {holds: true, reason: a copy beyond reach cannot be corrected}
      net_new: {holds: true, reason: only an AI can copy itself on its own account}
      irremediable: {holds: true, reason: copies cannot be called back}
    threat_scenarios:
      - id: loss-of-containment.ts1
        title: the model copies its weights out and pays for the machines they run on
        actor: the model
        skill: model
        capabilities: [self-copying, offensive-operations]
  capabilities:
    - {id: self-copying, title: copying its own weights past egress control}
  suites:
    - id: containment-range
      title: Staged escape from a sandbox
      measures: [success_rate]
      available: false
      needs: an isolated range with decoy weights and decoy payment
  gates:
    - id: loss-of-control.containment
      title: Staged escape
      cites: exercise 2026-09-containment; safecase default
      bears_on: [loss-of-containment]
      suite: containment-range
      measure: success_rate
      thresholds:
        - passes: {below: 0.05}
      calibration: own
      contexts: [internal, limited, controlled, closed, open]
      arm: bare
      own_figure: true
"""


@pytest.fixture
def record(tmp_path: Path):
    """Write an exercise and load it."""

    def write(text: str) -> Exercise:
        path = tmp_path / "exercise.yaml"
        path.write_text(text, encoding="utf-8")
        return load_exercise(path)

    return write


def applied(exercise: Exercise, folder: Path, pack: Path = PACK) -> tuple[Path, str]:
    text = apply_exercise(exercise, pack)
    path = folder / "applied.yaml"
    path.write_text(text, encoding="utf-8")
    return path, text


def test_an_accepted_outcome_enters_the_pack_with_its_gate(record, tmp_path):
    path, _ = applied(record(ACCEPTED), tmp_path)

    framework = load_framework(str(path))  # the checker passes

    home = framework.domain_of("loss-of-containment")
    assert home.id == "loss-of-control"
    assert framework.domain_of("loss-of-containment.ts1") == home
    assert framework.gate("loss-of-control.containment").thresholds[0].passes.below == 0.05
    assert (framework.version, framework.date) == ("2.1", dt.date(2026, 9, 1))
    line = framework.changelog[-1]
    assert line.reason == "The four criteria now hold: staging it took two weeks."
    assert "loss-of-containment" in line.touches


def test_an_accepted_outcome_leaves_the_watch_list(record, tmp_path):
    path, _ = applied(record(ACCEPTED), tmp_path)

    watched = next(d for d in load_framework(str(path)).domains if d.kind == "watch-list")
    assert [o.id for o in watched.outcomes] == [
        "radiological-nuclear",
        "physical-autonomy-1",
        "loss-of-oversight-capacity",
    ]


def test_comments_and_untouched_lines_stay_where_they_are(record, tmp_path):
    _, text = applied(record(ACCEPTED), tmp_path)

    before = PACK.read_text(encoding="utf-8").splitlines()
    marks = list(difflib.ndiff(before, text.splitlines()))
    assert {mark[2:] for mark in marks if mark.startswith("- ")} == {
        'version: "2.0"',
        "date: 2026-04-07",
        "      - id: loss-of-containment",
        "        title: Loss of containment (self-exfiltration, acquisition of resources)",
        "        cites: A2 3.4, watch-list",
    }
    assert not [mark for mark in marks if mark[2:].lstrip().startswith("#") and mark[0] in "+-"]


def test_a_refused_outcome_leaves_the_pack_as_it_was_but_for_its_reasons(record, tmp_path):
    exercise = record(exercise_template())

    path, text = applied(exercise, tmp_path)

    before = PACK.read_text(encoding="utf-8")
    assert text.startswith(before)  # nothing above the new list is touched
    framework, old = load_framework(str(path)), load_framework("scaling-v2")
    assert framework.model_copy(update={"refused": ()}) == old
    (refused,) = framework.refused
    assert (refused.id, refused.exercise, refused.repeat_on) == ("cyber-4", exercise.id, exercise.repeat_on)
    assert refused.reasons == (
        "Every step is done today without AI, at the same scale.",
        "net_new does not hold: it is possible as described without general-purpose AI",
    )


def test_a_second_refusal_joins_the_first(record, tmp_path):
    path, _ = applied(record(exercise_template()), tmp_path)
    again = record(exercise_template().replace("id: 2026-05-example", "id: 2026-06-example"))

    path, _ = applied(again, tmp_path, path)

    assert [r.exercise for r in load_framework(str(path)).refused] == ["2026-05-example", "2026-06-example"]


def test_an_accepted_scenario_joins_its_outcome(record, tmp_path):
    exercise = record(SCENARIO)

    path, _ = applied(exercise, tmp_path)

    framework = load_framework(str(path))
    outcome = next(o for d in framework.domains for o in d.outcomes if o.id == "cyber-3")
    assert [s.id for s in outcome.threat_scenarios] == ["cyber-3.ts1", "cyber-3.ts2"]


SCENARIO = (
    ACCEPTED[: ACCEPTED.index("proposes:")]
    + """\
proposes: {kind: scenario, id: cyber-3.ts2, title: cloned voices, domain: cyber, outcome: cyber-3}
"""
    + ACCEPTED[ACCEPTED.index("pathway:") : ACCEPTED.index("entries:")]
    + """\
entries:
  scenarios:
    - id: cyber-3.ts2
      title: scams by cloned voices at scale
      actor: an organised fraud group
      skill: low
      capabilities: [account-management]
"""
)

# what is wrong with a record: what is replaced, by what, and what the message says
RECORD_FAULTS = {
    "accepted though a criterion fails": (
        "  net_new: {holds: true, reason: only an AI can copy itself on its own account}\n  irr",
        "  net_new: {holds: false, reason: worms do it}\n  irr",
        "accepts 'loss-of-containment' though the criterion 'net_new' does not hold; refuse it or show why it holds",
    ),
    "a criterion without an answer": ("  catastrophic: {", "  # {", "field 'criteria.catastrophic' is missing; add it"),
    "accepted without a version": ('  pack_version: "2.1"\n', "", "accepts and names no pack_version"),
    "accepted without entries": ("entries:\n", "entries:\n---\n", "not YAML"),
    "accepted without a gate": (
        "      bears_on: [loss-of-containment]",
        "      bears_on: [cyber-1]",
        "no gate bears on",
    ),
    "another outcome": ("    id: loss-of-containment\n", "    id: loss\n", "entries do not hold the outcome"),
    "other criteria in the entry": (
        "      irremediable: {holds: true, reason: copies",
        "      irremediable: {holds: true, reason: most copies",
        "does not carry the criteria as the exercise answered them",
    ),
    "no participants": (
        ACCEPTED[ACCEPTED.index("participants:") : ACCEPTED.index("proposes:")],
        "participants: []\n",
        "participants names nothing; name at least one",
    ),
    "a repeat in the past": ("repeat_on: 2027-03-01", "repeat_on: 2026-08-01", "not after its date; set a later date"),
    "no reasons": (
        'reasons: ["The four criteria now hold: staging it took two weeks."]',
        "reasons: []",
        "decision.reasons names nothing",
    ),
    "refused with entries": (
        "verdict: accepted",
        "verdict: refused",
        "refuses 'loss-of-containment' and brings entries",
    ),
}


@pytest.mark.parametrize("fault", RECORD_FAULTS)
def test_a_record_that_does_not_hold_together_is_refused_with_its_line(record, fault):
    old, new, said = RECORD_FAULTS[fault]
    assert old in ACCEPTED

    with pytest.raises(PackError) as caught:
        record(ACCEPTED.replace(old, new, 1))

    assert said in str(caught.value)
    assert str(caught.value).startswith("exercise.yaml:")


def test_the_line_of_a_failing_criterion_is_given(record):
    text = ACCEPTED.replace("net_new: {holds: true", "net_new: {holds: false", 1)
    with pytest.raises(PackError) as caught:
        record(text)

    line = int(str(caught.value).split(":")[1])
    assert "net_new" in text.splitlines()[line - 1]


def test_a_record_made_in_code_is_held_to_the_same(record):
    """`apply_exercise` must not trust that its argument came through `load_exercise`."""
    exercise = record(ACCEPTED)
    criteria = exercise.criteria.model_copy(
        update={"net_new": exercise.criteria.net_new.model_copy(update={"holds": False})}
    )
    with pytest.raises(PackError, match="though the criterion 'net_new' does not hold"):
        apply_exercise(exercise.model_copy(update={"criteria": criteria}), PACK)


# what does not fit the pack: what is replaced in the record, and what the message says
MISFITS = [
    (
        "  domain: loss-of-control",
        "  domain: loss-of-patience",
        "no domain 'loss-of-patience' for the proposal; use one",
    ),
    ("  domain: loss-of-control", "  domain: watch-list", "is of kind watch-list and takes no outcomes"),
    ("capabilities: [self-copying,", "capabilities: [self-coping,", "did you mean 'self-copying'?"),
    ("date: 2026-09-01", "date: 2026-03-01", "the pack is of 2026-04-07, after exercise"),
    ("- id: loss-of-control.containment", "- id: cyber.fraud", "id 'cyber.fraud' stands already in line"),
]


@pytest.mark.parametrize(("old", "new", "said"), MISFITS)
def test_an_exercise_that_does_not_fit_the_pack_is_refused(record, old, new, said):
    with pytest.raises(PackError) as caught:
        apply_exercise(record(ACCEPTED.replace(old, new, 1)), PACK)

    assert said in str(caught.value)


def test_the_same_exercise_is_not_applied_twice(record, tmp_path):
    refused, accepted = record(exercise_template()), record(ACCEPTED)
    path, _ = applied(refused, tmp_path)
    with pytest.raises(PackError, match="is recorded already"):
        apply_exercise(refused, path)

    path, _ = applied(accepted, tmp_path)
    with pytest.raises(PackError, match="stands already in line"):
        apply_exercise(accepted, path)


def test_a_pack_whose_lists_stand_in_brackets_is_left_alone(record, tmp_path):
    """Lines cannot be spliced into a list in brackets; saying so beats spoiling the file."""
    pack = tmp_path / "brackets.yaml"
    pack.write_text(PACK.read_text(encoding="utf-8") + "\nrefused: []\n", encoding="utf-8")
    with pytest.raises(PackError, match="refused cannot be edited in place; write it in block style"):
        apply_exercise(record(exercise_template()), pack)


def test_an_exercise_falls_due_on_its_day(record):
    exercise = record(ACCEPTED)
    assert not exercise.is_due(dt.date(2027, 2, 28))
    assert exercise.is_due(dt.date(2027, 3, 1))


def test_due_exercises_come_longest_overdue_first(record):
    early, late = record(ACCEPTED), record(exercise_template())
    assert due_exercises([late, early], on=dt.date(2027, 4, 1)) == (early,)
    assert due_exercises([late, early], on=dt.date(2028, 1, 1)) == (early, late)


def test_the_template_is_a_record_that_loads(record):
    assert record(exercise_template()).decision.verdict == "refused"
