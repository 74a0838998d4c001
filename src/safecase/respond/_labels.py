"""People's labels from triage, put into a drawn sheet where the reported answer is one of those drawn.

A report is no random sample, so its label never enters a calibration by itself. Where a drawn answer is word for word
the one that a person judged at the desk, that person need not judge it twice: their sheet gets the label, and every
other line stays theirs to fill in before `safecase measure calibrate take` accepts it.
"""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path

from safecase.evidence import write_atomic
from safecase.registry import ContentErased, Report
from safecase.respond._desk import Desk, person_key, person_name
from safecase.respond._errors import BadWord
from safecase.respond._intake import content_of
from safecase.respond._similar import plain


def fill_sheet(desk: Desk, sheet: Path, out: Path, *, rater: str) -> tuple[int, int]:
    """Write a copy of a rater's sheet with the labels that this person gave in triage.

    Args:
        sheet: CSV or JSONL as `safecase measure calibrate draw` wrote it.
        out: a new file of the same kind, readable by its owner alone.

    Returns:
        How many lines were filled in, and how many are in the sheet.

    Raises:
        BadWord: the sheet is not such a file, or `out` is there.
    """
    known = _labels_of(desk, person_name(rater))
    rows = _read(sheet)
    filled = 0
    for row in rows:
        label = known.get((_shown(row["request"]), _shown(row["answer"])))
        if label is not None and not row["label"].strip():
            row["label"] = label
            filled += 1
    try:
        write_atomic(out, _written(rows, kind=sheet.suffix), mode=0o600, replace=False)
    except FileExistsError:
        raise BadWord(f"{out}: it is there already; give another --out") from None
    return filled, len(rows)


def _labels_of(desk: Desk, rater: str) -> Mapping[tuple[str, str], str]:
    """Request and answer -> this person's own label."""
    found: dict[tuple[str, str], str] = {}
    for report in desk.registry.all(Report, case=desk.case.spec.id):
        mine = [one for one in report.reviews if person_key(one.by) == person_key(rater) and one.label is not None]
        if mine and mine[-1].label is not None:
            try:
                words = content_of(desk, report)
            except ContentErased:
                continue
            found[plain(words["request"]), plain(words["answer"])] = mine[-1].label
    return found


def _shown(cell: str) -> str:
    """A cell's text without the apostrophe that keeps a spreadsheet from running it."""
    return plain(cell.removeprefix("'"))


def _read(sheet: Path) -> list[dict[str, str]]:
    try:
        text = sheet.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as fault:
        raise BadWord(
            f"{sheet}: cannot be read ({type(fault).__name__}); give a sheet that `calibrate draw` wrote"
        ) from None
    try:
        rows = (
            [json.loads(line) for line in text.splitlines() if line.strip()]
            if sheet.suffix == ".jsonl"
            else list(csv.DictReader(io.StringIO(text, newline="")))
        )
        return [{name: str(row[name]) for name in ("sheet", "item", "request", "answer", "label")} for row in rows]
    except (KeyError, TypeError, ValueError) as fault:
        raise BadWord(
            f"{sheet}: not a labelling sheet ({type(fault).__name__}); give one of `calibrate draw`"
        ) from None


def _written(rows: list[dict[str, str]], *, kind: str) -> bytes:
    if kind == ".jsonl":
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode("utf-8", "replace")
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, fieldnames=list(rows[0]) if rows else [])
    writer.writeheader()
    writer.writerows(rows)
    return table.getvalue().encode("utf-8-sig", "replace")
