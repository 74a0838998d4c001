"""What can be wrong with evidence.

EvidenceError
├── LedgerBroken        the ledger's chain does not hold, so nothing may be added to it
├── CorruptedSegment    a segment is missing, or its bytes are not the ones the ledger names
├── UnstorableRow       a row cannot be kept exactly as it is (also a ValueError)
│   ├── AlreadyStored   the trial has an answer on record; an answer is never replaced
│   └── UnsealedHazard  an answer of a hazardous domain arrived in plain text
├── DiskFull            the disk took nothing of what was to be written
├── EventUnreadable     a line is no event row (in `_event_rows.py`)
├── StorageTrouble      a folder of segments elsewhere (a share, object storage) cannot be used
├── KeyTrouble          a key cannot be used
│   ├── KeyMissing      no key file where one must be
│   └── KeyUnusable     the file is not such a key, may be read by others, or lies inside the case
├── SealBroken          a sealed answer does not open: other key, other trial, or changed bytes
├── StatementBroken     a signed statement cannot be read, or is not of the kind asked for
└── RosterBroken        a roster contradicts itself, or its root did not sign it

Names say the condition, as STYLE.md's do; hence `noqa: N818` (no Error suffix).
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One fault found by a check: the file, what is wrong, how to mend it. `line` counts from 1, None for the whole."""

    file: Path
    line: int | None = None
    what: str
    mend: str

    def __str__(self) -> str:
        where = str(self.file) if self.line is None else f"{self.file}:{self.line}"
        return f"{where}: {self.what}; {self.mend}"


class EvidenceError(Exception):
    """Evidence cannot be written, read or trusted."""


class LedgerBroken(EvidenceError):
    """A line of the ledger does not hold; `problem` names it."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(str(problem))


class CorruptedSegment(EvidenceError):
    """A segment is missing or changed; `problem` names the file."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(str(problem))


class UnstorableRow(EvidenceError, ValueError):
    """A row cannot be kept exactly: NaN, half a surrogate pair, a number beyond 64 bits, the wrong type."""


class AlreadyStored(UnstorableRow):
    """The trial id has an answer already, or comes twice in one batch."""


class UnsealedHazard(UnstorableRow):
    """A plain answer in a domain whose answers are kept encrypted, or any answer where none may be kept."""


class DiskFull(EvidenceError):
    """No space (or no quota) left; nothing of this write was kept."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(f"{path}: no space left on the disk, nothing was written; free some space and run again")


class StorageTrouble(EvidenceError):
    """A folder of segments elsewhere cannot be opened, read or written."""


class KeyTrouble(EvidenceError):
    """A key cannot be used."""


class KeyMissing(KeyTrouble):
    """No key file where one must be."""


class KeyUnusable(KeyTrouble):
    """A key file is of another kind, open to others, badly placed, or already there."""


class SealBroken(EvidenceError):
    """A sealed answer does not open under this key and trial id."""


class StatementBroken(EvidenceError):
    """A signed statement cannot be read."""


class RosterBroken(EvidenceError):
    """A roster cannot be trusted to say who signed."""
