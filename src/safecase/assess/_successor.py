"""The next decision, prepared beside the one that stands.

A case that is served must not change: what was assessed is what is deployed. So another assessment is made in a
*successor*, a copy with the same history, and the case takes it over once two people have signed there.

    case       ---o--- alerts, restrictions, concerns --------------o-- what was done beside it, then permits ---
                  \\                                                /
    successor      `-- plan, run, decide, draft of an edition, sign

Until then the permit that stands serves under its own digests, however narrowed. Files and ledger entries travel as
they are, with their times; whatever both sides changed is named and nothing is taken over. The draft of an edition
stays behind: the case writes its own.

While its files change the case backs no permit. A gateway that runs needs a moment to build the new safeguards, so the
case first signs a *handover*: where the new decision approves a context, the permit that stood there may be served on
for `HANDOVER` at most. It lifts no restriction, and starts nothing.
"""

import datetime as dt
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from safecase.assess._case import Case, Clock, open_case, utc_now
from safecase.assess._kept import record
from safecase.assess._new import CaseExists
from safecase.assess._permit import permit_name, write_permit
from safecase.assess._signing import SIGNERS, NotSupported, assessor_key, case_roster, decision_of, signatures
from safecase.evidence import (
    Entry,
    Statement,
    Subject,
    canonical_json,
    digest_file,
    format_utc,
    read_envelope,
    sign,
    write_atomic,
)

