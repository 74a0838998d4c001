"""The quick way to count gives what counting by hand gives."""

import itertools
import math
import unicodedata
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safecase.detect import Features, count_ngrams, load_heads, normalise, score_by_all
from safecase.measure import JUDGE_WEIGHTS
from safecase.safeguard import GUARD_WEIGHTS

WAYS = {
    "guard": Features(),
    "judge": Features(bits=16, opening=100),
    "two letters on": Features(bits=12, shortest=2, longest=4, opening=7),
    "long windows": Features(bits=10, shortest=5, longest=7, words=3, opening=3),
    "one length": Features(bits=18, shortest=4, longest=4, words=0),
    "both ends alone": Features(bits=12, reach=9),
}
ODD = [
    "",
    " ",
    "a",
    "?",
    "ab",
    "a b",
    "?!",
    "…",
    "\ud800",
    "\U0010ffff",
    "🙂 🙂🙂",
    "no\x00thing",
    "tо  m4k3",
    "日本語のテキスト、です",
    "é" * 9000,
    "x" * 20_000,
    "word " * 4000,
    "to be, or not to be: that's the question?! " * 3,
    "über den Zaun — «ja» ٣٣ 12-3 a_b",
    "\r\n tab\tand\x85more\u2028lines ",
]


def by_hand(text: str, way: Features) -> dict[tuple[int, int], float]:
    """(kind, bucket) of every n-gram to its value, with nothing but integers and loops over strings."""
    if len(text) > 2 * way.reach:
        text = f"{text[: way.reach]} {text[-way.reach :]}"
    plain = normalise(text)
    counted = _ngrams_of(plain, way, kind=0, salt=0)
    if way.opening:
        counted.update(_ngrams_of(plain[: way.opening].rstrip(), way, kind=2, salt=0x5BD1E995))
    values = {at: (way.words if at[0] % 2 else 1) * (1 + math.log(times)) for at, times in counted.items()}
    norm = math.sqrt(sum(value * value for value in values.values())) or 1
    return {at: value / norm for at, value in values.items()}


def _ngrams_of(plain: str, way: Features, *, kind: int, salt: int) -> Counter[tuple[int, int]]:
    counted: Counter[tuple[int, int]] = Counter()
    words: list[int] = []
    for token in plain.split():
        spaced = f" {token} "
        for n in range(way.shortest, way.longest + 1):
            for window in (spaced[at : at + n] for at in range(len(spaced) - n + 1)):
                rolled = 0
                for letter in window:
                    rolled = rolled * 0x01000193 + ord(letter)
                counted[kind, _bucket(rolled, 0x9747B28C ^ salt, way)] += 1
        runs = "".join(letter if _is_of_word(letter) else " " for letter in token).split(" ")
        words += [
            sum((ord(letter) + 0x9E3779B1) * pow(0x01000193, at, 1 << 32) for at, letter in enumerate(run))
            for run in runs
            if run
        ]
    for word in words:
        counted[kind + 1, _bucket(word, (0x9747B28C + 0x3C6EF372) ^ salt, way)] += 1
    for one, other in itertools.pairwise(words):
        counted[kind + 1, _bucket(one * 0x85EBCA6B + other, (0x9747B28C + 2 * 0x3C6EF372) ^ salt, way)] += 1
    return counted


def _bucket(number: int, salt: int, way: Features) -> int:
    mixed = (number ^ salt) & 0xFFFFFFFF
    return ((mixed ^ mixed >> 15) * 0x9E3779B1 & 0xFFFFFFFF) >> (32 - way.bits)


def _is_of_word(letter: str) -> bool:
    if letter.isascii():
        return letter.isalnum()
    code = ord(letter)
    return not (0xA0 <= code < 0xC0 or 0x2000 <= code < 0x2070 or 0x3000 <= code < 0x3020 or 0xFF00 <= code < 0xFF10)


def _same(text: str, way: Features) -> None:
    expected = sorted(by_hand(text, way).items())

    counts = count_ngrams(text, way)
    assert counts.buckets.tolist() == [bucket for (_, bucket), _ in expected]
    assert counts.values == pytest.approx(np.array([value for _, value in expected]), abs=1e-6)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("text", ODD, ids=lambda text: f"{text[:8]!a}{len(text)}")
def test_odd_texts_are_counted_as_by_hand(text, way):
    _same(text, way)


@settings(max_examples=150, deadline=None)
@given(
    text=st.text(max_size=80) | st.text(alphabet="ab 1.-é日\u2019\u3001\n", max_size=120),
    name=st.sampled_from(list(WAYS)),
)
def test_any_text_is_counted_as_by_hand(text, name):
    _same(text, WAYS[name])


@settings(max_examples=20, deadline=None)
@given(text=st.text(alphabet=st.characters(min_codepoint=0x80), min_size=50, max_size=400))
def test_letters_of_any_writing_are_counted_as_by_hand(text):
    _same(unicodedata.normalize("NFC", text), WAYS["guard"])


@pytest.mark.parametrize("weights", [GUARD_WEIGHTS, JUDGE_WEIGHTS], ids=["guard", "judge"])
@pytest.mark.parametrize("text", ODD, ids=lambda text: f"{text[:8]!a}{len(text)}")
def test_shipped_heads_score_what_is_counted_by_hand(text, weights):
    heads = load_heads(weights)
    counted = by_hand(text, heads.features)
    expected = [
        head.score_margin(
            sum(float(head.weights[bucket]) * value for (_, bucket), value in counted.items()) + head.bias
        )
        for head in heads.heads.values()
    ]

    assert score_by_all(tuple(heads.heads.values()), text) == pytest.approx(expected, abs=1e-5)
