"""The ledger: who did what when, one canonical JSON object a line, each line holding the hash of the one before.

    {"action":…,"actor":…,"at":…,"hash":h0,"prev":000…,"seq":0,"subject":{…}}
    {"action":…,"actor":…,"at":…,"hash":h1,"prev":h0,  "seq":1,"subject":{…}}

Whoever can write the file can also write it anew from any line on. Only a head (the last hash) kept *elsewhere*
shows that; print it, export it, have it cosigned.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from safecase.evidence._case_files import disk_full_names, sync_folder
from safecase.evidence._digest import canonical_json, digest_bytes, digest_file
from safecase.evidence._errors import LedgerBroken, Problem
from safecase.evidence._merkle import consistency_proof, inclusion_proof, merkle_root
from safecase.evidence._time import format_utc, parse_utc

LEDGER_NAME = "ledger.jsonl"
GENESIS = "0" * 64
"""What the first entry holds as `prev`, and the head of an empty ledger."""

_FIELDS = {"seq", "at", "actor", "action", "subject", "prev", "hash"}
_RESTORE = "restore the ledger from a copy; an edited line cannot be mended"
_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the ledger.

    Attributes:
        seq: position, from 0.
        at: when, aware.
        actor: the person or program that acted.
        action: what was done, kebab-case ("trials-written", "sealed-read", "adopted", "torn-line").
        subject: digests, counts and paths (JSON). A file is named by `path` (relative to the case) and `sha256`.
        prev: hash of the entry before, 64 zeros for the first.
        hash: SHA-256 of the canonical JSON of all the other fields.
    """

    seq: int
    at: datetime
    actor: str
    action: str
    subject: Mapping[str, Any]  # JSON
    prev: str
    hash: str

    def line(self) -> bytes:
        """The canonical line, without its newline; a leaf of the Merkle tree."""
        return canonical_json({**_body(self), "hash": self.hash})


class Ledger:
    """The append-only, hash-chained ledger of a case.

    Reading takes no lock and never writes. Appending takes an exclusive lock on the file (flock), so two processes
    cannot both follow the same entry; on a network disk that ignores flock, let one process write.

    Args:
        path: the file; made by the first append.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, action: str, *, actor: str, subject: Mapping[str, Any], at: datetime) -> Entry:
        """Add one entry and wait until the disk has it.

        Args:
            action: what was done, kebab-case.
            actor: who did it.
            subject: a JSON object.
            at: when; aware.

        Raises:
            LedgerBroken: the last line does not hold; nothing is added to it.
            DiskFull: no space; the ledger is as it was.
            ValueError: no action or actor, a naive time, or a subject that is not JSON (NaN is not).
        """
        with self.writing(at=at) as chain:
            return chain.append(action, actor=actor, subject=subject, at=at)

    @contextlib.contextmanager
    def writing(self, *, at: datetime) -> Iterator["Chain"]:
        """Hold the ledger's lock for several steps that belong together, such as a segment and the entry naming it.

        A line that a crash cut short is set aside first, in `<ledger>.torn`, and an entry `torn-line` says so.
        """
        is_new = not self.path.exists()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if is_new:
                sync_folder(self.path.parent)
            chain = Chain(self.path, descriptor)
            chain.resume(at=at)
            yield chain
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Keep writers out meanwhile, so that a segment and its entry are seen together. Nothing is written."""
        if not self.path.exists():
            yield
            return
        with self.path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            yield

    def recover(self, *, at: datetime) -> str | None:
        """Set aside a line that a crash cut short, or finish one that lacks only its newline.

        Returns:
            One line saying what was found and done; None where the ledger ended cleanly.

        Raises:
            LedgerBroken: the end is damaged in a way that no crash leaves.
        """
        if not self.path.exists():
            return None
        with self.writing(at=at) as chain:
            return chain.recovered

    def entries(self) -> Iterator[Entry]:
        """Every complete line in order, each checked against its own hash (`check` also checks the chain).

        Raises:
            LedgerBroken: a line cannot be read, or its hash is wrong.
        """
        for entry, _ in self.entries_from(0, first_line=1):
            yield entry

    def entries_from(self, offset: int, *, first_line: int) -> Iterator[tuple[Entry, int]]:
        """Entries from a byte offset on, each with the offset after it. For readers that keep up with a growing ledger.

        Args:
            offset: where a line begins, bytes.
            first_line: that line's number, from 1; only for messages.

        Raises:
            LedgerBroken: as `entries`.
        """
        for number, raw in enumerate(self._lines(offset), start=first_line):
            if not raw.endswith(b"\n"):
                return  # being written, or torn; `check` names it
            parsed = _parse(raw[:-1])
            if isinstance(parsed, str):
                raise LedgerBroken(Problem(file=self.path, line=number, what=parsed, mend=_RESTORE))
            offset += len(raw)
            yield parsed, offset

    def head(self) -> str:
        """Hash of the last entry; 64 zeros for an empty ledger. The value to keep elsewhere.

        Raises:
            LedgerBroken: a line cannot be read.
        """
        last = GENESIS
        for entry in self.entries():
            last = entry.hash
        return last

    def root(self, size: int | None = None) -> str:
        """RFC 6962 Merkle root over the first `size` lines, all by default; 64 hex digits."""
        return merkle_root(self._leaves()[:size])

    def inclusion(self, seq: int) -> tuple[str, ...]:
        """Proof that entry `seq` is under `root()`; check it with `verify_inclusion(entry.line(), ...)`."""
        return inclusion_proof(self._leaves(), seq)

    def consistency(self, old_size: int) -> tuple[str, ...]:
        """Proof that the ledger of `old_size` entries is the beginning of this one, for `verify_consistency`."""
        return consistency_proof(self._leaves(), old_size)

    def check(self, *, head: str | None = None) -> list[Problem]:
        """Recompute every hash and the chain.

        Args:
            head: a head kept elsewhere. It must be the hash of some entry here: then everything up to that entry is
                what it was, and what follows was added since. Without it, a ledger written anew from some line on
                passes: it is self-consistent, not authentic.

        Returns:
            One problem per wrong line, naming it; empty when all holds.
        """
        if not self.path.is_file():
            return [Problem(file=self.path, what="there is no ledger", mend="restore it from a copy of the case")]
        found = list(_check_lines(self.path, self._lines(0)))
        if head is not None and not found and head not in {GENESIS, *(entry.hash for entry in self.entries())}:
            what = f"no entry has the trusted head {head!r}; the ledger was cut short or written anew"
            found.append(Problem(file=self.path, what=what, mend="get the ledger that the head was taken from"))
        return found

    def check_listed(self) -> list[Problem]:
        """Hold every file that the ledger names (`path`, `sha256`) against the last digest it was given.

        Raises:
            LedgerBroken: a line cannot be read.
        """
        folder = self.path.parent
        return [
            problem
            for path, entry in self._listed().items()
            if (problem := check_file(folder, path, sha256=entry.subject["sha256"], entry=entry)) is not None
        ]

    def _listed(self) -> dict[str, Entry]:
        return {entry.subject["path"]: entry for entry in self.entries() if {"path", "sha256"} <= entry.subject.keys()}

    def _leaves(self) -> list[bytes]:
        return [entry.line() for entry in self.entries()]

    def _lines(self, offset: int) -> Iterator[bytes]:
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(offset)
            yield from file


