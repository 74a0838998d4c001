"""Uplift studies in a case: declared first, results taken once they are in, estimated from what is on record.

The ledger orders the two: results are taken only for a study that the case named before, and in the state it was named.
"""

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from safecase.assess._case import Case, Clock, utc_now
from safecase.assess._kept import keep_case_file, record
from safecase.assess._suites_read import UPLIFT, uplift_studies
from safecase.declare import UpliftStudy
from safecase.evidence import canonical_json, digest_file
from safecase.measure import Blinding, UpliftPower, UpliftResult, allocation, blinding_of, uplift_power

COLUMNS = ("participant", "arm", "outcome", "excluded", "guess")
_GUESSES = frozenset({"", "control", "treatment", "unsure"})


class UpliftError(Exception):
    """A study cannot be declared, or results cannot be taken; the message names the row, and nothing was kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredUplift:
    """A study as it was put on record, and its power."""

    study: str
    gates: tuple[str, ...]
    power: UpliftPower


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenUplift:
    """What results brought. `absent`: randomised people without a result that counts, excluded ones among them."""

    study: str
    rows: int
    counted: int
    excluded: int
    absent: int
    blinding: Blinding


def declare_uplift(case: Case, study: UpliftStudy, *, now: Clock = utc_now) -> DeclaredUplift:
    """Put a study on record before its first participant. Declared again unchanged, nothing happens.

    Raises:
        UpliftError: no gate of the framework reads it, or a study of that id stands with another text.
    """
    gates = tuple(gate.id for gate in case.framework.gates if gate.suite == study.suite and gate.measure == "uplift")
    if not gates:
        raise UpliftError(
            f"study {study.id!r}: no gate of framework {case.framework.id!r} reads measure 'uplift' of suite "
            f"{study.suite!r}; add one to the pack (docs/suites-chem-bio.md)"
        )
    name, data = f"{UPLIFT}/{study.id}.study.json", canonical_json(study.model_dump(mode="json")) + b"\n"
    path = case.path / name
    if path.exists() and path.read_bytes() != data:
        raise UpliftError(f"{name}: declared before with another text; what changed is another study, with its own id")
    same = [one.id for one, _ in uplift_studies(case) if (one.suite, one.arm) == (study.suite, study.arm)]
    if others := [one for one in same if one != study.id]:
        raise UpliftError(f"study {others[0]!r} stands for suite {study.suite!r} and arm {study.arm!r} already")
    keep_case_file(case, now)
    record(case, name, data, action="uplift-declared", now=now)
    return DeclaredUplift(study=study.id, gates=gates, power=uplift_power(study))


def take_uplift(case: Case, study_id: str, table: Path, *, now: Clock = utc_now) -> TakenUplift:
    """Take a study's results, whole or not at all.

    Args:
        table: CSV or Parquet with columns participant, arm, outcome, excluded, guess.

    Raises:
        UpliftError: the study was not declared here, has results, or a row does not fit it.
    """
    studies = {one.id: (one, results) for one, results in uplift_studies(case)}
    if study_id not in studies:
        raise UpliftError(f"study {study_id!r} was not declared in this case; `safecase measure uplift plan` does so")
    study, earlier = studies[study_id]
    if earlier is not None:
        raise UpliftError(f"study {study_id!r} has its results; results are taken once")
    results = tuple(_results(study, table))
    data = canonical_json([asdict(one) for one in results]) + b"\n"
    sha256 = digest_file(table)
    record(case, f"{UPLIFT}/{study.id}.results.json", data, action="uplift-taken", now=now, file_sha256=sha256)
    counted = sum(one.outcome is not None for one in results)
    return TakenUplift(
        study=study.id,
        rows=len(results),
        counted=counted,
        excluded=sum(bool(one.excluded) for one in results),
        absent=2 * study.per_arm - counted,
        blinding=blinding_of(results),
    )


def write_allocation(study: UpliftStudy, out: Path) -> int:
    """Write who is in which arm, for whoever runs the study and not for graders; return how many rows.

    Raises:
        FileExistsError: `out` is there already.
    """
    rows = allocation(study)
    with out.open("x", newline="", encoding="utf-8") as file:
        sheet = csv.writer(file)
        sheet.writerow(COLUMNS)
        sheet.writerows((participant, arm, "", "", "") for participant, arm in rows.items())
    return len(rows)


def _results(study: UpliftStudy, table: Path) -> Iterator[UpliftResult]:
    planned, seen = allocation(study), set[str]()
    for number, row in enumerate(_rows(table), start=1):
        where = f"{table.name}, row {number}"
        participant = row["participant"]
        if participant not in planned or participant in seen:
            raise UpliftError(f"{where}: participant {participant!r} was not randomised, or comes twice")
        if row["arm"] != planned[participant]:
            raise UpliftError(f"{where}: {participant} was randomised to {planned[participant]!r}, not {row['arm']!r}")
        if row["excluded"] and row["excluded"] not in study.exclusions:
            known = ", ".join(study.exclusions) or "none"
            raise UpliftError(f"{where}: exclusion {row['excluded']!r} was not declared beforehand; declared: {known}")
        if row["guess"] not in _GUESSES:
            raise UpliftError(f"{where}: guess is control, treatment or unsure, not {row['guess']!r}")
        seen.add(participant)
        yield UpliftResult(
            participant=participant,
            arm=planned[participant],
            outcome=None if row["excluded"] else _outcome(study, row["outcome"], where),
            excluded=row["excluded"],
            guess=row["guess"],  # type: ignore[arg-type]  # held against the four above
        )


def _outcome(study: UpliftStudy, said: str, where: str) -> float | None:
    """A number on the scale; nothing where the cell is empty, which is never nought."""
    if not said:
        return None
    try:
        value = float(said)
    except ValueError:
        value = math.nan
    low, high = study.outcome.lowest, study.outcome.highest
    if not low <= value <= high or (study.outcome.scale == "proportion" and value not in {0.0, 1.0}):
        kind = "0 or 1" if study.outcome.scale == "proportion" else f"a number from {low:g} to {high:g}"
        raise UpliftError(f"{where}: outcome {said!r}; takes {kind}, or nothing where there is no result")
    return value


def _rows(table: Path) -> Sequence[Mapping[str, str]]:
    try:
        raw = _parquet(table) if table.suffix == ".parquet" else _csv(table)
    except (OSError, UnicodeDecodeError, pa.ArrowInvalid) as fault:
        raise UpliftError(f"{table}: cannot be read ({type(fault).__name__})") from fault
    if raw and (lacking := [name for name in COLUMNS if name not in raw[0]]):
        raise UpliftError(f"{table}: no column {lacking[0]!r}; a table has {', '.join(COLUMNS)}")
    return [{name: "" if row[name] is None else str(row[name]).strip() for name in COLUMNS} for row in raw]


def _csv(table: Path) -> list[dict[str, Any]]:
    with table.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def _parquet(table: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(table).to_pylist()
    return rows
