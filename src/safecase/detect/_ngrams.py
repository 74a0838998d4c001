"""Turn texts into hashed n-gram counts: what the linear heads read.

Everything is arithmetic modulo 2**32 over the text's code points, done by numpy on whole arrays, so the result is the
same on every machine and in every process (Python's own `hash()` is neither). The picture: a rolling polynomial gives
every window of characters a number, the upper bits of a mixed copy of that number are its bucket.

    " to be "" or not "  ->  windows, none across two texts  ->  text | kind | bucket, sorted once  ->  runs = counts

Most of what a short text costs is the calling of numpy, not the counting. So `tally` lays texts end to end and hashes
and sorts them together. A text that comes alone has a way of its own, `_counts`, with the same result.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint32]

# Arrays of no dimension: an operation takes a number of numpy's own a third longer to read.
_BASE = np.array(0x01000193, np.uint32)  # the FNV-1 prime, odd, hence invertible modulo 2**32
_PAIR = np.array(0x85EBCA6B, np.uint32)
_MIX = np.array(0x9E3779B1, np.uint32)  # 2**32 / golden ratio: spreads consecutive numbers over the upper bits
_SALTS = {
    name: np.array(0x9747B28C + 0x3C6EF372 * i & 0xFFFFFFFF, np.uint32)
    for i, name in enumerate(("char", "word", "pair"))
}
_OPENING_SALT = np.array(0x5BD1E995, np.uint32)
_NO_SALT = np.array(0, np.uint32)
_SPACE = np.array(32, np.uint32)
_HALF = np.array(15, np.uint32)
_DOWN = [np.array(32 - bits, np.uint32) for bits in range(19)]
_ZERO, _ONE = np.zeros(1, np.uint32), np.ones(1, np.uint32)

# Letters and digits of ASCII, and everything beyond it except white space and general punctuation. The last place is
# that of all code points of more than 16 bits.
_WORD = np.ones(1 << 16, np.bool_)
_WORD[:128] = [chr(code).isalnum() for code in range(128)]
for _low, _high in ((0x00A0, 0x00C0), (0x2000, 0x2070), (0x3000, 0x3020), (0xFF00, 0xFF10)):
    _WORD[_low:_high] = False


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


def ends_of(text: str, features: Features) -> str:
    """What is read of a text."""
    reach = features.reach
    return text if len(text) <= 2 * reach else f"{text[:reach]} {text[-reach:]}"


def opening_of(plain: str, features: Features) -> str:
    """The stretch of a plain text whose n-grams are counted apart too."""
    return plain[: features.opening].rstrip()


def tally(plain: Sequence[str], features: Features) -> tuple[NDArray[np.intp], NDArray[np.float32], list[int]]:
    """Count the n-grams of plain texts, at most 2**12 at once.

    Returns:
        Buckets and weight * (1 + log count) of all texts, text by text, ascending kind by kind; and where each text
        begins, with the end: one more than texts.
    """
    openings = [(plain, _NO_SALT)]
    if features.opening:
        openings.append(([opening_of(text, features) for text in plain], _OPENING_SALT))
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
    return _WORD.take(codes, mode="clip")


def _powers(length: int) -> tuple[Codes, Codes]:
    """base**i and base**-i modulo 2**32 for i < length."""
    powers, inverses = _power_tables(max(10, length.bit_length()))
    return powers[:length], inverses[:length]


@lru_cache(maxsize=4)
def _power_tables(bits: int) -> tuple[Codes, Codes]:
    inverse = np.uint32(pow(int(_BASE), -1, 1 << 32))
    powers, inverses = (
        np.cumprod(np.concatenate((_ONE, np.full((1 << bits) - 1, base, np.uint32))), dtype=np.uint32)
        for base in (_BASE, inverse)
    )
    return powers, inverses


def _buckets(hashes: Codes, bits: int) -> Codes:
    mixed: Codes = hashes >> _HALF
    mixed ^= hashes
    mixed *= _MIX
    mixed >>= _DOWN[bits]
    return mixed
