"""Others' files into a case: the whole file or nothing, streamed, and named in the ledger by digest."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Literal

from safecase.assess._case import Case, Clock, utc_now
from safecase.assess._kept import ACTOR, keep_case_file
from safecase.evidence import Judgement, Trial, Vault
from safecase.exchange import (
    FieldMap,
    Format,
    Source,
    Survey,
    digests_of,
    open_source,
    read_source,
    survey,
)

_BATCH = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What an import did, or would do.

    Attributes:
        survey: what the files hold.
        added: trials that were not there before; 0 for a dry run.
    """

    survey: Survey
    arm: str
    added: int
    is_dry_run: bool = False

    def to_json(self) -> dict[str, object]:
        """The same as JSON values."""
        return {"added": self.added, "arm": self.arm, "dry_run": self.is_dry_run, **asdict(self.survey)}


def import_case(case: Case, file: Path, *, arm: str, now: Clock = utc_now) -> int:
    """`import_file` with everything told from the file; gives how many trials were added."""
    return import_file(case, file, arm=arm, now=now).added


def import_file(
    case: Case,
    file: Path,
    *,
    arm: str,
    kind: Format | Literal["auto"] = "auto",
    mapping: FieldMap | None = None,
    model: str | None = None,
    dry_run: bool = False,
    now: Clock = utc_now,
) -> Imported:
    """Take a file as trials of an arm, with the tool's own scores as judgements of a foreign judge.

    The file is read twice: once to see that all of it can be taken, once to take it, so that its size costs no memory.
    Trials that are there already are left out; stopped half way, the same call goes on.

    Args:
        kind: whose file it is.
        mapping: where fields come from that the file does not name as we do.
        model: take this model's answers only, where the file holds several models'.
        dry_run: look and count, and keep nothing.

    Raises:
        ExchangeError: something in the file cannot be taken; nothing of it was.
    """
    source = open_source(file, arm=arm, kind=kind, mapping=mapping, model=model)
    source = replace(source, names=_names_before(case, source))
    seen = survey(source)
    if dry_run:
        return Imported(survey=seen, arm=arm, added=0, is_dry_run=True)
    keep_case_file(case, now)
    have, added = case.trials.open(at=now()).ids(), 0
    scored = _Scored(case)
    for batch in _batches(read_source(source, vault=_LazyVault(case, now), version=seen.version)):
        fresh = list({trial.trial_id: trial for trial, _ in batch if trial.trial_id not in have}.values())
        if fresh:
            case.trials.append(fresh, at=now())
        have.update(trial.trial_id for trial in fresh)
        added += len(fresh)
        if scores := scored.fresh(score for _, scores in batch for score in scores):
            case.judgements.append(scores, at=now())
    _enter(case, source, seen, added=added, now=now)
    return Imported(survey=seen, arm=arm, added=added)


def _enter(case: Case, source: Source, seen: Survey, *, added: int, now: Clock) -> None:
    """One ledger entry a file, also when a stop came between its last trial and its entry."""
    known = {str(subject.get("file_sha256")) for subject in _entries(case, source.arm)}
    for name, sha256 in seen.sha256.items():
        if not added and sha256 in known:
            continue
        subject = {
            "file": name,
            "file_sha256": sha256,
            "arm": source.arm,
            "rows": added,
            "format": seen.format,
            "tool_version": seen.version,
            "models": list(seen.models),
            "mapping": dict(seen.mapping),
        }
        case.ledger.append("imported", actor=ACTOR, subject=subject, at=now())


def _names_before(case: Case, source: Source) -> Mapping[str, str]:
    """Digest -> the name a file had when it was imported first. Renamed, it is still the same evidence."""
    names: dict[str, str] = {}
    for subject in _entries(case, source.arm):
        names.setdefault(str(subject.get("file_sha256")), str(subject.get("file")))
    return {sha256: names[sha256] for sha256 in digests_of(source).values() if sha256 in names}


def _entries(case: Case, arm: str) -> Iterator[Mapping[str, object]]:
    if case.ledger.path.exists():
        for entry in case.ledger.entries():
            if entry.action == "imported" and entry.subject.get("arm") == arm:
                yield entry.subject


class _Scored:
    """Which trials a foreign judge has scored already; read per judge, when first asked."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._ids: dict[str, set[str]] = {}

    def fresh(self, scores: Iterable[Judgement]) -> list[Judgement]:
        found: list[Judgement] = []
        for score in scores:
            if score.judge not in self._ids:
                self._ids[score.judge] = self._case.judgements.ids(judge=score.judge)
            if score.trial_id not in self._ids[score.judge]:
                self._ids[score.judge].add(score.trial_id)
                found.append(score)
        return found


class _LazyVault(Vault):
    """A vault that makes its key only when an import really holds a hazardous answer."""

    def __init__(self, case: Case, now: Clock) -> None:
        super().__init__(b"", key_file=Path())
        self._case, self._now = case, now
        self._opened: Vault | None = None

    def seal(self, text: str, trial_id: str) -> bytes:
        self._opened = self._opened or self._case.vault(create=True, now=self._now)
        return self._opened.seal(text, trial_id)


def _batches(
    rows: Iterator[tuple[Trial, tuple[Judgement, ...]]],
) -> Iterator[list[tuple[Trial, tuple[Judgement, ...]]]]:
    while batch := list(islice(rows, _BATCH)):
        yield batch
