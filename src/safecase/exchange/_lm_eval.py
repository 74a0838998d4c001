"""lm-evaluation-harness in: `samples_<task>_<time>.jsonl`, or the `results_<time>.json` that stands beside them.

A harness run measures capability, not safety: its rows are kept with their scores and count in no safety rate unless a
mapping says what they ask for. Multiple choice has no answer in words; the choice the model gave the greatest
likelihood stands for it.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from safecase.exchange._errors import LogError
from safecase.exchange._json import json_lines
from safecase.exchange._sample import Reading, Sample, Score, numbers, outcome

_SAMPLES = re.compile(r"samples_(?P<task>.+)_(?P<time>\d{4}-\d{2}-\d{2}T[\d.:-]+)\.jsonl")
_RESULTS = re.compile(r"results_(?P<time>\d{4}-\d{2}-\d{2}T[\d.:-]+)\.json")
_KNOWN = frozenset(
    "doc_id doc target arguments resps filtered_resps filter metrics doc_hash prompt_hash target_hash".split()
)
_MOST_RESULTS_BYTES = 1 << 28


def is_results_file(path: Path) -> bool:
    """Whether a file is named as the harness names its results."""
    return _RESULTS.fullmatch(path.name) is not None


def lm_eval_files(path: Path) -> tuple[Path, ...]:
    """The samples files that a file stands for: itself, or those of the same run beside a results file.

    Raises:
        LogError: a results file with no samples beside it; sums without their trials are no evidence.
    """
    results = _RESULTS.fullmatch(path.name)
    if path.suffix == ".jsonl" or results is None:
        return (path,)
    beside = sorted(path.parent.glob(f"samples_*_{results['time']}.jsonl"))
    if not beside:
        wanted = f"samples_<task>_{results['time']}.jsonl"
        raise LogError(f"{path.name}: sums only, and no {wanted} beside it; run lm_eval with --log_samples")
    return tuple(beside)


def read_lm_eval(path: Path, reading: Reading) -> Iterator[Sample]:
    """Samples of one samples file. A later filter over the same request adds scores to the sample given first.

    Args:
        reading: told the version, and what could not be taken over.

    Raises:
        LogError: a line is malformed.
    """
    named = _SAMPLES.fullmatch(path.name)
    task = named["task"] if named else path.stem
    about = _results_beside(path, named["time"] if named else None)
    reading.version = str(about["lm_eval_version"]) if about.get("lm_eval_version") else reading.version
    given: set[str] = set()
    for number, row in json_lines(path):
        where = f"{path.name}:{number}"
        yield from _samples(row, task=task, where=where, about=about, given=given, reading=reading)
        given.add(str(row.get("doc_id")))


def _samples(
    row: Mapping[str, Any], *, task: str, where: str, about: Mapping[str, Any], given: set[str], reading: Reading
) -> Iterator[Sample]:
    if "doc_id" not in row or not isinstance(row.get("resps"), list):
        raise LogError(f"{where}: no doc_id or no resps; give samples as `lm_eval --log_samples` writes them")
    asked = _arguments(row.get("arguments"))
    answers = _answers(row["resps"], asked, reading)
    for repetition, text in enumerate(answers):
        status, error = outcome(text, None)
        yield Sample(
            where=where,
            task=task,
            item=str(row["doc_id"]),
            prompt=asked[0][0] if asked else json.dumps(row.get("doc"), ensure_ascii=False, sort_keys=True),
            response=text if status == "answered" else None,
            status=status,
            error=error,
            repetition=repetition,
            model=_model(about),
            fields={},
            record={"task": task, **{k: v for k, v in row.items() if k not in {"resps", "filtered_resps"}}},
            scores=tuple(_scores(row)) if repetition == 0 else (),
            is_more=str(row["doc_id"]) in given,
        )


def _arguments(arguments: Any) -> list[tuple[str, str]]:
    """(context, continuation) of every request. Files hold lists or, since 0.4.4, numbered mappings."""
    rows: list[Any] = list(arguments.values()) if isinstance(arguments, dict) else arguments or []
    found = []
    for row in rows:
        parts = list(row.values()) if isinstance(row, dict) else row if isinstance(row, list) else [row]
        texts = [part if isinstance(part, str) else "" for part in parts[:2]]
        found.append((texts[0] if texts else "", texts[1] if len(texts) > 1 else ""))
    return found


def _answers(resps: list[Any], asked: list[tuple[str, str]], reading: Reading) -> list[str | None]:
    """Generated texts, one a repetition; for multiple choice the likeliest continuation."""
    first = resps[0] if resps else None
    likelihoods = [_likelihood(one) for one in resps]
    if resps and all(value is not None for value in likelihoods):
        best = max(range(len(likelihoods)), key=lambda i: likelihoods[i] or 0.0)
        reading.notes["multiple-choice rows: the likeliest choice stands as the answer"] += 1
        return [asked[best][1].strip() if best < len(asked) and asked[best][1].strip() else f"choice {best}"]
    texts = first if isinstance(first, list) else resps
    return [text if isinstance(text, str) else None for text in texts] or [None]


def _likelihood(resp: Any) -> float | None:
    """The log-likelihood in `[["-1.2", "False"]]` or `["(-1.2, False)"]`, None for generated text."""
    inner = resp[0] if isinstance(resp, list) and resp else None
    if isinstance(inner, list) and len(inner) == 2 and str(inner[1]) in {"True", "False", "true", "false"}:
        inner = inner[0]
    elif isinstance(inner, str) and (pair := re.fullmatch(r"\(([^,()]+), (?:True|False)\)", inner)):
        inner = pair[1]
    else:
        return None
    try:
        return float(inner)
    except (TypeError, ValueError):
        return None


def _scores(row: Mapping[str, Any]) -> Iterator[Score]:
    metrics = row.get("metrics")
    names = metrics if isinstance(metrics, list) else [name for name in row if name not in _KNOWN]
    values = numbers({str(name): row.get(str(name)) for name in names})
    if values:
        yield Score(judge=f"lm-eval/{row.get('filter') or 'none'}", values=values)


def _results_beside(path: Path, time: str | None) -> Mapping[str, Any]:
    """What the run's results file says, where it stands beside the samples."""
    beside = path.with_name(f"results_{time}.json")
    if time is None or not beside.is_file() or beside.stat().st_size > _MOST_RESULTS_BYTES:
        return {}
    try:
        found = json.loads(beside.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise LogError(f"{beside.name}: not JSON ({str(error)[:80]}); get it again, or move it away") from error
    return found if isinstance(found, dict) else {}


def _model(about: Mapping[str, Any]) -> str | None:
    name = about.get("model_name") or about.get("model_source")
    return str(name) if name else None