BEGUN, TAKEN = "successor-begun", "taken-over"
HANDOVER_FILE, HANDOVER_KIND = "handover.json", "https://safecase.dev/handover/v1"
HANDOVER = dt.timedelta(seconds=120)
"""How long a permit is served on at most while its case takes over another decision."""
_STAYS = ("report", "permits")
"""Folders whose files are the successor's own: drafts of an edition, and permits, which the case issues itself."""
_PEOPLE = "roster.json"
"""Who may sign is settled in the case; two people who sign a decision do not sign a roster with it."""
_REGISTRY = "respond/registry.db"
"""The desk stays with the case, which goes on taking reports."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenOver:
    """What a case took over.

    Attributes:
        entries: ledger entries that came with it. files: paths inside the case.
        permits: contexts with a permit of the new decision, by context the reason where there is none.
    """

    decision_sha256: str
    entries: int
    files: tuple[str, ...]
    permits: tuple[str, ...]
    without: Mapping[str, str]


def begin_successor(case: Case, folder: Path, *, by: str, now: Clock = utc_now) -> Case:
    """Copy a case for its next assessment; nothing of the case changes but its ledger, which says so.

    Args:
        folder: where; it must not exist, nor lie inside the case.

    Raises:
        CaseExists: something is there, or it would lie inside the case.
        LedgerBroken: the ledger of the case does not hold.
    """
    if folder.resolve().is_relative_to(case.path.resolve()):
        raise CaseExists(f"{str(folder)!r} lies inside the case; give a folder beside it")
    if folder.exists():
        raise CaseExists(f"{str(folder)!r} exists; choose another folder for the successor")
    case.ledger.append(BEGUN, actor=by, subject={"successor": folder.name}, at=now())
    with case.ledger.reading():
        shutil.copytree(case.path, folder, ignore=_left_behind(case))
    return open_case(folder)


def update_successor(case: Case, successor: Case, *, now: Clock = utc_now) -> int:
    """Bring into a successor what came to the case since: learned scenarios, concerns, restrictions.

    Returns:
        How many ledger entries came.

    Raises:
        NotSupported: both changed a file, or one is no copy of the other.
    """
    return len(_carry(case, successor, said=None, now=now))


def take_over(case: Case, successor: Case, *, now: Clock = utc_now) -> TakenOver:
    """Put the successor's decision in the place of the one that stands, and issue its permits.

    A permit is issued for every context that has one and that the decision approves, with a share no wider than before.
    Narrowings stay in force until they are lifted. Called again after it was cut off, it goes on where it was.

    Raises:
        NotSupported: too few people signed there, by the case's own roster; nothing was decided anew; a scenario was
            learned since that the successor does not run; both changed a file; or a file is not what its ledger says.
        RosterBroken, StatementBroken: a signed file of either does not hold.
    """
    at = now()
    fork = _fork(successor, case)
    decided = _signed_there(case, successor, fork, at=at)
    _must_be_whole(successor)
    _must_run_learned(case, successor)
    _hand_over(case, successor, decided, now=now)
    said = {"decision_sha256": decided, "successor_head": successor.ledger.head(), "begun": fork.common[-1].hash}
    files = _carry(successor, case, said=said, now=now)
    taken = open_case(case.path)
    without = {context: why for context, why in _permits(taken, now=now) if why}
    held = tuple(name for name in taken.spec.contexts if _decision_of_permit(taken, name) == decided)
    return TakenOver(
        decision_sha256=decided,
        entries=len(files),
        files=tuple(sorted({name for name in files if name})),
        permits=held,
        without=without,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fork:
    """Two ledgers with one beginning: what they share, and what each has beyond it."""

    common: Sequence[Entry]
    source: Sequence[Entry]
    target: Sequence[Entry]


def _fork(source: Case, target: Case) -> _Fork:
    ours, theirs = list(source.ledger.entries()), list(target.ledger.entries())
    shared = 0
    for mine, other in zip(ours, theirs, strict=False):
        if mine.hash != other.hash:
            break
        shared += 1
    if source.spec.id != target.spec.id or not any(one.action == BEGUN for one in ours[:shared]):
        raise NotSupported(f"{str(source.path)!r} and {str(target.path)!r} are no case and its successor")
    return _Fork(common=ours[:shared], source=ours[shared:], target=theirs[shared:])


def _carry(source: Case, target: Case, *, said: Mapping[str, object] | None, now: Clock) -> list[str]:
    """Put the source's files and entries into the target, under its ledger's lock, so that two cannot do it at once.

    Returns:
        By entry the path it names, "" for none.
    """
    at = now()
    with target.ledger.writing(at=at) as chain:
        fork = _fork(source, target)
        wanted = list(_missing(fork))
        last = {path: entry.subject["sha256"] for entry in wanted if (path := _path(entry))}
        _must_not_clash(last, fork, target)
        for path, sha256 in sorted(last.items()):
            _copy(source, target, path, sha256)
        for entry in wanted:
            chain.append(entry.action, actor=entry.actor, subject=entry.subject, at=entry.at)
        if said is not None and not _is_taken(target, str(said["decision_sha256"])):
            chain.append(TAKEN, actor="safecase", subject={**said, "entries": len(wanted)}, at=at)
    return [_path(entry) for entry in wanted]


def _missing(fork: _Fork) -> Iterator[Entry]:
    """Entries of the source that the target lacks, in order; what stays behind left out."""
    held = Counter(_identity(entry) for entry in fork.target)
    segments = {(_path(entry), entry.subject["sha256"]) for entry in fork.target if _is_evidence(entry)}
    for entry in fork.source:
        if held[_identity(entry)]:
            held[_identity(entry)] -= 1
        elif _is_evidence(entry) and (_path(entry), entry.subject["sha256"]) in segments:
            continue  # a take-over was cut off, and a writer has listed the segment since
        elif entry.action not in {BEGUN, TAKEN, "torn-line"} and not _stays(_path(entry)):
            yield entry


def _stays(path: str) -> bool:
    return bool(path) and PurePosixPath(path).parent.as_posix().startswith(_STAYS) and "restrictions" not in path


def _must_not_clash(last: Mapping[str, str], fork: _Fork, target: Case) -> None:
    """No file that is to come was changed on the other side, unless to the very same; and nobody's right to sign."""
    if _PEOPLE in last:
        raise NotSupported(f"{_PEOPLE}: changed in the other; settle who may sign in the case, then begin a successor")
    came = {_identity(entry) for entry in fork.source}
    own = {path: entry for entry in fork.target if (path := _path(entry)) and _identity(entry) not in came}
    for path, sha256 in last.items():
        entry = own.get(path)
        if entry is not None and entry.subject["sha256"] != sha256:
            when = format_utc(entry.at)
            raise NotSupported(
                f"{path}: changed on both sides ({entry.action} in {str(target.path)!r} on {when}); begin another "
                "successor from the case as it is now"
            )


def _copy(source: Case, target: Case, path: str, sha256: str) -> None:
    """One file, unless it is there already."""
    where, to = source.path / path, target.path / path
    inside = PurePosixPath(path)
    if inside.is_absolute() or ".." in inside.parts or not where.is_file() or digest_file(where) != sha256:
        raise NotSupported(f"{where}: it is not what the ledger says; nothing was taken over from there")
    if not (to.is_file() and digest_file(to) == sha256):
        to.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(to, where.read_bytes())


