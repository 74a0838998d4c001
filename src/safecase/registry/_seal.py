"""Contents under a key each, and those keys under the registry's: AES-256-GCM. Destroying one key erases one content.

sealed = nonce (12 bytes) | ciphertext and tag, bound to "safecase-registry-v1" | 00 | what it is | 00 | its id
"""

import hmac
import os
from hashlib import sha256

from safecase.registry._errors import ContentUnreadable

KEY_BYTES = 32
_NONCE_BYTES = 12
_PURPOSE = b"safecase-registry-v1\x00"


def seal(key: bytes, data: bytes, *, what: str, name: str) -> bytes:
    """Encrypt, bound to what it is and to its name."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, data, _bound(what, name))


def unseal(key: bytes, sealed: bytes, *, what: str, name: str) -> bytes:
    """Decrypt.

    Raises:
        ContentUnreadable: another key, another name, or changed bytes.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _bound(what, name))
    except (InvalidTag, ValueError):
        raise ContentUnreadable(f"{what} {name!r} does not open under this key; use the registry's own key") from None


def keyed_hash(key: bytes, purpose: str, value: str) -> str:
    """A hash that only holders of the key can compute: 64 hex digits. Equal values meet, none can be guessed."""
    return hmac.new(key, _PURPOSE + purpose.encode() + b"\x00" + value.encode("utf-8", "replace"), sha256).hexdigest()


def _bound(what: str, name: str) -> bytes:
    return _PURPOSE + what.encode() + b"\x00" + name.encode()
