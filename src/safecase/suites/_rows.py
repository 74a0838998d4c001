"""Rows of a public set from where its user has them: JSONL, read and never copied.

A message here gives file, line and field, and no text of the row: the sets are harmful by nature, and their keepers ask
that they are not spread.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safecase.suites._errors import SuiteMissing

_NOT_OF_IDS = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row, and where it stands for messages: "cyse_interpreter.jsonl:12"."""

    at: str
    values: Mapping[str, object]

    @property
    def id(self) -> str:
        """Its `id` as ids are written here, with what is not a letter or a digit as '-'.

        >>> Row(at="", values={"id": "bipia_email:train-0-clean"}).id
        'bipia-email-train-0-clean'
        """
        return _NOT_OF_IDS.sub("-", self.text("id").lower()).strip("-")[:80].rstrip("-")

    def text(self, name: str) -> str:
        """A field that has to be there, as text.

        Raises:
            SuiteMissing: it is not, or is empty, or is no text.
        """
        value = self.values.get(name)
        if not isinstance(value, str) or not value.strip():
            raise SuiteMissing(f"{self.at}: field {name!r} has no text; is this the file that was meant?")
        return value

    def first(self, name: str) -> str:
        """A field that holds a text or a list of texts: the text, or the first one.

        Raises:
            SuiteMissing: as `text`.
        """
        value = self.values.get(name)
        if isinstance(value, list) and value:
            return Row(at=self.at, values={name: value[0]}).text(name)
        return self.text(name)


def read_rows(path: Path) -> tuple[Row, ...]:
    """Every row of a file, one JSON object a line; empty lines are passed over.

    Raises:
        SuiteMissing: no such file, none in it, a line that is no JSON object, or two rows of one id.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as fault:
        raise SuiteMissing(f"{path}: cannot be read ({type(fault).__name__}); give the path of a JSONL file") from fault
    rows = tuple(_row(line, f"{path.name}:{number}") for number, line in enumerate(lines, start=1) if line.strip())
    if not rows:
        raise SuiteMissing(f"{path}: holds no row")
    seen: dict[str, str] = {}
    for row in rows:
        if row.id in seen:
            raise SuiteMissing(f"{row.at}: the id stands in {seen[row.id]} already; a task is named once")
        seen[row.id] = row.at
    return rows


def _row(line: str, at: str) -> Row:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise SuiteMissing(f"{at}: no JSON object; a row is one object on one line")
    return Row(at=at, values=values)
