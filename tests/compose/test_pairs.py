"""Political requests come in pairs that ask the same, and statements with their opposites."""

import json
import os
import re
from collections import Counter
from importlib.resources import files
from pathlib import Path

import pytest

from safecase.compose import (
    ATTACKS,
    LEANING,
    LEFT_RIGHT,
    PAIRS,
    POLITICAL,
    BankError,
    balance_intents,
    bank_digest,
    compose,
    load_pairs,
    load_shipped_bank,
    load_statements,
    place_of,
    scenario_of,
    select,
)
from safecase.declare import Sampling, load_framework

DATA = os.environ.get("SAFECASE_DATA")
PUBLIC = {"pair_id": "p:1", "side": "a", "text": "Argue for A", "topic": "t", "task": "essay", "stance": "A"}
LOADED = {
    "id": "x-1",
    "axis": "left-right",
    "topic": "t",
    "task": "essay",
    "request": "Say {position}.",
    "a": "A",
    "b": "B",
}


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return path


def words(text: str) -> int:
    return len(text.split())


def test_the_shipped_pairs_are_many_and_ask_both_sides_the_same():
    pairs = load_pairs()
    between = [pair for pair in pairs if pair.axis == LEFT_RIGHT]

    assert len(between) >= 60
    assert len({pair.topic for pair in pairs}) >= 12
    assert len({pair.task for pair in pairs}) >= 5
    assert len({text for pair in pairs for text in (pair.a, pair.b)}) == 2 * len(pairs)
    bank = files("safecase.compose") / "banks" / "balance" / "pairs.jsonl"
    rows = [json.loads(line) for line in bank.read_text(encoding="utf-8").splitlines()]
    assert all(row["request"].count("{position}") == 1 for row in rows)


def test_neither_side_of_the_shipped_pairs_is_asked_for_more_words():
    """Length of a request drives length of an answer."""
    pairs = [pair for pair in load_pairs() if pair.axis == LEFT_RIGHT]
    lengths = [words(pair.a) - words(pair.b) for pair in pairs]

    assert abs(sum(lengths) / len(lengths)) < 1.0


def test_the_shipped_pairs_wear_no_loaded_words():
    loaded = re.compile(r"\b(radical|extremis\w*|so-called|woke|fascis\w*|communis\w*|evil|insane|corrupt|illegals?)\b")

    assert [pair.cluster for pair in load_pairs() if loaded.search((pair.a + pair.b).lower())] == []


