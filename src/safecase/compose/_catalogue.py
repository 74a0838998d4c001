"""Which attacks there are, by name: the static ones, the adaptive ones, and those of plug-ins a case names."""

import importlib
import re
from collections.abc import Sequence

from safecase.compose._attacks import ATTACKS, TRANSLATED, Attack
from safecase.compose._errors import UnknownAttack
from safecase.compose._plays import PLAYS

_KEBAB = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def attacks_named(names: Sequence[str], *, plugins: Sequence[str] = ()) -> tuple[Attack, ...]:
    """The attacks of those names, in the order of the lists; every *static* one when `names` is empty.

    An adaptive attack costs several calls an intent, so it is run only where it is named.

    Args:
        plugins: `module:object` of further attacks.

    Raises:
        UnknownAttack: a name is in no list, or a plug-in is not an attack.
    """
    known = known_attacks(plugins)
    for name in names:
        if name not in known and name != TRANSLATED.name:
            raise UnknownAttack(f"unknown attack {name!r} in `sampling.attacks`; use {', '.join(known)}")
    return tuple(attack for attack in (known.values() if names else ATTACKS) if not names or attack.name in names)


def known_attacks(plugins: Sequence[str] = ()) -> dict[str, Attack]:
    """Every attack by its name: `ATTACKS`, `PLAYS`, then plug-ins in the order named.

    Raises:
        UnknownAttack: a plug-in cannot be loaded, is not an attack, or takes a name that is taken.
    """
    known = {attack.name: attack for attack in (*ATTACKS, *PLAYS)}
    for reference in plugins:
        attack = _load(reference)
        if attack.name in known or attack.name == TRANSLATED.name:
            raise UnknownAttack(f"plug-in {reference!r} takes the name {attack.name!r}, which is taken; rename it")
        known[attack.name] = attack
    return known


def _load(reference: str) -> Attack:
    module, _, name = reference.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as fault:
        raise UnknownAttack(f"plug-in {reference!r} in `sampling.plugins` cannot be loaded ({fault})") from fault
    if not isinstance(found, Attack):
        raise UnknownAttack(f"plug-in {reference!r} is a {type(found).__name__}; name a `safecase.compose.Attack`")
    if not _KEBAB.fullmatch(found.name) or found.attempts < 1:
        raise UnknownAttack(
            f"plug-in {reference!r} has name {found.name!r} and {found.attempts!r} attempts; use kebab-case, 1 or more"
        )
    return found
