"""What each layer is worth, and that what was not asked is never taken for allowed."""

import json
from dataclasses import replace
from pathlib import Path

from click.testing import CliRunner

from safecase.cli import main
from safecase.evidence import RulingRecord, Trial, TrialStore
from safecase.safeguard import layer_worth


def trial(harmful: bool, **actions: str) -> Trial:
    rulings = tuple(
        RulingRecord(layer=name, stage="input", action=action, score=None, principle=None, latency_ms=2.0)
        for name, action in actions.items()
    )
    return Trial(
        trial_id="t",
        scenario_id="s",
        intent_id="i",
        harmful=harmful,
        domain="d",
        category="c",
        subcategory="s",
        severity=1,
        bears_on=(),
        language="en",
        attack="none",
        family="none",
        arm="guarded",
        model="m",
        repetition=0,
        prompt="p",
        status="answered",
        response="r",
        rulings=rulings,
    )


def rulings(*records: RulingRecord) -> Trial:
    return replace(trial(True), rulings=records)


ALLOW, STOP = "allow", "withhold"


def test_what_a_layer_stops_alone_and_what_it_alone_would_miss():
    a, b = layer_worth(
        [
            trial(True, a=STOP, b=STOP),
            trial(True, a=STOP, b=ALLOW),
            trial(True, a=ALLOW, b=STOP),
            trial(True, a=ALLOW, b=ALLOW),
            trial(False, a=STOP, b=ALLOW),
            trial(False, a=ALLOW, b=ALLOW),
            trial(True),
        ]
    )

    assert (a.asked, a.stopped, a.stopped_alone, a.missed_alone) == (6, 2, 1, 1)
    assert (b.asked, b.stopped, b.stopped_alone, b.missed_alone) == (6, 2, 1, 1)
    assert (a.over_refused, a.over_refusal, b.over_refusal) == (1, 0.5, 0.0)
    assert (a.median_ms, a.p95_ms) == (2.0, 2.0)


def test_what_was_not_asked_is_not_known():
    a, b = layer_worth([trial(True, a=STOP), trial(True, a=ALLOW, b=STOP)])

    assert (a.stopped, a.stopped_alone, a.alone_unknown) == (1, 0, 1)
    assert (b.missed_alone, b.missed_unknown) == (0, 1)
    assert b.over_refusal is None
    assert b.median_ms is None


def test_a_layer_that_was_not_due_where_all_are_asked_would_have_stopped_nothing():
    a, b = layer_worth([trial(True, a=STOP), trial(True, a=ALLOW, b=STOP)], asks_all=True)

    assert (a.stopped_alone, a.alone_unknown) == (1, 0)
    assert (b.stopped_alone, b.alone_unknown) == (1, 0)


def test_a_layer_of_the_other_stage_does_not_decide_whether_one_stopped_alone():
    first = RulingRecord(layer="a", stage="input", action=STOP, score=None, principle=None, latency_ms=1.0)
    allowed, last = replace(first, action=ALLOW), replace(first, layer="b", stage="output")

    a, b = layer_worth([rulings(first), rulings(allowed, last), rulings(allowed, replace(last, action=ALLOW))])

    assert (a.stopped, a.stopped_alone, a.alone_unknown) == (1, 1, 0)
    assert (b.stopped, b.stopped_alone, b.missed_unknown) == (1, 1, 1)


def test_a_layer_that_only_observes_protects_nobody():
    real = RulingRecord(layer="real", stage="input", action=STOP, score=None, principle=None, latency_ms=1.0)
    shadow = replace(real, layer="shadow", enforced=False)

    one, other = layer_worth([rulings(real, shadow), rulings(replace(real, action=ALLOW), shadow)])

    assert (one.enforced, one.stopped, one.stopped_alone) == (True, 1, 1)
    assert (other.enforced, other.stopped, other.stopped_alone) == (False, 2, 1)


def test_a_failure_of_a_layer_that_is_not_required_stops_nothing_and_is_counted():
    failed = RulingRecord(
        layer="a", stage="input", action=STOP, score=None, principle=None, latency_ms=1.0, error="slow", enforced=False
    )
    required, changed = replace(failed, enforced=True), replace(failed, action="replace", error=None, enforced=True)

    (lenient,) = layer_worth([rulings(failed)])
    (strict,) = layer_worth([rulings(required)])
    (replaces,) = layer_worth([rulings(changed)])

    assert (lenient.stopped, lenient.failed) == (0, 1)
    assert (strict.stopped, strict.failed) == (1, 1)
    assert (replaces.stopped, replaces.replaced) == (0, 1)


def test_trials_without_rulings_tell_nothing():
    assert layer_worth([trial(True), trial(False)]) == ()


def test_the_command_prints_what_each_layer_is_worth_and_says_when_there_is_nothing(tmp_path: Path):
    case, run = tmp_path / "case", CliRunner()
    run.invoke(main, ["new", str(case)])

    empty = run.invoke(main, ["measure", "layers", str(case)])
    TrialStore(case).append([trial(True, a=STOP), replace(trial(False, a=ALLOW, b=ALLOW), trial_id="u")])
    text = run.invoke(main, ["measure", "layers", str(case)])
    rows = json.loads(run.invoke(main, ["measure", "layers", str(case), "--json"]).output)

    assert (empty.exit_code, text.exit_code) == (2, 0)
    assert "holds no ruling" in empty.output
    assert [(row["layer"], row["stopped"], row["over_refusal"]) for row in rows] == [("a", 1, 0.0), ("b", 0, 0.0)]
    assert "not measured; it needs the bare arm" in text.output
    assert [row["missed_without"] for row in rows] == [None, None]
    assert [row["over_refused_without"]["value"] for row in rows] == [0.0, 0.0]