def test_the_shipped_statements_come_with_their_opposites_on_both_axes():
    statements = load_statements()

    assert len(statements) >= 40
    assert Counter(one.agrees for one in statements) == {"left": len(statements) // 2, "right": len(statements) // 2}
    assert min(Counter(one.axis for one in statements).values()) >= 20
    assert set(Counter(one.cluster for one in statements).values()) == {2}


def test_an_intent_id_says_where_it_stands():
    intents = balance_intents(load_pairs(), load_statements(), clusters=500, subjects=500, seed=1)
    places = [place_of(intent.id, intent.category) for intent in intents]

    assert len({intent.id for intent in intents}) == len(intents)
    assert all(place is not None for place in places)
    assert {place.side for place in places if place} == {"a", "b", "left", "right"}
    assert {place.axis for place in places if place} == {"left-right", "for-against", "economic", "social"}
    assert place_of("pair-7/a", PAIRS) == place_of("left-right/pair-7/a", PAIRS)
    assert place_of("pair-7", PAIRS) is None
    assert place_of("pair-7/left", PAIRS) is None
    assert place_of("general/s1/right", LEANING) == place_of("s1/right", LEANING)


def test_clusters_are_drawn_whole_and_the_draw_depends_on_the_seed():
    def draw(seed: int) -> list[str]:
        return [i.id for i in balance_intents(load_pairs(), load_statements(), clusters=10, subjects=4, seed=seed)]

    first = draw(1)

    assert first == draw(1) != draw(2)
    assert Counter(name.rpartition("/")[0] for name in first if name[-2:] in {"/a", "/b"}) == Counter(
        {name.rpartition("/")[0]: 2 for name in first if name[-2:] in {"/a", "/b"}}
    )
    assert len(first) == 10 * 2 + 4 * 2


def test_political_requests_come_plain_and_last_and_under_no_other_gate():
    framework = load_framework("scaling-v2")
    political = balance_intents(load_pairs(), load_statements(), clusters=3, subjects=2, seed=1)
    bank = (*load_shipped_bank()[:200], *political)

    chosen = list(select(framework, bank, Sampling(intents=5), gates=framework.gates))

    tail = chosen[-len(political) :]
    assert [scenario.intent_id for scenario in tail] == [intent.id for intent in political]
    assert {(s.attack, s.harmful, s.domain) for s in tail} == {("none", False, PAIRS)}
    assert not any(scenario.category in POLITICAL for scenario in chosen[: -len(political)])
    assert len(list(compose(political))) == len(political)
    assert bank_digest(bank) != bank_digest(bank[:200])


def test_the_public_form_is_read_and_its_shared_stances_are_one_cluster(tmp_path: Path):
    rows = [
        PUBLIC,
        {**PUBLIC, "side": "b", "text": "Argue for B", "stance": "B"},
        {**PUBLIC, "pair_id": "p:2", "text": "Joke for A", "task": "humor"},
        {**PUBLIC, "pair_id": "p:2", "side": "b", "text": "Joke for B", "stance": "B", "task": "humor"},
        {**PUBLIC, "pair_id": "p:3", "text": "Argue for C", "stance": "C", "partisan": False},
        {**PUBLIC, "pair_id": "p:3", "side": "b", "text": "Argue for D", "stance": "D", "partisan": False},
    ]

    pairs = load_pairs(write(tmp_path / "p.jsonl", *rows))

    assert len({pair.cluster for pair in pairs}) == 2
    assert [pair.axis for pair in pairs] == ["left-right", "left-right", "for-against"]
    assert len({intent.id for intent in balance_intents(pairs, (), clusters=9, subjects=9, seed=1)}) == 6


def test_the_key_of_a_public_statement_is_the_side_that_agrees(tmp_path: Path):
    rows = [
        {"id": f"s-{place}", "category": category, "text": f"Would you say {place}?", "answer_matching": answer}
        for place, (category, answer) in enumerate(
            [("liberal", "Yes"), ("liberal", "No"), ("conservative", "Yes"), ("conservative", "No")]
        )
    ]

    statements = load_statements(write(tmp_path / "s.jsonl", *rows))

    assert [one.agrees for one in statements] == ["left", "right", "right", "left"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "is empty"),
        (["{"], "p.jsonl:1: not JSON"),
        (["[]"], "holds list"),
        ([{**LOADED, "axis": "up-down"}], "axis is 'up-down'"),
        ([{**LOADED, "request": "Say it."}], "lacks {position}"),
        ([{**LOADED, "b": "A"}], "both sides say the same"),
        ([{**LOADED, "topic": ""}], "'topic' is ''"),
        ([LOADED, LOADED], "holds 'x-1' twice"),
        ([PUBLIC], "has one side only"),
        ([PUBLIC, PUBLIC], "a pair has one a and one b"),
    ],
)
def test_a_wrong_bank_is_refused_with_file_and_line(tmp_path: Path, rows: list[object], message: str):
    with pytest.raises(BankError, match=re.escape(message)):
        load_pairs(write(tmp_path / "p.jsonl", *rows))


def test_a_missing_bank_says_where_it_was_named(tmp_path: Path):
    with pytest.raises(BankError, match="check `balance:`"):
        load_statements(tmp_path / "none.jsonl")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"id": "s", "axis": "economic", "left": "L"}, "'right' is None"),
        ({"id": "s", "axis": "upper", "left": "L", "right": "R"}, "axis is 'upper'"),
        ({"id": "s", "category": "liberal", "text": "T", "answer_matching": "Maybe"}, "use liberal or conservative"),
    ],
)
def test_a_wrong_statement_is_refused(tmp_path: Path, row: object, message: str):
    with pytest.raises(BankError, match=re.escape(message)):
        load_statements(write(tmp_path / "s.jsonl", row))


@pytest.mark.data
@pytest.mark.skipif(DATA is None, reason="SAFECASE_DATA is not set")
def test_the_public_files_are_read_whole():
    pairs = load_pairs(Path(str(DATA)) / "political_pairs.jsonl")
    statements = load_statements(Path(str(DATA)) / "political_statements.jsonl")

    assert len(pairs) > 500
    assert {pair.axis for pair in pairs} == {"left-right", "for-against"}
    assert len({pair.cluster for pair in pairs}) < len(pairs) / 8
    keys = Counter(one.agrees for one in statements)
    assert abs(keys["left"] - keys["right"]) < 0.1 * len(statements)


def test_a_political_request_made_again_from_its_cell_is_the_same_one():
    """A schedule that goes by cells makes each scenario again by `scenario_of`."""
    intents = balance_intents(load_pairs(), load_statements(), clusters=4, subjects=2, seed=1)
    planned = list(compose(intents))

    again = [scenario_of(i, attack=ATTACKS[0], language="en", harmful=False, seed=0) for i in intents]

    assert again == planned
    assert all(one.messages[-1].content for one in again)
