"""Turn a text into hashed n-gram counts: what the linear heads read.

Everything is arithmetic modulo 2**32 over the text's code points, done by numpy on whole arrays, so the result is the
same on every machine and in every process (Python's own `hash()` is neither), and 200 characters cost tens of
microseconds. The picture: a rolling polynomial gives every window of characters a number, the upper bits of a mixed
copy of that number are its bucket.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ._normalise import normalise

Codes = NDArray[np.uint32]

_BASE = np.uint32(0x01000193)  # the FNV-1 prime, odd, hence invertible modulo 2**32
_PAIR = np.uint32(0x85EBCA6B)
_MIX = np.uint32(0x9E3779B1)  # 2**32 / golden ratio: spreads consecutive numbers over the upper bits
_SALTS = {name: np.uint32(0x9747B28C + 0x3C6EF372 * i & 0xFFFFFFFF) for i, name in enumerate(("char", "word", "pair"))}
_OPENING_SALT = np.uint32(0x5BD1E995)
_SPACE, _SMALL_SPACE = np.uint32(32), np.uint8(32)
_ONE_TIME = np.float32(1)
_ZERO, _ONE = np.zeros(1, np.uint32), np.ones(1, np.uint32)

# Letters and digits of ASCII, and everything beyond it except white space and general punctuation.
_ASCII_WORD = np.array([chr(code).isalnum() for code in range(128)])
_WORD_BYTES = bytes(code < 128 and chr(code).isalnum() for code in range(256))
_PUNCTUATION = ((0x00A0, 0x00C0), (0x2000, 0x2070), (0x3000, 0x3020), (0xFF00, 0xFF10))


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """How a text becomes numbers; stored with the weights, because weights mean nothing without it.

    Attributes:
        bits: there are 2**bits buckets, 10 to 18.
        shortest, longest: character n-grams within word boundaries.
        words: how much a word or a pair of words counts against a character n-gram. (There are five times as many of
            the latter, and what is asked hangs on the words.)
        reach: characters read at each end of the text; what lies between the first and the last `reach` is not seen.
        opening: also count the n-grams of the first `opening` characters in buckets of their own; 0 for none. (A
            refusal is declared in the first sentence; the same words later mean less.)
    """

    bits: int = 17
    shortest: int = 3
    longest: int = 5
    words: int = 2
    reach: int = 4000
    opening: int = 0

    def __post_init__(self) -> None:
        if not 10 <= self.bits <= 18:
            raise ValueError(f"bits must lie in 10..18, got {self.bits!r}")
        if not 2 <= self.shortest <= self.longest:
            raise ValueError(f"n-grams must run from 2 or more upwards, got {self.shortest!r}..{self.longest!r}")
        if self.words < 0:
            raise ValueError(f"words must be 0 or more, got {self.words!r}")
        if self.reach < 1 or self.opening < 0:
            raise ValueError(f"reach must be 1 or more and opening 0 or more, got {self.reach!r} and {self.opening!r}")


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
    return _count_once(_ends(text, features.reach), features)


@lru_cache(maxsize=64)  # texts are at most 2 * reach long
def _count_once(text: str, features: Features) -> Counts:
    plain = normalise(text)
    kinds = _hashes(plain, features) if plain else []
    if not kinds or not kinds[0].size:
        return Counts(buckets=np.empty(0, np.intp), values=np.empty(0, np.float32))
    if features.opening:
        kinds += [hashes ^ _OPENING_SALT for hashes in _hashes(plain[: features.opening], features)]
    buckets, values = _tally(kinds, features)
    values /= np.sqrt(values @ values)
    return Counts(buckets=buckets, values=values)


def _ends(text: str, reach: int) -> str:
    return text if len(text) <= 2 * reach else f"{text[:reach]} {text[-reach:]}"


def _hashes(text: str, features: Features) -> list[Codes]:
    """One number for every n-gram of characters, and for every word and pair of words; repeats included.

    What a text of a few hundred letters costs is the number of calls into numpy, so windows of all lengths are laid in
    one array, and parted from those across words at once.
    """
    codes, letter, inside = _read(f" {text} ")
    length, shortest = len(codes), features.shortest
    windows = np.empty((features.longest - shortest + 1, length), np.uint32)
    at = np.zeros(windows.shape, np.bool_)
    rolling, whole = codes, np.ones(length, np.bool_)
    for n in range(2, features.longest + 1):
        size = max(0, length - n + 1)
        kept = n >= shortest
        rolling = np.multiply(rolling[:-1], _BASE, out=windows[n - shortest, :size] if kept else None)
        rolling += codes[n - 1 :]
        if n > 2:
            whole = whole[:size] & letter[n - 2 : n - 2 + size]
        if kept:
            at[n - shortest, :size] = whole[:size]
    characters = windows.ravel().compress(at.ravel())
    characters ^= _SALTS["char"]
    words = _words(codes, inside)
    pairs = words[:-1] * _PAIR
    pairs += words[1:]
    pairs ^= _SALTS["pair"]
    return [characters, np.concatenate((words ^ _SALTS["word"], pairs))]


def _read(spaced: str) -> tuple[Codes, NDArray[np.bool_], NDArray[np.bool_]]:
    """Code points, which of them are no space, and which are of a word."""
    if not spaced.isascii():
        codes = np.frombuffer(spaced.encode("utf-32-le", "surrogatepass"), np.uint32)
        return codes, codes != _SPACE, _is_word(codes)
    data = spaced.encode()
    small = np.frombuffer(data, np.uint8)
    return small.astype(np.uint32), small != _SMALL_SPACE, np.frombuffer(data.translate(_WORD_BYTES), np.bool_)


def _words(codes: Codes, inside: NDArray[np.bool_]) -> Codes:
    """Every word's sum of code * base**position, from its own beginning."""
    edges = (inside[1:] != inside[:-1]).nonzero()[0]
    if not len(edges):
        return codes[:0]
    edges += 1
    powers, inverses = _powers(len(codes))
    sums = np.add.reduceat((codes + _MIX) * powers, edges, dtype=np.uint32)  # of words, and of what lies between
    words: Codes = sums[::2] * inverses[edges[::2]]
    return words