def _signed_there(case: Case, successor: Case, fork: _Fork, *, at: dt.datetime) -> str:
    """Digest of the successor's decision, which enough people of the case's roster signed."""
    decision_of(successor)
    signed = signatures(successor, case_roster(case), at=at)
    if signed is None or not signed.quorum.is_met:
        counted = ", ".join(f"{one.person} ({one.role})" for one in signed.quorum.counted) if signed else ""
        line = f"{SIGNERS} people in different roles of the case's roster must sign its decision"
        raise NotSupported(
            f"{str(successor.path)!r}: {line}, and {counted or 'nobody'} did; the one that stands goes on"
        )
    before = [one.subject["sha256"] for one in fork.common if _path(one) == "decision.json"]
    if before and before[-1] == signed.decision_sha256 and not _is_taken(case, signed.decision_sha256):
        raise NotSupported(f"{str(successor.path)!r} decides nothing anew; run and decide there first")
    return signed.decision_sha256


def _is_taken(case: Case, decision: str) -> bool:
    return any(one.action == TAKEN and one.subject["decision_sha256"] == decision for one in case.ledger.entries())


def _must_be_whole(successor: Case) -> None:
    stores = (successor.trials, successor.judgements, successor.attempts)
    found = [*successor.ledger.check(), *successor.ledger.check_listed(), *(p for one in stores for p in one.check())]
    if found:
        raise NotSupported(f"the successor does not hold: {found[0]}")


def _must_run_learned(case: Case, successor: Case) -> None:
    planned = set(successor.plan.learned) if successor.plan else set()
    if missing := [one.id for one in case.learned if one.id not in planned]:
        raise NotSupported(
            f"{missing[0]!r} was learned since and is not in the successor's plan; `safecase respond successor update "
            f"{case.path} {successor.path}` brings it there, then run, decide and sign again"
        )


def _hand_over(case: Case, successor: Case, decided: str, *, now: Clock) -> None:
    """Say which permits may be served on, and until when; nothing where the case has the decision already."""
    approved = {one["context"] for one in decision_of(successor)["proposals"] if one["choice"] == "approve"}
    paths = {name: case.path / permit_name(name) for name in case.spec.contexts if name in approved}
    standing = {
        name: {"sha256": digest_file(path), "decision_sha256": was}
        for name, path in paths.items()
        if (was := _decision_of_permit(case, name)) not in {None, decided}
    }
    if not standing:
        return
    at = now()
    said = {"case": case.spec.id, "begun": format_utc(at), "until": format_utc(at + HANDOVER), "permits": standing}
    statement = Statement(
        subject=(Subject(name="decision.json", sha256=decided),), predicate_type=HANDOVER_KIND, predicate=said
    )
    data = sign(statement, assessor_key(case, now=now)).to_bytes()
    record(case, HANDOVER_FILE, data, action="handover", now=lambda: at, until=said["until"])


def _permits(case: Case, *, now: Clock) -> Iterator[tuple[str, str]]:
    """Issue permits; gives each context that had one, with the reason why it has none now or ""."""
    decided = decision_of(case).get("shares", {})
    for context in case.spec.contexts:
        path = case.path / permit_name(context)
        if not path.exists():
            continue
        held = read_envelope(path).statement().predicate
        if held["decision_sha256"] == digest_file(case.path / "decision.json"):
            continue  # a take-over was cut off after it
        share = held["share"]
        keeps = share is not None and share <= decided.get(context, 1.0)
        try:
            write_permit(case, context, share=share if keeps else None, now=now)
            yield context, ""
        except NotSupported as fault:
            yield context, str(fault)


def _decision_of_permit(case: Case, context: str) -> str | None:
    path = case.path / permit_name(context)
    return str(read_envelope(path).statement().predicate["decision_sha256"]) if path.exists() else None


def _path(entry: Entry) -> str:
    return str(entry.subject["path"]) if {"path", "sha256"} <= entry.subject.keys() else ""


def _is_evidence(entry: Entry) -> bool:
    return _path(entry).startswith("evidence/")


def _identity(entry: Entry) -> bytes:
    """An entry but for its place in a chain."""
    return canonical_json([entry.action, entry.actor, format_utc(entry.at), entry.subject])


def _left_behind(case: Case) -> Callable[[str, list[str]], set[str]]:
    def ignore(folder: str, names: list[str]) -> set[str]:
        inside = Path(folder).resolve().relative_to(case.path.resolve())
        return {name for name in names if name.startswith(".") or (inside / name).as_posix().startswith(_REGISTRY)}

    return ignore
