"""Making a permit stricter while it is in force: revoked, or narrowed; and lifting that again.

Closing takes one signature, of a role that may `narrow`: a person on duty, or a program that watches. Opening again
takes as many as the decision did. A revocation is about one decision and falls with it; a narrowing is about a context
and stays, whatever is decided later, until it is lifted.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from safecase.assess._case import Case, Clock, utc_now
from safecase.assess._signing import SIGNERS, NotSupported, case_roster, roles_that_approve
from safecase.evidence import (
    Envelope,
    Roster,
    RosterBroken,
    Statement,
    StatementBroken,
    Subject,
    add_signature,
    digest_bytes,
    format_utc,
    load_private_key,
    parse_utc,
    quorum,
    read_envelope,
    sign,
    verify_envelope,
    write_atomic,
)

REVOCATION = "https://safecase.dev/revocation/v1"
NARROWING = "https://safecase.dev/narrowing/v1"
LIFTING = "https://safecase.dev/lifting/v1"
FOLDER = "permits/restrictions"

Unverified = Literal["refused", "served"]
"""What becomes of an account whose attribute nobody verified, while a narrowing names that attribute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restriction:
    """A revocation or a narrowing that is in force.

    Attributes:
        id: the first 16 hex digits of its file's SHA-256; what `lift` names.
        decision_sha256: the decision that it was made under.
        where: verified attributes; an account that has all of them is suspended. Empty: no account by attribute.
        unverified: what becomes of an account that lacks one of them.
        share: serve at most this share of the accounts; None leaves it.
        by: person and role, from the roster.
    """

    id: str
    kind: Literal["revocation", "narrowing"]
    context: str
    decision_sha256: str
    reason: str
    at: str
    by: str
    where: Mapping[str, str] = field(default_factory=dict)
    unverified: Unverified = "refused"
    share: float | None = None

    def revokes(self, permit: Mapping[str, Any]) -> bool:
        """Whether it takes back a permit with these terms."""
        return self.kind == "revocation" and self.decision_sha256 == permit["decision_sha256"]

    @property
    def sentence(self) -> str:
        """Who did what, when and why."""
        done = "revoked" if self.kind == "revocation" else "narrowed"
        return f"{done} by {self.by} on {self.at}: {self.reason}"


def revoke_permit(case: Case, context_id: str, key_file: Path, *, reason: str, now: Clock = utc_now) -> Path:
    """Take a context's permit back. Those of other contexts stand, though the same decision gave them.

    Raises:
        NotSupported: there is no permit, no reason, or the key's role may not.
        RosterBroken: there is no roster, or it does not know the key.
    """
    return _close(case, context_id, key_file, kind=REVOCATION, action="revoked", reason=reason, terms={}, now=now)


def narrow_permit(
    case: Case,
    context_id: str,
    key_file: Path,
    *,
    reason: str,
    where: Mapping[str, str] | None = None,
    unverified: Unverified = "refused",
    share: float | None = None,
    now: Clock = utc_now,
) -> Path:
    """Suspend accounts with these verified attributes in a context, or serve a smaller share.

    Raises:
        NotSupported: neither was given, the share is none, or as `revoke_permit`.
    """
    if not where and share is None:
        raise NotSupported("nothing to narrow by; give --where NAME=VALUE, or --share")
    if share is not None and not 0 < share < 1:
        raise NotSupported(f"--share is {share:g}; it must lie between 0 and 1; to serve nobody, revoke the permit")
    terms = {"where": dict(where or {}), "unverified": unverified, "share": share}
    return _close(case, context_id, key_file, kind=NARROWING, action="narrowed", reason=reason, terms=terms, now=now)


def lift_restriction(
    case: Case, restriction_id: str, key_files: Sequence[Path], *, reason: str, now: Clock = utc_now
) -> Path:
    """End a restriction: by two people in different roles that may approve, the author of the case not counted.

    Raises:
        NotSupported: no such restriction in force, no reason, or too few signers.
        RosterBroken: no roster.
    """
    at = now()
    roster = _roster(case)
    _must_have_reason(reason)
    path = next((path for path in _files(case) if _id(path.read_bytes()) == restriction_id), None)
    kind = None if path is None else read_envelope(path).statement().predicate_type
    if path is None or kind not in {REVOCATION, NARROWING}:
        known = ", ".join(one.id for one in restrictions(case, None, roster, at=at)) or "none"
        raise NotSupported(f"no restriction {restriction_id!r}; in force are: {known}")
    subject = Subject(name=path.relative_to(case.path).as_posix(), sha256=digest_bytes(path.read_bytes()))
    predicate = {"case": case.spec.id, "restriction": restriction_id, "reason": reason, "at": format_utc(at)}
    keys = [load_private_key(file) for file in key_files]
    envelope = sign(Statement(subject=(subject,), predicate_type=LIFTING, predicate=predicate), keys[0])
    for key in keys[1:]:
        envelope = add_signature(envelope, key)
    if not _may_lift(case, envelope, roster, at=at):
        raise NotSupported(
            f"lifting takes {SIGNERS} people in different roles that may approve, as the decision did; "
            f"give --key twice, of people on the roster who did not make the assessment"
        )
    return _keep(case, envelope, action="lifted", actor="safecase", said=predicate, at=at)


