"""Keys that people are given: what is handed out, and what is kept of it.

    <prefix>-<key id, 10 characters>-<secret, 43 characters>

The key id finds the entry, the secret's HMAC-SHA-256 under the keeper's salt is compared in constant time. Secrets are
256 random bits, so a slow hash would protect nothing.
"""

import fcntl
import hmac
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

_KEY = re.compile(r"(?P<prefix>[a-z]{2})-(?P<id>[a-z2-7]{10})-(?P<secret>[A-Za-z0-9_-]{43})")
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_NOBODY = sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key as it leaves its keeper.

    Attributes:
        text: for its holder; the only place where the secret stands.
        hash: for the keeper.
    """

    key_id: str
    text: str
    hash: str


def new_key(prefix: str, salt: str) -> NewKey:
    """Make a key.

    Args:
        prefix: two letters that say what it opens.
        salt: of the keeper, hex digits.
    """
    key_id = "".join(secrets.choice(_ALPHABET) for _ in range(10))
    secret = secrets.token_urlsafe(32)
    return NewKey(key_id=key_id, text=f"{prefix}-{key_id}-{secret}", hash=_hash(salt, secret))


@contextmanager
def keys_held(file: Path) -> Iterator[None]:
    """Keep others off a file of keys between reading it and writing it back, so that no key or revocation is lost.

    What is locked is the file in `.<name>.lock` beside it, since the file itself is replaced.
    """
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = os.open(file.with_name(f".{file.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def key_id_of(text: str, prefix: str) -> str | None:
    """The id in a key, None where it is none with this prefix. It proves nothing yet."""
    match = _KEY.fullmatch(text)
    return match["id"] if match and match["prefix"] == prefix else None


def is_key(text: str, *, salt: str, kept: str | None) -> bool:
    """Whether a key is the one of which this hash was kept; None takes as long and says no."""
    match = _KEY.fullmatch(text)
    fits = hmac.compare_digest(_hash(salt, match["secret"] if match else ""), kept or _NOBODY)
    return fits and match is not None and kept is not None


def _hash(salt: str, secret: str) -> str:
    return hmac.new(bytes.fromhex(salt), secret.encode(), sha256).hexdigest()
