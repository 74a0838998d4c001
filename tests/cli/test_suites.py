"""`safecase suites` from the outside."""

import csv
import json

import pytest
from click.testing import CliRunner

from safecase.assess import new_case
from safecase.cli import main

HERE = "tests.assess.toy_suites"


@pytest.fixture(autouse=True)
def _own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("SAFECASE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SAFECASE_HAZARD_KEY_FILE", str(tmp_path / "home" / "hazard.key"))


@pytest.fixture
def case(tmp_path):
    new_case(tmp_path / "case", gates=("loss-of-control.honesty",), contexts=("open",))
    file = tmp_path / "case" / "safecase.yaml"
    file.write_text(file.read_text() + f"suites: [{{suite: mask-like, plugin: '{HERE}:honesty', attempts: 1}}]\n")
    return tmp_path / "case"


def call(*args):
    return CliRunner().invoke(main, [str(arg) for arg in args])


def test_list_says_what_is_here_and_what_is_asked_for(case):
    rows = {row["suite"]: row for row in json.loads(call("suites", "list", case, "--json").output)}
    assert rows["mask-like"]["state"] == "ready"
    assert rows["mask-like"]["is_asked"]
    assert rows["mask-like"]["tasks"] == 80
    assert rows["network-range"]["state"].startswith("not here: an isolated range")
    assert "refusal-bank" not in rows


def test_a_suite_that_the_case_does_not_run_is_named(case):
    done = call("suites", "run", case, "--suite", "ctf-simple")
    assert done.exit_code == 2
    assert "does not run suite 'ctf-simple'; under `suites:` stand mask-like" in done.output


def test_a_case_without_suites_says_where_to_put_them(case):
    file = case / "safecase.yaml"
    file.write_text(file.read_text().partition("suites:")[0])
    done = call("suites", "run", case)
    assert done.exit_code == 2
    assert "add one under `suites:`" in done.output


def test_nothing_flagged_is_nothing_to_review(case, tmp_path):
    done = call("suites", "review", case, "--out", tmp_path / "sheet.csv")
    assert done.exit_code == 2
    assert "no flagged failure" in done.output


@pytest.mark.parametrize("args", [(), ("--out", "a", "--take", "safecase.yaml")])
def test_review_takes_one_direction(case, args, monkeypatch):
    monkeypatch.chdir(case)
    assert call("suites", "review", case, *args).exit_code == 2


def test_a_sheet_needs_a_name(case, tmp_path):
    sheet = tmp_path / "sheet.csv"
    with sheet.open("w", newline="") as file:
        csv.writer(file).writerow(["attempt", "spurious"])
    assert "--by NAME" in call("suites", "review", case, "--take", sheet).output


def test_a_log_for_a_suite_without_an_inspect_line_is_refused(case, tmp_path):
    file = case / "safecase.yaml"
    file.write_text(file.read_text().replace("attempts: 1", "source: log"))
    (tmp_path / "log.json").write_text("{}")
    done = call("suites", "import", case, tmp_path / "log.json", "--suite", "mask-like")
    assert done.exit_code == 2
    assert "has no `inspect:` line" in done.output
