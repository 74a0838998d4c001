"""Which reports say nearly the same: overlapping letters (shingles), sketched by minima of keyed hashes.

    text -> plain form -> every 6 letters in a row -> 64 minima -> names that the registry finds by

Two texts share about as large a part of their minima as of their shingles (Broder, 1997). The hashes are keyed, so
whoever holds only the database cannot try out texts. Near-copies meet; a paraphrase does not.
"""

from hashlib import blake2b

import numpy as np

from safecase.detect import normalise

SLOTS = 64
NEAR = 0.6
"""From this share of equal minima on, two reports are grouped."""
_LETTERS = 6


def plain(text: str) -> str:
    """The text as it is compared: what a reader sees, in lower-case letters, white space collapsed."""
    return normalise(text)


def sketch(text: str, *, key: bytes) -> tuple[str, ...]:
    """64 names, `<slot>:<minimum>`; nothing for a text without letters.

    Args:
        text: in its plain form.
        key: 16 to 64 bytes.

    >>> one, two = (set(sketch(text, key=bytes(16))) for text in ("the same words here", "the same words there"))
    >>> 0.3 < len(one & two) / 64 < 1
    True
    """
    shingles = {text[start : start + _LETTERS] for start in range(max(1, len(text) - _LETTERS + 1))} - {""}
    if not shingles:
        return ()
    hashes = np.fromiter((_hash(one, key) for one in shingles), dtype=np.uint64, count=len(shingles))
    rows = np.random.default_rng(20261121).integers(0, 2**63, size=(2, SLOTS), dtype=np.uint64)
    mixed = (hashes[:, None] ^ rows[0]) * (rows[1] | np.uint64(1))  # odd factors, modulo 2**64
    minima = (mixed ^ (mixed >> np.uint64(29))).min(axis=0)
    return tuple(f"{slot}:{value:016x}" for slot, value in enumerate(minima.tolist()))


def _hash(shingle: str, key: bytes) -> int:
    return int.from_bytes(blake2b(shingle.encode("utf-8", "replace"), digest_size=8, key=key).digest(), "big")
