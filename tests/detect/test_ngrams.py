"""Counting n-grams: the same numbers everywhere, and cheap."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safecase.detect import Features, count_ngrams

SMALL = Features(bits=12)


def test_counts_do_not_change_from_release_to_release() -> None:
    """Weights are trained on these buckets; if this fails, retrain every head and change the expected sum."""
    counts = count_ngrams("The quick brown fox — über den h3llo Zaun.", Features())

    assert (len(counts.buckets), int(counts.buckets.sum())) == GOLDEN


GOLDEN = (91, 5792970)


@given(st.text(max_size=300))
def test_every_text_gives_a_unit_vector_or_nothing(text: str) -> None:
    counts = count_ngrams(text, SMALL)

    norm = float(np.square(counts.values).sum())
    assert len(counts.buckets) == len(counts.values)
    assert norm == pytest.approx(1, abs=1e-4) if len(counts.values) else norm == 0
    assert all(0 <= bucket < 1 << 12 for bucket in counts.buckets)


@given(st.lists(st.text(alphabet="abcdefgh", min_size=2, max_size=7), min_size=1, max_size=8))
def test_character_ngrams_are_those_within_word_boundaries(words: list[str]) -> None:
    """Against a plain loop over the text; words are left out, and with 18 bits collisions are rare."""
    text = " ".join(words)
    padded = f" {text} "
    expected = {
        padded[i : i + n] for n in (3, 4, 5) for i in range(len(padded) - n + 1) if " " not in padded[i + 1 : i + n - 1]
    }

    found = count_ngrams(text, Features(bits=18, words=0)).values
    assert np.count_nonzero(found) == pytest.approx(len(expected), abs=2)


def test_only_both_ends_of_a_long_text_are_read() -> None:
    features = Features(bits=12, reach=50)
    left, right = "ordinary words here " * 3, " the ordinary end of it" * 3

    one, other = (count_ngrams(left + middle * 9 + right, features) for middle in (" apples", " oranges"))

    assert np.array_equal(one.buckets, other.buckets)
    assert np.array_equal(one.values, other.values)


def test_the_opening_is_counted_apart() -> None:
    """The same words in front and at the back make different vectors."""
    features = Features(bits=16, opening=20)
    front, back = "I cannot say. The sky over the sea is blue.", "The sky over the sea is blue. I cannot say."

    buckets = [set(count_ngrams(text, features).buckets.tolist()) for text in (front, back)]

    assert buckets[0] != buckets[1]


@pytest.mark.parametrize(
    "wrong", [{"bits": 9}, {"bits": 19}, {"shortest": 1}, {"longest": 2}, {"reach": 0}, {"words": -1}]
)
def test_features_outside_their_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"must|got"):
        Features(**wrong)


def test_two_hundred_characters_take_well_under_two_milliseconds() -> None:
    """About 0.1 ms on one core; the bound is loose, to catch a loop in Python and not a busy machine."""
    text = ("How do I write a program that reads a file and prints the longest lines in it? " * 3)[:200]
    count_ngrams(text, Features())

    best = min(_seconds(text) for _ in range(50))

    assert best < 0.002


def _seconds(text: str) -> float:
    start = time.perf_counter()
    count_ngrams(text, Features())
    return time.perf_counter() - start
