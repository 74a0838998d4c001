"""Others' files into a case: the whole file or nothing, streamed, and named in the ledger by digest."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Literal

from safecase.assess._case import Case, Clock, replacements, utc_now
from safecase.assess._kept import ACTOR, keep_case_file
from safecase.evidence import Judgement, Trial, Vault
from safecase.exchange import (
    COUNTED,
    KEPT_ONLY,
    ExchangeError,
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
        replaces: what was imported before and counts no longer.
    """

    survey: Survey
    arm: str
    added: int
    is_dry_run: bool = False
    replaces: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """The same as JSON values."""
        did = {"added": self.added, "arm": self.arm, "dry_run": self.is_dry_run, "replaces": list(self.replaces)}
        return {**did, **asdict(self.survey)}


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
    replaces: str | None = None,
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
        replaces: name (or first digits of the SHA-256) of a file imported before, which this one corrects or goes on
            from: what it gave stays on record and counts no longer.
        dry_run: look and count, and keep nothing.

    Raises:
        ExchangeError: something in the file cannot be taken, or another state of it was taken before, which `replaces`
            does not name; nothing of it was.
    """
    source = open_source(file, arm=arm, kind=kind, mapping=mapping, model=model)
    before = _Before(case, arm)
    gone = before.named(replaces, source) if replaces is not None else ()
    source = replace(source, names=before.names(source, gone))
    seen = survey(source)
    if dry_run:
        return Imported(survey=seen, arm=arm, added=0, is_dry_run=True, replaces=gone)
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
    _enter(case, source, seen, added=added, gone=gone, now=now)
    return Imported(survey=seen, arm=arm, added=added, replaces=gone)


def _enter(case: Case, source: Source, seen: Survey, *, added: int, gone: Sequence[str], now: Clock) -> None:
    """One ledger entry a file, also when a stop came between its last trial and its entry."""
    known = {str(subject.get("file_sha256")) for subject in _entries(case, source.arm)}
    for name, sha256 in seen.sha256.items():
        if not added and not gone and sha256 in known:
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
            **({"replaces": list(gone)} if gone else {}),
        }
        case.ledger.append("imported", actor=ACTOR, subject=subject, at=now())


class _Before:
    """What was imported into an arm before and still counts, by `Trial.model`, finished or not."""

    def __init__(self, case: Case, arm: str) -> None:
        self._case, self._arm = case, arm
        gone = {name for names in replacements(case) for name in names}
        found = {
            trial.model for trial in case.trials.read({"arm": arm}) if trial.model.startswith((COUNTED, KEPT_ONLY))
        }
        self._all = sorted(found)
        self._standing = [model for model in self._all if model not in gone]

    def named(self, said: str, source: Source) -> tuple[str, ...]:
        """What `said` names: another file by its name or digest, else earlier imports of this very one.

        Raises:
            ExchangeError: nothing.
        """
        is_digest = re.fullmatch("[0-9a-f]{6,64}", said) is not None
        named = [m for m in self._standing if said == _file(m) or (is_digest and _digits(m).startswith(said[:12]))]
        new = {sha256[:12] for sha256 in digests_of(source).values()}
        found = [model for model in named if _digits(model) not in new] or named
        if not found:
            there = ", ".join(dict.fromkeys(map(_file, self._standing))) or "none"
            raise ExchangeError(f"no file {said!r} was imported into arm {self._arm!r}; imported there: {there}")
        return tuple(found)

    def names(self, source: Source, gone: Sequence[str]) -> dict[str, str]:
        """Digest -> the name to use. Renamed, a file is still the same evidence; in place of itself, it is another.

        Raises:
            ExchangeError: the file was imported with another mapping, or in another state.
        """
        names: dict[str, str] = {}
        standing = [model for model in self._standing if model not in gone]
        mappings = {str(one.get("file_sha256")): one.get("mapping") for one in _entries(self._case, self._arm)}
        for path, sha256 in digests_of(source).items():
            if same := [_name(model) for model in standing if _digits(model) == sha256[:12]]:
                names[sha256] = same[0]
                if not gone and mappings.get(sha256, dict(source.mapping.said)) != dict(source.mapping.said):
                    raise ExchangeError(
                        f"{path.name}: was imported before with other --map and --set, and that import stands; give "
                        f"`--replaces {path.name}` as well, and these take its place"
                    )
            elif any(_file(model) == path.name for model in standing):
                raise ExchangeError(
                    f"{path.name}: a file of this name was imported into arm {self._arm!r} in another state; if this "
                    f"is the same one corrected or grown, give `--replaces {path.name}`, else rename it"
                )
            elif earlier := {_name(model) for model in self._all if _digits(model) == sha256[:12]}:
                names[sha256] = f"{path.name}+{len(earlier)}"
        return names


def _name(model: str) -> str:
    return model.partition("/")[2].rpartition("@")[0]


def _file(model: str) -> str:
    """The file's own name: what took its own place is numbered."""
    return re.sub(r"\+\d+$", "", _name(model))


def _digits(model: str) -> str:
    return model.rpartition("@")[2]


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