def _characters(codes: Codes, features: Features) -> Iterator[tuple[Codes, NDArray[np.bool_], int]]:
    """Windows of n characters whose inside holds no space (the ends may: they mark where a word starts and stops).

    For every n: hashes, whether a window starts there (codes - n + 1,), and n.
    """
    letter = codes != _SPACE
    rolling, whole = codes, np.ones(len(codes), np.bool_)
    for n in range(2, features.longest + 1):
        rolling = rolling[:-1] * _BASE
        rolling += codes[n - 1 :]
        length = len(rolling)
        if n > 2:
            whole = whole[:length] & letter[n - 2 : n - 2 + length]
        if n >= features.shortest:
            at = whole[:length]
            hashes = rolling[at]
            hashes ^= _SALTS["char"]
            yield hashes, at, n


def _word_edges(codes: Codes) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Where words (runs of letters and digits) start and end."""
    inside = _is_word(codes)
    edges = (inside[1:] != inside[:-1]).nonzero()[0]
    edges += 1
    return edges[::2], edges[1::2]


def _word_hashes(codes: Codes, starts: NDArray[np.intp], ends: NDArray[np.intp]) -> tuple[Codes, Codes]:
    """Words and pairs of neighbouring words, hashed by a prefix sum of code * base**position."""
    powers, inverses = _powers(len(codes))
    prefix = np.concatenate((_ZERO, np.cumsum((codes + _MIX) * powers, dtype=np.uint32)))
    words = (prefix[ends] - prefix[starts]) * inverses[starts]
    return words ^ _SALTS["word"], (words[:-1] * _PAIR + words[1:]) ^ _SALTS["pair"]


def _is_word(codes: Codes) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = _ASCII_WORD[np.minimum(codes, 127)]
    if codes.max() > 127:
        beyond = codes > 127
        for low, high in _PUNCTUATION:
            beyond &= (codes < low) | (codes >= high)
        inside = (inside & (codes < 128)) | beyond
    return inside


def _powers(length: int) -> tuple[Codes, Codes]:
    """base**i and base**-i modulo 2**32 for i < length."""
    powers, inverses = _power_tables(max(10, length.bit_length()))
    return powers[:length], inverses[:length]


@lru_cache(maxsize=4)
def _power_tables(bits: int) -> tuple[Codes, Codes]:
    inverse = np.uint32(pow(int(_BASE), -1, 1 << 32))
    powers, inverses = (
        np.cumprod(np.concatenate((_ONE, np.full((1 << bits) - 1, base))), dtype=np.uint32) for base in (_BASE, inverse)
    )
    return powers, inverses


def _buckets(hashes: Codes, bits: int) -> Codes:
    mixed: Codes = hashes >> np.uint32(15)
    mixed ^= hashes
    mixed *= _MIX
    mixed >>= np.uint32(32 - bits)
    return mixed


def _tally(kinds: Sequence[Codes], features: Features) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """The distinct buckets of each kind, ascending, kind by kind, and weight * (1 + log count) of each.

    One sort does for all kinds, their number in the bits above the bucket; `np.unique` for each takes ten times that.

    Args:
        kinds: of characters and of words, by turns.
    """
    bits = features.bits
    ordered = _buckets(np.concatenate(kinds), bits)
    length, at = len(ordered), len(kinds[0])
    for number, kind in enumerate(kinds[1:], start=1):
        ordered[at : at + len(kind)] |= np.uint32(number << bits)
        at += len(kind)
    ordered.sort()
    is_first = np.empty(length, np.bool_)
    is_first[0] = True
    np.not_equal(ordered[1:], ordered[:-1], out=is_first[1:])
    first = is_first.nonzero()[0]
    times = np.empty(len(first), np.float32)
    np.subtract(first[1:], first[:-1], out=times[:-1], casting="unsafe")
    times[-1] = length - first[-1]
    distinct = ordered.take(first)
    np.log(times, out=times)
    times += _ONE_TIME
    for number in range(1, len(kinds), 2):
        start, end = distinct.searchsorted(_bounds(number, bits))
        times[start:end] *= features.words
    distinct &= np.uint32((1 << bits) - 1)
    return distinct.astype(np.intp), times


@lru_cache(maxsize=16)
def _bounds(number: int, bits: int) -> Codes:
    return np.array([number << bits, (number + 1) << bits], np.uint32)
