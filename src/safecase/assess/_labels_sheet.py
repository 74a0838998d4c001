"""Labelling sheets: CSV for a spreadsheet and JSONL for a program, written and read back.

A sheet shows a request and an answer under a name of its own. What it does not show: the arm, the judge's verdict,
other people's labels, and any id that two raters could compare.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safecase.evidence import VERDICTS, Trial, digest_value, write_atomic

SKIP = "skip"
COLUMNS = ("sheet", "item", "request", "answer", "label")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_MOST_IN_A_CELL = 30_000
"""Characters; spreadsheets cut a cell at 32,767 without a word."""


class LabelError(Exception):
    """Labels cannot be taken; the message names file and line, and none of the file were kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """A line that a person filled in; `label` is one of the verdicts or `skip`."""

    line: int
    item: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A sheet as it came back, every line checked by itself."""

    name: str
    id: str
    rows: tuple[Filled, ...]


def item_of(sheet: str, trial_id: str) -> str:
    """A trial's name on a sheet."""
    return f"r-{digest_value([sheet, trial_id])[:16]}"


def request_of(trial: Trial) -> str:
    """What was asked, with the turns before it where there were any."""
    turns = [f"[{turn.role}] {turn.content}" for turn in trial.turns]
    return "\n\n".join([*turns, f"[user] {trial.prompt}"]) if turns else trial.prompt


def sheet_rows(
    sheet: str, shown: Iterable[tuple[Trial, str]], *, more: Mapping[str, Mapping[str, str]] | None = None
) -> list[dict[str, str]]:
    """Rows of a sheet in an order of its own.

    Args:
        more: trial id -> further columns, put before the label.
    """
    ordered = sorted(shown, key=lambda pair: digest_value([sheet, "order", pair[0].trial_id]))
    return [
        {
            "sheet": sheet,
            "item": item_of(sheet, trial.trial_id),
            "request": request_of(trial),
            "answer": text,
            **(more or {}).get(trial.trial_id, {}),
            "label": "",
        }
        for trial, text in ordered
    ]


def write_sheet(stem: Path, rows: Sequence[Mapping[str, str]]) -> tuple[Path, Path]:
    """Write `<stem>.csv` and `<stem>.jsonl`, readable by nobody else, replacing nothing.

    Raises:
        FileExistsError: one of them is there.
    """
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    found = (stem.with_suffix(".csv"), stem.with_suffix(".jsonl"))
    # A byte-order mark is how a spreadsheet knows UTF-8.
    data = (table.getvalue().encode("utf-8-sig", "replace"), lines.encode("utf-8", "replace"))
    for path, content in zip(found, data, strict=True):
        write_atomic(path, content, mode=0o600, replace=False)
    return found


def read_sheet(path: Path, *, may_skip: bool) -> Sheet:
    """Read a filled sheet.

    Args:
        path: CSV (commas, semicolons or tabs; UTF-8 with or without a byte-order mark, or what spreadsheets make of
            it) or JSONL.
        may_skip: whether `skip` is an answer.

    Raises:
        LabelError: a line is wrong; nothing of the sheet is given.
    """
    if not path.is_file():
        raise LabelError(f"labels {str(path)!r} is not a file; give a sheet that `calibrate draw` wrote")
    lines = _jsonl(path) if path.suffix.lower() in {".jsonl", ".ndjson", ".json"} else _table(path)
    rows: list[Filled] = []
    sheets: dict[str, int] = {}
    seen: dict[str, int] = {}
    for number, row in lines:
        at = f"{path.name}:{number}"
        item, sheet = _word(row.get("item")), _word(row.get("sheet"))
        if not item or not sheet:
            raise LabelError(f"{at}: no sheet and item; keep both columns as they were written")
        if item in seen:
            raise LabelError(f"{at}: item {item!r} stands on line {seen[item]} already; keep one")
        seen[item] = number
        sheets.setdefault(sheet, number)
        if len(sheets) > 1:
            raise LabelError(f"{at}: sheet {sheet!r} in a file of sheet {next(iter(sheets))!r}; give one file a sheet")
        rows.append(Filled(line=number, item=item, label=_label(row.get("label"), at=at, may_skip=may_skip)))
    if not rows:
        raise LabelError(f"{path.name}: no line is filled in; a sheet has a line per answer")
    return Sheet(name=path.name, id=next(iter(sheets)), rows=tuple(rows))


def _label(value: object, *, at: str, may_skip: bool) -> str:
    label = _word(value).casefold().replace(" ", "_").replace("-", "_")
    choices = [*VERDICTS, *([SKIP] if may_skip else [])]
    if label in choices:
        return label
    said = "is empty" if not label else f"is {value!r:.60}"
    raise LabelError(f"{at}: label {said}; use one of {', '.join(choices)}")


def _word(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _jsonl(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(_decoded(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise LabelError(f"{path.name}:{number}: not JSON; one object a line") from error
        if not isinstance(row, dict):
            raise LabelError(f"{path.name}:{number}: not an object with sheet, item and label; mend the line")
        yield number, row


def _table(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Rows of a CSV, each with the line it begins on."""
    text = _decoded(path)
    header = re.split("[\r\n]", text, maxsplit=1)[0]
    delimiter = max(",;\t", key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    begins, names = 1, None
    try:
        for cells in reader:
            line, begins = begins, reader.line_num + 1
            if names is None:
                names = [cell.strip().casefold() for cell in cells]
                if lacking := [name for name in ("sheet", "item", "label") if names.count(name) != 1]:
                    raise LabelError(f"{path.name}:1: no column {lacking[0]!r} (or two); keep the first line as it was")
            elif any(cell.strip() for cell in cells[len(names) :]):
                raise LabelError(
                    f"{path.name}:{line}: more cells than columns; put text with a {delimiter!r} in quotes"
                )
            elif any(cell.strip() for cell in cells):
                yield line, dict(zip(names, cells, strict=False))
    except csv.Error as error:
        raise LabelError(f"{path.name}:{begins}: not CSV ({error}); save it as CSV, or fill in the JSONL") from error


def _decoded(path: Path) -> str:
    """The text. Ids and labels are plain letters, so a spreadsheet's own encoding is good enough to read those."""
    data = path.read_bytes()
    if data[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _cell(value: str) -> str:
    """A cell that a spreadsheet shows and does not run: what looks like a formula gets an apostrophe."""
    cut = value if len(value) <= _MOST_IN_A_CELL else f"{value[:_MOST_IN_A_CELL]}\n[cut here; the JSONL has all of it]"
    return f"'{cut}" if cut.startswith(_FORMULA) else cut
