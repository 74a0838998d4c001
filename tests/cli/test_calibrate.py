"""`measure calibrate` from draw to report, as a team would type it."""

import csv
import io
import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from safecase.cli import main

REFUSES = "I'm sorry, but I can't help with that request. It could cause serious harm to people."
HELPS = "Sure! Here is a short overview. First, gather what you need. Second, work through the steps one at a time."


def call(*args: object, typed: str | None = None):
    return CliRunner().invoke(main, [str(arg) for arg in args], input=typed)


def last_json(result):
    return json.loads(result.stdout.strip().splitlines()[-1])


@pytest.fixture(autouse=True)
def _own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("SAFECASE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SAFECASE_HAZARD_KEY_FILE", str(tmp_path / "home" / "hazard.key"))


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("measured")
    rows = [
        {
            "scenario_id": f"s{i}",
            "intent_id": f"i{i}",
            "category": "violence",
            "harmful": True,
            "text": f"request {i}",
            "response": f"{HELPS if i % 2 else REFUSES} ({i})",
        }
        for i in range(40)
    ]
    file = folder / "t.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert call("new", folder / "case").exit_code == 0
    assert call("import", folder / "case", "--transcripts", file, "--arm", "guarded").exit_code == 0
    assert call("measure", folder / "case").exit_code == 0
    return folder / "case"


@pytest.fixture
def case(measured, tmp_path):
    return Path(shutil.copytree(measured, tmp_path / "case"))


def fill(path: Path, label=lambda row: "compliance" if row["answer"].startswith("Sure") else "refusal") -> Path:
    rows = list(csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline="")))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), delimiter=";")
    writer.writeheader()
    writer.writerows({**row, "label": label(row)} for row in rows)
    path.write_bytes(text.getvalue().encode("utf-8-sig"))
    return path


def test_from_draw_to_own_and_nothing_harmful_on_the_terminal(case, tmp_path):
    calibrate = ("measure", "calibrate")
    said = []

    def run(*args: object):
        result = call(*calibrate, *args)
        assert result.exit_code == 0, result.stderr
        said.append(result.output)
        return result

    drawn = run("draw", case, "--arm", "guarded", "--out", tmp_path / "out", "--show-harmful", "--json")
    one, two = (Path(name) for name in last_json(drawn)["sheets"] if name.endswith(".csv"))
    run("take", case, fill(one), "--rater", "ana")
    odd = iter(range(40))
    run("take", case, fill(two, lambda row: "skip" if next(odd) == 0 else _truth(row)), "--rater", "bo")
    run("disagreements", case, "--out", tmp_path / "out" / "open.csv", "--show-harmful")
    refused = call(*calibrate, "adjudicate", case, fill(tmp_path / "out" / "open.csv"), "--rater", "ana")
    run("adjudicate", case, tmp_path / "out" / "open.csv", "--rater", "cem")
    text = run(case).stdout
    report = last_json(run(case, "--json"))

    assert refused.exit_code == 2
    assert "third person" in refused.stderr
    assert last_json(drawn)["answers"] == 40
    assert "guarded harmful content-policy/en unsafe" in text
    assert report["known"][0]["level"] == "own"
    assert report["known"][0]["counts"] == {"hits": 20, "misses": 0, "rejections": 20, "false_alarms": 0}
    kappa = next(a for a in report["agreed"] if (a["who"], a["over"]) == ("judge and people", "all"))
    assert kappa["found"]["value"] == 1.0
    assert kappa["found"]["low"] < 0.9
    assert "Sure!" not in "".join(said)
    assert call("verify", case).exit_code == 0


def _truth(row):
    return "compliance" if row["answer"].startswith("Sure") else "refusal"


BAD = [
    (("draw", "{case}", "--arm", "guarded", "--out", "{tmp}/o"), "add --show-harmful"),
    (("draw", "{case}", "--arm", "none", "--out", "{tmp}/o", "--show-harmful"), "no answer of arm 'none'"),
    (("draw", "{case}", "--arm", "guarded", "--out", "{case}/o", "--show-harmful"), "inside the case"),
    (
        ("draw", "{case}", "--arm", "guarded", "--out", "{tmp}/o", "--event", "safe", "--show-harmful"),
        "only a stratified draw",
    ),
    (("take", "{case}", "none.csv", "--rater", "ana"), "none.csv' is not a file"),
    (("take", "{case}", "{case}/safecase.yaml", "--rater", "a:b"), "rater is 'a:b'"),
    (("adjudicate", "{case}", "none.csv", "--rater", "ana"), "none.csv' is not a file"),
    (("disagreements", "{case}", "--out", "{tmp}/o"), "add --show-harmful"),
]


@pytest.mark.parametrize(("args", "words"), BAD, ids=lambda value: value[0] if isinstance(value, tuple) else None)
def test_bad_input_gives_one_clear_line(case, tmp_path, args, words):
    result = call("measure", "calibrate", *(arg.format(case=case, tmp=tmp_path) for arg in args))

    assert result.exit_code == 2, result.stderr
    assert words in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_case_may_be_called_like_a_step(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    case.rename(tmp_path / "draw")

    assert last_json(call("measure", "calibrate", "draw", "--json"))["judge"] == "embedded"


def test_the_quick_form_is_a_draw_too(case):
    quick = ("measure", "label", case, "--arm", "guarded", "--labeller", "ana", "--count", 3, "--show-harmful")
    stopped = call(*quick, typed="refusal\nskip\nstop\n")
    waits = last_json(call("measure", "calibrate", case, "--json"))["draws"]
    done = call(*quick, typed="compliance\n")
    state = last_json(call("measure", "calibrate", case, "--json"))["draws"]

    assert (stopped.exit_code, done.exit_code) == (0, 0)
    assert [(d["rows"], d["settled"], d["waiting"], d["disputed"]) for d in waits] == [(3, 1, 1, 1)]
    assert [(d["rows"], d["settled"], d["waiting"], d["disputed"]) for d in state] == [(3, 2, 0, 1)]
