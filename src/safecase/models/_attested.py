"""An identity that rests on a signed statement of whoever serves the model.

The statement's subject is the model (its name there, SHA-256 of its weights), its type `ATTESTATION`, and its predicate
says at which endpoint: `{"endpoint": "https://host[:port]"}`. One made for another endpoint or model proves nothing.
"""

from pathlib import Path

from safecase.evidence import (
    Identity,
    PublicKey,
    StatementBroken,
    digest_bytes,
    read_envelope,
    verify_envelope,
)
from safecase.models._errors import PlatformFailed

ATTESTATION = "https://safecase.dev/model-attestation/v1"


def read_attestation(path: Path, *, name: str, model: str, origin: str, trusted: tuple[PublicKey, ...]) -> Identity:
    """Read and check an attestation.

    Args:
        name: the target's name. model: the model's name at the endpoint. origin: the endpoint's scheme, host and port.
        trusted: keys to believe.

    Raises:
        PlatformFailed: unreadable, signed by none of the trusted keys, or about something else.
    """
    try:
        envelope = read_envelope(path)
    except StatementBroken as error:
        raise PlatformFailed(f"{name}: {error}") from None
    signers = verify_envelope(envelope, trusted)
    if not signers:
        raise PlatformFailed(f"{name}: {path}: none of the {len(trusted)} trusted keys signed this; trust the signer")
    statement = envelope.statement()
    if statement.predicate_type != ATTESTATION:
        raise PlatformFailed(f"{name}: {path}: of type {statement.predicate_type!r}; an attestation is {ATTESTATION!r}")
    endpoint = statement.predicate.get("endpoint")
    weights = [subject.sha256 for subject in statement.subject if subject.name == model]
    if endpoint != origin or len(weights) != 1:
        raise PlatformFailed(
            f"{name}: {path}: attests {statement.subject[0].name!r} at {endpoint!r}, not {model!r} at {origin!r}; ask "
            "whoever serves it for one of this model"
        )
    return Identity(
        kind="attested",
        model=name,
        digest=digest_bytes(envelope.payload),
        details={"weights": weights[0], "endpoint": origin, "signed_by": " ".join(signers)},
    )
