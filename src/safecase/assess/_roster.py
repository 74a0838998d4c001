"""Make the roster of a case, and see whether one made since dates a key anew.

The ledger's entry on each roster holds since when and until when each key counts. A roster that comes later may add a
key from then on and may end one from then on; what it says of the time before stays as it was.
"""

import datetime as dt
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from safecase.assess._case import Case, Clock, utc_now
from safecase.assess._kept import record
from safecase.assess._signing import case_roster
from safecase.declare import UnknownName
from safecase.evidence import (
    DEMO_STAMP,
    Entry,
    PublicKey,
    Roster,
    RosterBroken,
    RosterEntry,
    format_utc,
    load_private_key,
    parse_public_key,
    parse_utc,
    sign_roster,
)


def write_roster(case: Case, root: Path, people: Sequence[str], *, now: Clock = utc_now) -> tuple[Path, str]:
    """Write `roster.json`, signed by the root key.

    A key that stands in the case's roster already, for the same person and role, keeps the time since which it counts;
    every other counts from now on.

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
    standing = _standing(case, at=at)
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
        entry = RosterEntry(person=person, role=role, key=key, is_demo=is_demo, valid_from=at)
        known = standing.get(key.keyid)
        if known is not None and _whose(known) == (person, role):
            until = known["valid_until"] and parse_utc(known["valid_until"])
            entry = replace(entry, valid_from=parse_utc(known["valid_from"]), valid_until=until)
        entries.append(entry)
    root_key = load_private_key(root)
    record(
        case,
        "roster.json",
        sign_roster(entries, root_key).to_bytes(),
        action="roster",
        now=lambda: at,
        root=root_key.keyid,
        keys=[_dates(entry) for entry in entries],
    )
    return case.path / "roster.json", root_key.keyid


def redated_keys(case: Case, roster: Roster) -> Iterator[str]:
    """Keys whose time a later roster changed for the time before it, a sentence each."""
    told = _told(case)
    rosters = [(entry.at, entry.subject["keys"]) for entry in told if "keys" in entry.subject]
    if told:
        rosters.append((told[-1].at, [_dates(entry) for entry in roster.entries]))
    for (_, before), (at, after) in itertools.pairwise(rosters):
        known = {row["keyid"]: row for row in before}
        for row in after:
            if not _keeps_the_past(known.get(row["keyid"]), row, at=at):
                period = f"{row['valid_from']} to {row['valid_until'] or 'no end'}"
                yield (
                    f"roster.json: the roster of {format_utc(at)} dates the key of {row['person']!r} anew, {period}, "
                    "so that signatures made before it would count otherwise than they did; "
                    "have the root's holder sign a roster that keeps the key's dates, or give a new key"
                )


def _told(case: Case) -> list[Entry]:
    """The ledger's entries on the roster, oldest first."""
    if not case.ledger.path.exists():
        return []
    return [entry for entry in case.ledger.entries() if entry.subject.get("path") == "roster.json"]


def _standing(case: Case, *, at: dt.datetime) -> dict[str, dict[str, Any]]:
    """What the case's last roster says of each key that counts at this time, by key id."""
    told = _told(case)
    if told and "keys" in told[-1].subject:
        rows = told[-1].subject["keys"]
    else:
        roster = case_roster(case)
        rows = [] if roster is None else [_dates(entry) for entry in roster.entries]
    return {row["keyid"]: row for row in rows if _counts(row, at=at)}


def _dates(entry: RosterEntry) -> dict[str, str | None]:
    return {
        "keyid": entry.key.keyid,
        "person": entry.person,
        "role": entry.role,
        "valid_from": format_utc(entry.valid_from),
        "valid_until": None if entry.valid_until is None else format_utc(entry.valid_until),
    }


def _counts(row: Mapping[str, Any], *, at: dt.datetime) -> bool:
    return row["valid_until"] is None or parse_utc(row["valid_until"]) > at


def _keeps_the_past(before: Mapping[str, Any] | None, after: Mapping[str, Any], *, at: dt.datetime) -> bool:
    """Whether what a roster of `at` says of a key leaves the time before `at` as the one before had it."""
    if before is None or not _counts(before, at=at) or _whose(before) != _whose(after):
        return before == after or parse_utc(after["valid_from"]) >= at
    until = after["valid_until"]
    return bool(before["valid_from"] == after["valid_from"]) and (until is None or parse_utc(until) >= at)


def _whose(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["person"], row["role"]


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
