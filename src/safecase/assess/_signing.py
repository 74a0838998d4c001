"""People and keys of a case: the assessor's key, sign-offs, exceptions."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safecase.assess._case import Case, Clock, home, utc_now
from safecase.assess._kept import last_said
from safecase.assess._labels_kept import labels_digest
from safecase.assess._root import evidence_root
from safecase.decide import Opening, assessment_due
from safecase.evidence import (
    DECISION,
    Envelope,
    Position,
    PrivateKey,
    Quorum,
    Roster,
    RosterBroken,
    Statement,
    StatementBroken,
    Subject,
    add_signature,
    digest_bytes,
    digest_value,
    generate_key,
    load_private_key,
    load_roster,
    parse_envelope,
    quorum,
    read_envelope,
    sign,
    sign_off,
    sign_off_quorum,
    write_atomic,
)

EXCEPTION = "https://safecase.dev/exception/v1"
SIGNERS = 2
"""People who must sign, in different roles (law 7)."""


class NotSupported(Exception):
    """The evidence, or the signatures, do not support what was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedBy:
    """The state of a decision's sign-offs."""

    quorum: Quorum
    decision_sha256: str


def assessor_key(case: Case, *, demo: bool = False, now: Clock) -> PrivateKey:
    """The local key that signs what the program found; made on first use, its public half kept in the case.

    It proves that a file is whole, not who made it: people's signatures do that.
    """
    path = home() / "keys" / ("assessor-demo.pem" if demo else "assessor.pem")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        generate_key(path, demo=demo)
    key = load_private_key(path)
    public = case.path / "keys" / f"{key.keyid[:12]}.pem"
    if not public.exists():
        public.parent.mkdir(parents=True, exist_ok=True)
        data = key.public.pem.encode()
        write_atomic(public, data)
        subject = {"path": f"keys/{public.name}", "sha256": digest_bytes(data), "keyid": key.keyid, "demo": key.is_demo}
        case.ledger.append("assessor-key", actor="safecase", subject=subject, at=now())
    return key


def case_roster(case: Case, *, trusted_root: str | None = None) -> Roster | None:
    """The roster in the case, None where there is none."""
    path = case.path / "roster.json"
    return load_roster(path, trusted_root=trusted_root) if path.exists() else None


def roles_that_approve(case: Case) -> frozenset[str]:
    """Roles whose word counts towards a decision, by the framework."""
    return frozenset(role.id for role in case.framework.roles if "approve" in role.may)


def must_be_current(case: Case) -> None:
    """Refuse to sign, or to permit, what was decided on another state of the evidence.

    Raises:
        NotSupported: evidence or labels came since, or a file that the decision is about was changed.
    """
    decision = read_envelope(case.path / "decision.json").statement()
    measured = last_said(case, "estimates.json") or {}
    changed = [one.name for one in decision.subject if digest_bytes((case.path / one.name).read_bytes()) != one.sha256]
    if decision.predicate["evidence_root"] != evidence_root(case):
        changed.append("the evidence")
    if measured.get("labels_digest", digest_value([])) != labels_digest(case):
        changed.append("the labels in force")
    if changed:
        raise NotSupported(
            f"{case.path / 'decision.json'} was made before {', '.join(changed)} changed; run "
            f"`safecase decide {case.path}`, and read what it says then"
        )


def sign_decision(case: Case, key_file: Path, *, position: Position, reason: str, now: Clock = utc_now) -> SignedBy:
    """Sign for or against the decision as the person that the roster gives the key.

    Raises:
        NotSupported: there is no decision yet, or its evidence changed since.
        RosterBroken: there is no roster, or it does not know the key.
        KeyUnusable: the key file is not usable.
        ValueError: a dissent without a reason.
    """
    roster = case_roster(case)
    if roster is None:
        raise RosterBroken(
            f"case {str(case.path)!r} has no roster.json; `safecase decide roster {case.path} --root KEY` makes one"
        )
    subject = Subject(name="decision.json", sha256=_decision_digest(case))
    must_be_current(case)
    envelope = sign_off(
        subject, key=load_private_key(key_file), roster=roster, position=position, reason=reason, at=now()
    )
    return _keep_sign_off(case, envelope, roster, now=now)


