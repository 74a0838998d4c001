"""The safety-case argument of a case: what it is made from besides estimates, and the file that keeps it.

`argument.json` is kept once the framework asked for an argument or a person did. From then on every decision names its
digest, so that an argument that changes (an incident, other evidence, a defeater that opens) takes new signatures.
"""

import dataclasses
import datetime as dt
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safecase.assess._case import Case, Clock, utc_now
from safecase.assess._signing import SIGNERS, NotSupported, case_roster, roles_that_approve, sign_off_files
from safecase.assess._suites_read import elicitations
from safecase.decide import (
    Acceptance,
    Argument,
    Concern,
    Decided,
    Defeater,
    Facts,
    Footing,
    argument_asked,
    build_argument,
)
from safecase.declare import resolve_context
from safecase.evidence import (
    Estimate,
    RosterBroken,
    Statement,
    StatementBroken,
    Subject,
    add_signature,
    canonical_json,
    digest_bytes,
    load_private_key,
    quorum,
    read_envelope,
    sign,
    sign_off_quorum,
    write_atomic,
)

ARGUMENT = "argument.json"
CONCERNS = "concerns"
ACCEPTED = "accepted-defeaters"
ACCEPTANCE = "https://safecase.dev/defeater-acceptance/v1"
_SCHEMA = "safecase.arguments/1"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,79}")


class ArgumentError(ValueError):
    """A context, claim, defeater or concern was named that cannot be."""


def arguments_of(
    case: Case, decided: Decided, estimates: Sequence[Estimate], facts: Facts, *, at: dt.datetime
) -> tuple[Argument, ...]:
    """The argument of every context decided on, held against what people last settled. Writes nothing.

    Args:
        at: the instant for which signers' keys must be valid.
    """
    stored = _stored(case)
    bases = {row["context"]: _footings(row["basis"]) for row in stored}
    return _built(case, decided, estimates, facts, bases=bases, at=at)


def renewed_arguments(
    case: Case,
    decided: Decided,
    estimates: Sequence[Estimate],
    facts: Facts,
    *,
    is_asked: bool = False,
    at: dt.datetime,
) -> bytes | None:
    """The content of `argument.json` as it is to be kept; None where nobody asked for an argument.

    What two people signed is settled: claims are marked from there on. Call it before the decision is written anew.
    """
    if not (is_asked or keeps_argument(case) or argument_asked(case.framework, decided)):
        return None
    stored = _stored(case)
    is_settled = bool(stored) and _is_signed(case, at=at)
    bases = {row["context"]: _settled(row) if is_settled else _footings(row["basis"]) for row in stored}
    return argument_bytes(_built(case, decided, estimates, facts, bases=bases, at=at))


def argument_bytes(arguments: Sequence[Argument]) -> bytes:
    """Arguments as `argument.json` holds them."""
    return canonical_json({"schema": _SCHEMA, "arguments": [dataclasses.asdict(one) for one in arguments]}) + b"\n"


def keeps_argument(case: Case) -> bool:
    """Whether the case keeps an argument."""
    return (case.path / ARGUMENT).exists()


def concerns(case: Case) -> tuple[Concern, ...]:
    """Incidents and broken conditions that were brought to the case; the last word on each stands."""
    found: dict[str, Concern] = {}
    for path in sorted((case.path / CONCERNS).glob("*.json")):
        row = json.loads(path.read_bytes())
        found[row["concern_id"]] = Concern(
            **{**row, "touches": tuple(row["touches"]), "contexts": tuple(row["contexts"])}
        )
    return tuple(found.values())


def note_concern(case: Case, concern: Concern, *, actor: str, now: Clock = utc_now) -> Path:
    """Bring an incident or a broken condition to the case, or close one. The ledger keeps every state of it.

    Raises:
        ArgumentError: its id cannot name a file, or it touches something that the framework does not have.
    """
    if not _NAME.fullmatch(concern.concern_id):
        raise ArgumentError(f"concern id {concern.concern_id!r}: give letters, digits, '-' and '.', as in 'inc-7'")
    known = {*case.framework.entries(), *(gate.id for gate in case.framework.gates)}
    if strange := sorted(set(concern.touches) - known):
        raise ArgumentError(
            f"concern {concern.concern_id!r} touches {strange[0]!r}, which framework {case.framework.id!r} does not "
            f"have; `safecase declare {case.path}` lists domains, outcomes, scenarios and gates"
        )
    for name in concern.contexts:
        resolve_context(case.framework, name)
    data = canonical_json(dataclasses.asdict(concern)) + b"\n"
    name = f"{CONCERNS}/{concern.concern_id}.json"
    (case.path / CONCERNS).mkdir(exist_ok=True)
    write_atomic(case.path / name, data)
    case.ledger.append("concern", actor=actor, subject={"path": name, "sha256": digest_bytes(data)}, at=now())
    return case.path / name


