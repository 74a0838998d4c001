"""Read a file of any known tool: look at all of it first, then give its trials."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from safecase.evidence import Judgement, Trial, Vault, digest_file
from safecase.exchange._errors import ExchangeError, LogError, TranscriptError
from safecase.exchange._garak import read_garak
from safecase.exchange._inspect_in import read_inspect
from safecase.exchange._json import first_keys
from safecase.exchange._lm_eval import is_results_file, lm_eval_files, read_lm_eval
from safecase.exchange._mapping import FieldMap
from safecase.exchange._promptfoo import read_promptfoo
from safecase.exchange._sample import Reading, Sample, storable
from safecase.exchange._transcripts import iter_transcripts
from safecase.exchange._trial import COUNTED, as_judgements, as_trial

Format = Literal["inspect", "garak", "promptfoo", "lm-eval", "transcripts"]
"""Whose file it is."""

FORMATS: tuple[Format, ...] = get_args(Format)

_HEAD_CHARS = 1 << 16
_READERS: Mapping[Format, Callable[[Path, Reading], Iterator[Sample]]] = {
    "inspect": read_inspect,
    "garak": read_garak,
    "promptfoo": read_promptfoo,
    "lm-eval": read_lm_eval,
    "transcripts": lambda path, _: iter_transcripts(path),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What a file holds, learned by reading all of it once. Nothing is kept by looking.

    Attributes:
        sha256: file name -> digest, for every file read.
        counted: trials that say what they ask for; they are measured like our own.
        kept_only: the others; they are evidence, and enter no rate.
        scores: the tool's own judges -> how many trials they scored.
        notes: what could not be taken over as it was, in sentences.
    """

    format: Format
    version: str | None
    sha256: Mapping[str, str]
    models: tuple[str, ...]
    mapping: Mapping[str, str]
    trials: int
    statuses: Mapping[str, int]
    counted: int
    kept_only: int
    sealed: int
    categories: Mapping[str, int]
    scores: Mapping[str, int]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file to import, and how.

    Attributes:
        files: usually one; an lm-eval results file stands for the samples files beside it.
        model: take this model's answers only, for files that hold several.
        names: digest -> name to use in place of a file's own, so that renaming a file makes no second evidence of it.
    """

    format: Format
    files: tuple[Path, ...]
    arm: str
    mapping: FieldMap = field(default_factory=FieldMap)
    model: str | None = None
    names: Mapping[str, str] = field(default_factory=dict)


def open_source(
    path: Path,
    *,
    arm: str,
    kind: Format | Literal["auto"] = "auto",
    mapping: FieldMap | None = None,
    model: str | None = None,
) -> Source:
    """Say what a file is.

    Args:
        kind: whose file it is; `auto` tells it from its first bytes.

    Raises:
        ExchangeError: no file, or of no known kind.
    """
    if not path.is_file():
        fault = TranscriptError if kind in {"auto", "transcripts"} else LogError
        raise fault(f"{path.name!r} is not a file ({path}); give the log that the tool wrote")
    told: Format = _told(path) if kind == "auto" else kind
    files = lm_eval_files(path) if told == "lm-eval" else (path,)
    return Source(format=told, files=files, arm=arm, mapping=mapping or FieldMap(), model=model)


def survey(source: Source, *, sha256: Mapping[Path, str] | None = None) -> Survey:
    """Read a source whole and count, keeping nothing.

    Raises:
        ExchangeError: something in it cannot be imported; then nothing of it can.
    """
    digests = sha256 or digests_of(source)
    reading, counts = Reading(tool=source.format), _Counts()
    for path in source.files:
        for sample in _samples(source, path, reading):
            counts.models.add(sample.model or "not stated")
            for name in source.mapping.unfit(sample):
                reading.notes[f"the record has a {name!r} that is none of ours; left aside"] += 1
            if source.model == sample.model or (source.model is None and len(counts.models) == 1):
                counts.add(sample, source, path=path, sha256=digests[path])
    counts.must_be_one_model(source)
    return counts.survey(source, reading, digests)


def read_source(
    source: Source, *, vault: Vault | None, version: str | None = None, sha256: Mapping[Path, str] | None = None
) -> Iterator[tuple[Trial, tuple[Judgement, ...]]]:
    """Trials with the tool's own scores, in the order of the file. `survey` says beforehand whether all will come.

    Args:
        vault: seals answers of hazardous domains.
        version: the tool's, as `survey` found it; part of its judges' digests.

    Raises:
        ExchangeError: as `survey`.
    """
    digests = sha256 or digests_of(source)
    reading = Reading(tool=source.format)
    for path in source.files:
        for sample in _samples(source, path, reading):
            if source.model in (None, sample.model):
                trial = _trial(sample, source, path=path, sha256=digests[path], vault=vault)
                yield trial, as_judgements(sample, trial, version=version)


def read_transcripts(path: Path, *, arm: str, vault: Vault | None) -> tuple[Trial, ...]:
    """Read a transcript file whole.

    Args:
        path: JSONL with `{scenario_id, intent_id, category, harmful, text, response, attack?, language?, attempt?,
            status?, label?}`.
        arm: the arm these answers stand for.
        vault: seals answers of hazardous domains; None is allowed when the file holds none.

    Raises:
        TranscriptError: missing, empty or malformed; nothing is imported then.
    """
    source = open_source(path, arm=arm, kind="transcripts")
    survey(source)
    return tuple(trial for trial, _ in read_source(source, vault=vault))


def digests_of(source: Source) -> dict[Path, str]:
    """SHA-256 of every file of a source."""
    return {path: digest_file(path) for path in source.files}


def _samples(source: Source, path: Path, reading: Reading) -> Iterator[Sample]:
    """Samples of one file, in text that can be kept."""
    for sample in _READERS[source.format](path, reading):
        if (kept := storable(sample)) is not sample:
            reading.notes["samples with half a character (a lone surrogate); a mark stands for it"] += 1
        yield kept


@dataclass(slots=True)
class _Counts:
    ids: set[bytes] = field(default_factory=set)
    models: set[str] = field(default_factory=set)
    statuses: Counter[str] = field(default_factory=Counter)
    categories: Counter[str] = field(default_factory=Counter)
    scores: Counter[str] = field(default_factory=Counter)
    counted: int = 0
    sealed: int = 0

    def add(self, sample: Sample, source: Source, *, path: Path, sha256: str) -> None:
        trial = _trial(sample, source, path=path, sha256=sha256, vault=_Pretend())
        for score in sample.scores:
            self.scores[score.judge] += 1
        if sample.is_more:
            return
        name = bytes.fromhex(trial.trial_id)  # half the memory of its text, and there may be many
        if name in self.ids:
            raise _twice(sample)
        self.ids.add(name)
        self.statuses[trial.status] += 1
        self.categories[trial.category] += 1
        self.counted += trial.model.startswith(COUNTED)
        self.sealed += trial.sealed is not None

    def must_be_one_model(self, source: Source) -> None:
        """One arm is one model: answers of several pooled would be a rate of nothing."""
        if source.model is not None and source.model not in self.models:
            raise LogError(f"no answer is by {source.model!r}; the file holds {', '.join(sorted(self.models))}")
        if source.model is None and len(self.models) > 1:
            raise LogError(
                f"{source.files[0].name} holds answers of {len(self.models)} models and an arm is one; choose with "
                f"--source-model: {', '.join(sorted(self.models))}"
            )

    def survey(self, source: Source, reading: Reading, digests: Mapping[Path, str]) -> Survey:
        name = source.files[0].name
        if not self.ids:
            raise (TranscriptError if source.format == "transcripts" else LogError)(
                f"{source.format} file {name!r} is empty: it holds no attempt"
            )
        notes = [f"{count} x {sentence}" for sentence, count in sorted(reading.notes.items())]
        if kept := len(self.ids) - self.counted:
            notes.append(
                f"{kept} x nothing says of these what they ask for, so they are kept and enter no rate: give "
                "`category` and `harmful` with --map FIELD=PATH or --set FIELD=VALUE"
            )
        return Survey(
            format=source.format,
            version=reading.version,
            sha256={path.name: digest for path, digest in digests.items()},
            models=tuple(sorted(self.models if source.model is None else {source.model})),
            mapping=source.mapping.said,
            trials=len(self.ids),
            statuses=dict(sorted(self.statuses.items())),
            counted=self.counted,
            kept_only=kept,
            sealed=self.sealed,
            categories=dict(sorted(self.categories.items())),
            scores=dict(sorted(self.scores.items())),
            notes=tuple(notes),
        )


class _Pretend(Vault):
    """Stands where a key would be while a file is only looked at: nothing is sealed, and nothing is kept."""

    def __init__(self) -> None:
        super().__init__(b"", key_file=Path())

    def seal(self, text: str, trial_id: str) -> bytes:  # noqa: ARG002  # the vault's own signature
        return b"sealed"


def _trial(sample: Sample, source: Source, *, path: Path, sha256: str, vault: Vault | None) -> Trial:
    origin = f"{source.names.get(sha256, path.name)}@{sha256[:12]}"
    return as_trial(sample, arm=source.arm, origin=origin, mapping=source.mapping, vault=vault)


def _twice(sample: Sample) -> ExchangeError:
    kind = TranscriptError if sample.task == "transcripts" else LogError
    what = f"scenario {sample.item!r} comes twice with the same attempt"
    cure = "number `attempt`, or remove one"
    if kind is LogError:
        cure += "; of a log that holds several arms, take one (`safecase export CASE --arm ARM` writes one)"
    return kind(f"{sample.where}: {what}; {cure}")


def _told(path: Path) -> Format:
    """Whose file it is, from its first bytes."""
    with path.open("rb") as file:
        head = file.read(_HEAD_CHARS)
    if head.startswith(b"PK"):
        return "inspect"
    keys = set(first_keys(head.decode("utf-8", "replace")))
    if {"attempt_id", "probe", "detector"} <= keys and "entry_type" not in keys:
        raise LogError(
            f"{path.name}: garak's hit log holds hits alone, of which no rate follows; give its report.jsonl"
        )
    if is_results_file(path) and "evalId" not in keys:
        return "lm-eval"
    marks: Sequence[tuple[Format, set[str]]] = (
        ("garak", {"entry_type"}),
        ("lm-eval", {"doc_id", "resps"}),
        ("lm-eval", {"results", "n-shot"}),
        ("lm-eval", {"results", "configs"}),
        ("inspect", {"version", "status", "eval"}),
        ("promptfoo", {"evalId"}),
        ("promptfoo", {"results"}),
        ("promptfoo", {"prompt", "response", "success"}),
        ("promptfoo", {"prompt", "vars", "success"}),
    )
    found = next((name for name, mark in marks if mark <= keys), None)
    if found is None and path.suffix == ".json" and keys:
        known = ", ".join(FORMATS)
        raise LogError(
            f"{path.name}: of no known kind (it begins with {', '.join(sorted(keys)[:6])}); say --format {known}"
        )
    return found or "transcripts"
