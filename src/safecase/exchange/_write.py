"""Tables to files: CSV that no spreadsheet executes, Parquet, JSON. Streamed; a file appears whole or not at all."""

import csv
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from safecase.evidence import digest_file
from safecase.exchange._errors import ExportError
from safecase.exchange._tables import Table, arrow_schema, flat

FileFormat = Literal["csv", "parquet", "json"]
"""Formats that tables are written in."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")
"""Beginnings that a spreadsheet takes for a formula, and the quote that marks a cell as text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A table in a file.

    Attributes:
        quoted: cells of a CSV that got a leading quote, since a spreadsheet would have taken them for a formula.
    """

    path: Path
    rows: int
    sha256: str
    quoted: int = 0


def write_table(table: Table, directory: Path, *, kind: FileFormat) -> Written:
    """Write `<name>.<kind>` into a directory, which is made where there is none.

    Raises:
        ExportError: the file cannot be written.
    """
    path = directory / f"{table.name}.{kind}"
    writer = {"csv": _write_csv, "parquet": _write_parquet, "json": _write_json}[kind]
    with whole_file(path) as tmp:
        rows, quoted = writer(table, tmp)
    return Written(path=path, rows=rows, sha256=digest_file(path), quoted=quoted)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary name beside a file; it takes the file's name when the block ends well.

    Raises:
        ExportError: it cannot be written there.
    """
    tmp = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield tmp
        tmp.replace(path)
    except OSError as error:
        raise ExportError(f"{path}: cannot be written ({error.strerror}); give another place") from error
    finally:
        with suppress(OSError):
            tmp.unlink()


def safe_cell(text: str) -> str:
    """A text that no spreadsheet executes: one that begins like a formula, or with a quote, gets a quote before it.

    >>> safe_cell("=1+1"), safe_cell("plain"), safe_cell("'quoted")
    ("'=1+1", 'plain', "''quoted")
    """
    return f"'{text}" if text.startswith(_FORMULA) else text


def _write_csv(table: Table, path: Path) -> tuple[int, int]:
    rows = quoted = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([column.name for column in table.columns])
        for rows, row in enumerate(table, start=1):  # noqa: B007  # the last number is the count
            cells = []
            for column in table.columns:
                cell = _csv_cell(row[column.name])
                safe = safe_cell(cell) if column.kind in {"text", "json", "list"} else cell
                quoted += safe is not cell
                cells.append(safe)
            writer.writerow(cells)
    return rows, quoted


def _csv_cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | dict):
        return str(flat(value, "json"))
    return repr(value) if isinstance(value, float) else str(value)


def _write_parquet(table: Table, path: Path) -> tuple[int, int]:
    import pyarrow.parquet as pq  # late: 0.2 s

    rows = 0
    with pq.ParquetWriter(path, arrow_schema(table.columns), compression="zstd") as writer:
        for batch in table.batches():
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows, 0


def _write_json(table: Table, path: Path) -> tuple[int, int]:
    """One array, one row a line: a JSON document that line tools can read too."""
    rows = 0
    with path.open("w", encoding="utf-8") as file:
        file.write("[")
        for rows, row in enumerate(table, start=1):  # the last number is the count
            ordered = {column.name: row[column.name] for column in table.columns}
            file.write(("\n" if rows == 1 else ",\n") + json.dumps(ordered, ensure_ascii=False, allow_nan=False))
        file.write("\n]\n")
    return rows, 0
