"""Keys: theirs alone, of the right kind, and a demo key that says so."""

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from safecase.evidence import (
    DEMO_STAMP,
    KeyMissing,
    KeyUnusable,
    generate_key,
    load_private_key,
    parse_public_key,
)


@pytest.mark.parametrize("demo", [True, False])
def test_a_key_comes_back_with_its_stamp(tmp_path: Path, demo: bool) -> None:
    made = generate_key(tmp_path / "key.pem", demo=demo)
    read = load_private_key(tmp_path / "key.pem")

    assert (read.public, read.is_demo) == (made.public, demo)
    assert (tmp_path / "key.pem").read_text().startswith(DEMO_STAMP) is demo
    assert stat.S_IMODE((tmp_path / "key.pem").stat().st_mode) == 0o600
    assert parse_public_key(read.public.pem, origin="here") == made.public


def test_a_key_does_not_show_its_secret(tmp_path: Path) -> None:
    assert "ed25519" not in repr(generate_key(tmp_path / "key.pem", demo=False)).lower().replace("pem", "")


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    generate_key(tmp_path / "key.pem", demo=False)
    before = (tmp_path / "key.pem").read_bytes()

    with pytest.raises(KeyUnusable, match="never overwritten"):
        generate_key(tmp_path / "key.pem", demo=True)
    assert (tmp_path / "key.pem").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["key.pem"]


def _pem(key: Ed25519PrivateKey | ec.EllipticCurvePrivateKey, passphrase: bytes | None = None) -> bytes:
    encryption = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a private key"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "not a private key"),
        (_pem(ec.generate_private_key(ec.SECP256R1())), "Ed25519 keys only"),
        (_pem(Ed25519PrivateKey.generate(), b"secret"), "passphrase"),
    ],
)
def test_what_is_no_ed25519_key_is_refused_with_its_path(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(content)
    path.chmod(0o600)

    with pytest.raises(KeyUnusable, match=said) as caught:
        load_private_key(path)
    assert str(path) in str(caught.value)


def test_a_missing_key_and_an_open_one_are_two_faults(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    with pytest.raises(KeyMissing, match="no key file"):
        load_private_key(path)
    generate_key(path, demo=False)
    path.chmod(0o644)

    with pytest.raises(KeyUnusable, match="chmod 600"):
        load_private_key(path)


@pytest.mark.parametrize("pem", ["", "\ud800", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
def test_what_is_no_public_key_is_refused(pem: str) -> None:
    with pytest.raises(KeyUnusable, match="the roster"):
        parse_public_key(pem, origin="the roster")
