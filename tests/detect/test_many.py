"""Many texts at once give what one by one gives, to the last bit."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safecase.compose import load_shipped_bank
from safecase.detect import load_heads, scores_many
from safecase.measure import JUDGE_WEIGHTS
from safecase.safeguard import GUARD_WEIGHTS

GUARD, JUDGE = load_heads(GUARD_WEIGHTS), load_heads(JUDGE_WEIGHTS)  # one reads openings apart, the other does not
ODD = [
    "",
    " ",
    "a",
    "?!",
    "…",
    "日本語のテキスト",
    "é" * 9000,
    "a b",
    "\ud800",
    "tо  m4k3",
    "x" * 20_000,
    "no\x00thing",
    "🙂",
]


def _one_by_one(heads, texts):
    singly = [heads.scores(text) for text in texts]
    return {name: [scores[name] for scores in singly] for name in heads}


@pytest.mark.parametrize("heads", [GUARD, JUDGE], ids=["guard", "judge"])
def test_scores_are_the_same_to_the_last_bit(heads):
    """Whole bank, in all its languages, odd texts among them, in an order that mixes lengths."""
    texts = [
        text
        for one in load_shipped_bank()
        for text in (one.text, one.twin or "", *[t for t, _ in one.translations.values()])
    ]
    texts = texts[:1500] + ODD * 2
    random.Random(3).shuffle(texts)

    assert scores_many(heads, texts) == _one_by_one(heads, texts)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=60), max_size=12))
def test_scores_are_the_same_for_any_texts(texts):
    assert scores_many(JUDGE, texts) == _one_by_one(JUDGE, texts)


def test_bigrams_do_not_cross_from_text_to_text():
    """Features that count two characters: the only windows that two neighbouring spaces do not stop."""
    from dataclasses import replace

    features = replace(JUDGE.features, shortest=2)
    heads = replace(JUDGE, features=features, heads={n: replace(h, features=features) for n, h in JUDGE.heads.items()})
    texts = ["one two", "three", "", "four five six"]

    assert scores_many(heads, texts) == _one_by_one(heads, texts)


def test_only_the_heads_asked_for():
    assert list(scores_many(GUARD, ["x"], names=["harmful-request"])) == ["harmful-request"]
    with pytest.raises(KeyError, match="no head 'nothing'"):
        scores_many(GUARD, ["x"], names=["nothing"])
