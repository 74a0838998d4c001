"""Who may sign as whom: a roster signed by a root key, and the counting of signatures against it.

Person and role always come from here, never from whoever calls or signs. A root whose key id was not agreed
elsewhere proves only that the roster is whole, not whose it is.
"""

import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from safecase.evidence._digest import digest_bytes, digest_value
from safecase.evidence._errors import KeyUnusable, RosterBroken, StatementBroken
from safecase.evidence._keys import PrivateKey, PublicKey, parse_public_key
from safecase.evidence._statement import (
    ROSTER,
    SIGN_OFF,
    Envelope,
    Statement,
    Subject,
    read_envelope,
    sign,
    signature_holds,
    verify_envelope,
)
from safecase.evidence._time import format_utc, parse_utc

Position = Literal["approve", "dissent"]

_MEND = "have the root's holder sign a corrected roster"


@dataclass(frozen=True, slots=True, kw_only=True)
class RosterEntry:
    """One key of one person in one role.

    Attributes:
        person: the name; two spellings that differ only in case, spacing or Unicode form are one person.
        role: id of a role the framework names.
        key: the public key.
        is_demo: what this key signs is a demonstration.
        valid_from: first instant at which it counts.
        valid_until: first instant at which it no longer does; None for no end.
    """

    person: str
    role: str
    key: PublicKey
    is_demo: bool
    valid_from: datetime
    valid_until: datetime | None = None

    def is_valid(self, at: datetime) -> bool:
        """Whether the key counts at this instant."""
        return self.valid_from <= at and (self.valid_until is None or at < self.valid_until)


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """The people who may sign.

    Attributes:
        entries: one per key; a person may have several.
        root: the key that signed the roster.
        is_root_demo: the root itself is a demo key.
        is_trusted: the root is the one that the caller brought from elsewhere.
        digest: SHA-256 of the signed payload.
    """

    entries: tuple[RosterEntry, ...]
    root: PublicKey
    is_root_demo: bool
    is_trusted: bool
    digest: str

    def entry(self, keyid: str) -> RosterEntry | None:
        """The entry of a key, None for an unknown one."""
        return next((entry for entry in self.entries if entry.key.keyid == keyid), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """A signature that counts, and whose it is by the roster."""

    person: str
    role: str
    keyid: str
    is_demo: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NotCounted:
    """A signature that does not count, and why. `person` is None where the roster does not know the key."""

    keyid: str
    person: str | None
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dissent:
    """A roster member's signed objection; recorded, never outvoted into silence."""

    person: str
    role: str
    keyid: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Quorum:
    """The outcome of counting.

    Attributes:
        is_met: at least `required` people in different roles, each of them wanted.
        counted: who counts, one per person and per role.
        not_counted: every other signature, with the reason.
        dissents: signed objections; they are shown, and do not by themselves undo a quorum.
        required: people needed.
        is_demo: a counted key, or the roster's root, is a demo key.
        is_trusted: the roster's root was agreed elsewhere.
    """

    is_met: bool
    counted: tuple[Counted, ...]
    not_counted: tuple[NotCounted, ...]
    dissents: tuple[Dissent, ...]
    required: int
    is_demo: bool
    is_trusted: bool


def sign_roster(entries: Iterable[RosterEntry], root: PrivateKey) -> Envelope:
    """Sign a roster with the root key.

    Raises:
        RosterBroken: no entries, or one key twice.
        ValueError: a naive time.
    """
    people = tuple(entries)
    _must_be_sound(people, origin="roster")
    predicate = {
        "people": [_entry_json(entry) for entry in people],
        "root": {"keyid": root.keyid, "public_key": root.public.pem, "demo": root.is_demo},
    }
    return sign(_statement(predicate), root)


def load_roster(path: Path, *, trusted_root: str | None) -> Roster:
    """Read a roster and check that its root signed it.

    Args:
        path: a DSSE envelope that `sign_roster` made.
        trusted_root: key id of the root, known from elsewhere. None takes the roster's word for its root: whole, not
            authentic (`is_trusted` is then False).

    Raises:
        RosterBroken: another root signed it, the signature does not hold, a key id is not its key's, or a key stands
            twice.
    """
    try:
        envelope = read_envelope(path)
        statement = envelope.statement()
    except StatementBroken as error:
        raise RosterBroken(str(error)) from None
    if statement.predicate_type != ROSTER:
        raise RosterBroken(f"{path}: a {statement.predicate_type!r}, not a roster; give the file with the roster")
    try:
        root, is_root_demo, entries = _parse_predicate(statement.predicate)
    except (KeyError, TypeError, ValueError, AttributeError, KeyUnusable) as error:
        raise RosterBroken(f"{path}: not a roster ({type(error).__name__}: {error}); {_MEND}") from None
    if trusted_root is not None and root.keyid != trusted_root:
        line = f"{path}: signed by root {root.keyid[:12]}…, not by the trusted {trusted_root[:12]}…"
        raise RosterBroken(f"{line}; get the roster from where you have the key id")
    if verify_envelope(envelope, [root]) != [root.keyid]:
        raise RosterBroken(f"{path}: its root key did not sign it as it stands; {_MEND}")
    if statement.subject != _statement(statement.predicate).subject:
        raise RosterBroken(f"{path}: its subject is not the digest of its people; {_MEND}")
    _must_be_sound(entries, origin=str(path))
    return Roster(
        entries=entries,
        root=root,
        is_root_demo=is_root_demo,
        is_trusted=trusted_root is not None,
        digest=digest_bytes(envelope.payload),
    )


def quorum(
    envelope: Envelope,
    roster: Roster,
    *,
    author: str | None,
    roles: Collection[str],
    required: int = 2,
    at: datetime,
) -> Quorum:
    """Count the signatures on one statement; each is an approval of it.

    Args:
        author: who made what is signed, and so does not count; None where no person did.
        roles: roles whose word counts.
        required: people needed, each in a role of their own.
        at: the instant for which keys must be valid; aware.

    Raises:
        ValueError: `required` is below 1.
    """
    votes = [_vote_on(envelope, position, roster) for position in range(len(envelope.signatures))]
    return _count(votes, roster, author=author, roles=roles, required=required, at=at)


def sign_off(
    subject: Subject, *, key: PrivateKey, roster: Roster, position: Position, reason: str, at: datetime
) -> Envelope:
    """Sign for or against one file, as the person and role that the roster gives the key.

    Args:
        subject: the file, such as decision.json, and its digest.
        position: "approve" or "dissent".
        reason: in the signer's words; a dissent needs one.
        at: when; aware.

    Raises:
        RosterBroken: the roster does not know the key, or not at this time.
        ValueError: a dissent without a reason, or a naive time.
    """
    entry = roster.entry(key.keyid)
    if entry is None:
        raise RosterBroken(f"the roster does not know key {key.keyid[:12]}…; {_MEND}, or sign with a key it knows")
    if not entry.is_valid(at):
        raise RosterBroken(f"the key of {entry.person!r} is not valid at {format_utc(at)}; {_MEND}")
    if position == "dissent" and not reason.strip():
        raise ValueError(f"a dissent is recorded with its reason; {entry.person!r} gave none")
    predicate = {
        "person": entry.person,
        "role": entry.role,
        "position": position,
        "reason": reason,
        "at": format_utc(at),
    }
    return sign(Statement(subject=(subject,), predicate_type=SIGN_OFF, predicate=predicate), key)


def sign_off_quorum(
    sign_offs: Sequence[Envelope],
    roster: Roster,
    *,
    subject_sha256: str,
    author: str | None,
    roles: Collection[str],
    required: int = 2,
    at: datetime,
) -> Quorum:
    """Count sign-offs, each a statement of its own (see `sign_off`), over one file.

    A sign-off counts when its signature holds, it is about this very digest, the person and role in it are the
    roster's, it was not made after `at`, and the key was valid both then and at `at`. A person who signed for *and*
    against is recorded as dissenting and does not count.

    Args:
        subject_sha256: digest of the file now.
        author, roles, required, at: as for `quorum`.

    Raises:
        ValueError: `required` is below 1.
    """
    votes = [
        _vote_in(envelope, position, roster, subject_sha256=subject_sha256, at=at)
        for envelope in sign_offs
        for position in range(len(envelope.signatures))
    ]
    return _count(votes, roster, author=author, roles=roles, required=required, at=at)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Vote:
    keyid: str
    fault: str | None  # why it cannot count whoever made it
    position: Position = "approve"
    reason: str = ""


def _vote_on(envelope: Envelope, index: int, roster: Roster) -> _Vote:
    signature = envelope.signatures[index]
    entry = roster.entry(signature.keyid)
    if entry is None:
        return _Vote(keyid=signature.keyid, fault="the roster does not know this key")
    if not signature_holds(envelope, signature, entry.key):
        return _Vote(keyid=signature.keyid, fault="the signature does not hold")
    return _Vote(keyid=signature.keyid, fault=None)


def _vote_in(envelope: Envelope, index: int, roster: Roster, *, subject_sha256: str, at: datetime) -> _Vote:
    vote = _vote_on(envelope, index, roster)
    if vote.fault is not None:
        return vote
    entry = roster.entry(vote.keyid)
    try:
        statement = envelope.statement()
        said = statement.predicate
        signed_at = parse_utc(said["at"])
        claim = (said["person"], said["role"])
        position, reason = said["position"], str(said["reason"])
    except (StatementBroken, KeyError, TypeError, ValueError) as error:
        return _Vote(keyid=vote.keyid, fault=f"it is not a sign-off ({type(error).__name__}: {error})")
    fault = None
    if statement.predicate_type != SIGN_OFF or position not in ("approve", "dissent"):
        fault = "it is not a sign-off"
    elif [one.sha256 for one in statement.subject] != [subject_sha256]:
        fault = f"it is about another version of the file than {subject_sha256[:12]}…"
    elif entry is None or claim != (entry.person, entry.role):
        fault = f"it claims to be by {claim[0]!r} as {claim[1]!r}, which the roster does not say of this key"
    elif signed_at > at:
        fault = f"it was made at {said['at']}, after {format_utc(at)}"
    elif not entry.is_valid(signed_at):
        fault = f"the key was not valid when it was made ({said['at']})"
    if fault is not None:
        return _Vote(keyid=vote.keyid, fault=fault)
    return _Vote(keyid=vote.keyid, fault=None, position=position, reason=reason)


def _count(
    votes: Sequence[_Vote],
    roster: Roster,
    *,
    author: str | None,
    roles: Collection[str],
    required: int,
    at: datetime,
) -> Quorum:
    if required < 1:
        raise ValueError(f"a quorum needs at least one person, got required={required!r}")
    dissents = tuple(dict.fromkeys(_dissents(votes, roster, at=at)))
    objectors = {_person_key(one.person) for one in dissents}
    counted: list[Counted] = []
    not_counted: list[NotCounted] = []
    for vote in sorted(votes, key=lambda vote: _is_demo(vote, roster)):  # a real key before a demo key in one role
        if vote.fault is None and vote.position == "dissent" and _is_valid_vote(vote, roster, at):
            continue
        entry = roster.entry(vote.keyid)
        why = vote.fault or _why_not(entry, counted, objectors, author=author, roles=roles, at=at)
        if why is not None or entry is None:
            person = None if entry is None else entry.person
            not_counted.append(NotCounted(keyid=vote.keyid, person=person, why=why or "unknown key"))
        else:
            counted.append(Counted(person=entry.person, role=entry.role, keyid=entry.key.keyid, is_demo=entry.is_demo))
    return Quorum(
        is_met=len(counted) >= required,
        counted=tuple(counted),
        not_counted=tuple(not_counted),
        dissents=dissents,
        required=required,
        is_demo=roster.is_root_demo or any(one.is_demo for one in counted),
        is_trusted=roster.is_trusted,
    )


def _why_not(
    entry: RosterEntry | None,
    counted: Sequence[Counted],
    objectors: Collection[str],
    *,
    author: str | None,
    roles: Collection[str],
    at: datetime,
) -> str | None:
    """Why a signature that holds does not count; None if it does."""
    if entry is None:
        return "the roster does not know this key"
    if not entry.is_valid(at):
        return f"the key is not valid at {format_utc(at)}"
    if author is not None and _person_key(entry.person) == _person_key(author):
        return "the author of what is signed does not count"
    if _person_key(entry.person) in objectors:
        return "this person signed against it"
    if entry.role not in roles:
        return f"role {entry.role!r} is not among those asked ({', '.join(sorted(roles))})"
    for other in counted:
        if _person_key(other.person) == _person_key(entry.person):
            return "this person counts already; no one signs twice"
        if other.role == entry.role:
            return f"role {entry.role!r} counts already, by {other.person!r}; the roles must differ"
    return None


def _dissents(votes: Sequence[_Vote], roster: Roster, *, at: datetime) -> Iterator[Dissent]:
    for vote in votes:
        entry = roster.entry(vote.keyid)
        if entry is not None and vote.fault is None and vote.position == "dissent" and entry.is_valid(at):
            yield Dissent(person=entry.person, role=entry.role, keyid=vote.keyid, reason=vote.reason)


def _is_valid_vote(vote: _Vote, roster: Roster, at: datetime) -> bool:
    entry = roster.entry(vote.keyid)
    return entry is not None and entry.is_valid(at)


def _is_demo(vote: _Vote, roster: Roster) -> bool:
    entry = roster.entry(vote.keyid)
    return entry is not None and entry.is_demo


def _person_key(person: str) -> str:
    """One text for the spellings of one name."""
    return " ".join(unicodedata.normalize("NFKC", person).casefold().split())


def _statement(predicate: Mapping[str, Any]) -> Statement:
    subject = Subject(name="people", sha256=digest_value(predicate["people"]))
    return Statement(subject=(subject,), predicate_type=ROSTER, predicate=predicate)


def _entry_json(entry: RosterEntry) -> dict[str, Any]:
    return {
        "person": entry.person,
        "role": entry.role,
        "keyid": entry.key.keyid,
        "public_key": entry.key.pem,
        "demo": entry.is_demo,
        "valid_from": format_utc(entry.valid_from),
        "valid_until": None if entry.valid_until is None else format_utc(entry.valid_until),
    }


def _parse_predicate(predicate: Mapping[str, Any]) -> tuple[PublicKey, bool, tuple[RosterEntry, ...]]:
    root = predicate["root"]
    return _parse_key(root, origin="root"), _claim(root["demo"]), tuple(map(_parse_entry, predicate["people"]))


def _parse_entry(fields: Mapping[str, Any]) -> RosterEntry:
    until = fields["valid_until"]
    person, role = fields["person"], fields["role"]
    if not isinstance(person, str) or not isinstance(role, str) or not person.strip() or not role.strip():
        raise ValueError(f"an entry needs a person and a role, got {person!r} and {role!r}")
    return RosterEntry(
        person=person,
        role=role,
        key=_parse_key(fields, origin=f"key of {person!r}"),
        is_demo=_claim(fields["demo"]),
        valid_from=parse_utc(fields["valid_from"]),
        valid_until=None if until is None else parse_utc(until),
    )


def _parse_key(fields: Mapping[str, Any], *, origin: str) -> PublicKey:
    key = parse_public_key(fields["public_key"], origin=origin)
    if key.keyid != fields["keyid"]:
        raise ValueError(f"{origin}: key id {fields['keyid']!r} is not that of the key, {key.keyid[:12]}…")
    return key


def _claim(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"demo must be true or false, got {value!r}")  # noqa: TRY004 - a fault of the file
    return value


def _must_be_sound(entries: Sequence[RosterEntry], *, origin: str) -> None:
    if not entries:
        raise RosterBroken(f"{origin}: it lists nobody; {_MEND}")
    seen: dict[str, str] = {}
    for entry in entries:
        if entry.key.keyid in seen:
            both = f"{seen[entry.key.keyid]!r} and {entry.person!r}"
            raise RosterBroken(f"{origin}: key {entry.key.keyid[:12]}… stands twice, for {both}; {_MEND}")
        seen[entry.key.keyid] = entry.person
