"""How surely a model is known, and what a context asks."""

import pytest

from safecase.evidence import IDENTITY_KINDS, Identity, IdentityKind, meets

DIGEST = "0" * 64


@pytest.mark.parametrize("have", IDENTITY_KINDS)
@pytest.mark.parametrize("least", IDENTITY_KINDS)
def test_surer_meets_less_sure_and_not_the_other_way(have: IdentityKind, least: IdentityKind) -> None:
    identity = Identity(kind=have, model="m", digest=None if have == "name-only" else DIGEST)

    assert meets(identity, least) == (IDENTITY_KINDS.index(have) <= IDENTITY_KINDS.index(least))


@pytest.mark.parametrize(
    ("kind", "digest"),
    [("weights", None), ("fingerprint", None), ("name-only", DIGEST), ("weights", "A" * 64), ("guessed", DIGEST)],
)
def test_a_claim_without_its_digest_cannot_be_made(kind: IdentityKind, digest: str | None) -> None:
    with pytest.raises(ValueError, match="identity of 'm'"):
        Identity(kind=kind, model="m", digest=digest)
