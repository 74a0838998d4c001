"""Signed statements: an in-toto Statement v1 in a DSSE envelope, in one canonical spelling.

    envelope  {payload (base64), payloadType, signatures: [{keyid, sig}]}
    payload   {_type, subject: [{name, digest: {sha256}}], predicateType, predicate}

One spelling, because base64 and JSON have many: a changed byte is then always a fault, never another way to write the
same thing.
"""

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safecase.evidence._case_files import write_atomic
from safecase.evidence._digest import canonical_json
from safecase.evidence._errors import Problem, StatementBroken
from safecase.evidence._keys import PrivateKey, PublicKey

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"

FINDINGS = "https://safecase.dev/findings/v1"
DETERMINATION = "https://safecase.dev/determination/v1"
DECISION = "https://safecase.dev/decision/v1"
PERMIT = "https://safecase.dev/permit/v1"
HEAD = "https://safecase.dev/ledger-head/v1"
ROSTER = "https://safecase.dev/roster/v1"
SIGN_OFF = "https://safecase.dev/sign-off/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A thing that a statement is about: its name (a path in the case) and SHA-256, 64 hex digits."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What is said about which files.

    Attributes:
        subject: at least one.
        predicate_type: a URI that names the shape of `predicate`, such as `FINDINGS`.
        predicate: a JSON object.
    """

    subject: tuple[Subject, ...]
    predicate_type: str
    predicate: Mapping[str, Any]  # JSON

    def payload(self) -> bytes:
        """The canonical JSON that is signed.

        Raises:
            ValueError: no subject, or a predicate that is not JSON.
        """
        if not self.subject:
            raise ValueError(f"a statement of type {self.predicate_type!r} is about at least one subject")
        return canonical_json(
            {
                "_type": STATEMENT_TYPE,
                "subject": [{"name": one.name, "digest": {"sha256": one.sha256}} for one in self.subject],
                "predicateType": self.predicate_type,
                "predicate": dict(self.predicate),
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """One signature: the id of the key it claims, and its bytes. A claim until checked."""

    keyid: str
    sig: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A payload and the signatures over it, in the order they were made. None of them is checked yet."""

    payload: bytes
    payload_type: str
    signatures: tuple[Signature, ...]

    def to_bytes(self) -> bytes:
        """The canonical file: DSSE's JSON, sorted keys, a final newline."""
        signatures = [{"keyid": one.keyid, "sig": _b64(one.sig)} for one in self.signatures]
        return (
            canonical_json({"payload": _b64(self.payload), "payloadType": self.payload_type, "signatures": signatures})
            + b"\n"
        )

    def statement(self) -> Statement:
        """The statement inside, whoever signed it.

        Raises:
            StatementBroken: the payload is no in-toto Statement v1 in canonical form.
        """
        return _parse_statement(self.payload, self.payload_type)


def sign(statement: Statement, key: PrivateKey) -> Envelope:
    """Sign a statement.

    Raises:
        ValueError: the statement has no subject, or is not JSON.
    """
    return add_signature(Envelope(payload=statement.payload(), payload_type=PAYLOAD_TYPE, signatures=()), key)


def add_signature(envelope: Envelope, key: PrivateKey) -> Envelope:
    """The envelope with one more signature.

    Raises:
        ValueError: this key signed it already; no one signs twice.
    """
    from securesystemslib.signer import CryptoSigner

    if any(one.keyid == key.keyid for one in envelope.signatures):
        raise ValueError(f"key {key.keyid[:12]}… signed this statement already; no one signs twice")
    made = CryptoSigner(key.ed25519).sign(_pae(envelope))
    signature = Signature(keyid=key.keyid, sig=bytes.fromhex(made.signature))
    return Envelope(
        payload=envelope.payload,
        payload_type=envelope.payload_type,
        signatures=(*envelope.signatures, signature),
    )


def verify_envelope(envelope: Envelope, public_keys: Iterable[PublicKey]) -> list[str]:
    """Check every signature, key by key, and return the ids of the keys that did sign.

    It does not stop at a threshold, and says nothing of who may sign: that is `quorum`'s.

    Args:
        public_keys: the keys to believe; a signature by any other is passed over.

    Returns:
        Key ids in the order of the signatures, each once.
    """
    known = {key.keyid: key for key in public_keys}
    good = [
        one.keyid
        for one in envelope.signatures
        if one.keyid in known and signature_holds(envelope, one, known[one.keyid])
    ]
    return list(dict.fromkeys(good))


