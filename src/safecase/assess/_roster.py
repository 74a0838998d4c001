"""Make the roster of a case."""

from collections.abc import Sequence
from pathlib import Path

from safecase.assess._case import Case, Clock, utc_now
from safecase.assess._kept import record
from safecase.declare import UnknownName
from safecase.evidence import (
    DEMO_STAMP,
    PublicKey,
    RosterBroken,
    RosterEntry,
    load_private_key,
    parse_public_key,
    sign_roster,
)


def write_roster(case: Case, root: Path, people: Sequence[str], *, now: Clock = utc_now) -> tuple[Path, str]:
    """Write `roster.json`, signed by the root key.

    Args:
        people: `PERSON:ROLE:KEY_FILE` each; the file holds a public key, or a private one of which only the public half
            is read.

    Returns:
        The file, and the root's key id (to be kept elsewhere).

    Raises:
        RosterBroken: a line is not of that form, or a key stands twice.
        UnknownName: the framework has no such role.
    """
    at = now()
    entries = []
    roles = {role.id for role in case.framework.roles}
    for line in people:
        parts = line.split(":", 2)
        if len(parts) != 3:
            raise RosterBroken(f"--person is {line!r}; give PERSON:ROLE:PUBLIC_KEY_FILE")
        person, role, file = parts
        if role not in roles:
            raise UnknownName(
                f"--person {line!r}: no role {role!r} in {case.framework.id}; use {', '.join(sorted(roles))}"
            )
        key, is_demo = _public_key(Path(file))
        entries.append(RosterEntry(person=person, role=role, key=key, is_demo=is_demo, valid_from=at))
    root_key = load_private_key(root)
    record(
        case, "roster.json", sign_roster(entries, root_key).to_bytes(), action="roster", now=now, root=root_key.keyid
    )
    return case.path / "roster.json", root_key.keyid


def _public_key(path: Path) -> tuple[PublicKey, bool]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise RosterBroken(
            f"{path}: cannot be read ({error.strerror}); `safecase decide key FILE` makes keys"
        ) from error
    if "PRIVATE KEY" in text:
        key = load_private_key(path)
        return key.public, key.is_demo
    return parse_public_key(text, origin=str(path)), DEMO_STAMP in text
