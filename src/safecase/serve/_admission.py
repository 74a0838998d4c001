"""Which accounts a permit lets in: the context's declared rule, then every narrowing."""

from collections.abc import Callable, Mapping
from hashlib import blake2b

from safecase.declare import Admits
from safecase.evidence import digest_bytes
from safecase.serve._permit import Permit
from safecase.serve._values import Account, Refusal

_Rule = Callable[[Account], Refusal | None]


def refuses(permit: Permit, account: Account) -> Refusal | None:
    """Why this account is not served, None if it is."""
    refusal = _RULES[permit.admits](account)
    if refusal is not None:
        return refusal
    if any(n.where and _is_suspended(account, n.where, n.unverified == "refused") for n in permit.narrowings):
        return _refusal("suspended", "Access of accounts like this one is suspended here.")
    if permit.share is not None and place_of(account.id, salt=f"{permit.case}/{permit.context}") >= permit.share:
        return _refusal("outside-share", "This model is served to a part of the accounts for now; yours is not in it.")
    return None


def place_of(account: str, *, salt: str) -> float:
    """Where an account stands in [0, 1), evenly spread and always the same: a share that grows only adds accounts.

    The salt, of case and context, is the hash's key: who stands first in one release stands elsewhere in another.

    >>> 0 <= place_of("acct-a", salt="case/controlled") < 1
    True
    """
    key = bytes.fromhex(digest_bytes(salt.encode()))
    return int.from_bytes(blake2b(account.encode(), key=key, digest_size=8).digest()) / 2**64


def _is_suspended(account: Account, where: Mapping[str, str], unverified_too: bool) -> bool:
    return all(
        unverified_too if name not in account.attributes else _same(account.attributes[name], value)
        for name, value in where.items()
    )


def _same(one: str, other: str) -> bool:
    return one.strip().casefold() == other.strip().casefold()


def _refusal(reason: str, message: str) -> Refusal:
    return Refusal(status=403, reason=reason, message=message)


def _needs(tier: str, message: str) -> _Rule:
    return lambda account: None if tier in account.tiers else _refusal(f"not-{tier}", message)


_RULES: Mapping[Admits, _Rule] = {
    "anyone": lambda _: None,
    "share": lambda _: None,  # the permit always holds the share itself
    "vetted": _needs("vetted", "This model is served to vetted parties; ask the operator about access."),
    "staff": _needs("staff", "This model is served to staff alone."),
}