def restrictions(
    case: Case, context_id: str | None, roster: Roster | None, *, at: dt.datetime
) -> tuple[Restriction, ...]:
    """The restrictions in force, oldest first; of one context, or of all.

    Raises:
        StatementBroken: a file among them is not a restriction that the roster backs. It is never passed over: what it
            closed would open.
    """
    found: list[Restriction] = []
    lifted: set[str] = set()
    for path in _files(case):
        envelope = read_envelope(path)
        said = envelope.statement()
        if said.predicate.get("case") != case.spec.id:
            raise StatementBroken(f"{path}: it is about case {said.predicate.get('case')!r}, not {case.spec.id!r}")
        if said.predicate_type == LIFTING:
            if roster is not None and _may_lift(case, envelope, roster, at=at):
                lifted |= {subject.sha256[:16] for subject in said.subject}
        else:
            found.append(_restriction(case, path, envelope, roster))
    standing = [one for one in found if one.id not in lifted and context_id in (None, one.context)]
    return tuple(sorted(standing, key=lambda one: one.at))


def _restriction(case: Case, path: Path, envelope: Envelope, roster: Roster | None) -> Restriction:
    statement = envelope.statement()
    said = statement.predicate
    keyid = envelope.signatures[0].keyid if envelope.signatures else ""
    entry = roster.entry(keyid) if roster is not None else None
    if entry is None or not verify_envelope(envelope, [entry.key]):
        raise StatementBroken(f"{path}: nobody on the roster signed it as it stands; find out who put it there")
    try:
        if statement.predicate_type not in {REVOCATION, NARROWING}:
            raise StatementBroken(f"{path}: a {statement.predicate_type!r}, not a restriction")
        if entry.role not in _roles_that_narrow(case) or not entry.is_valid(parse_utc(said["at"])):
            raise StatementBroken(f"{path}: {entry.person!r} as {entry.role!r} may not restrict a permit, or not then")
        return Restriction(
            id=_id(path.read_bytes()),
            kind="revocation" if statement.predicate_type == REVOCATION else "narrowing",
            context=said["context"],
            decision_sha256=statement.subject[0].sha256,
            reason=said["reason"],
            at=said["at"],
            by=f"{entry.person} ({entry.role})",
            where=said.get("where", {}),
            unverified=said.get("unverified", "refused"),
            share=said.get("share"),
        )
    except (KeyError, TypeError, ValueError) as fault:
        raise StatementBroken(f"{path}: not a restriction ({type(fault).__name__}: {fault})") from None


def _close(
    case: Case,
    context_id: str,
    key_file: Path,
    *,
    kind: str,
    action: str,
    reason: str,
    terms: Mapping[str, Any],
    now: Clock,
) -> Path:
    at = now()
    roster, key = _roster(case), load_private_key(key_file)
    _must_have_reason(reason)
    entry = roster.entry(key.keyid)
    if entry is None or not entry.is_valid(at):
        raise RosterBroken(
            f"the roster does not know key {key.keyid[:12]}… now; have its root's holder sign one that does"
        )
    if entry.role not in _roles_that_narrow(case):
        may = ", ".join(sorted(_roles_that_narrow(case)))
        raise NotSupported(f"{entry.person!r} signs as {entry.role!r}, which may not restrict a permit; {may} may")
    permit = case.path / "permits" / f"{context_id}.json"
    if not permit.exists():
        raise NotSupported(f"there is no permit for {context_id!r} in {str(case.path)!r}, so nothing to restrict")
    said = {"case": case.spec.id, "context": context_id, "reason": reason, "at": format_utc(at), **terms}
    decided = read_envelope(permit).statement().subject[0]
    envelope = sign(Statement(subject=(decided,), predicate_type=kind, predicate=said), key)
    return _keep(case, envelope, action=action, actor=entry.person, said={**said, "role": entry.role}, at=at)


def _keep(case: Case, envelope: Envelope, *, action: str, actor: str, said: Mapping[str, Any], at: dt.datetime) -> Path:
    data = envelope.to_bytes()
    name = f"{FOLDER}/{_id(data)}.json"
    (case.path / FOLDER).mkdir(parents=True, exist_ok=True)
    write_atomic(case.path / name, data)
    subject = {"path": name, "sha256": digest_bytes(data), **said}
    case.ledger.append(action, actor=actor, subject=subject, at=at)
    return case.path / name


def _may_lift(case: Case, envelope: Envelope, roster: Roster, *, at: dt.datetime) -> bool:
    roles = roles_that_approve(case)
    return quorum(envelope, roster, author=case.spec.author, roles=roles, required=SIGNERS, at=at).is_met


def _roles_that_narrow(case: Case) -> frozenset[str]:
    return frozenset(role.id for role in case.framework.roles if "narrow" in role.may)


def _roster(case: Case) -> Roster:
    roster = case_roster(case)
    if roster is None:
        raise RosterBroken(f"case {str(case.path)!r} has no roster.json, so nobody may restrict or lift")
    return roster


def _must_have_reason(reason: str) -> None:
    if not reason.strip():
        raise NotSupported("--reason is empty; say in a sentence why, whoever is refused will be told of it")


def _files(case: Case) -> list[Path]:
    return sorted((case.path / FOLDER).glob("*.json"))


def _id(data: bytes) -> str:
    return digest_bytes(data)[:16]
