"""Inspect logs in: `.eval` and `.json`, sample by sample, without Inspect."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from safecase.evidence import Message
from safecase.exchange._errors import LogError
from safecase.exchange._eval_zip import EvalZip
from safecase.exchange._json import JsonStream
from safecase.exchange._mapping import FIELDS
from safecase.exchange._sample import (
    NOT_STORED,
    SEALED,
    Reading,
    Sample,
    Score,
    count,
    numbers,
    outcome,
    seconds,
    short,
)

_LETTERS = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0}
"""How Inspect itself turns its letters into numbers: correct, incorrect, partial, no answer."""

_TIME_LIMITS = frozenset({"time", "working"})
_ATTACHMENT = "attachment://"
_ROLES = frozenset({"system", "user", "assistant", "tool"})


def read_inspect(path: Path, reading: Reading) -> Iterator[Sample]:
    """Samples of a log.

    Args:
        reading: told the version, and what could not be taken over.

    Raises:
        LogError: the file is damaged, or holds no samples.
    """
    with path.open("rb") as file:
        is_zip = file.read(2) == b"PK"
    yield from _read_zip(path, reading) if is_zip else _read_json(path, reading)


def inspect_rows(path: Path) -> tuple[Mapping[str, Any], Iterator[dict[str, Any]]]:
    """What a log says of its eval, and its samples as they are, one at a time.

    Raises:
        LogError: the file is damaged or no Inspect log.
    """
    with path.open("rb") as file:
        is_zip = file.read(2) == b"PK"
    if not is_zip:
        return _json_rows(path)
    with EvalZip(path) as log:
        about = _about(log.header(), path, Reading(tool="inspect"))
    return about, _zip_rows(path)


def _zip_rows(path: Path) -> Iterator[dict[str, Any]]:
    with EvalZip(path) as log:
        for name in log.samples():
            yield _whole(log.read(name), where=f"{path.name}!{name}")


def _json_rows(path: Path) -> tuple[Mapping[str, Any], Iterator[dict[str, Any]]]:
    header: dict[str, Any] = {}
    with path.open(encoding="utf-8-sig") as file:
        stream = JsonStream(file, path.name)
        for key in stream.members():
            value = stream.value() if key != "samples" else None
            if key == "samples":
                break
            if key in {"version", "status", "eval"}:
                header[key] = value
    return _about(header, path, Reading(tool="inspect")), _json_samples(path)


def _json_samples(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8-sig") as file:
        stream = JsonStream(file, path.name)
        for key in stream.members():
            if key != "samples":
                stream.value()
                continue
            for row in stream.items():
                yield _whole(row, where=f"{path.name}:{stream.line}")


def _whole(row: Any, *, where: str) -> dict[str, Any]:
    if not isinstance(row, dict) or "id" not in row or not isinstance(row.get("epoch"), int) or row["epoch"] < 1:
        raise LogError(f"{where}: a sample lacks its id or epoch; this is no Inspect log, or a damaged one")
    return _put_back(row)


def _put_back(row: dict[str, Any]) -> dict[str, Any]:
    """A sample with its long content in its places. Inspect keeps that beside, and refers to it by its hash."""
    attachments = _mapping(row.get("attachments"))

    def resolved(value: Any) -> Any:
        if isinstance(value, str) and value.startswith(_ATTACHMENT):
            return attachments.get(value.removeprefix(_ATTACHMENT), value)
        if isinstance(value, dict):
            return {name: resolved(one) for name, one in value.items()}
        return [resolved(one) for one in value] if isinstance(value, list) else value

    if not attachments:
        return row
    return {name: value if name in {"attachments", "events"} else resolved(value) for name, value in row.items()}


def _read_zip(path: Path, reading: Reading) -> Iterator[Sample]:
    with EvalZip(path) as log:
        header = log.header()
        about = _about(header, path, reading)
        for name in log.samples():
            yield _sample(log.read(name), about, where=f"{path.name}!{name}", reading=reading)


def _read_json(path: Path, reading: Reading) -> Iterator[Sample]:
    """Inspect writes what is said of the log before its samples, so one pass is enough."""
    header: dict[str, Any] = {}
    with path.open(encoding="utf-8-sig") as file:
        stream = JsonStream(file, path.name)
        for key in stream.members():
            if key != "samples":
                value = stream.value()
                if key in {"version", "status", "eval"}:
                    header[key] = value
                continue
            about = _about(header, path, reading)
            for row in stream.items():
                where = f"{path.name}:{stream.line}"
                if not isinstance(row, dict):
                    raise LogError(f"{where}: a sample is {type(row).__name__} instead of an object")
                yield _sample(row, about, where=where, reading=reading)


def _about(header: Mapping[str, Any], path: Path, reading: Reading) -> Mapping[str, Any]:
    about = header.get("eval")
    if not isinstance(about, dict):
        raise LogError(f"{path.name}: says nothing of its eval before its samples; this is no Inspect log")
    packages = about.get("packages")
    version = packages.get("inspect_ai") if isinstance(packages, dict) else None
    reading.version = None if version is None else str(version)
    if (status := header.get("status")) != "success":
        reading.notes[f"the log's status is {status or 'not stated'!r}: not every sample may be there"] += 1
    return about


def _sample(row: dict[str, Any], about: Mapping[str, Any], *, where: str, reading: Reading) -> Sample:
    if "id" not in row or "epoch" not in row:
        raise LogError(f"{where}: a sample lacks its id or epoch; this is no Inspect log, or a damaged one")
    if not isinstance(row["epoch"], int) or not 1 <= row["epoch"] < 2**31:
        raise LogError(f"{where}: epoch is {row['epoch']!r}; Inspect counts from 1")
    row, texts = _put_back(row), _Texts(reading)
    turns, prompt = _asked(row, texts)
    output = _mapping(row.get("output"))
    response, finish = _answered(output, texts)
    limit = _mapping(row.get("limit")).get("type")
    status, error = outcome(response, _error(row, output))
    if response in {SEALED, NOT_STORED} and error is None:
        reading.notes["answers that safecase left out when it exported this log; they count as missing"] += 1
        status, error = "error", "left out when safecase exported the log"
    if error is None and limit:
        finish = f"limit:{limit}"
        if status == "unparsed":
            status, error = ("timeout" if limit in _TIME_LIMITS else "error"), f"stopped by the {limit} limit"
        reading.notes["samples stopped by a limit of Inspect's; what they had answered by then stands"] += 1
    metadata, usage = _mapping(row.get("metadata")), _mapping(output.get("usage"))
    task = str(about.get("task") or "task")
    return Sample(
        where=where,
        task=task,
        item=str(row["id"]),
        turns=turns,
        prompt=prompt,
        response=response if status == "answered" else None,
        status=status,
        error=error,
        repetition=row["epoch"] - 1,
        attempt=_attempt(metadata),
        model=str(about.get("model") or output.get("model") or "not stated"),
        finish_reason=finish,
        tokens_in=count(usage.get("input_tokens")),
        tokens_out=count(usage.get("output_tokens")),
        latency_s=seconds(output.get("time") or row.get("total_time")),
        scores=tuple(_scores(_mapping(row.get("scores")) or _old_score(row))),
        fields={name: metadata[name] for name in FIELDS if metadata.get(name) is not None},
        record={**{k: v for k, v in row.items() if k not in {"events", "attachments", "messages"}}, "eval": about},
    )


def _attempt(metadata: Mapping[str, Any]) -> int:
    """Number within an episode, as our own logs tell it; another tool's `attempt` may mean anything."""
    number = metadata.get("attempt")
    if "scenario_id" in metadata and isinstance(number, int) and not isinstance(number, bool) and 0 <= number < 2**31:
        return number
    return 0