def signature_holds(envelope: Envelope, signature: Signature, key: PublicKey) -> bool:
    """Whether this key made this signature over this payload."""
    from securesystemslib.exceptions import UnverifiedSignatureError, VerificationError
    from securesystemslib.signer import Signature as DsseSignature
    from securesystemslib.signer import SSlibKey

    checker = SSlibKey.from_crypto(_load(key), keyid=key.keyid)
    try:
        checker.verify_signature(DsseSignature(signature.keyid, signature.sig.hex()), _pae(envelope))
    except (UnverifiedSignatureError, VerificationError):
        return False
    return True


def write_envelope(path: Path, envelope: Envelope) -> None:
    """Write an envelope in its canonical form, whole or not at all.

    Raises:
        DiskFull: no space left.
    """
    write_atomic(path, envelope.to_bytes())


def read_envelope(path: Path) -> Envelope:
    """Read an envelope; check its spelling, not yet its signatures.

    Raises:
        StatementBroken: missing, not a DSSE envelope, not in canonical form, or its payload is no in-toto statement.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StatementBroken(f"{path}: cannot be read ({error.strerror}); run the stage that writes it") from None
    return parse_envelope(data, origin=str(path))


def parse_envelope(data: bytes, *, origin: str) -> Envelope:
    """Read an envelope from bytes.

    Args:
        origin: where they stood, for the message.

    Raises:
        StatementBroken: as `read_envelope`.
    """
    try:
        fields = json.loads(data)
        envelope = Envelope(
            payload=_unb64(fields["payload"]),
            payload_type=str(fields["payloadType"]),
            signatures=tuple(
                Signature(keyid=str(one["keyid"]), sig=_unb64(one["sig"])) for one in fields["signatures"]
            ),
        )
        is_canonical = envelope.to_bytes() == data
        envelope.statement()
    except StatementBroken as error:
        raise StatementBroken(f"{origin}: {error}") from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        line = f"{origin}: not a DSSE envelope ({type(error).__name__}: {error})"
        raise StatementBroken(f"{line}; restore it from a copy of the case") from None
    if not is_canonical:
        raise StatementBroken(f"{origin}: not in canonical form, so it was changed; restore it from a copy of the case")
    return envelope


def check_envelope(path: Path, public_keys: Iterable[PublicKey]) -> list[Problem]:
    """Hold a signed file against the keys that should have signed it.

    Returns:
        A problem where the file cannot be read, has no signature, or has one that no given key made.
    """
    try:
        envelope = read_envelope(path)
    except StatementBroken as error:
        what = str(error).removeprefix(f"{path}: ")
        return [Problem(file=path, what=what.partition(";")[0], mend="restore it from a copy of the case")]
    good = set(verify_envelope(envelope, public_keys))
    bad = [one.keyid for one in envelope.signatures if one.keyid not in good]
    if good and not bad:
        return []
    what = f"the signature of key {bad[0][:12]!r}… does not hold" if bad else "nobody signed it"
    return [Problem(file=path, what=what, mend="restore it from a copy of the case, or have it signed anew")]


def _pae(envelope: Envelope) -> bytes:
    from securesystemslib.dsse import Envelope as DsseEnvelope

    pae: bytes = DsseEnvelope(envelope.payload, envelope.payload_type, {}).pae()
    return pae


def _load(key: PublicKey) -> Any:  # a cryptography public key, whose union of types securesystemslib takes whole
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    return load_pem_public_key(key.pem.encode())


def _parse_statement(payload: bytes, payload_type: str) -> Statement:
    if payload_type != PAYLOAD_TYPE:
        raise StatementBroken(f"payload type {payload_type!r} is not {PAYLOAD_TYPE!r}; give a safecase statement")
    try:
        fields = json.loads(payload)
        statement = Statement(
            subject=tuple(Subject(name=one["name"], sha256=one["digest"]["sha256"]) for one in fields["subject"]),
            predicate_type=fields["predicateType"],
            predicate=fields["predicate"],
        )
        # The payload names our type, so a statement of another type is not this one's canonical form either.
        is_canonical = statement.payload() == payload
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        line = f"the payload is no in-toto Statement v1 ({type(error).__name__}: {error})"
        raise StatementBroken(f"{line}; give a safecase statement") from None
    if not is_canonical:
        raise StatementBroken("the statement is not in canonical form; give a safecase statement")
    return statement


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _unb64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
