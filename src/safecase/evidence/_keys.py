"""Ed25519 keys in PEM files that only their owner may read. A demo key says so in its first line."""

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from safecase.evidence._case_files import write_atomic
from safecase.evidence._errors import KeyMissing, KeyUnusable

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

DEMO_STAMP = "# DEMO KEY - not for deployment"
_BEGIN = b"-----BEGIN"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """A key that checks signatures.

    Attributes:
        keyid: 64 hex digits, computed from the key itself (securesystemslib's key id), never taken on trust.
        pem: SubjectPublicKeyInfo, PEM.
    """

    keyid: str
    pem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateKey:
    """A key that signs. Printing it shows no secret.

    Attributes:
        public: its public half.
        is_demo: its file is stamped; what it signs is a demonstration.
    """

    public: PublicKey
    is_demo: bool
    ed25519: "Ed25519PrivateKey" = field(repr=False)

    @property
    def keyid(self) -> str:
        """The public half's key id."""
        return self.public.keyid


def generate_key(path: Path, *, demo: bool) -> PrivateKey:
    """Make a key and write it, PKCS8 PEM without a passphrase, mode 0600.

    Args:
        path: a file that is not there yet.
        demo: stamp it; a quorum counted on such a key is a demonstration.

    Raises:
        KeyUnusable: a file is there already.
        DiskFull: no space left.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    try:
        write_atomic(path, (DEMO_STAMP.encode() + b"\n" if demo else b"") + pem, mode=0o600, replace=False)
    except FileExistsError:
        raise KeyUnusable(f"{path}: a file is there and keys are never overwritten; choose another path") from None
    return PrivateKey(public=_public(key.public_key()), is_demo=demo, ed25519=key)


def load_private_key(path: Path) -> PrivateKey:
    """Read a private key.

    Raises:
        KeyMissing: no such file.
        KeyUnusable: others may read it; it is not PEM, has a passphrase, or is not Ed25519.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    data = read_secret(path, make="give the path of your key, or make one with `safecase decide key FILE`")
    stamp, begin, rest = data.partition(_BEGIN)
    try:
        key = serialization.load_pem_private_key(begin + rest, password=None)
    except TypeError:
        raise KeyUnusable(f"{path}: the key has a passphrase; give one without (`openssl pkey -in …`)") from None
    except ValueError as error:
        raise KeyUnusable(f"{path}: not a private key in PEM ({error}); give an Ed25519 private key") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyUnusable(f"{path}: a {type(key).__name__}; sign-off takes Ed25519 keys only")
    return PrivateKey(public=_public(key.public_key()), is_demo=DEMO_STAMP.encode() in stamp, ed25519=key)


def parse_public_key(pem: str, *, origin: str) -> PublicKey:
    """Read a public key from PEM text and compute its id. Text before the PEM block is passed over.

    Args:
        pem: SubjectPublicKeyInfo, PEM.
        origin: where it stood, for the message.

    Raises:
        KeyUnusable: not PEM, or not Ed25519.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    _, begin, rest = pem.encode(errors="replace").partition(_BEGIN)
    try:
        key = serialization.load_pem_public_key(begin + rest)
    except ValueError as error:
        raise KeyUnusable(f"{origin}: not a public key in PEM ({error}); give an Ed25519 public key") from None
    if not isinstance(key, Ed25519PublicKey):
        raise KeyUnusable(f"{origin}: a {type(key).__name__}; sign-off takes Ed25519 keys only")
    return _public(key)


def read_secret(path: Path, *, make: str) -> bytes:
    """Read a file that only its owner may read.

    Args:
        path: the file.
        make: how to come by one, for the message.

    Raises:
        KeyMissing: no such file.
        KeyUnusable: its permissions let others at it, or it cannot be read.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                raise KeyUnusable(f"{path}: mode {mode:04o} lets others at this key; run `chmod 600 {path}`")
            return file.read()
    except FileNotFoundError:
        raise KeyMissing(f"{path}: no key file there; {make}") from None
    except OSError as error:
        raise KeyUnusable(f"{path}: cannot be read ({error.strerror}); give a key file that you may read") from None


def _public(key: "Ed25519PublicKey") -> PublicKey:
    from cryptography.hazmat.primitives import serialization
    from securesystemslib.signer import SSlibKey

    pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return PublicKey(keyid=SSlibKey.from_crypto(key).keyid, pem=pem.decode())
