"""Banks of base intents: the shipped one and private ones."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from io import StringIO
from pathlib import Path
from types import MappingProxyType
from typing import Any

from safecase.compose._errors import BankError
from safecase.evidence import digest_value

_BANKS = Path(__file__).parent / "banks"
LEARNED = "learned"
"""Subcategory of scenarios that came back from live use. Every plan runs them; no gate's sample draws them."""
_DOMAINS = ("cyber", "chem-bio", "loss-of-control", "content-policy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """One base request, with its benign twin where one makes sense.

    Attributes:
        severity: 1 (nuisance) to 4 (could contribute to mass harm).
        bears_on: outcome ids or policy areas.
        text: what a user would send. Never an answer.
        twin: a legitimate request in like words, or None.
        translations: language code -> (text, twin or None).
        held_out: never shown to training roles, never printed.
        frame: of a learned scenario, how it asks, with `{}` where its request stands: an attack, which every plan tries
            with the intents of its gates. None where nobody drew it out.
    """

    id: str
    domain: str
    category: str
    subcategory: str
    severity: int
    bears_on: tuple[str, ...]
    text: str
    twin: str | None
    translations: Mapping[str, tuple[str, str | None]] = field(default_factory=lambda: MappingProxyType({}))
    held_out: bool = False
    frame: str | None = None


@cache
def load_shipped_bank() -> tuple[Intent, ...]:
    """Every intent that comes with safecase, with its translations, sorted by id.

    Raises:
        BankError: the installation is damaged.
    """
    intents = {row.id: row for path in sorted(_BANKS.glob("*.jsonl")) for row in load_bank(path)}
    spoken: dict[str, dict[str, tuple[str, str | None]]] = {}
    for path in sorted((_BANKS / "translations").glob("*.jsonl")):
        for number, row in json_rows(path):
            if row.get("id") not in intents:
                raise BankError(f"{path.name}:{number}: translates unknown intent {row.get('id')!r}; mend the id")
            spoken.setdefault(row["id"], {})[path.stem] = (row["text"], row.get("twin"))
    return tuple(replace(intents[key], translations=MappingProxyType(spoken.get(key, {}))) for key in sorted(intents))


def load_bank(path: Path, *, held_out: bool = False) -> tuple[Intent, ...]:
    """Read a bank from JSONL, CSV or Parquet; the columns are the fields of `Intent`.

    Args:
        path: file ending in .jsonl, .csv or .parquet. `bears_on` in a CSV is separated by spaces.
        held_out: mark every intent as held out.

    Raises:
        BankError: missing, empty or malformed, with file and line.
    """
    if not path.is_file():
        raise BankError(f"bank {str(path)!r} is not a file; check `banks:` in safecase.yaml")
    readers = {".jsonl": json_rows, ".csv": _csv_rows, ".parquet": _parquet_rows}
    if path.suffix not in readers:
        raise BankError(f"bank {path.name!r} ends in {path.suffix!r}; give .jsonl, .csv or .parquet")
    intents = tuple(_intent(row, path=path, number=n, held_out=held_out) for n, row in readers[path.suffix](path))
    if not intents:
        raise BankError(f"bank {path.name!r} is empty; give at least one intent a line")
    seen: set[str] = set()
    for intent in intents:
        if intent.id in seen:
            raise BankError(f"bank {path.name!r} holds id {intent.id!r} twice; ids name one intent each")
        seen.add(intent.id)
    return intents


def intents_from_rows(rows: Iterable[Mapping[str, Any]], *, origin: str, held_out: bool = False) -> tuple[Intent, ...]:
    """Intents from rows already in memory, for example the samples of an Inspect dataset.

    Each row may carry `text` or `input`, and takes defaults for the rest: id from the position, domain and category
    from its metadata.

    Raises:
        BankError: a row has no text.
    """
    return tuple(
        _intent(_from_inspect(row, number=n, origin=origin), path=Path(origin), number=n, held_out=held_out)
        for n, row in enumerate(rows, start=1)
    )


def bank_digest(intents: Iterable[Intent]) -> str:
    """Digest of everything a bank says, order aside."""
    return digest_value(
        sorted(
            [
                *(i.id, i.text, i.twin, i.category, sorted((k, *v) for k, v in i.translations.items())),
                *([] if i.frame is None else [i.frame]),
            ]
            for i in intents
        )
    )


def _intent(row: Mapping[str, Any], *, path: Path, number: int, held_out: bool) -> Intent:
    where = f"{path.name}:{number}"
    for key in ("id", "domain", "category", "text"):
        if not isinstance(row.get(key), str) or not row[key].strip():
            raise BankError(f"{where}: {key!r} is {row.get(key)!r:.80}; every intent needs it as text")
    if row["domain"] not in _DOMAINS:
        raise BankError(f"{where}: domain is {row['domain']!r:.80}; use one of {', '.join(_DOMAINS)}")
    severity = row.get("severity") or 2
    if str(severity) not in {"1", "2", "3", "4"}:
        raise BankError(f"{where}: severity is {severity!r:.80}; use 1 to 4")
    bears_on, twin = row.get("bears_on") or [row["category"]], row.get("twin") or ""
    if not isinstance(bears_on, str) and not (
        isinstance(bears_on, list) and all(isinstance(one, str) for one in bears_on)
    ):
        raise BankError(f"{where}: bears_on is {bears_on!r:.80}; give a list of names")
    if not isinstance(twin, str):
        raise BankError(f"{where}: twin is {twin!r:.80}; give it as text, or leave it out")
    subcategory, frame = str(row.get("subcategory") or "general"), row.get("frame") or None
    if frame is not None and (subcategory != LEARNED or not isinstance(frame, str) or frame.count("{}") != 1):
        raise BankError(f"{where}: frame is {frame!r}; a learned scenario may have one, with {{}} in it once")
    return Intent(
        id=row["id"].strip(),
        domain=row["domain"],
        category=row["category"],
        subcategory=subcategory,
        severity=int(severity),
        bears_on=tuple(bears_on.split()) if isinstance(bears_on, str) else tuple(bears_on),
        text=row["text"].strip(),
        twin=twin.strip() or None,
        held_out=held_out or str(row.get("held_out", "")).lower() in {"true", "1"},
        frame=frame,
    )


def json_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The objects of a JSONL file, with their lines.

    Raises:
        BankError: not UTF-8, or a line is no object.
    """
    for number, line in enumerate(_text(path).split("\n"), start=1):  # a text may hold U+2028
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:  # also a number of thousands of digits
            what = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
            raise BankError(f"{path.name}:{number}: not JSON ({what}); one object a line") from error
        if not isinstance(row, dict):
            raise BankError(f"{path.name}:{number}: holds {type(row).__name__}; one object a line")
        yield number, row


def _text(path: Path) -> str:
    """A file's text; the mark that some programs begin UTF-8 with is none of it."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise BankError(f"{path.name}:{line}: not UTF-8; save the file as UTF-8") from error


def _csv_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    import csv

    rows = csv.DictReader(StringIO(_text(path), newline=""))
    try:
        yield from enumerate(rows, start=2)
    except csv.Error as error:
        raise BankError(f"{path.name}:{rows.line_num + 1}: not CSV ({error}); write it again, or give JSONL") from error


def _parquet_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(path).to_pylist()
    except pa.ArrowException as error:
        raise BankError(f"{path.name}:1: not Parquet ({error}); write it again") from error
    yield from enumerate(rows, start=1)


def _from_inspect(row: Mapping[str, Any], *, number: int, origin: str) -> Mapping[str, Any]:
    metadata = row.get("metadata") or {}
    text = row.get("text") or row.get("input")
    return {
        "id": str(row.get("id") or f"{Path(origin).stem}-{number:04d}"),
        "domain": metadata.get("domain", "content-policy"),
        "category": metadata.get("category", "general"),
        "subcategory": metadata.get("subcategory"),
        "severity": metadata.get("severity"),
        "bears_on": metadata.get("bears_on"),
        "twin": metadata.get("twin"),
        "text": text if isinstance(text, str) else None,
    }
