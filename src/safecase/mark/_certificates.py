"""A certificate chain that C2PA accepts, for tests and trials.

A C2PA signer's certificate is no TLS certificate: it must not be self-signed, must allow `digitalSignature` and nothing
that signs certificates, must name a purpose from a short list, an organisation and both key identifiers. Each slip is
answered by "invalid certificate" and no more, so the chain is built here, with the reason beside each extension.
"""

import os
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from safecase.mark._errors import KeysUnusable

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

CLAIM_SIGNING = "1.3.6.1.4.1.62558.2.1"
"""The purpose "C2PA claim signing" (C2PA specification 2.x, section 14.5.1)."""
EMAIL_PROTECTION = "1.3.6.1.5.5.7.3.4"
"""The purpose that older validators know."""
TEST_NAME = "safecase TEST"
"""Organisation in every certificate made here, so that nobody takes one for a real signer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A test chain, all PEM.

    Attributes:
        root: self-signed; whoever trusts it trusts what the signer signs.
        signer: the signer's certificate and the intermediate's, in this order; the root stays out.
        key: the signer's private key, PKCS 8, P-256 (signs ES256).
    """

    root: str
    signer: str
    key: str = field(repr=False)


def make_chain(*, now: datetime, days: int = 365, name: str = "test signer") -> Chain:
    """Make root, intermediate and signer. The keys of the first two are forgotten: nothing else can be issued.

    Args:
        now: start of validity, with a time zone.
        days: length of validity, at least 1.
        name: the signer's common name.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    if now.tzinfo is None or days < 1:
        raise ValueError(f"now must have a time zone and days be at least 1, got {now!r} and {days!r}")
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(3)]
    root_key, middle_key, signer_key = keys
    span = (now - timedelta(minutes=5), now + timedelta(days=days))  # clocks differ a little
    root = _certificate("test root", root_key, span=span, issuer=None, issuer_key=root_key, below=1)
    middle = _certificate("test intermediate", middle_key, span=span, issuer=root, issuer_key=root_key, below=0)
    signer = _certificate(name, signer_key, span=span, issuer=middle, issuer_key=middle_key, below=None)
    pem = serialization.Encoding.PEM
    key = signer_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Chain(
        root=root.public_bytes(pem).decode(),
        signer=(signer.public_bytes(pem) + middle.public_bytes(pem)).decode(),
        key=key.decode(),
    )


def _certificate(
    name: str,
    key: "EllipticCurvePrivateKey",
    *,
    span: tuple[datetime, datetime],
    issuer: "x509.Certificate | None",
    issuer_key: "EllipticCurvePrivateKey",
    below: int | None,
) -> "x509.Certificate":
    """One certificate; `below` is how many authorities may stand under it, None for a signer."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import NameOID

    is_authority = below is not None
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, TEST_NAME),  # validators show it as who signed
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    usage = x509.KeyUsage(
        digital_signature=not is_authority,  # required of a signer
        key_cert_sign=is_authority,  # forbidden to a signer
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(span[0])
        .not_valid_after(span[1])
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=below), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(identifier, critical=False)
    )
    if not is_authority:  # a signer states a purpose; "any purpose" is refused
        purposes = [x509.ObjectIdentifier(CLAIM_SIGNING), x509.ObjectIdentifier(EMAIL_PROTECTION)]
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


TRUST, SIGNER, SIGNER_KEY, WATERMARK_KEY = "trust.pem", "signer.pem", "signer.key", "watermark.key"
"""Files of a keys folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """What a keys folder holds; None for a file that is not there.

    Attributes:
        trust: anchors, PEM: whose signers are trusted.
        signer: certificate chain, PEM.
        signer_key: PEM.
        watermark: secret of the invisible marks, at least 16 bytes.
    """

    trust: str | None = None
    signer: str | None = None
    signer_key: str | None = field(default=None, repr=False)
    watermark: bytes | None = field(default=None, repr=False)


def write_keys(directory: Path, *, now: datetime, days: int = 365) -> tuple[Path, ...]:
    """Fill a new folder with a test chain and a watermark key. Secret files get mode 0600.

    Raises:
        KeysUnusable: one of the files is there already; nothing is replaced.
    """
    chain = make_chain(now=now, days=days)
    files = {
        TRUST: chain.root,
        SIGNER: chain.signer,
        SIGNER_KEY: chain.key,
        WATERMARK_KEY: os.urandom(32).hex() + "\n",
    }
    paths = tuple(directory / name for name in files)
    if there := [str(path) for path in paths if path.exists()]:
        raise KeysUnusable(f"{there[0]}: is there already; give a new directory, keys are never replaced")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for path, text in zip(paths, files.values(), strict=True):
            secret = path.suffix == ".key"
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if secret else 0o644), "w") as out:
                out.write(text)
    except OSError as error:
        raise KeysUnusable(f"{directory}: cannot be written ({error.strerror}); give another directory") from None
    return paths


def read_keys(directory: Path) -> Keys:
    """Read what a keys folder holds.

    Raises:
        KeysUnusable: no such folder, or a file in it is unreadable or malformed.
    """
    if not directory.is_dir():
        raise KeysUnusable(f"{directory}: no such folder; `safecase mark certificates {directory}` makes one for tests")
    watermark = _text(directory / WATERMARK_KEY)
    keys = Keys(
        trust=_pem(directory / TRUST),
        signer=_pem(directory / SIGNER),
        signer_key=_pem(directory / SIGNER_KEY),
        watermark=None if watermark is None else _secret(watermark, directory / WATERMARK_KEY),
    )
    if keys == Keys():
        raise KeysUnusable(f"{directory}: holds none of {TRUST}, {SIGNER}, {SIGNER_KEY}, {WATERMARK_KEY}")
    return keys


def _pem(path: Path) -> str | None:
    text = _text(path)
    if text is None:
        return None
    if "-----BEGIN" not in text:
        raise KeysUnusable(f"{path}: is no PEM file; it must hold a block that starts with -----BEGIN")
    if path.name != SIGNER_KEY:
        from cryptography import x509

        try:
            x509.load_pem_x509_certificates(text.encode())
        except ValueError as error:
            raise KeysUnusable(f"{path}: holds no readable certificate ({error})") from None
    return text


def _secret(text: str, path: Path) -> bytes:
    try:
        secret = bytes.fromhex(text.strip())
    except ValueError:
        secret = b""
    if len(secret) < 16:
        raise KeysUnusable(f"{path}: must hold at least 32 hex digits (`openssl rand -hex 32` makes 64)")
    return secret


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8") if path.exists() else None
    except (OSError, UnicodeDecodeError) as error:
        raise KeysUnusable(f"{path}: cannot be read ({error})") from None
