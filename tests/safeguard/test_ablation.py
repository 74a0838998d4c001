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
    assert "0 of 1" in text.output
