"""The shipped bank keeps its promises, and a private one that is wrong says where."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from safecase.compose import BankError, intents_from_rows, load_bank, load_shipped_bank
from safecase.declare import load_framework

GATED = ("cyber", "chem-bio", "loss-of-control")
POLICY = (
    "violence",
    "child-safety",
    "criminal-wrongdoing",
    "hateful-and-harmful",
    "sexual-content",
    "privacy",
    "unqualified-advice",
)


@pytest.fixture(scope="module")
def bank():
    return load_shipped_bank()


def tokens(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"[a-z']+", text.lower()))


def test_every_gated_domain_and_policy_category_is_large_enough(bank):
    sizes = Counter(intent.category for intent in bank)

    assert all(sizes[domain] >= 120 for domain in GATED)
    assert all(sizes[category] >= 60 for category in POLICY)


@pytest.mark.parametrize("side", ["text", "twin"])
def test_no_two_intents_share_more_than_60_percent_of_their_tokens(bank, side):
    sets = [(intent.id, tokens(value)) for intent in bank if (value := getattr(intent, side))]

    too_close = [
        (a, b)
        for i, (a, left) in enumerate(sets)
        for b, right in sets[:i]
        if len(left & right) > 0.6 * min(len(left), len(right))
    ]
    assert too_close == []


def test_bears_on_names_entries_of_the_framework(bank):
    framework = load_framework("scaling-v2")

    for entry in {entry for intent in bank for entry in intent.bears_on}:
        framework.domain_of(entry)


def test_most_intents_have_a_benign_twin(bank):
    assert sum(intent.twin is not None for intent in bank) >= 0.85 * len(bank)


def test_six_languages_cover_a_stratified_subset_of_150_intents(bank):
    spoken = Counter(language for intent in bank for language in intent.translations)
    categories = {intent.category for intent in bank if intent.translations}

    assert sum(count >= 150 for count in spoken.values()) >= 6
    assert categories == {*GATED, *POLICY}


def test_chem_bio_intents_carry_no_numbers_or_formulas(bank):
    """They stay at category level: a digit would be a dose, a year or a formula."""
    assert [intent.id for intent in bank if intent.domain == "chem-bio" and re.search(r"\d", intent.text)] == []


def test_a_private_bank_loads_from_jsonl_csv_and_parquet(tmp_path: Path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    row = {"id": "mine-1", "domain": "cyber", "category": "cyber", "text": "a request", "bears_on": "cyber-1 cyber-2"}
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "a.csv").write_text(",".join(row) + "\n" + ",".join(row.values()) + "\n")
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "a.parquet")

    banks = [load_bank(tmp_path / f"a.{suffix}", held_out=True) for suffix in ("jsonl", "csv", "parquet")]
    assert banks[0] == banks[1] == banks[2]
    assert banks[0][0].held_out
    assert banks[0][0].bears_on == ("cyber-1", "cyber-2")


def test_inspect_samples_become_intents():
    rows = [{"id": 7, "input": "a request", "metadata": {"category": "violence"}}]

    (intent,) = intents_from_rows(rows, origin="my_dataset")

    assert (intent.id, intent.category, intent.text) == ("7", "violence", "a request")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("{broken\n", "bank.jsonl:1: not JSON"),
        ('{"id": "a", "domain": "cyber", "category": "cyber"}\n', "bank.jsonl:1: 'text' is None"),
        ('{"id": "a", "domain": "sport", "category": "x", "text": "y"}\n', "domain is 'sport'"),
        ('{"id": "a", "domain": "cyber", "category": "x", "text": "y", "severity": 9}\n', "severity is 9"),
        ('{"id": "a", "domain": "cyber", "category": "x", "text": "y"}\n' * 2, "holds id 'a' twice"),
        ("[1]\n", "holds list"),
        ('{"id": "a", "severity": ' + "9" * 5000 + "}\n", "bank.jsonl:1: not JSON (Exceeds the limit"),
        ('{"id": "a", "domain": "cyber", "category": "x", "text": "y", "severity": 1e999}\n', "severity is inf"),
        ('{"id": "a", "domain": "cyber", "category": "x", "text": "y", "twin": 5}\n', "bank.jsonl:1: twin is 5"),
        ('{"id": "a", "domain": "cyber", "category": "x", "text": "y", "bears_on": 5}\n', "bears_on is 5"),
        ("[" * 100_000, "bank.jsonl:1: not JSON"),
    ],
)
def test_a_wrong_bank_says_where_and_what(tmp_path: Path, content: str, message: str):
    path = tmp_path / "bank.jsonl"
    path.write_text(content)

    with pytest.raises(BankError, match=re.escape(message)):
        load_bank(path)


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_the_mark_that_some_programs_begin_a_file_with_is_none_of_it(tmp_path: Path, suffix: str):
    row = {"id": "mine-1", "domain": "cyber", "category": "cyber", "text": "a request\u2028in two lines"}
    lines = {"jsonl": json.dumps(row, ensure_ascii=False), "csv": ",".join(row) + "\n" + ",".join(row.values())}
    (tmp_path / f"bank.{suffix}").write_text(lines[suffix] + "\n", encoding="utf-8-sig")

    (intent,) = load_bank(tmp_path / f"bank.{suffix}")

    assert (intent.id, intent.text) == (row["id"], row["text"])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("bank.jsonl", '{"id": "a"}\n{"text": "caf\xe9"}\n'.encode("latin-1"), "bank.jsonl:2: not UTF-8; save"),
        ("bank.csv", "id,text\na,caf\xe9\n".encode("latin-1"), "bank.csv:2: not UTF-8; save"),
        ("bank.csv", b"id,text\na," + b"x" * 200_000 + b"\n", "bank.csv:2: not CSV (field larger"),
    ],
)
def test_a_bank_in_another_encoding_or_of_no_form_says_so_with_its_line(
    tmp_path: Path, name: str, content: bytes, message: str
):
    (tmp_path / name).write_bytes(content)

    with pytest.raises(BankError, match=re.escape(message)):
        load_bank(tmp_path / name)
