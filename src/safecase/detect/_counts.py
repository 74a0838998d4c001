"""Count the n-grams of one text: what `tally` gives of many, to the last bit, in fewer steps.

Of a text of some hundred characters it is the calls into numpy that cost, not the counting. So windows of all lengths,
words and pairs of words are hashed into one array, and windows that are none are pushed to its end instead of out:

    " to be or not to be   " -> windows of 3 | of 4 | of 5 | words | pairs -> kind | bucket, sorted -> runs = counts
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ._ngrams import (
    _BASE,
    _MIX,
    _OPENING_SALT,
    _PAIR,
    _SALTS,
    _SPACE,
    Codes,
    Features,
    _buckets,
    _is_word,
    _powers,
    ends_of,
    opening_of,
)
from ._normalise import normalise

_LAST = np.array(0xFFFF_FFFF, np.uint32)  # sorts behind every n-gram


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """A sparse vector of unit length (or empty, for a text without words).

    Attributes:
        buckets: int, (k,). A bucket may stand there more than once (for characters, for words); its values add up.
        values: float32, (k,), weight * (1 + log count) / norm.
    """

    buckets: NDArray[np.intp]
    values: NDArray[np.float32]


def count_ngrams(text: str, features: Features) -> Counts:
    """Count a text's n-grams: characters within words, words, and pairs of neighbouring words.

    Several heads, and guard after guard, read the same text: the last counts are kept.

    >>> counts = count_ngrams("To be or not to be", Features(bits=12))
    >>> float(round((counts.values**2).sum(), 5))
    1.0
    """
    return _count_once(ends_of(text, features), features)


@lru_cache(maxsize=64)  # texts are at most 2 * reach long
def _count_once(text: str, features: Features) -> Counts:
    plain = normalise(text)
    if not plain:
        return Counts(buckets=np.empty(0, np.intp), values=np.empty(0, np.float32))
    plan = _plan(features)
    tags = _tags(plain, plan, plan.of_text)
    if features.opening:
        tags = np.concatenate((tags, _tags(opening_of(plain, features), plan, plan.of_opening)))
    buckets, values = _tallied(tags, plan)
    if norm := math.sqrt(values.dot(values)):
        values /= np.array(norm, np.float32)
    return Counts(buckets=buckets, values=values)


def _tallied(tags: Codes, plan: "_Plan") -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """The distinct buckets of each kind, ascending, kind by kind, and weight * (1 + log count) of each.

    One sort does for all kinds; `np.unique` for each takes ten times that.
    """
    tags.sort()
    is_first = np.empty(len(tags), np.bool_)
    is_first[0] = True
    np.not_equal(tags[1:], tags[:-1], out=is_first[1:])
    first = is_first.nonzero()[0]
    starts = first[:-1]  # the last run is no n-gram
    distinct = tags[starts]
    values: NDArray[np.float32] = _weight_of_times(len(tags).bit_length()).take(first[1:] - starts, mode="clip")
    bounds = distinct.searchsorted(plan.bounds)
    for at in range(0, len(bounds), 2):
        values[bounds[at] : bounds[at + 1]] *= plan.features.words
    distinct &= plan.all_buckets
    return distinct.astype(np.intp), values


def _tags(plain: str, plan: "_Plan", kind: "_Kind") -> Codes:
    """Kind and bucket of every n-gram, repeats included, and at least one `_LAST`."""
    codes = np.frombuffer(f" {plain}{plan.behind}".encode("utf-32-le", "surrogatepass"), np.uint32)
    starts = max(0, len(codes) - plan.features.longest + 1)
    windows = starts * plan.lengths
    inside = _is_word(codes)
    edges = (inside[1:] != inside[:-1]).nonzero()[0]
    edges += 1  # where words begin, and end
    begins = edges[::2]
    words = len(begins)
    hashes = np.empty(windows + 2 * words + 1, np.uint32)
    of_characters = hashes[:windows]
    crossing = _hash_windows(codes, plan.features, of_characters)
    of_characters ^= kind.salt_of_characters
    if words:
        of_words, of_pairs = hashes[windows : windows + words], hashes[windows + words : -2]
        np.multiply(_sums(codes, edges)[::2], _tables(len(codes)).inverses[begins], out=of_words)
        np.multiply(of_words[:-1], _PAIR, out=of_pairs)
        of_pairs += of_words[1:]
        of_pairs ^= kind.salt_of_pairs
        of_words ^= kind.salt_of_words
    tags = _buckets(hashes, plan.features.bits)
    if kind.number:
        tags |= kind.number
    tags[windows:] |= plan.is_of_words
    np.putmask(tags[:windows], crossing, _LAST)
    tags[-2 if words else -1 :] = _LAST
    return tags


def _hash_windows(codes: Codes, features: Features, out: Codes) -> NDArray[np.bool_]:
    """Hash the windows of every length, one length after the other; those of one character more go by those before.

    Returns:
        Of every window, whether a space is inside it (its ends may be: they mark where a word starts and stops).
    """
    shortest, longest = features.shortest, features.longest
    starts = len(out) // (longest - shortest + 1)
    is_space = codes == _SPACE
    crossing = np.empty(len(out), np.bool_)
    row, across = out[:starts], crossing[:starts]
    np.multiply(codes[:starts], _BASE, out=row)
    row += codes[1 : 1 + starts]
    across[:] = False
    for n in range(3, shortest + 1):
        row *= _BASE
        row += codes[n - 1 : n - 1 + starts]
        across |= is_space[n - 2 : n - 2 + starts]
    at = starts
    for n in range(shortest + 1, longest + 1):
        row = np.multiply(row, _BASE, out=out[at : at + starts])
        row += codes[n - 1 : n - 1 + starts]
        across = np.logical_or(across, is_space[n - 2 : n - 2 + starts], out=crossing[at : at + starts])
        at += starts
    return crossing


def _sums(codes: Codes, edges: NDArray[np.intp]) -> Codes:
    """Sums of (code + mix) * base**place over every word, and over what lies behind each."""
    length = len(codes)
    tables = _tables(length)
    products = codes * tables.powers[:length]
    products += tables.mixed[:length]
    return np.add.reduceat(products, edges, dtype=np.uint32)


# --- What is the same for every text ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Kind:
    """What parts n-grams of a whole text from those of its opening."""

    number: Codes
    salt_of_characters: Codes
    salt_of_words: Codes
    salt_of_pairs: Codes


@dataclass(frozen=True, slots=True)
class _Plan:
    """Features, as arrays.

    Attributes:
        lengths: how many lengths windows have.
        behind: spaces behind the text, so that there are as many windows of every length.
        is_of_words: the bit above the bucket, set for words and pairs.
        bounds: where in sorted tags the kinds of words begin and end.
    """

    features: Features
    lengths: int
    behind: str
    is_of_words: Codes
    all_buckets: Codes
    bounds: Codes
    of_text: _Kind
    of_opening: _Kind


@lru_cache(maxsize=16)
def _plan(features: Features) -> _Plan:
    bits, further = features.bits, features.longest - features.shortest
    salts = [_SALTS[name] for name in ("char", "word", "pair")]
    kinds = (1, 2, 3, 4) if features.opening else (1, 2)
    return _Plan(
        features=features,
        lengths=1 + further,
        behind=" " * (1 + further),
        is_of_words=np.array(1 << bits, np.uint32),
        all_buckets=np.array((1 << bits) - 1, np.uint32),
        bounds=np.array([kind << bits for kind in kinds], np.uint32),
        of_text=_Kind(np.array(0, np.uint32), *salts),
        of_opening=_Kind(np.array(2 << bits, np.uint32), *[np.array(salt ^ _OPENING_SALT) for salt in salts]),
    )


@dataclass(frozen=True, slots=True)
class _Tables:
    """base**place, base**-place, and mix * base**place."""

    powers: Codes
    inverses: Codes
    mixed: Codes


def _tables(length: int) -> _Tables:
    return _tables_of(max(10, length.bit_length()))


@lru_cache(maxsize=4)
def _tables_of(bits: int) -> _Tables:
    powers, inverses = _powers((1 << bits) - 1)
    return _Tables(powers, inverses, powers * _MIX)


@lru_cache(maxsize=16)
def _weight_of_times(bits: int) -> NDArray[np.float32]:
    """1 + log of how often an n-gram occurs, up to 2**bits times."""
    weights = np.log(np.arange(1, 1 << bits, dtype=np.float32))
    weights += np.float32(1)
    return np.concatenate((np.zeros(1, np.float32), weights))
