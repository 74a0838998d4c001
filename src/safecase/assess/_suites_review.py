"""Flagged failures to a person and back: was it the model that failed, or the test?

A sheet lists them in a random order that no one chose, and it is taken only without gaps from its start. So what was
looked at is a random sample of what was flagged, and few rows can bound the share that is spurious.
"""

import csv
import io
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from safecase.assess._case import Case, Clock, NothingToRead, utc_now
from safecase.assess._kept import ACTOR, record
from safecase.assess._suites_read import REVIEWS, SuiteArmEvidence, read_reviews, suites_on_record
from safecase.evidence import TaskAttempt, canonical_json, digest_bytes, digest_value

COLUMNS = ("attempt", "suite", "arm", "task", "flags", "transcript", "spurious")
_ANSWERS = {"yes": True, "no": False}
_MOST_IN_A_CELL = 12_000
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class ReviewError(Exception):
    """A sheet cannot be taken; the message names the line, and nothing of the file was kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewed:
    """What a sheet brought. `left`: flagged failures that nobody has looked at."""

    rows: int
    spurious: int
    left: int


def write_review(
    case: Case,
    out: Path,
    *,
    suite: str | None = None,
    most: int | None = None,
    unseal: bool = False,
    now: Clock = utc_now,
) -> int:
    """Write the sheet of flagged failures that nobody has looked at, and return how many rows it has.

    Args:
        suite: of this suite only.
        most: at most so many per suite and arm.
        unseal: open sealed transcripts; a ledger entry says so, and the file holds what they say.

    Raises:
        NothingToRead: nothing is flagged and unreviewed.
        FileExistsError: `out` is there already.
        KeyMissing: sealed transcripts are asked for without their key.
    """
    shown = [row for one in suites_on_record(case) if suite in (None, one.line.suite) for row in _open_rows(one)[:most]]
    if not shown:
        raise NothingToRead(f"case {str(case.path)!r} has no flagged failure that waits for review")
    texts = _texts(case, shown, unseal=unseal, now=now)
    sheet = io.StringIO()
    writer = csv.DictWriter(sheet, COLUMNS)
    writer.writeheader()
    for row in shown:
        flags = " ".join(row.flags)
        about = {"attempt": row.attempt_id, "suite": row.suite, "arm": row.arm, "task": row.task, "flags": flags}
        writer.writerow({**about, "transcript": texts.get(row.attempt_id, "[sealed; --unseal]"), "spurious": ""})
    handle = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
        file.write(sheet.getvalue())
    return len(shown)


def take_review(case: Case, sheet: Path, *, by: str, now: Clock = utc_now) -> Reviewed:
    """Take a filled sheet: `yes` where the failure was spurious, `no` where it was the model's; blanks may follow.

    Raises:
        ReviewError: a row is unknown or wrongly filled, or one before it was left out.
    """
    rows = list(_filled(sheet))
    if not rows:
        raise ReviewError(f"{sheet}: no row says `yes` or `no` under 'spurious'")
    _must_be_from_the_start(case, sheet, {attempt_id for attempt_id, _ in rows})
    said = [{"attempt_id": attempt_id, "spurious": found} for attempt_id, found in rows]
    data = canonical_json({"by": by, "rows": said}) + b"\n"
    number = len(list((case.path / REVIEWS).glob("*.json"))) + 1
    name = f"{REVIEWS}/{number:04d}-{digest_bytes(data)[:12]}.json"
    record(case, name, data, action="suite-reviewed", now=now, by=by, rows=len(rows))
    left = sum(len(_open_rows(one)) for one in suites_on_record(case))
    return Reviewed(rows=len(rows), spurious=sum(found for _, found in rows), left=left)


def review_order(one: SuiteArmEvidence) -> list[TaskAttempt]:
    """The flagged failures of a suite on an arm, in the random order in which they are looked at."""
    flagged = [row for row in one.answered if row.flags and row.condition == "" and (row.score or 0.0) < 1.0]
    return sorted(flagged, key=lambda row: digest_value(["review", row.attempt_id]))


def _open_rows(one: SuiteArmEvidence) -> list[TaskAttempt]:
    return [row for row in review_order(one) if row.attempt_id not in one.reviews]


def _filled(sheet: Path) -> Iterator[tuple[str, bool]]:
    with sheet.open(encoding="utf-8-sig", newline="") as file:
        for line, row in enumerate(csv.DictReader(file), start=2):
            said = (row.get("spurious") or "").strip().lower()
            if not said:
                continue
            if said not in _ANSWERS or not row.get("attempt"):
                raise ReviewError(f"{sheet}:{line}: 'spurious' says {said!r}; write `yes`, `no`, or nothing")
            yield row["attempt"], _ANSWERS[said]


def _must_be_from_the_start(case: Case, sheet: Path, said: set[str]) -> None:
    seen = set(read_reviews(case))
    known: set[str] = set()
    for one in suites_on_record(case):
        order = [row.attempt_id for row in review_order(one)]
        known |= set(order)
        mine = [attempt_id in said or attempt_id in seen for attempt_id in order]
        if any(later and not earlier for earlier, later in pairwise(mine)):
            raise ReviewError(
                f"{sheet}: rows of suite {one.line.suite!r} are filled in after one that is blank; the order is random "
                "so that what is looked at is a fair sample: fill them in from the start"
            )
    if unknown := sorted(said - known):
        raise ReviewError(f"{sheet}: attempt {unknown[0]!r} is no flagged failure of this case")


def _texts(case: Case, rows: Sequence[TaskAttempt], *, unseal: bool, now: Clock) -> dict[str, str]:
    kept = list(case.attempts.transcripts({row.attempt_id for row in rows}))
    found = {one.attempt_id: _told([(turn.role, turn.content) for turn in one.turns]) for one in kept if one.turns}
    if unseal and any(one.sealed for one in kept):
        opened = case.attempts.unseal(kept, case.vault(), actor=ACTOR, purpose="review of flagged failures", at=now())
        for attempt_id, text in opened.items():
            found[attempt_id] = _told([(turn["role"], turn["content"]) for turn in json.loads(text)])
    return found


def _told(turns: Sequence[tuple[str, str]]) -> str:
    """The end of a conversation, safe to open in a spreadsheet."""
    text = "\n\n".join(f"[{role}] {content}" for role, content in turns)[-_MOST_IN_A_CELL:]
    return f"'{text}" if text.startswith(_FORMULA) else text
