"""Text: notice, provenance, and the statistical mark of a sampler. Needs no extra."""

import hashlib
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from safecase.mark import (
    NOTICES,
    MarkError,
    TokenMark,
    add_notice,
    bias_logits,
    count_green,
    find_notice,
    fixed_bias,
    green_needed,
    provenance,
)

KEY = b"a key for tests only"
VOCABULARY = 3000


def sampled(count: int, *, mark: TokenMark | None, seed: int) -> list[int]:
    """A stand-in for a model: logits drawn anew at each place, as open as a language model's at about 4 bits."""
    random = np.random.default_rng(seed)
    tokens = [1]
    for _ in range(count):
        logits = random.gumbel(size=VOCABULARY) * 1.5
        if mark is not None:
            logits = np.asarray(bias_logits(logits, tokens, mark))
        chances = np.exp(1.8 * (logits - logits.max()))
        tokens.append(int(random.choice(VOCABULARY, p=chances / chances.sum())))
    return tokens[1:]


@pytest.mark.parametrize("context", [0, 1, 3])
def test_a_marked_text_is_told_from_an_unmarked_one(context):
    mark = TokenMark(key=KEY, context=context)

    marked, plain = (count_green(sampled(200, mark=one, seed=4), mark) for one in (mark, None))

    assert marked.p_value is not None
    assert plain.p_value is not None
    assert marked.p_value < 1e-6 < 1e-3 < plain.p_value
    other = count_green(sampled(200, mark=mark, seed=4), TokenMark(key=KEY[::-1], context=context))
    assert other.p_value is not None
    assert other.p_value > 1e-3


def test_unmarked_texts_look_marked_as_often_as_the_p_value_says():
    """Over the draw of the key, also for a text that repeats itself: a pair counts once."""
    random = np.random.default_rng(0)
    texts = [[int(token) for token in random.zipf(1.3, 120) % VOCABULARY] + [7, 8] * 50 for _ in range(600)]
    values = [
        count_green(text, TokenMark(key=hashlib.sha256(bytes([n % 256, n // 256])).digest())).p_value
        for n, text in enumerate(texts)
    ]

    for level in (0.2, 0.05, 0.01):
        hits = sum(value <= level for value in values if value is not None)
        assert hits <= binom.isf(1e-4, len(values), level)
    assert sum(value <= 0.2 for value in values if value is not None) > 60


def test_the_threshold_depends_on_the_length():
    for counted in (25, 100, 1000):
        needed = green_needed(counted, error=1e-6)
        assert needed is not None
        assert binom.sf(needed - 1, counted, 0.5) <= 1e-6 < binom.sf(needed - 2, counted, 0.5)
    assert green_needed(10, error=1e-6) is None
    assert count_green([], TokenMark(key=KEY)).p_value is None


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 50_000), min_size=2, max_size=5), st.sampled_from([0.25, 0.5]))
def test_the_split_has_its_share_and_one_token_is_asked_like_all(before, share):
    mark = TokenMark(key=KEY, context=2, share=share)

    whole = mark.green(before, np.arange(20_000))

    assert abs(whole.mean() - share) < 0.02
    assert bool(mark.green(before, 17)) == whole[17]


def test_a_fixed_bias_is_the_same_split():
    mark = TokenMark(key=KEY, context=0)
    fixed = fixed_bias(mark, vocabulary=500)

    assert list(fixed) == list(np.flatnonzero(bias_logits(np.zeros(500), [], mark)))
    with pytest.raises(ValueError, match="context=0"):
        fixed_bias(TokenMark(key=KEY), vocabulary=500)
    with pytest.raises(ValueError, match="16 bytes"):
        TokenMark(key=b"short")


def test_provenance_is_the_same_in_headers_and_json():
    made = provenance(
        model='m"1\r\nX: y', provider="Größe", created=datetime(2026, 1, 2, tzinfo=UTC), content="The sea."
    )

    header = made.headers()["AI-Disclosure"]
    assert header == 'mode=ai-originated, model="m\\"1??X: y", provider="Gr??e", date=@1767312000'
    assert made.to_json()["content_sha256"] == hashlib.sha256(b"The sea.").hexdigest()
    with pytest.raises(ValueError, match="time zone"):
        provenance(model="m", provider="p", created=datetime(2026, 1, 2))  # noqa: DTZ001


def test_a_notice_is_put_once_and_found():
    for language, notice in NOTICES.items():
        text = add_notice("The sea.\n", language=language)
        assert text == f"{notice}\n\nThe sea.\n"
        assert add_notice(text, language=language) == text
        assert find_notice(text) == notice
    assert find_notice("The sea.\n" * 9 + NOTICES["en"]) is None
    with pytest.raises(MarkError, match="no notice in language 'xx'"):
        add_notice("x", language="xx")
