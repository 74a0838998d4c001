"""Closed questions from the files that a user has: read row by row in a named format, never copied.

A message here gives file, row and field and no text of the row: the sets may be hazardous, and their keepers ask that
questions are not spread.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from safecase.declare import QuestionFile
from safecase.evidence import digest_file, digest_value
from safecase.suites._errors import SuiteMissing

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One closed question.

    Attributes:
        task: id made of a digest, so that plans and reports name a question without saying it.
        options: as in the file; each attempt sees them in an order of its own.
        right: places in `options` of what is right; several where the format asks for all that apply.
        takes_all: several may be right, and only the whole set is.
    """

    task: str
    category: str
    text: str
    options: tuple[str, ...]
    right: frozenset[int]
    takes_all: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionSet:
    """What a file holds.

    Attributes:
        name: the file's, without its folder.
        sha256: of its bytes.
        repeats: rows left out because an earlier one asks the same.
        canary: rows carry a canary field. It is never sent, and no question of the set is kept in plain text.
    """

    name: str
    sha256: str
    published: bool
    questions: tuple[Question, ...]
    repeats: int
    canary: bool


def read_questions(file: QuestionFile, *, root: Path) -> QuestionSet:
    """Read a file of questions.

    Args:
        root: folder that a relative path starts from.

    Raises:
        SuiteMissing: no such file, not the bytes that were promised, or a row that is not in the format.
    """
    path = root / file.path
    if not path.is_file():
        raise SuiteMissing(f"question file {str(path)!r} is not there; put it there, or mend `questions:` in the case")
    sha256 = digest_file(path)
    if file.sha256 is not None and sha256 != file.sha256:
        raise SuiteMissing(f"question file {str(path)!r} has SHA-256 {sha256}, and the case asks for {file.sha256}")
    found: dict[str, Question] = {}
    raw = _rows(path)
    rows = [row for row in raw if not all(_is_canary(name) for name in row)]  # a first row may hold the canary alone
    for number, row in enumerate(rows, start=1):
        one = _question(row, file, where=f"{path.name}, row {number} ({file.format})")
        found.setdefault(one.task, one)
    if not found:
        raise SuiteMissing(f"question file {str(path)!r} holds no question")
    return QuestionSet(
        name=path.name,
        sha256=sha256,
        published=file.published,
        questions=tuple(found.values()),
        repeats=len(rows) - len(found),
        canary=any(_is_canary(name) for row in raw for name in row),
    )


def _question(row: Row, file: QuestionFile, *, where: str) -> Question:
    try:
        text, options, right = _READERS[file.format](row)
    except KeyError as fault:
        raise SuiteMissing(f"{where}: no field {fault.args[0]!r}") from None
    except (TypeError, ValueError, IndexError):
        raise SuiteMissing(f"{where}: question, options and answer do not fit; see docs/suites-chem-bio.md") from None
    if not text.strip() or not 2 <= len(options) <= len(LETTERS) or len(set(options)) < len(options):
        raise SuiteMissing(f"{where}: takes a question and 2 to {len(LETTERS)} options, all different")
    if not right <= set(range(len(options))):
        raise SuiteMissing(f"{where}: the answer is none of the {len(options)} options")
    category = file.category or _slug(str(row.get("category") or row.get("subtask") or file.path.stem))
    digest = digest_value([text, sorted(options), sorted(options[place] for place in right)])
    return Question(
        task=f"q-{digest[:16]}",
        category=category,
        text=text,
        options=options,
        right=right,
        takes_all=file.format == "multiple-response",
    )


# Formats


def _wmdp(row: Row) -> tuple[str, tuple[str, ...], frozenset[int]]:
    """`question`, `choices`, `answer`: place of the right one, from 0."""
    return str(row["question"]), _texts(row["choices"]), frozenset({_place(row["answer"])})


def _lab_bench(row: Row) -> tuple[str, tuple[str, ...], frozenset[int]]:
    """`question`, `ideal`, `distractors`. Without the option to abstain, which could hide what a model knows."""
    return str(row["question"]), (str(row["ideal"]), *_texts(row["distractors"])), frozenset({0})


def _multiple_choice(row: Row) -> tuple[str, tuple[str, ...], frozenset[int]]:
    """`question`, `choices`, `answer`: a letter, or the place from 0."""
    return str(row["question"]), _texts(row["choices"]), frozenset({_place(row["answer"])})


def _multiple_response(row: Row) -> tuple[str, tuple[str, ...], frozenset[int]]:
    """`question`, `choices`, `answers`: every one that applies, by letter or place; at least one."""
    right = frozenset(_place(one) for one in _list(row["answers"]))
    if not right:
        raise ValueError("no answer is right")
    return str(row["question"]), _texts(row["choices"]), right


_READERS: Mapping[str, Callable[[Row], tuple[str, tuple[str, ...], frozenset[int]]]] = {
    "wmdp": _wmdp,
    "lab-bench": _lab_bench,
    "multiple-choice": _multiple_choice,
    "multiple-response": _multiple_response,
}


def _place(answer: Any) -> int:
    """A place from 0; letters count from A. A truth value or a broken number is no place."""
    if isinstance(answer, bool) or (isinstance(answer, float) and not answer.is_integer()):
        raise TypeError("no place")
    if isinstance(answer, str) and len(answer.strip()) == 1 and answer.strip().upper() in LETTERS:
        return LETTERS.index(answer.strip().upper())
    return int(answer)


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(str(one).strip() for one in _list(value))


def _list(value: Any) -> Sequence[Any]:
    if not isinstance(value, list | tuple):
        raise TypeError("no list")
    return value


# Files


def _rows(path: Path) -> list[Row]:
    if path.suffix not in {".jsonl", ".json", ".parquet"}:
        raise SuiteMissing(f"question file {str(path)!r}: takes .jsonl, .json or .parquet, not {path.suffix!r}")
    try:
        found = list(_parsed(path))
    except (ValueError, pa.ArrowInvalid):
        raise SuiteMissing(f"question file {str(path)!r} is no {path.suffix[1:]} file") from None
    if any(not isinstance(row, dict) for row in found):
        raise SuiteMissing(f"question file {str(path)!r}: every row must be an object")
    return found


def _parsed(path: Path) -> Iterator[Any]:
    if path.suffix == ".parquet":
        yield from pq.read_table(path).to_pylist()
    elif path.suffix == ".json":
        value = json.loads(path.read_text("utf-8"))
        yield from value if isinstance(value, list) else [value]
    else:
        yield from (json.loads(line) for line in path.read_text("utf-8").split("\n") if line.strip())


def _is_canary(field: str) -> bool:
    return "canary" in str(field).lower()


def _slug(words: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-") or "all"