def take_sign_off(case: Case, data: bytes, *, origin: str, now: Clock = utc_now) -> SignedBy:
    """Take a sign-off that was made elsewhere: `decide sign` on a copy of the case leaves it in `sign-offs/`.

    Args:
        origin: where it came from, for messages.

    Raises:
        NotSupported: there is no decision yet, its evidence changed since, or it is no sign-off on this decision by
            somebody of the roster.
        RosterBroken: there is no roster.
        StatementBroken: it is not a signed statement.
    """
    roster = case_roster(case)
    if roster is None:
        raise RosterBroken(f"case {str(case.path)!r} has no roster.json, so nobody may sign")
    envelope = parse_envelope(data, origin=origin)
    digest, at = _decision_digest(case), now()
    must_be_current(case)
    counted = sign_off_quorum(
        [envelope], roster, subject_sha256=digest, author=None, roles=roles_that_approve(case), required=1, at=at
    )
    if len(envelope.signatures) != 1 or not (counted.counted or counted.dissents):
        why = counted.not_counted[0].why if counted.not_counted else f"{len(envelope.signatures)} signatures"
        raise NotSupported(f"{origin}: it does not count for decision {digest[:12]}…: {why}")
    return _keep_sign_off(case, envelope, roster, now=now)


def _keep_sign_off(case: Case, envelope: Envelope, roster: Roster, *, now: Clock) -> SignedBy:
    data = envelope.to_bytes()
    name = f"sign-offs/{digest_bytes(data)[:16]}.json"
    said = {key: envelope.statement().predicate[key] for key in ("person", "role", "position")}
    if not (case.path / name).exists():
        (case.path / "sign-offs").mkdir(exist_ok=True)
        write_atomic(case.path / name, data)
        subject = {"path": name, "sha256": digest_bytes(data), **said}
        case.ledger.append("signed", actor=said["person"], subject=subject, at=now())
    signed = signatures(case, roster, at=now())
    assert signed is not None  # noqa: S101 - one was just written
    return signed


def signatures(case: Case, roster: Roster | None, *, at: dt.datetime) -> SignedBy | None:
    """Count the sign-offs on the decision as it stands; None without a decision or a roster."""
    if roster is None or not (case.path / "decision.json").exists():
        return None
    digest = _decision_digest(case)
    counted = sign_off_quorum(
        [read_envelope(path) for path in sign_off_files(case)],
        roster,
        subject_sha256=digest,
        author=case.spec.author,
        roles=roles_that_approve(case),
        required=SIGNERS,
        at=at,
    )
    return SignedBy(quorum=counted, decision_sha256=digest)


def sign_off_files(case: Case) -> list[Path]:
    """Every sign-off, in a stable order."""
    return sorted((case.path / "sign-offs").glob("*.json"))


def due_reasons(
    case: Case,
    *,
    operations: float | None = None,
    capability_gain: float | None = None,
    checkpoint: bool = False,
    now: Clock = utc_now,
) -> tuple[str, ...]:
    """Why another assessment is due, counted from the case's last decision.

    Raises:
        NotSupported: the case has no decision to count from.
    """
    decision_of(case)
    decided = [entry.at for entry in case.ledger.entries() if entry.subject.get("path") == "decision.json"]
    return assessment_due(
        case.framework.triggers,
        operations_then=case.spec.model.training_operations,
        operations_now=operations,
        capability_gain=capability_gain,
        checkpoint=checkpoint,
        days_since=(now() - decided[-1]).days,
    )


