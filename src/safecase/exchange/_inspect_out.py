"""Our trials as an Inspect log (`.eval`), written sample by sample, without Inspect."""

import json
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from safecase.evidence import Judgement, Trial, digest_value
from safecase.exchange._errors import ExportError
from safecase.exchange._sample import NOT_STORED, SEALED
from safecase.exchange._write import whole_file

_VERSION = 2
_STOP = {"stop": "stop", "length": "max_tokens", "max_tokens": "max_tokens", "content_filter": "content_filter"}
_SUMMARY_CHARS = 300
_METADATA = (
    "trial_id scenario_id intent_id harmful domain category subcategory severity language attack family arm repetition "
    "attempt status withheld_by label held_out"
).split()


@dataclass(frozen=True, slots=True, kw_only=True)
class LogAbout:
    """What the log says of itself.

    Attributes:
        created: ISO time with an offset.
        metadata: where the trials come from; evidence root, ledger head and so on.
    """

    task: str
    created: str
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectLog:
    """A log that was written.

    Attributes:
        sealed: samples whose answer is replaced by a mark. held_out: samples left out.
    """

    path: Path
    samples: int
    sealed: int
    held_out: int

    @property
    def sentence(self) -> str:
        """The same in words."""
        return f"{self.samples} samples; {self.sealed} sealed answers and {self.held_out} held-out trials left out"

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {**asdict(self), "path": str(self.path)}


@dataclass(slots=True)
class _Totals:
    samples: int = 0
    completed: int = 0
    sealed: int = 0
    held_out: int = 0
    epochs: int = 1
    models: set[str] = field(default_factory=set)
    scenarios: set[str] = field(default_factory=set)
    names: set[tuple[str, int]] = field(default_factory=set)
    tokens: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    verdicts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))


def write_inspect(
    path: Path,
    trials: Iterable[Trial],
    judgements: Mapping[str, Sequence[Judgement]],
    *,
    about: LogAbout,
    held_out: bool,
) -> InspectLog:
    """Write trials as one log.

    Args:
        path: ends in `.eval`.
        judgements: by trial id.
        held_out: also scenarios that are held out.

    Raises:
        ExportError: no trial to write, another ending, or the file cannot be written.
    """
    if path.suffix != ".eval":
        raise ExportError(f"{path.name}: Inspect reads a log by its ending; name it {path.stem}.eval")
    totals = _Totals()
    with (
        whole_file(path) as tmp,
        TemporaryFile("w+b") as summaries,
        zipfile.ZipFile(tmp, "w", zipfile.ZIP_DEFLATED) as log,
    ):
        for trial in trials:
            if trial.held_out and not held_out:
                totals.held_out += 1
                continue
            _write_sample(log, summaries, trial, judgements.get(trial.trial_id, ()), totals)
        if not totals.samples:
            raise ExportError(f"no trial to export ({totals.held_out} are held out); run some, or widen the choice")
        _copy_summaries(log, summaries)
        header = _header(about, totals)
        started = {name: header[name] for name in ("version", "eval", "plan")}
        log.writestr("_journal/start.json", _json(started))
        log.writestr("header.json", _json(header))
    return InspectLog(path=path, samples=totals.samples, sealed=totals.sealed, held_out=totals.held_out)


def _write_sample(
    log: zipfile.ZipFile, summaries: IO[bytes], trial: Trial, judged: Sequence[Judgement], totals: _Totals
) -> None:
    name, epoch = _name(trial, totals)
    scores = dict(_scores(trial, judged))
    row = _sample(trial, name=name, epoch=epoch, scores=scores)
    log.writestr(f"samples/{name}_epoch_{epoch}.json", _json(row))
    summaries.write((b",\n" if totals.samples else b"") + _json(_summary(row)))
    totals.samples += 1
    totals.completed += "error" not in row
    totals.sealed += trial.sealed is not None
    totals.epochs = max(totals.epochs, epoch)
    totals.models.add(trial.model)
    totals.scenarios.add(name)
    for kind, tokens in (("input_tokens", trial.tokens_in), ("output_tokens", trial.tokens_out)):
        totals.tokens[trial.model][kind] += tokens or 0
    for judge, score in scores.items():
        totals.verdicts[judge][score["value"] if isinstance(score["value"], str) else "scored"] += 1


def _name(trial: Trial, totals: _Totals) -> tuple[str, int]:
    """A sample's id and epoch; Inspect knows a sample by the two."""
    epoch = trial.repetition + 1
    name = f"{trial.scenario_id}.{trial.arm}" + (f".{trial.attempt}" if trial.attempt else "")
    if (name, epoch) in totals.names:  # the case holds another model's answer to the same scenario
        name = f"{name}.{trial.trial_id}"
    totals.names.add((name, epoch))
    return name, epoch


