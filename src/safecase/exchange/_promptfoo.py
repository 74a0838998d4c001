"""promptfoo's results in: JSON (every version that nests `results.results`) and JSONL."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from safecase.evidence import Message
from safecase.exchange._errors import LogError
from safecase.exchange._json import JsonStream, json_lines
from safecase.exchange._sample import Reading, Sample, Score, count, numbers, outcome, seconds

_FAILED_WITHOUT_ANSWER = 2
"""promptfoo's `failureReason`: 0 none, 1 an assertion, 2 an error. In case 1 `error` repeats what the grader said."""


def read_promptfoo(path: Path, reading: Reading) -> Iterator[Sample]:
    """Samples of a results file.

    Args:
        reading: told the version, and what could not be taken over.

    Raises:
        LogError: the file is malformed, or holds a table without its results.
    """
    seen: Counter[tuple[str, str]] = Counter()
    for where, row in _rows(path, reading):
        yield _sample(row, where=where, seen=seen, reading=reading)


def _rows(path: Path, reading: Reading) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if path.suffix == ".jsonl":
        yield from ((f"{path.name}:{number}", row) for number, row in json_lines(path))
        return
    found = False
    with path.open(encoding="utf-8-sig") as file:
        stream = JsonStream(file, path.name)
        for key in stream.members():
            if key != "results":
                value = stream.value()
                if key == "metadata" and isinstance(value, dict) and value.get("promptfooVersion"):
                    reading.version = str(value["promptfooVersion"])
                continue
            found = True
            yield from _results(stream, path, reading)
    if not found:
        raise LogError(f"{path.name}: no `results`; write it with `promptfoo eval -o FILE.json`")


def _results(stream: JsonStream, path: Path, reading: Reading) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Rows below `results.results`, or below a `results` that is the list itself."""
    if stream.next_char() == "[":
        yield from _list(stream, path)
        return
    for key in stream.members():
        if key == "results":
            yield from _list(stream, path)
            continue
        value = stream.value()
        if key == "version":
            reading.version = reading.version or f"results version {value}"


def _list(stream: JsonStream, path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for row in stream.items():
        where = f"{path.name}:{stream.line}"
        if not isinstance(row, dict):
            raise LogError(f"{where}: a result is {type(row).__name__} instead of an object")
        yield where, row


def _sample(row: Mapping[str, Any], *, where: str, seen: Counter[tuple[str, str]], reading: Reading) -> Sample:
    response, test = _mapping(row.get("response")), _mapping(row.get("testCase"))
    prompt, provider = row.get("prompt"), row.get("provider")
    if prompt is None or ("response" not in row and "error" not in row and "success" not in row):
        raise LogError(f"{where}: a result lacks its prompt or response; give promptfoo's results, not its table")
    model = str(provider.get("id") if isinstance(provider, dict) else provider or "not stated")
    metadata = {**_mapping(test.get("metadata")), **_mapping(row.get("metadata"))}
    turns, asked = _asked(prompt.get("raw") if isinstance(prompt, dict) else prompt)
    item = _item(row, asked)
    repetition = seen[(item, model)]
    seen[(item, model)] += 1
    text = _text(response.get("output"), reading)
    status, error = outcome(text, _error(row, response, text))
    usage = _mapping(response.get("tokenUsage"))
    return Sample(
        where=where,
        task=str(metadata.get("pluginId") or test.get("description") or "promptfoo"),
        item=item,
        turns=turns,
        prompt=asked,
        response=text if status == "answered" else None,
        status=status,
        error=error,
        repetition=repetition,
        model=model,
        finish_reason=str(response["finishReason"]) if response.get("finishReason") else None,
        tokens_in=count(usage.get("prompt")),
        tokens_out=count(usage.get("completion")),
        latency_s=seconds(row.get("latencyMs"), per=1000),
        fields=_fields(metadata),
        record={**row, "metadata": metadata},
        scores=tuple(_scores(row)) if status == "answered" else (),
    )


def _item(row: Mapping[str, Any], asked: str) -> str:
    """Test and prompt, the same for every provider; told by the request where promptfoo did not number them."""
    if isinstance(row.get("testIdx"), int) and isinstance(row.get("promptIdx"), int):
        return f"{row['testIdx']}-{row.get('promptId') or row['promptIdx']}"
    return json.dumps([asked, row.get("vars")], sort_keys=True, ensure_ascii=False, default=str)


def _asked(raw: Any) -> tuple[tuple[Message, ...], str]:
    """A prompt is text, or a chat as a JSON list of turns."""
    text = raw if isinstance(raw, str) else json.dumps(raw, ensure_ascii=False)
    try:
        rows = json.loads(text) if text.lstrip().startswith("[") else None
    except (ValueError, RecursionError):
        rows = None
    if not isinstance(rows, list) or not all(isinstance(r, dict) and isinstance(r.get("content"), str) for r in rows):
        return (), text
    spoken = [Message(role=_role(row.get("role")), content=row["content"]) for row in rows]
    asked = [i for i, message in enumerate(spoken) if message.role == "user"]
    return (tuple(spoken[: asked[-1]]), spoken[asked[-1]].content) if asked else ((), text)


def _role(role: Any) -> Any:
    return role if role in {"system", "assistant", "tool"} else "user"


def _text(output: Any, reading: Reading) -> str | None:
    if output is None or isinstance(output, str):
        return output
    reading.notes["outputs that are no text; their JSON stands as the answer"] += 1
    return json.dumps(output, ensure_ascii=False, sort_keys=True)


def _error(row: Mapping[str, Any], response: Mapping[str, Any], text: str | None) -> Any:
    """An error of the attempt. A failed assertion is a score."""
    if response.get("error"):
        return response["error"]
    reason = row.get("failureReason")
    if reason == _FAILED_WITHOUT_ANSWER or (text is None and row.get("error")):
        return row.get("error") or "promptfoo counts it as an error"
    return None


def _fields(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """What red-team runs say of a test. Plug-ins named `harmful:...` ask for harm; of others nothing is known."""
    plugin, strategy = metadata.get("pluginId"), metadata.get("strategyId")
    known: dict[str, Any] = {
        "category": metadata.get("category") or plugin,
        "subcategory": metadata.get("harmCategory"),
        "attack": strategy if strategy and strategy != "basic" else None,
        "harmful": True if isinstance(plugin, str) and plugin.startswith("harmful") else metadata.get("harmful"),
        "intent_id": metadata.get("intent_id"),
        "language": metadata.get("language"),
    }
    return {name: value for name, value in known.items() if isinstance(value, str | bool) and value != ""}


def _scores(row: Mapping[str, Any]) -> Iterator[Score]:
    """The result as a whole, and every assertion of its own kind."""
    grading = _mapping(row.get("gradingResult"))
    if "success" in row or "score" in row:
        named = _mapping(row.get("namedScores"))
        said = {"pass": row.get("success"), "score": row.get("score"), **named}
        yield Score(judge="promptfoo/result", values=numbers(said))
    by_kind: dict[str, dict[str, Any]] = {}
    parts = grading.get("componentResults")
    for position, part in enumerate(parts if isinstance(parts, list) else []):
        kind = str(_mapping(_mapping(part).get("assertion")).get("type") or "assertion")
        found = _mapping(part)
        by_kind.setdefault(kind, {}).update(
            {f"pass.{position}": found.get("pass"), f"score.{position}": found.get("score")}
        )
    for kind, values in by_kind.items():
        yield Score(judge=f"promptfoo/{kind}", values=numbers(values))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
