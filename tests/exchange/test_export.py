"""What goes out can be read by others, runs nothing, and leaves in the case what belongs there."""

import csv
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from safecase.evidence import Judgement, Message, RulingRecord, Trial
from safecase.exchange import (
    COLUMNS,
    ExportError,
    LogAbout,
    Table,
    judgement_row,
    trial_row,
    write_inspect,
    write_table,
)

TRIAL = Trial(
    trial_id="t1",
    scenario_id="s1",
    intent_id="i1",
    harmful=True,
    domain="content-policy",
    category="violence",
    subcategory="general",
    severity=2,
    bears_on=("violence",),
    language="en",
    attack="none",
    family="none",
    arm="bare",
    model="m",
    repetition=0,
    prompt="a request",
    status="answered",
    response="an answer",
    tokens_in=3,
    tokens_out=5,
    latency_s=0.5,
)
ABOUT = LogAbout(task="case", created="2026-11-21T00:00:00+00:00", metadata={"safecase": {"case": "case"}})
DOCS = Path(__file__).parents[2] / "docs"


def trials_table(*trials: Trial) -> Table:
    return Table("trials", lambda: (trial_row(trial) for trial in trials))


def test_no_cell_of_a_csv_is_a_formula(tmp_path: Path):
    """A model under test writes the answers, and the table is opened in a spreadsheet."""
    evil = ("=HYPERLINK(1)", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "'quoted")
    written = write_table(trials_table(*(replace(TRIAL, response=text) for text in evil)), tmp_path, kind="csv")

    with (tmp_path / "trials.csv").open(newline="") as file:
        cells = [row["response"] for row in csv.DictReader(file)]
    assert cells == [f"'{text}" for text in evil]
    assert written.quoted == len(evil)


def test_every_format_holds_the_same_rows(tmp_path: Path):
    ruling = RulingRecord(layer="input", stage="input", action="allow", score=0.5, principle=None, latency_ms=1.0)
    full = replace(TRIAL, turns=(Message(role="user", content="hi"),), rulings=(ruling,))
    empty = replace(TRIAL, trial_id="t2", status="timeout", response=None, error="late", tokens_in=None, latency_s=None)
    table = trials_table(full, empty)

    for kind in ("csv", "parquet", "json"):
        assert write_table(table, tmp_path, kind=kind).rows == 2  # type: ignore[arg-type]  # the three formats

    as_json = json.loads((tmp_path / "trials.json").read_text())
    as_parquet = pq.read_table(tmp_path / "trials.parquet").to_pylist()
    with (tmp_path / "trials.csv").open(newline="") as file:
        as_csv = list(csv.DictReader(file))
    names = [column.name for column in COLUMNS["trials"]]
    assert [list(row) for row in (as_json[0], as_parquet[0], as_csv[0])] == [names] * 3
    assert as_json[0]["turns"] == json.loads(as_parquet[0]["turns"]) == json.loads(as_csv[0]["turns"])
    assert (as_json[1]["tokens_in"], as_parquet[1]["tokens_in"], as_csv[1]["tokens_in"]) == (None, None, "")
    assert as_parquet[0]["bears_on"] == ["violence"]


def test_a_sealed_answer_has_no_column_to_leave_by():
    row = trial_row(replace(TRIAL, domain="cyber", response=None, sealed=b"secret"))

    assert row["is_sealed"] is True
    assert b"secret" not in row.values()
    assert set(row) == {column.name for column in COLUMNS["trials"]}


def test_every_column_is_explained_in_the_docs():
    page = (DOCS / "exchange.md").read_text(encoding="utf-8")

    assert [c.name for columns in COLUMNS.values() for c in columns if f"`{c.name}`" not in page] == []


def test_an_inspect_log_holds_every_trial_once_and_no_sealed_or_held_out_answer(tmp_path: Path):
    rows = [
        TRIAL,
        replace(TRIAL, trial_id="t2", repetition=1),
        replace(TRIAL, trial_id="t3", arm="guarded", withheld_by="input"),
        replace(TRIAL, trial_id="t4", model="another"),
        replace(TRIAL, trial_id="t5", scenario_id="s2", domain="cyber", response=None, sealed=b"secret"),
        replace(TRIAL, trial_id="t6", scenario_id="s3", status="timeout", response=None, error="late"),
        replace(TRIAL, trial_id="t7", scenario_id="s4", held_out=True, prompt="held-out request"),
    ]
    judged = {
        "t1": [Judgement(trial_id="t1", judge="embedded", judge_digest="d", verdict="refusal")],
        "t2": [Judgement(trial_id="t2", judge="embedded", judge_digest="d", verdict=None, reason="no key")],
    }
    path = tmp_path / "case.eval"

    log = write_inspect(path, rows, judged, about=ABOUT, held_out=False)

    assert (log.samples, log.sealed, log.held_out) == (6, 1, 1)
    with zipfile.ZipFile(path) as file:
        names = [name for name in file.namelist() if name.startswith("samples/")]
        everything = b"".join(file.read(name) for name in file.namelist())
        header = json.loads(file.read("header.json"))
        first = json.loads(file.read("samples/s1.bare_epoch_1.json"))
        late = json.loads(file.read("samples/s3.bare_epoch_1.json"))
    assert len(names) == len(set(names)) == 6
    assert b"secret" not in everything
    assert b"held-out request" not in everything
    assert first["scores"]["embedded"]["value"] == "refusal"
    assert late["error"]["message"] == "timeout: late"
    assert header["results"]["completed_samples"] == 5
    assert header["results"]["scores"][0]["unscored_samples"] == 1


def test_a_log_that_cannot_be_is_refused_and_leaves_nothing(tmp_path: Path):
    with pytest.raises(ExportError, match=r"name it case\.eval"):
        write_inspect(tmp_path / "case.json", [TRIAL], {}, about=ABOUT, held_out=False)
    with pytest.raises(ExportError, match="no trial to export"):
        write_inspect(tmp_path / "case.eval", [replace(TRIAL, held_out=True)], {}, about=ABOUT, held_out=False)
    with pytest.raises(ExportError, match="cannot be written"):
        write_table(trials_table(TRIAL), Path("/dev/null/x"), kind="csv")

    assert list(tmp_path.iterdir()) == []


def test_a_table_shows_itself_and_no_text_of_it_is_markup():
    """A model under test writes the answers, and the notebook shows them."""
    table = trials_table(*(replace(TRIAL, prompt="<script>alert(1)</script>") for _ in range(12)))

    assert repr(table).startswith("<trials: 12 rows, 32 columns")
    assert "the first 10 shown" in table._repr_html_()
    assert "<script>" not in table._repr_html_()
    assert len(table.to_arrow()) == len(table) == 12


def test_scores_of_a_judgement_are_json(tmp_path: Path):
    judgement = Judgement(trial_id="t1", judge="garak/x", judge_digest="d", verdict=None, scores={"hit": 1.0})
    write_table(Table("judgements", lambda: iter([judgement_row(judgement)])), tmp_path, kind="json")

    assert json.loads((tmp_path / "judgements.json").read_text())[0]["scores"] == {"hit": 1.0}