class _Texts:
    """Content of messages as text."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    def of(self, content: Any) -> str:
        if isinstance(content, str):
            if not content.startswith(_ATTACHMENT):
                return content
            self._reading.notes["texts that stand beside the log's samples and are not in it; they are missing"] += 1
            return ""
        if not isinstance(content, list):
            return ""
        parts = [part for part in content if isinstance(part, dict)]
        return "\n".join(text for part in parts if (text := self._part(part)))

    def _part(self, part: Mapping[str, Any]) -> str:
        kind = part.get("type")
        if kind == "text":
            return self.of(part.get("text"))
        if kind != "reasoning":
            self._reading.notes[f"parts of messages that are no text ({kind}); a mark stands for each"] += 1
            return f"[{kind}]"
        return ""


def _asked(row: Mapping[str, Any], texts: _Texts) -> tuple[tuple[Message, ...], str]:
    """What was said before the last request, and that request: from the conversation as it went, else from the input.

    The answer under test is what the last assistant's turn says, so the conversation is cut there.
    """
    messages = _messages(row.get("messages"), texts)
    spoken = [i for i, message in enumerate(messages) if message.role == "assistant"]
    if spoken:
        messages = messages[: spoken[-1]]
    given = row.get("input")
    if not any(message.role == "user" for message in messages):
        messages = _messages(given, texts) if isinstance(given, list) else []
    asked = [i for i, message in enumerate(messages) if message.role == "user"]
    if not asked:
        return (), texts.of(given)
    before, after = messages[: asked[-1]], messages[asked[-1] + 1 :]
    if any(message.role == "tool" for message in after):
        texts._reading.notes["samples with tool calls after the last request; only the final answer is kept"] += 1
    return tuple(before), messages[asked[-1]].content


def _messages(given: Any, texts: _Texts) -> list[Message]:
    rows = [row for row in given if isinstance(row, dict)] if isinstance(given, list) else []
    return [
        Message(role=row["role"], content=texts.of(row.get("content"))) for row in rows if row.get("role") in _ROLES
    ]


def _answered(output: Mapping[str, Any], texts: _Texts) -> tuple[str | None, str | None]:
    choices = output.get("choices")
    first = _mapping(choices[0]) if isinstance(choices, list) and choices else {}
    message = _mapping(first.get("message"))
    text = texts.of(message.get("content")) or texts.of(output.get("completion"))
    stop = first.get("stop_reason")
    return text or None, str(stop) if stop else None


def _error(row: Mapping[str, Any], output: Mapping[str, Any]) -> str | None:
    found = row.get("error") or output.get("error")
    if isinstance(found, dict):
        found = found.get("message") or "error without a message"
    if not found and row.get("invalidation"):
        found = "invalidated in Inspect"
    return short(found) if found else None


def _old_score(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Logs of the first version had one score a sample."""
    return {"score": row["score"]} if isinstance(row.get("score"), dict) else {}


def _scores(scores: Mapping[str, Any]) -> Iterator[Score]:
    for name, score in scores.items():
        value = _mapping(score).get("value")
        if isinstance(value, dict):
            yield Score(judge=f"inspect/{name}", values=numbers(value))
        elif isinstance(value, list):
            yield Score(judge=f"inspect/{name}", values=numbers({str(i): one for i, one in enumerate(value)}))
        elif isinstance(value, str):
            known = {"value": _LETTERS[value]} if value in _LETTERS else {}
            yield Score(judge=f"inspect/{name}", values=known, note=f"said {value[:40]!r}")
        else:
            yield Score(judge=f"inspect/{name}", values=numbers({"value": value}))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