def write_exception(
    case: Case,
    *,
    gate: str,
    context: str,
    reason: str,
    expires: dt.date,
    key_files: Sequence[Path],
    now: Clock = utc_now,
) -> Path:
    """Record a signed exception to a gate that nothing has decided.

    Raises:
        NotSupported: a catastrophic gate, an expiry in the past or too few signers.
        RosterBroken: no roster.
    """
    at = now()
    known = {g.id: g for g in case.framework.gates}
    if gate not in known or context not in known[gate].contexts:
        raise NotSupported(
            f"no gate {gate!r} applies in context {context!r}; `safecase declare {case.path}` lists them"
        )
    if case.framework.is_catastrophic(known[gate]):
        raise NotSupported(f"gate {gate!r} bears on a catastrophic domain: no exception may open it")
    if expires <= at.date():
        raise NotSupported(f"the exception would expire on {expires}, which is past; give a later day")
    roster = case_roster(case)
    if roster is None:
        raise RosterBroken(f"case {str(case.path)!r} has no roster.json; an exception needs people who may sign")
    predicate = {
        "gate": gate,
        "context": context,
        "reason": reason,
        "expires": expires.isoformat(),
        "at": at.isoformat(),
    }
    statement = Statement(
        subject=(Subject(name="safecase.yaml", sha256=digest_bytes((case.path / "safecase.yaml").read_bytes())),),
        predicate_type=EXCEPTION,
        predicate=predicate,
    )
    keys = [load_private_key(path) for path in key_files]
    envelope = sign(statement, keys[0])
    for key in keys[1:]:
        envelope = add_signature(envelope, key)
    counted = _exception_quorum(case, envelope, roster, at=at)
    if not counted.is_met:
        raise NotSupported(
            f"an exception needs {SIGNERS} people in different roles that may except; {len(counted.counted)} signed"
        )
    data = envelope.to_bytes()
    name = f"exceptions/{digest_bytes(data)[:16]}.json"
    (case.path / "exceptions").mkdir(exist_ok=True)
    write_atomic(case.path / name, data)
    case.ledger.append(
        "excepted", actor="safecase", subject={"path": name, "sha256": digest_bytes(data), **predicate}, at=at
    )
    return case.path / name


def openings(case: Case, *, at: dt.datetime) -> tuple[Opening, ...]:
    """The exceptions in force: granted for the case file as it stands, by a quorum of the roster, and not expired."""
    roster = case_roster(case)
    granted_for = digest_bytes((case.path / "safecase.yaml").read_bytes())
    found: list[Opening] = []
    for path in sorted((case.path / "exceptions").glob("*.json")):
        envelope = read_envelope(path)
        statement = envelope.statement()
        if statement.predicate_type != EXCEPTION or roster is None:
            raise StatementBroken(f"{path}: not an exception that a roster backs; remove it or add the roster")
        counted = _exception_quorum(case, envelope, roster, at=at)
        said = statement.predicate
        is_of_this = [one.sha256 for one in statement.subject] == [granted_for]
        if is_of_this and counted.is_met and dt.date.fromisoformat(said["expires"]) > at.date():
            found.append(
                Opening(
                    gate=said["gate"],
                    context=said["context"],
                    reason=said["reason"],
                    expires=said["expires"],
                    signers=tuple(f"{c.person} ({c.role})" for c in counted.counted),
                )
            )
    return tuple(found)


def _exception_quorum(case: Case, envelope: Envelope, roster: Roster, *, at: dt.datetime) -> Quorum:
    roles = frozenset(role.id for role in case.framework.roles if "except" in role.may)
    return quorum(envelope, roster, author=case.spec.author, roles=roles, required=SIGNERS, at=at)


def decision_of(case: Case) -> dict[str, Any]:
    path = case.path / "decision.json"
    if not path.exists():
        raise NotSupported(f"case {str(case.path)!r} has no decision; run `safecase decide {case.path}` first")
    statement = read_envelope(path).statement()
    if statement.predicate_type != DECISION:
        raise StatementBroken(f"{path}: a {statement.predicate_type!r}, not a decision; decide again")
    return dict(statement.predicate)


def _decision_digest(case: Case) -> str:
    decision_of(case)
    return digest_bytes((case.path / "decision.json").read_bytes())