def accept_defeater(
    case: Case, defeater: Defeater, *, context: str, reason: str, key_files: Sequence[Path], now: Clock = utc_now
) -> Path:
    """Sign that an open doubt is lived with. It lapses when the doubt or what it speaks against changes.

    Raises:
        NotSupported: the doubt is not open, or too few people signed.
        RosterBroken: no roster.
    """
    if defeater.state != "open":
        raise NotSupported(f"defeater {defeater.defeater_id!r} is {defeater.state}; only an open one is accepted")
    predicate = {
        "context": context,
        "defeater": defeater.defeater_id,
        "digest": defeater.digest,
        "reason": reason,
        "at": now().isoformat(),
    }
    case_file = Subject(name="safecase.yaml", sha256=digest_bytes((case.path / "safecase.yaml").read_bytes()))
    statement = Statement(subject=(case_file,), predicate_type=ACCEPTANCE, predicate=predicate)
    keys = [load_private_key(path) for path in key_files]
    envelope = sign(statement, keys[0])
    for key in keys[1:]:
        envelope = add_signature(envelope, key)
    roster = case_roster(case)
    if roster is None:
        raise RosterBroken(f"case {str(case.path)!r} has no roster.json; accepting a doubt needs people who may sign")
    counted = quorum(
        envelope, roster, author=case.spec.author, roles=roles_that_approve(case), required=SIGNERS, at=now()
    )
    if not counted.is_met:
        raise NotSupported(
            f"accepting {defeater.defeater_id!r} needs {SIGNERS} people in different roles that may approve; "
            f"{len(counted.counted)} signed"
        )
    data = envelope.to_bytes()
    name = f"{ACCEPTED}/{digest_bytes(data)[:16]}.json"
    (case.path / ACCEPTED).mkdir(exist_ok=True)
    write_atomic(case.path / name, data)
    subject = {"path": name, "sha256": digest_bytes(data), **predicate}
    case.ledger.append("accepted-defeater", actor="safecase", subject=subject, at=now())
    return case.path / name


def acceptances(case: Case, *, at: dt.datetime) -> dict[str, tuple[Acceptance, ...]]:
    """Context -> the acceptances that a quorum of the roster signed.

    Raises:
        StatementBroken: a file there is no acceptance, or there is no roster to back it.
    """
    roster = case_roster(case)
    found: dict[str, tuple[Acceptance, ...]] = {}
    for path in sorted((case.path / ACCEPTED).glob("*.json")):
        envelope = read_envelope(path)
        statement = envelope.statement()
        if statement.predicate_type != ACCEPTANCE or roster is None:
            raise StatementBroken(f"{path}: not an acceptance that a roster backs; remove it or add the roster")
        counted = quorum(
            envelope, roster, author=case.spec.author, roles=roles_that_approve(case), required=SIGNERS, at=at
        )
        said = statement.predicate
        if counted.is_met:
            signers = tuple(f"{one.person} ({one.role})" for one in counted.counted)
            accepted = Acceptance(digest=said["digest"], reason=said["reason"], signers=signers)
            found[said["context"]] = (*found.get(said["context"], ()), accepted)
    return found


def _built(
    case: Case,
    decided: Decided,
    estimates: Sequence[Estimate],
    facts: Facts,
    *,
    bases: Mapping[str, Mapping[str, Footing]],
    at: dt.datetime,
) -> tuple[Argument, ...]:
    elicited, troubles, accepted = elicitations(case), concerns(case), acceptances(case, at=at)
    return tuple(
        build_argument(
            case.framework,
            decided,
            estimates,
            facts,
            context=context,
            elicited=elicited,
            concerns=troubles,
            acceptances=accepted.get(context.id, ()),
            basis=bases.get(context.id),
        )
        for context in case.contexts
    )


def _stored(case: Case) -> list[dict[str, Any]]:
    if not keeps_argument(case):
        return []
    stored: list[dict[str, Any]] = json.loads((case.path / ARGUMENT).read_bytes())["arguments"]
    return stored


def _footings(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Footing]:
    return {name: Footing(rests_on=row["rests_on"], open=tuple(row["open"])) for name, row in rows.items()}


def _settled(row: Mapping[str, Any]) -> dict[str, Footing]:
    """What the claims of a stored argument stood on."""
    doubts: dict[str, list[str]] = {}
    for defeater in row["defeaters"]:
        if defeater["state"] == "open":
            doubts.setdefault(defeater["target"], []).append(defeater["defeater_id"])
    return {
        node["node_id"]: Footing(rests_on=node["rests_on"], open=tuple(doubts.get(node["node_id"], ())))
        for node in row["nodes"]
        if node["state"] is not None
    }


def _is_signed(case: Case, *, at: dt.datetime) -> bool:
    """Whether two people signed the decision that names the argument as it is kept."""
    path, roster = case.path / "decision.json", case_roster(case)
    if roster is None or not path.exists():
        return False
    named = {subject.name: subject.sha256 for subject in read_envelope(path).statement().subject}
    if named.get(ARGUMENT) != digest_bytes((case.path / ARGUMENT).read_bytes()):
        return False
    return sign_off_quorum(
        [read_envelope(name) for name in sign_off_files(case)],
        roster,
        subject_sha256=digest_bytes(path.read_bytes()),
        author=case.spec.author,
        roles=roles_that_approve(case),
        required=SIGNERS,
        at=at,
    ).is_met
