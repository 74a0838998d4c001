"""A case given out: an Inspect log, or tables with a note of where they come from."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safecase import __version__
from safecase.assess._case import Case, Clock, NothingToRead, utc_now
from safecase.assess._kept import ACTOR
from safecase.assess._root import evidence_root
from safecase.evidence import Judgement, Trial, format_utc, read_envelope
from safecase.exchange import (
    COLUMNS,
    TABLES,
    ExportError,
    FileFormat,
    InspectLog,
    LogAbout,
    Table,
    Written,
    judgement_row,
    trial_row,
    whole_file,
    write_inspect,
    write_table,
)

_SHOWN = ("case", "framework", "evidence_root", "ledger_head")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """Tables that were written.

    Attributes:
        missing: tables that the case does not have yet, with what makes them.
        sealed: trials whose answer stays in the case. held_out: trials left out.
    """

    directory: Path
    written: tuple[Written, ...]
    missing: tuple[str, ...]
    sealed: int
    held_out: int

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file, the note of where they come from last."""
        return (
            *(one.path for one in self.written),
            self.directory / "metadata.json",
            self.directory / "README.md",
        )

    @property
    def sentences(self) -> list[str]:
        """What was written and what was not, in words."""
        rows = [f"{one.path.name}: {one.rows} rows" for one in self.written]
        left = f"left out: {self.sealed} sealed answers, {self.held_out} held-out trials"
        return [*rows, left, *self.missing]

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        value = asdict(self)
        files = [{**one, "path": str(one["path"])} for one in value["written"]]
        return {**value, "directory": str(self.directory), "written": files}


def tables_of(case: Case, *, arm: str | None = None, held_out: bool = False) -> dict[str, Table]:
    """The tables that a case can give now. Rows are read when a table is.

    Args:
        arm: only this arm's trials and their judgements.
        held_out: also held-out scenarios.
    """
    found = {
        "trials": Table("trials", lambda: (trial_row(trial) for trial in _trials(case, arm=arm, held_out=held_out))),
        "judgements": Table(
            "judgements", lambda: (judgement_row(one) for one in _judgements(case, arm=arm, held_out=held_out))
        ),
    }
    if (case.path / "estimates.json").exists():
        found["estimates"] = Table("estimates", lambda: iter(_stored_estimates(case)))
    if (case.path / "findings.json").exists():
        found["findings"] = Table("findings", lambda: iter(_stored_findings(case)))
    return found


def export_tables(
    case: Case,
    directory: Path,
    *,
    kind: FileFormat,
    what: Sequence[TABLES] = ("trials", "judgements", "estimates", "findings"),
    arm: str | None = None,
    held_out: bool = False,
    now: Clock = utc_now,
) -> Exported:
    """Write tables, and beside them `metadata.json` and `README.md`: evidence root, columns, what was left out.

    Raises:
        NothingToRead: the case holds nothing that was asked for.
        ExportError: the directory lies in the case, or cannot be written; or no trial is of that arm.
    """
    _must_be_outside(case, directory)
    _must_be_there(case, arm)
    tables = tables_of(case, arm=arm, held_out=held_out)
    missing = tuple(f"no {name} yet: run `safecase decide {case.path}`" for name in what if name not in tables)
    if not case.trials.segments() or len(missing) == len(what):
        raise NothingToRead(f"case {str(case.path)!r} has nothing to export; run `safecase run {case.path}` first")
    sealed, left_out = _left_out(case, arm=arm, held_out=held_out)
    written = tuple(write_table(tables[name], directory, kind=kind) for name in what if name in tables)
    done = Exported(directory=directory, written=written, missing=missing, sealed=sealed, held_out=left_out)
    about = _about(case, now)
    _write_about(done, about)
    _log_held_out(case, held_out=held_out, place=directory, now=now)
    return done


def export_inspect(
    case: Case, path: Path, *, arm: str | None = None, held_out: bool = False, now: Clock = utc_now
) -> InspectLog:
    """Write the trials as an Inspect log, with every judge's scores.

    Trials stream; judgements are held in memory, about half a kilobyte each.

    Raises:
        NothingToRead: the case holds no trial.
        ExportError: the file lies in the case, or cannot be written; or no trial is of that arm.
    """
    _must_be_outside(case, path)
    if not case.trials.segments():
        raise NothingToRead(f"case {str(case.path)!r} holds no trial; run `safecase run {case.path}` first")
    _must_be_there(case, arm)
    judged: dict[str, list[Judgement]] = defaultdict(list)
    for judgement in case.judgements.read():
        judged[judgement.trial_id].append(judgement)
    about = LogAbout(task=case.spec.id, created=format_utc(now()), metadata={"safecase": _about(case, now)})
    where = {"arm": arm} if arm else None
    log = write_inspect(path, case.trials.read(where), judged, about=about, held_out=held_out)
    _log_held_out(case, held_out=held_out, place=path, now=now)
    return log


