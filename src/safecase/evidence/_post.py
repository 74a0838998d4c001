"""A post box for hazardous answers: whoever holds it can put an answer in; only the vault it belongs to takes it out.

A worker on another machine must not keep an answer of a hazardous domain in plain, and must not hold the key that
opens the others. So it seals each answer to a public key (X25519), whose private half the vault derives from its own
key; nothing secret travels.

    sealed = 02 | ephemeral public key (32 bytes) | ciphertext and tag
    key, nonce = HKDF-SHA256(shared secret, info = "safecase-post-v1" | 00 | both public keys)
    associated data = "safecase-post-v1" | 00 | 02 | trial id

The ephemeral key is new for every answer, so no nonce is used twice under one key. Scheme: RFC 9180's base mode in
outline, with the trial bound in.
"""

from dataclasses import dataclass

from safecase.evidence._errors import SealBroken
from safecase.evidence._vault import Vault

_VERSION = b"\x02"
_PURPOSE = b"safecase-post-v1\x00"
_KEY_BYTES, _NONCE_BYTES = 32, 12


@dataclass(frozen=True, slots=True)
class PostBox:
    """The public half: 32 bytes that may lie anywhere. It seals as a vault does and opens nothing."""

    public: bytes

    def seal(self, text: str, trial_id: str) -> bytes:
        """Encrypt an answer for one trial, to be taken over by the vault."""
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        ephemeral = X25519PrivateKey.generate()
        mine = ephemeral.public_key().public_bytes_raw()
        key, nonce = _agreed(ephemeral.exchange(X25519PublicKey.from_public_bytes(self.public)), mine, self.public)
        plain = text.encode("utf-8", "surrogatepass")  # half a surrogate pair is what some models answer
        return _VERSION + mine + AESGCM(key).encrypt(nonce, plain, _PURPOSE + _VERSION + trial_id.encode())


class PostKey:
    """The private half, derived from a vault's key for one run: the same vault and run give the same box."""

    def __init__(self, vault: Vault, run: str) -> None:
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

        self._vault = vault
        self._private = X25519PrivateKey.from_private_bytes(vault.derive(f"post/{run}"))
        self.box = PostBox(self._private.public_key().public_bytes_raw())

    def take_over(self, blob: bytes, trial_id: str) -> bytes:
        """Take an answer out of the box and seal it under the vault's own key. Nobody sees a word of it.

        Raises:
            SealBroken: sealed for another run or trial, or changed bytes.
        """
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        theirs, sealed = blob[1 : 1 + _KEY_BYTES], blob[1 + _KEY_BYTES :]
        try:
            shared = self._private.exchange(X25519PublicKey.from_public_bytes(theirs))
            key, nonce = _agreed(shared, theirs, self.box.public)
            plain = AESGCM(key).decrypt(nonce, sealed, _PURPOSE + _VERSION + trial_id.encode())
        except (InvalidTag, ValueError):
            line = f"the answer of trial {trial_id!r} was sealed for another run or hazard key, or changed on its way"
            raise SealBroken(f"{line}; remove its segment from the storage and run again, which asks anew") from None
        return self._vault.seal(plain.decode("utf-8", "surrogatepass"), trial_id)


def _agreed(shared: bytes, ephemeral: bytes, box: bytes) -> tuple[bytes, bytes]:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    made = HKDF(algorithm=SHA256(), length=_KEY_BYTES + _NONCE_BYTES, salt=None, info=_PURPOSE + ephemeral + box)
    both = made.derive(shared)
    return both[:_KEY_BYTES], both[_KEY_BYTES:]
