"""Heads and their files: the same score every time, and nothing loaded that is not what its card says."""

import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safecase.detect import (
    CorruptWeights,
    Features,
    Head,
    WeightsCard,
    _counts,
    count_ngrams,
    load_heads,
    pack_heads,
    shared_material,
)

FEATURES = Features(bits=12)


def head_for(word: str, name: str = "fruit") -> Head:
    """A head that scores the n-grams of one word."""
    weights = np.zeros(1 << FEATURES.bits, np.float32)
    weights[count_ngrams(word, FEATURES).buckets] = 4
    return Head(name=name, features=FEATURES, weights=weights, bias=-2.0)


def card_for(packed: bytes, *names: str, **changes: object) -> WeightsCard:
    nothing = {
        "rows": 0,
        "positives": 0,
        "groups": 0,
        **dict.fromkeys(
            ("precision", "recall", "false_positive_rate", "auroc", "average_precision", "calibration_error")
        ),
    }
    head = {
        "task": "Is it a fruit?",
        "positive": "a fruit",
        "negative": "none",
        "enabled": True,
        "threshold": 0.5,
        "threshold_rule": "by hand",
        "sources": [],
        "held_out": nothing,
        "by_length": {},
        "by_language": {},
        "by_source": {},
        "limits": [],
    }
    card = {
        "weights_sha256": sha256(packed).hexdigest(),
        "purpose": "test",
        "features": {"bits": 12},
        "heads": dict.fromkeys(names, head),
        "training_rows": [],
        "training_texts": [],
        "calibration_rows": [],
        "calibration_texts": [],
        "left_out": {},
        "notes": [],
        "seed": 0,
        "machine": "none",
        "date": "2026-01-01",
        "command": "none",
    }
    return WeightsCard.model_validate({**card, **changes})


def write(folder: Path, packed: bytes, card: WeightsCard) -> Path:
    path = folder / "heads.npz"
    path.write_bytes(packed)
    path.with_suffix(".json").write_text(card.model_dump_json())
    return path


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    packed = pack_heads([head_for("apple"), head_for("stone", "rock")])
    return write(tmp_path, packed, card_for(packed, "fruit", "rock"))


def test_a_score_is_higher_for_what_the_head_knows() -> None:
    head = head_for("apple")

    assert head.score("an apple, an APPLE, an аpple") > 0.5 > head.score("a car on the road")


@given(st.text(max_size=200))
def test_a_score_is_a_probability_and_never_changes(text: str) -> None:
    head = head_for("apple")

    assert 0 <= head.score(text) == head.score(text) <= 1


def test_a_disabled_head_scores_and_never_fires() -> None:
    head = replace(head_for("apple"), enabled=False)

    assert head.score("apple apple") > head.threshold
    assert not head.fires("apple apple")
    assert replace(head, enabled=True).fires("apple apple")


def test_heads_come_back_as_they_were_saved(saved: Path) -> None:
    heads = load_heads(saved)

    assert set(heads) == {"fruit", "rock"}
    assert heads.digest == sha256(saved.read_bytes()).hexdigest()
    assert heads.scores("an apple") == {name: heads[name].score("an apple") for name in heads}
    assert heads["fruit"].score("an apple") == pytest.approx(head_for("apple").score("an apple"), abs=1e-3)


def test_the_same_heads_give_the_same_bytes() -> None:
    one, other = head_for("apple"), head_for("stone", "rock")

    assert pack_heads([one, other]) == pack_heads([other, one])


def test_an_unknown_head_is_named_with_those_there_are(saved: Path) -> None:
    with pytest.raises(KeyError, match=r"no head 'tree'.*fruit, rock"):
        load_heads(saved)["tree"]


def test_one_changed_byte_is_refused(saved: Path) -> None:
    data = bytearray(saved.read_bytes())
    data[len(data) // 2] ^= 1
    saved.write_bytes(data)

    with pytest.raises(CorruptWeights, match=r"heads\.npz: SHA-256 is .* reinstall safecase"):
        load_heads(saved)


@pytest.mark.parametrize("missing", [".npz", ".json"])
def test_a_missing_file_is_refused(saved: Path, missing: str) -> None:
    saved.with_suffix(missing).unlink()

    with pytest.raises(CorruptWeights, match="cannot be read"):
        load_heads(saved)


def test_a_card_of_another_shape_is_refused(saved: Path) -> None:
    card = json.loads(saved.with_suffix(".json").read_text())
    del card["training_rows"]
    saved.with_suffix(".json").write_text(json.dumps(card))

    with pytest.raises(CorruptWeights, match=r"heads\.json: not a card \(training_rows"):
        load_heads(saved)


def test_a_card_that_describes_other_heads_is_refused(tmp_path: Path) -> None:
    packed = pack_heads([head_for("apple")])

    with pytest.raises(CorruptWeights, match="describes"):
        load_heads(write(tmp_path, packed, card_for(packed, "rock")))


def test_pickled_weights_are_refused_even_with_a_matching_card(tmp_path: Path) -> None:
    """Loading a pickle runs what it says; a matching digest only proves who packed it."""
    path = tmp_path / "heads.npz"
    np.savez(path, spec=np.array([{"run": "me"}], dtype=object))

    with pytest.raises(CorruptWeights, match="not a weights file"):
        load_heads(write(tmp_path, path.read_bytes(), card_for(path.read_bytes(), "fruit")))


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 not really", b"\x00" * 100])
def test_what_is_no_archive_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(CorruptWeights, match="not a weights file"):
        load_heads(write(tmp_path, data, card_for(data, "fruit")))


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    head = head_for("apple")
    weights = head.weights.copy()
    weights[7] = np.inf
    packed = pack_heads([replace(head, weights=weights)])

    with pytest.raises(CorruptWeights, match="not finite"):
        load_heads(write(tmp_path, packed, card_for(packed, "fruit")))


def test_weights_for_another_way_of_counting_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change of the counting code must not score with old weights as if nothing had happened."""
    packed = pack_heads([head_for("quick brown")])
    path = write(tmp_path, packed, card_for(packed, "fruit"))
    monkeypatch.setattr("safecase.detect._ngrams._MIX", np.array(0x9E3779B3, np.uint32))
    monkeypatch.setattr(_counts, "_count_once", _counts._count_once.__wrapped__)

    with pytest.raises(CorruptWeights, match="counts differently now"):
        load_heads(path)


def test_heads_that_count_differently_do_not_share_a_file() -> None:
    other = Features(bits=13)
    odd = Head(name="odd", features=other, weights=np.zeros(1 << 13, np.float32), bias=0.0)

    with pytest.raises(ValueError, match="share one way of counting"):
        pack_heads([head_for("apple"), odd])


def test_shared_rows_and_texts_are_found_in_training_and_calibration() -> None:
    guard = card_for(b"", training_rows=["aa", "bb"], training_texts=["11"])
    judge = card_for(b"", calibration_rows=["bb"], training_texts=["22"], calibration_texts=["11"])

    shared = shared_material(guard, judge)

    assert (shared.rows, shared.texts) == (("bb",), ("11",))
    assert shared
    assert not shared_material(guard, card_for(b"", training_rows=["cc"]))