class Chain:
    """The end of a ledger while its lock is held. Get one from `Ledger.writing`; do not make one.

    Attributes:
        recovered: what was found and done about an unfinished last line, else None.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor
        self._size = os.fstat(descriptor).st_size
        self._last: Entry | None = None
        self.recovered: str | None = None

    def append(self, action: str, *, actor: str, subject: Mapping[str, Any], at: datetime) -> Entry:
        """Add one entry, as `Ledger.append`."""
        if not action or not actor:
            raise ValueError(f"an entry needs an action and an actor, got action {action!r} by {actor!r}")
        entry = _follow(self._last, action=action, actor=actor, subject=subject, at=at)
        self._write(entry.line() + b"\n")
        self._last = entry
        return entry

    def resume(self, *, at: datetime) -> None:
        """Find the last entry; deal with an unfinished line after it."""
        last, rest = _tail(self._descriptor, self._size)
        if last is not None:
            self._last = self._must_parse(last)
        if not rest:
            return
        entry = _parse(rest)
        if isinstance(entry, Entry) and (entry.prev, entry.seq) == _next(self._last):
            self._write(b"\n")
            self._last = entry
            self.recovered = f"{self._path}: the last line lacked its newline and is complete; finished it"
        elif _is_cut_short(rest):
            self._set_aside(rest, at=at)
        else:
            problem = Problem(file=self._path, what="the last line is damaged, not merely cut short", mend=_RESTORE)
            raise LedgerBroken(problem)

    def _must_parse(self, raw: bytes) -> Entry:
        parsed = _parse(raw)
        if isinstance(parsed, str):
            raise LedgerBroken(Problem(file=self._path, what=f"last complete line: {parsed}", mend=_RESTORE))
        return parsed

    def _set_aside(self, rest: bytes, *, at: datetime) -> None:
        torn = self._path.with_name(self._path.name + ".torn")
        with disk_full_names(torn), torn.open("ab") as file:
            file.write(rest + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self._size -= len(rest)
        os.ftruncate(self._descriptor, self._size)
        os.fsync(self._descriptor)
        self.recovered = f"{self._path}: a crash cut the last line short; its {len(rest)} bytes are in {torn.name}"
        subject = {"file": torn.name, "bytes": len(rest), "rest_sha256": digest_bytes(rest)}
        self.append("torn-line", actor="safecase", subject=subject, at=at)

    def _write(self, data: bytes) -> None:
        """One write, then wait for the disk; a write that fails is taken back."""
        with disk_full_names(self._path):
            try:
                written = os.write(self._descriptor, data)
                if written != len(data):  # only a full disk writes part of a line
                    written += os.write(self._descriptor, data[written:])
                os.fsync(self._descriptor)
            except OSError:
                os.ftruncate(self._descriptor, self._size)
                raise
        self._size += len(data)


def check_file(folder: Path, path: str, *, sha256: str, entry: Entry) -> Problem | None:
    """Hold one file of the case against the digest a ledger entry gives it.

    Args:
        folder: the case.
        path: relative, with forward slashes.
        sha256: 64 hex digits.
        entry: the entry that names it, for the message.
    """
    file = folder / path
    pure = PurePosixPath(path)
    mend = "restore it from a copy of the case"
    if pure.is_absolute() or ".." in pure.parts:
        what = f"ledger entry {entry.seq} names a file outside the case"
        return Problem(file=file, what=what, mend=_RESTORE)
    if not file.is_file():
        return Problem(file=file, what=f"ledger entry {entry.seq} names it and it is missing", mend=mend)
    found = digest_file(file)
    if found != sha256:
        what = f"its SHA-256 is {found[:12]}…, ledger entry {entry.seq} ({entry.action}) says {sha256[:12]}…"
        return Problem(file=file, what=what, mend=mend)
    return None


def _body(entry: Entry) -> dict[str, Any]:
    return {
        "seq": entry.seq,
        "at": format_utc(entry.at),
        "actor": entry.actor,
        "action": entry.action,
        "subject": entry.subject,
        "prev": entry.prev,
    }


def _next(last: Entry | None) -> tuple[str, int]:
    """The `prev` and `seq` that must follow."""
    return (GENESIS, 0) if last is None else (last.hash, last.seq + 1)


def _follow(last: Entry | None, *, action: str, actor: str, subject: Mapping[str, Any], at: datetime) -> Entry:
    prev, seq = _next(last)
    # Through JSON and back: what we return is what a reader will find (tuples become lists).
    plain = json.loads(canonical_json(dict(subject)))
    unhashed = Entry(seq=seq, at=at, actor=actor, action=action, subject=plain, prev=prev, hash="")
    digest = digest_bytes(canonical_json(_body(unhashed)))
    return Entry(seq=seq, at=at, actor=actor, action=action, subject=plain, prev=prev, hash=digest)


def _parse(raw: bytes) -> Entry | str:
    """The entry on a line, or what is wrong with it. Holding it to its one spelling makes every byte count."""
    try:
        fields = json.loads(raw)
        if not isinstance(fields, dict) or set(fields) != _FIELDS or not isinstance(fields["subject"], dict):
            return "is not a ledger entry"
        entry = Entry(**{**fields, "at": parse_utc(fields["at"])})
        if entry.line() != raw:
            return "is not in canonical form"
        if digest_bytes(canonical_json(_body(entry))) != entry.hash:
            return f"entry {entry.seq!r} was changed: its hash does not fit its content"
    except (ValueError, TypeError, RecursionError) as error:
        return f"is not a ledger entry ({error})"
    return entry


def _check_lines(path: Path, lines: Iterator[bytes]) -> Iterator[Problem]:
    seq, prevs = 0, {GENESIS}
    for number, raw in enumerate(lines, start=1):
        if not raw.endswith(b"\n"):
            mend = "the next append sets an unfinished line aside in a .torn file"
            yield Problem(file=path, line=number, what="is cut short: it has no newline", mend=mend)
            return
        parsed = _parse(raw[:-1])
        if isinstance(parsed, str):
            yield Problem(file=path, line=number, what=parsed, mend=_RESTORE)
            seq, prevs = seq + 1, set()  # its hash is unknown: the next line cannot be blamed for not fitting
            continue
        if parsed.seq != seq:
            what = f"is entry {parsed.seq} where {seq} was due: a line was removed, added or moved"
            yield Problem(file=path, line=number, what=what, mend=_RESTORE)
        elif prevs and parsed.prev not in prevs:
            what = f"does not follow the line before: it names {parsed.prev[:12]}…"
            yield Problem(file=path, line=number, what=what, mend=_RESTORE)
        seq, prevs = parsed.seq + 1, {parsed.hash}


def _tail(descriptor: int, size: int) -> tuple[bytes | None, bytes]:
    """The last complete line without its newline (None if there is none), and what follows it."""
    start, data = size, b""
    while start > 0 and data.count(b"\n") < 2:
        step = min(_BLOCK, start)
        start -= step
        data = os.pread(descriptor, step, start) + data
    complete, newline, rest = data.rpartition(b"\n")
    if not newline:
        return None, rest
    return complete.rpartition(b"\n")[2], rest


def _is_cut_short(rest: bytes) -> bool:
    """Whether this is the beginning of a line. A whole object followed by anything else is damage, not a crash."""
    try:
        json.JSONDecoder().raw_decode(rest.decode(errors="replace"))
    except (ValueError, RecursionError):
        return True
    return False
