"""What can be wrong with a declared file.

DeclareError
├── PackError       a pack, case or record file is wrong; `problems` lists every fault with file and line
└── UnknownName     a name that is asked for and not declared
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One fault in a file: where, what is wrong, and how to mend it. `line` counts from 1."""

    file: Path
    line: int
    what: str
    mend: str

    def __str__(self) -> str:
        return f"{self.file.name}:{self.line}: {self.what}; {self.mend}"


class DeclareError(Exception):
    """A declaration cannot be used."""


class PackError(DeclareError):
    """A declared file has faults; one line each."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class UnknownName(DeclareError):  # a condition, read as one: `except UnknownName`
    """A context, pack, gate or bank was asked for that nothing declares."""
