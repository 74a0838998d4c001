"""Content digests over one canonical form."""

import hashlib
import json
from pathlib import Path
from typing import Any

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
