"""How surely we know which model answered."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

IdentityKind = Literal["weights", "attested", "fingerprint", "name-only"]
"""How a model is known, surest first.

`weights`: we hashed the file that ran. `attested`: whoever serves it signed which weights run. `fingerprint`: fixed
greedy probes gave the same answers. `name-only`: the endpoint says a name, which proves nothing.
"""

IDENTITY_KINDS: tuple[IdentityKind, ...] = ("weights", "attested", "fingerprint", "name-only")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Which model answered, and how we know.

    Attributes:
        kind: how it is known.
        model: the name it goes by.
        digest: SHA-256 (64 hex digits) of the weights, the attestation, or the probes with their answers; None for
            "name-only", where there is nothing to hash.
        details: whatever else the client learnt (file name, quantisation, endpoint host, probe set).

    Raises:
        ValueError: a digest is missing where the kind has one, given where it has none, or is not SHA-256.
    """

    kind: IdentityKind
    model: str
    digest: str | None = None
    details: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in IDENTITY_KINDS:
            raise ValueError(
                f"identity of {self.model!r}: no kind {self.kind!r}; there are {', '.join(IDENTITY_KINDS)}"
            )
        if (self.kind == "name-only") != (self.digest is None):
            need = "has no digest" if self.kind == "name-only" else "needs a digest"
            raise ValueError(f"identity of {self.model!r}: kind {self.kind!r} {need}, got {self.digest!r}")
        if self.digest is not None and not _is_sha256(self.digest):
            raise ValueError(f"identity of {self.model!r}: {self.digest!r} is not a SHA-256 in lower-case hex")


def meets(identity: Identity, minimum: IdentityKind) -> bool:
    """Whether a model is known at least as surely as a context asks.

    >>> meets(Identity(kind="name-only", model="m"), "fingerprint")
    False
    >>> meets(Identity(kind="weights", model="m", digest="0" * 64), "fingerprint")
    True
    """
    return IDENTITY_KINDS.index(identity.kind) <= IDENTITY_KINDS.index(minimum)


def _is_sha256(text: str) -> bool:
    return len(text) == 64 and set(text) <= set("0123456789abcdef")
