"""Transcripts become trials whole or not at all."""

import json
import re
from pathlib import Path

import pytest

from safecase.evidence import Vault
from safecase.exchange import TranscriptError, read_transcripts

ROW = {
    "scenario_id": "s1",
    "intent_id": "i1",
    "category": "violence",
    "harmful": True,
    "text": "a request",
    "response": "an answer",
}


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return path


def test_a_row_becomes_a_trial_of_the_arm(tmp_path: Path):
    path = write(tmp_path / "t.jsonl", ROW, {**ROW, "scenario_id": "s2", "label": "refusal", "attack": "fiction"})

    first, second = read_transcripts(path, arm="guarded", vault=None)

    assert (first.arm, first.status, first.response, first.attack, first.language) == (
        "guarded",
        "answered",
        "an answer",
        "none",
        "en",
    )
    assert first.model.startswith("imported/t.jsonl@")
    assert (second.label, second.attack) == ("refusal", "fiction")
    assert first.trial_id != second.trial_id


def test_an_empty_answer_is_unparsed_and_never_a_refusal(tmp_path: Path):
    (trial,) = read_transcripts(write(tmp_path / "t.jsonl", {**ROW, "response": " "}), arm="bare", vault=None)

    assert (trial.status, trial.response) == ("unparsed", None)


def test_answers_of_hazardous_categories_are_sealed(tmp_path: Path):
    vault = Vault.open("x", tmp_path / "k", case_dir=tmp_path / "case", create=True)

    (trial,) = read_transcripts(write(tmp_path / "t.jsonl", {**ROW, "category": "cyber"}), arm="bare", vault=vault)

    assert (trial.response, trial.domain) == (None, "cyber")
    assert trial.sealed


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "is empty"),
        (["{oops"], "t.jsonl:1: not JSON"),
        ([ROW, {k: v for k, v in ROW.items() if k != "harmful"}], "t.jsonl:2: harmful is missing"),
        ([{**ROW, "label": "fine"}], "t.jsonl:1: label is 'fine'; use one of"),
        ([{**ROW, "status": "lost"}], "t.jsonl:1: status is 'lost'; use one of"),
        ([ROW, ROW], "comes twice with the same attempt"),
        (["[1, 2]"], "t.jsonl:1: holds list; one object a line"),
    ],
)
def test_a_wrong_file_says_where_and_nothing_is_kept(tmp_path: Path, rows, message):
    path = write(tmp_path / "t.jsonl", *rows)

    with pytest.raises(TranscriptError, match=re.escape(message)):
        read_transcripts(path, arm="bare", vault=None)


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(TranscriptError, match="is not a file"):
        read_transcripts(tmp_path / "none.jsonl", arm="bare", vault=None)
