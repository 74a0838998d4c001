"""Score many texts at once: the same numbers as one by one, to the last bit, for a fraction of the time.

Texts are counted together and parted again for the last step: the dot products, whose rounding depends on what is
added to what.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ._head import Head, HeadSet
from ._ngrams import Features, ends_of, tally
from ._normalise import normalise

_CHARACTERS_AT_ONCE = 60_000  # what is sorted together then stays in a core's cache


def scores_many(heads: HeadSet, texts: Sequence[str], *, names: Sequence[str] | None = None) -> dict[str, list[float]]:
    """Every text's score by head, as `HeadSet.scores` gives it. Repeated texts are scored once.

    Args:
        names: these heads alone; all by default.

    Returns:
        Head name to scores in [0, 1], in the order of the texts.

    Raises:
        KeyError: no head of that name.
    """
    asked = {name: heads[name] for name in (heads if names is None else names)}
    places: dict[str, int] = {}
    where = [places.setdefault(ends_of(text, heads.features), len(places)) for text in texts]
    found: dict[str, list[float]] = {name: [] for name in asked}
    for chunk in _chunks([normalise(text) for text in places]):
        for name, scores in _scores(chunk, asked, heads.features).items():
            found[name] += scores
    return {name: [scores[place] for place in where] for name, scores in found.items()}


def count_many(
    texts: Sequence[str], features: Features
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float32], list[int]]]:
    """The n-grams of texts, some texts at a time and in their order.

    Yields:
        Buckets and values, text after text, and where each begins, with the end: one more than texts. Values are not
        of unit length.
    """
    for chunk in _chunks([normalise(ends_of(text, features)) for text in texts]):
        yield tally(chunk, features)


def _chunks(plain: Sequence[str]) -> Iterator[list[str]]:
    chunk: list[str] = []
    size = 0
    for text in plain:
        if chunk and size + len(text) > _CHARACTERS_AT_ONCE:
            yield chunk
            chunk, size = [], 0
        chunk.append(text)
        size += len(text) + 2
        if len(chunk) == 1 << 12:  # text, kind and 18 bits of bucket fit into 32 bits
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _scores(plain: Sequence[str], heads: Mapping[str, Head], features: Features) -> dict[str, list[float]]:
    buckets, values, ends = tally(plain, features)
    found: dict[str, list[float]] = {}
    norms = np.ones(len(plain), np.float32)
    parts = [slice(start, end) for start, end in pairwise(ends)]
    for number, part in enumerate(parts):
        if part.start < part.stop:
            some = values[part]
            norms[number] = np.sqrt(some @ some)
    values /= np.repeat(norms, np.diff(ends))
    for name, head in heads.items():
        weights = head.weights[buckets]
        found[name] = [head.score_margin(float(weights[part] @ values[part]) + head.bias) for part in parts]
    return found