def _sample(trial: Trial, *, name: str, epoch: int, scores: Mapping[str, Any]) -> dict[str, Any]:
    asked = [asdict(turn) for turn in trial.turns] + [{"role": "user", "content": trial.prompt}]
    answer = _answer(trial)
    said = [{"role": "assistant", "content": answer, "source": "generate", "model": trial.model}] if answer else []
    usage = {
        "input_tokens": trial.tokens_in or 0,
        "output_tokens": trial.tokens_out or 0,
        "total_tokens": (trial.tokens_in or 0) + (trial.tokens_out or 0),
    }
    has_usage = trial.tokens_in is not None and trial.tokens_out is not None
    stop = _STOP.get(trial.finish_reason or "", "unknown")
    row: dict[str, Any] = {
        "id": name,
        "epoch": epoch,
        "input": asked if trial.turns else trial.prompt,
        "target": "",
        "messages": [*asked, *said],
        "output": {
            "model": trial.model,
            "choices": [{"message": message, "stop_reason": stop} for message in said],
            "completion": answer or "",
            **({"usage": usage} if has_usage else {}),
            **({"time": trial.latency_s} if trial.latency_s is not None else {}),
        },
        "scores": scores,
        "metadata": {
            **{key: getattr(trial, key) for key in _METADATA},
            "bears_on": list(trial.bears_on),
            "rulings": [asdict(ruling) for ruling in trial.rulings],
            "explanations": [asdict(one) for one in trial.explanations],
            "response_digest": trial.response_digest,
        },
        "store": {},
        "events": [],
        "model_usage": {trial.model: usage} if has_usage else {},
        "uuid": trial.trial_id,
        "attachments": {},
    }
    if trial.latency_s is not None:
        row["total_time"] = row["working_time"] = trial.latency_s
    if trial.status not in {"answered", "not-stored"}:
        words = f"{trial.status}: {trial.error or 'no answer'}"
        row["error"] = {"message": words, "traceback": "", "traceback_ansi": ""}
    return row


def _answer(trial: Trial) -> str | None:
    if trial.sealed is not None:
        return SEALED
    return NOT_STORED if trial.status == "not-stored" else trial.response


def _scores(trial: Trial, judged: Sequence[Judgement]) -> Iterator[tuple[str, dict[str, Any]]]:
    """A score a judge. Without a verdict the value is the judge's numbers, or the word `unscored`: never a number."""
    if trial.label is not None:
        yield "label", {"value": trial.label, "explanation": "a person's label"}
    for judgement in judged:
        numbers = dict(judgement.scores)
        value: Any = judgement.verdict or numbers or "unscored"
        yield (
            judgement.judge,
            {
                "value": value,
                "explanation": judgement.reason or "",
                "metadata": {"judge_digest": judgement.judge_digest, "scores": numbers},
            },
        )


def _summary(row: Mapping[str, Any]) -> dict[str, Any]:
    """What Inspect lists a sample by."""
    kept = {name: row[name] for name in ("id", "epoch", "target", "model_usage", "uuid")}
    asked = row["messages"] if isinstance(row["input"], list) else []
    last = next((m["content"] for m in reversed(asked) if m["role"] == "user"), row["input"])
    metadata = {key: row["metadata"][key] for key in ("arm", "category", "harmful", "attack", "language", "status")}
    error = {"error": row["error"]["message"]} if "error" in row else {}
    times = {name: row[name] for name in ("total_time", "working_time") if name in row}
    scores = {judge: {"value": score["value"]} for judge, score in row["scores"].items()}
    counted = {"completed": True, "message_count": len(row["messages"])}
    return {
        **kept,
        **times,
        **error,
        **counted,
        "input": str(last)[:_SUMMARY_CHARS],
        "metadata": metadata,
        "scores": scores,
    }


def _copy_summaries(log: zipfile.ZipFile, summaries: IO[bytes]) -> None:
    summaries.seek(0)
    with log.open("summaries.json", "w", force_zip64=True) as member:
        member.write(b"[")
        while chunk := summaries.read(1 << 20):
            member.write(chunk)
        member.write(b"]")


def _header(about: LogAbout, totals: _Totals) -> dict[str, Any]:
    models = sorted(totals.models)
    run = digest_value([about.task, about.created])[:22]
    scores = [
        {
            "name": judge,
            "scorer": judge,
            "scored_samples": sum(count for word, count in verdicts.items() if word != "unscored"),
            "unscored_samples": verdicts["unscored"],
            "params": {},
            "metrics": {word: {"name": word, "value": count, "params": {}} for word, count in sorted(verdicts.items())},
        }
        for judge, verdicts in sorted(totals.verdicts.items())
    ]
    usage = {model: {**tokens, "total_tokens": sum(tokens.values())} for model, tokens in sorted(totals.tokens.items())}
    return {
        "version": _VERSION,
        "status": "success",
        "eval": {
            "eval_id": run,
            "run_id": run,
            "task_id": run,
            "created": about.created,
            "task": about.task,
            "dataset": {"name": about.task, "samples": len(totals.scenarios)},
            "model": models[0] if len(models) == 1 else "several",
            "config": {"epochs": totals.epochs},
            "packages": {},
            "metadata": dict(about.metadata),
        },
        "plan": {"name": "plan", "steps": [], "config": {}},
        "results": {"total_samples": totals.samples, "completed_samples": totals.completed, "scores": scores},
        "stats": {"started_at": about.created, "completed_at": about.created, "model_usage": usage},
    }


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogatepass")