def _trials(case: Case, *, arm: str | None, held_out: bool) -> Iterator[Trial]:
    where: dict[str, object] = {"arm": arm} if arm else {}
    if not held_out:
        where["held_out"] = False
    return case.trials.read(where)


def _judgements(case: Case, *, arm: str | None, held_out: bool) -> Iterator[Judgement]:
    """Judgements of the trials that are given out."""
    hidden = {trial.trial_id for trial in case.trials.read({"held_out": True})} if not held_out else set()
    other = {t.trial_id for t in case.trials.read() if t.arm != arm} if arm else set()
    return (one for one in case.judgements.read() if one.trial_id not in hidden and one.trial_id not in other)


def _left_out(case: Case, *, arm: str | None, held_out: bool) -> tuple[int, int]:
    where = {"arm": arm} if arm else None
    sealed = hidden = 0
    for trial in case.trials.read(where):
        if trial.held_out and not held_out:
            hidden += 1
        else:
            sealed += trial.sealed is not None
    return sealed, hidden


def _stored_estimates(case: Case) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((case.path / "estimates.json").read_bytes())
    return found


def _stored_findings(case: Case) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = list(read_envelope(case.path / "findings.json").statement().predicate["findings"])
    return found


def _about(case: Case, now: Clock) -> dict[str, Any]:
    plan = case.plan
    return {
        "case": case.spec.id,
        "title": case.spec.title,
        "framework": f"{case.framework.id} {case.framework.version}",
        "plan": plan.digest if plan else None,
        "evidence_root": evidence_root(case),
        "ledger_head": case.ledger.head(),
        "safecase": __version__,
        "exported": format_utc(now()),
    }


def _write_about(done: Exported, about: dict[str, Any]) -> None:
    tables = {
        one.path.stem: {
            "file": one.path.name,
            "rows": one.rows,
            "sha256": one.sha256,
            "cells_quoted": one.quoted,
            "columns": {
                column.name: {"type": column.kind, "meaning": column.meaning} for column in COLUMNS[one.path.stem]
            },
        }
        for one in done.written
    }
    left_out = {"sealed_answers": done.sealed, "held_out_trials": done.held_out}
    value = {**about, "left_out": left_out, "missing": list(done.missing), "tables": tables}
    lines = [
        f"# {about['title']}",
        "",
        *(
            f"- {key.replace('_', ' ')}: `{about[key]}`"
            for key in ("case", "framework", "evidence_root", "ledger_head")
        ),
        f"- exported: {about['exported']} by safecase {about['safecase']}",
        "",
        *done.sentences,
        "",
        "`metadata.json` says what every column means and gives each file's SHA-256. In CSV an empty cell is absence, "
        "never zero, and a text that a spreadsheet would take for a formula begins with a quote.",
    ]
    for name, text in (
        ("metadata.json", json.dumps(value, indent=2, ensure_ascii=False)),
        ("README.md", "\n".join(lines)),
    ):
        with whole_file(done.directory / name) as tmp:
            tmp.write_text(text + "\n", encoding="utf-8")


def _must_be_outside(case: Case, place: Path) -> None:
    if place.resolve().is_relative_to(case.path.resolve()):
        raise ExportError(f"{place} lies in the case, where every file is evidence; give a place outside {case.path}")


def _must_be_there(case: Case, arm: str | None) -> None:
    if arm is None or next(iter(case.trials.read({"arm": arm})), None) is not None:
        return
    there = ", ".join(sorted({trial.arm for trial in case.trials.read()}))
    raise ExportError(f"no trial is of arm {arm!r}; the case has {there or 'none at all'}")


def _log_held_out(case: Case, *, held_out: bool, place: Path, now: Clock) -> None:
    """Who lets held-out scenarios out leaves a trace."""
    count = sum(1 for _ in case.trials.read({"held_out": True})) if held_out else 0
    if count:
        subject = {"to": place.name, "trials": count}
        case.ledger.append("held-out-exported", actor=ACTOR, subject=subject, at=now())
