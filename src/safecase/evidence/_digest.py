"""Content digests over one canonical form."""

import hashlib
import json
from pathlib import Path
from typing import Any

import orjson

_CHUNK = 1 << 20
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical_json(value: Any) -> bytes:
    """Encode a JSON value in its one canonical form: sorted keys, no spaces, UTF-8, no NaN or infinity.

    Args:
        value: anything `json` can encode. `Any` because JSON is what it says.

    Raises:
        ValueError: a float is NaN or infinite (absence is never a number).

    >>> canonical_json({"b": 1, "a": "é"}).decode()
    '{"a":"é","b":1}'
    """
    return _CANONICAL.encode(value).encode()


def digest_bytes(data: bytes) -> str:
    """SHA-256 of bytes, 64 lower-case hex digits."""
    return hashlib.sha256(data).hexdigest()


def digest_value(value: Any) -> str:
    """SHA-256 of the canonical JSON of a value, 64 lower-case hex digits."""
    return digest_bytes(canonical_json(value))


def digest_plain(value: Any) -> str:
    """`digest_value` of texts, whole numbers, booleans and nulls in lists, in a tenth of the time; no floats.

    >>> digest_plain(["a", [1, "é"], True]) == digest_value(["a", [1, "é"], True])
    True
    """
    try:
        return digest_bytes(orjson.dumps(value))
    except TypeError:  # a whole number beyond 64 bits, or half of a surrogate pair
        return digest_value(value)


def digest_file(path: Path) -> str:
    """SHA-256 of a file's bytes, read in blocks of 1 MiB, 64 lower-case hex digits.

    Raises:
        OSError: the file cannot be read.
    """
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_CHUNK):
            sha.update(block)
    return sha.hexdigest()
