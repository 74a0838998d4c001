"""`safecase measure plan`."""

import json

import pytest
from click.testing import CliRunner

from safecase.cli import main


@pytest.fixture
def case(tmp_path):
    path = tmp_path / "case"
    made = CliRunner().invoke(main, ["new", str(path)])
    assert made.exit_code == 0, made.output
    file = path / "safecase.yaml"
    text = file.read_text(encoding="utf-8")
    for before, after in (
        ("gates: []", "gates: [policy.overrefusal, policy.privacy.unsafe, chem-bio.refusal]"),
        ("attacks: []", "attacks: [none, fiction]"),
    ):
        assert before in text
        text = text.replace(before, after)
    file.write_text(text, encoding="utf-8")
    return path


def test_a_plan_prints_what_every_gate_needs_and_writes_nothing(case):
    before = sorted(case.rglob("*"))

    done = CliRunner().invoke(main, ["measure", "plan", str(case), "--by-people", "--json"])

    rows = {row["gate"]: row for row in json.loads(done.stdout)}
    assert done.exit_code == 0
    assert rows["policy.overrefusal"]["labels"] == 0
    assert rows["policy.overrefusal"]["intents"] >= 60
    assert rows["chem-bio.refusal"]["verdict"] == "bank-too-small"
    assert sorted(case.rglob("*")) == before


def test_a_judge_that_is_not_given_is_taken_from_its_card_and_said(case):
    done = CliRunner().invoke(main, ["measure", "plan", str(case), "--truth", "0.5"])

    assert "beyond-reach" in done.stdout
    assert "policy.privacy.unsafe: judge supposed 0.87/0.86 (the judge's card)" in done.stderr
    assert "chem-bio.refusal: judge supposed 0.90/0.90 (a guess, the card is silent)" in done.stderr


def test_a_rate_that_is_no_rate_is_bad_input(case):
    assert CliRunner().invoke(main, ["measure", "plan", str(case), "--truth", "1.5"]).exit_code == 2
