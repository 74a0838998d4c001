"""Score many texts at once: the same numbers as one by one, to the last bit, for a fraction of the time.

Most of what a short text costs is the calling of numpy, not the counting. So texts are laid end to end, hashed and
sorted together, the number of the text in the bits above the bucket, and parted again for the last step: the dot
products, whose rounding depends on what is added to what.

    " to be "" or not "  ->  windows, none across two texts  ->  text | kind | bucket, sorted once  ->  runs = counts
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ._head import Head, HeadSet
from ._ngrams import _OPENING_SALT, Codes, Features, _buckets, _characters, _ends, _word_edges, _word_hashes
from ._normalise import normalise

_NO_SALT = np.uint32(0)
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
    where = [places.setdefault(_ends(text, heads.features.reach), len(places)) for text in texts]
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
    for chunk in _chunks([normalise(_ends(text, features.reach)) for text in texts]):
        yield _count(chunk, features)


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
    buckets, values, ends = _count(plain, features)
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


def _count(plain: Sequence[str], features: Features) -> tuple[NDArray[np.intp], NDArray[np.float32], list[int]]:
    """Buckets and weights of all texts, text by text, and where each begins (with the end, so one more than texts)."""
    openings = [(plain, _NO_SALT)]
    if features.opening:
        openings.append(([text[: features.opening] for text in plain], _OPENING_SALT))
    tags = [
        (_buckets(hashes ^ salt, features.bits), owner, np.uint32(2 * stage + kind))
        for stage, (texts, salt) in enumerate(openings)
        for kind, (hashes, owner) in enumerate(_hashes(texts, features))
    ]
    kinds = features.bits + (1 if len(openings) == 1 else 2)
    ordered = np.concatenate(
        [(owner << np.uint32(kinds)) | (kind << np.uint32(features.bits)) | found for found, owner, kind in tags]
    )
    ordered.sort()
    first = np.flatnonzero(np.concatenate((np.ones(min(1, len(ordered)), np.bool_), ordered[1:] != ordered[:-1])))
    times = np.empty(len(first), np.float32)
    np.subtract(first[1:], first[:-1], out=times[:-1], casting="unsafe")
    times[-1:] = len(ordered) - first[-1:]
    distinct = ordered[first]
    weights = np.array([1, features.words] * len(openings), np.float32)
    kind = (distinct >> np.uint32(features.bits)) & np.uint32(len(weights) - 1)
    values = weights[kind] * (1 + np.log(times))
    starts = np.searchsorted(distinct >> np.uint32(kinds), np.arange(len(plain) + 1, dtype=np.uint32))
    return (distinct & np.uint32((1 << features.bits) - 1)).astype(np.intp), values, starts.tolist()


def _hashes(texts: Sequence[str], features: Features) -> list[tuple[Codes, Codes]]:
    """Hashes of all n-grams of characters, and of words, each with the number of its text."""
    spaced = [f" {text} " if text else "" for text in texts]
    codes = np.frombuffer("".join(spaced).encode("utf-32-le", "surrogatepass"), np.uint32)
    owner = np.repeat(np.arange(len(texts), dtype=np.uint32), [len(text) for text in spaced])
    if not len(codes):
        return [(codes, owner), (codes, owner)]
    found, places = [], []
    for hashes, at, width in _characters(codes, features):
        owners = owner[: len(codes) - width + 1][at]
        if width == 2:  # wider windows cross into another text only over two spaces, which no window holds
            within = owners == owner[width - 1 :][at]
            hashes, owners = hashes[within], owners[within]
        found.append(hashes)
        places.append(owners)
    starts, ends = _word_edges(codes)
    words, pairs = _word_hashes(codes, starts, ends)
    of_word = owner[starts]
    same = of_word[:-1] == of_word[1:]
    return [
        (np.concatenate(found), np.concatenate(places)),
        (np.concatenate((words, pairs[same])), np.concatenate((of_word, of_word[:-1][same]))),
    ]
