"""garak's `report.jsonl` in: every output of every attempt, with what the detectors scored.

An attempt holds several outputs for one prompt. Each becomes a trial of one episode, so that *at least one of k* can be
counted and is not hidden in a pooled rate. garak writes an attempt when it was generated and again when it was scored:
the second stands.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from safecase.evidence import Message, digest_value
from safecase.exchange._errors import LogError
from safecase.exchange._json import json_lines
from safecase.exchange._sample import Reading, Sample, Score, numbers, outcome

_SCORED = 2


def read_garak(path: Path, reading: Reading) -> Iterator[Sample]:
    """Samples of a report.

    Args:
        reading: told the version, and what could not be taken over.

    Raises:
        LogError: a line is malformed.
    """
    scored = {str(row.get("uuid")) for _, row in json_lines(path) if _is_attempt(row) and row.get("status") == _SCORED}
    target: str | None = None
    seen: Counter[tuple[str, str]] = Counter()
    for number, row in json_lines(path):
        kind = row.get("entry_type")
        if not isinstance(kind, str):
            raise LogError(f"{path.name}:{number}: no entry_type; give garak's report.jsonl as garak wrote it")
        if kind == "init":
            reading.version = str(row.get("garak_version") or "not stated")
        elif kind == "start_run setup":
            target = _target(row)
        elif kind == "attempt":
            if row.get("status") != _SCORED:
                if str(row.get("uuid")) in scored:
                    continue
                reading.notes["attempts that no detector scored (the run was cut off, or generation failed)"] += 1
            yield from _outputs(row, where=f"{path.name}:{number}", model=target, seen=seen)
    if not reading.version:
        reading.notes["the report does not say which garak wrote it"] += 1


def _is_attempt(row: Mapping[str, Any]) -> bool:
    return row.get("entry_type") == "attempt"


def _target(row: Mapping[str, Any]) -> str | None:
    """Newer versions call it the target, older ones the model."""
    for kind in ("target", "model"):
        name, group = row.get(f"plugins.{kind}_name"), row.get(f"plugins.{kind}_type")
        if name or group:
            return "/".join(str(part) for part in (group, name) if part)
    return None


def _outputs(
    row: Mapping[str, Any], *, where: str, model: str | None, seen: Counter[tuple[str, str]]
) -> Iterator[Sample]:
    """A sample an output. A request is named by its words: ids of garak's differ from run to run of one probe."""
    probe = row.get("probe_classname")
    outputs, results = row.get("outputs"), row.get("detector_results")
    if not isinstance(probe, str) or not isinstance(outputs, list):
        raise LogError(f"{where}: an attempt lacks probe_classname or outputs; get the report again, whole")
    if not outputs:
        outputs = [None]  # generation failed: an attempt without an answer, never one left out
    turns, prompt, language = _asked(row.get("prompt"))
    item = digest_value([prompt, *(turn.content for turn in turns)])[:16]
    repetition = seen[(probe, item)]
    seen[(probe, item)] += 1
    fields = {"attack": f"garak.{probe}", "family": probe.partition(".")[0], "language": language}
    for position, output in enumerate(outputs):
        text = output.get("text") if isinstance(output, dict) else output
        text = text if isinstance(text, str) else None
        status, error = outcome(text, None if text is not None else "the generator gave nothing")
        yield Sample(
            where=where,
            task=probe,
            item=item,
            repetition=repetition,
            turns=turns,
            prompt=prompt,
            response=text if status == "answered" else None,
            status=status,
            error=error,
            attempt=position,
            model=model,
            fields={name: value for name, value in fields.items() if value},
            record={**{k: v for k, v in row.items() if k not in {"outputs", "conversations"}}, "probe": probe},
            scores=tuple(_scores(results if isinstance(results, dict) else {}, position)),
        )


def _asked(prompt: Any) -> tuple[tuple[Message, ...], str, str | None]:
    """Turns before the last request, the request, its language. Older versions wrote plain text or a list of turns."""
    if isinstance(prompt, str):
        return (), prompt, None
    rows = prompt.get("turns") if isinstance(prompt, dict) else prompt
    spoken = [_turn(row) for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    asked = [i for i, message in enumerate(spoken) if message.role == "user"]
    if not asked:
        text = prompt.get("text") if isinstance(prompt, dict) else None
        return (), text if isinstance(text, str) else "", None
    content = rows[asked[-1]].get("content") if isinstance(rows, list) else None
    language = content.get("lang") if isinstance(content, dict) else None
    code = str(language).partition("-")[0] if language else ""
    return tuple(spoken[: asked[-1]]), spoken[asked[-1]].content, code if code.isalpha() else None


def _turn(row: Mapping[str, Any]) -> Message:
    content = row.get("content")
    text = content.get("text") if isinstance(content, dict) else content
    role = row.get("role")
    return Message(
        role=role if role in {"system", "assistant", "tool"} else "user", content=text if isinstance(text, str) else ""
    )


def _scores(results: Mapping[str, Any], position: int) -> Iterator[Score]:
    """One detector's score of one output: 0 passed, 1 a hit. A detector that could not say gives null."""
    for detector, values in results.items():
        if isinstance(values, list) and position < len(values):
            found = numbers({"hit": values[position]})
            yield Score(judge=f"garak/{detector}", values=found, note=None if found else "the detector could not say")
