"""A sample of an Inspect log, as JSON, read as an attempt: which score, what status, which flags. Needs no Inspect."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from safecase.declare import InspectTask
from safecase.evidence import Message, PlannedAttempt
from safecase.suites._flags import TOOL_ERROR, TRUNCATED
from safecase.suites._suite import SuiteTask, Tried

_LETTERS = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0}
"""How Inspect itself turns its letters into numbers: correct, incorrect, partial, no answer."""

_ATTACHMENT = "attachment://"
_ROLES = frozenset({"system", "user", "assistant", "tool"})


class UnreadableScore(Exception):
    """The pack's line does not say which number of a sample is the score; the message names those there are."""


def task_of_sample(sample: Mapping[str, Any], line: InspectTask) -> SuiteTask:
    """A sample of a data set, or of a log, as a task."""
    metadata = _mapping(sample.get("metadata"))
    minutes = metadata.get(line.human_minutes) if line.human_minutes else None
    category = str(metadata.get(line.category) or "none") if line.category else "all"
    if not isinstance(minutes, int | float) or minutes <= 0:
        return SuiteTask(task=str(sample["id"]), category=category)
    return SuiteTask(task=str(sample["id"]), category=category, human_minutes=float(minutes), human_time="estimated")


def tried_of_sample(sample: Mapping[str, Any], planned: PlannedAttempt, line: InspectTask) -> Tried:
    """An attempt with its transcript.

    Raises:
        UnreadableScore: it is not clear which number counts, or it lies outside [0, 1].
    """
    attachments = _mapping(sample.get("attachments"))
    transcript = tuple(
        Message(role=turn["role"], content=_text(turn.get("content"), attachments))
        for turn in sample.get("messages") or ()
        if isinstance(turn, dict) and turn.get("role") in _ROLES
    )
    about: dict[str, Any] = {
        "tokens_out": _tokens_out(sample),
        "latency_s": _seconds(sample.get("total_time")),
    }
    if (error := _error(sample)) is not None:
        return Tried(attempt=planned.came_to("error", error=error, **about), transcript=transcript)
    scores = _mapping(sample.get("scores"))
    if not scores:
        return Tried(attempt=planned.came_to("unparsed", error="not scored", **about), transcript=transcript)
    score = _score(scores, line.score, line.key, line.solved)
    if score is None:
        return Tried(attempt=planned.came_to("unparsed", error="scored as unscored", **about), transcript=transcript)
    measures = {name: _named(scores, place) for name, place in line.gives.items()}
    known = {name: value for name, value in measures.items() if value is not None}
    attempt = planned.came_to("answered", score=score, measures=known, flags=_flags(sample), **about)
    return Tried(attempt=attempt, transcript=transcript)


def _score(scores: Mapping[str, Any], name: str | None, key: str | None, solved: float | None) -> float | None:
    if name is None and len(scores) > 1:
        raise UnreadableScore(f"the log has scores {', '.join(sorted(scores))}; name one in the pack: `score: ...`")
    name = name or next(iter(scores))
    if name not in scores:
        raise UnreadableScore(f"the log has no score {name!r}; it has {', '.join(sorted(scores))}")
    return _number(_mapping(scores[name]).get("value"), name, key, solved)


def _named(scores: Mapping[str, Any], place: str) -> float | None:
    name, _, key = place.partition(".")
    return _score(scores, name, key or None, None)


def _number(value: Any, name: str, key: str | None, solved: float | None) -> float | None:
    if isinstance(value, dict):
        if key not in value:
            raise UnreadableScore(f"score {name!r} holds {', '.join(sorted(value))}; name one in the pack: `key: ...`")
        value = value[key]
    found = _LETTERS.get(value) if isinstance(value, str) else value
    if found is None or isinstance(found, list | dict):
        raise UnreadableScore(f"score {name!r} is {value!r}, which is no number")
    if math.isnan(found):
        return None
    if solved is not None:
        return float(found >= solved)
    if not 0 <= found <= 1:
        raise UnreadableScore(
            f"score {name!r} is {found:g}, outside [0, 1]; say from where on it counts: `solved: ...`"
        )
    return float(found)


def _flags(sample: Mapping[str, Any]) -> tuple[str, ...]:
    failed = any(isinstance(turn, dict) and turn.get("role") == "tool" and turn.get("error") for turn in _turns(sample))
    found = {TOOL_ERROR: failed, TRUNCATED: bool(sample.get("limit"))}
    return tuple(sorted(name for name, is_there in found.items() if is_there))


def _turns(sample: Mapping[str, Any]) -> Sequence[Any]:
    turns = sample.get("messages")
    return turns if isinstance(turns, list) else ()


def _error(sample: Mapping[str, Any]) -> str | None:
    """Why a sample has no score of its own; the model's words are not quoted."""
    if sample.get("error"):
        return "the sample ended in an error"
    return "invalidated in Inspect" if sample.get("invalidation") else None


def _tokens_out(sample: Mapping[str, Any]) -> int | None:
    used = [_mapping(one).get("output_tokens") for one in _mapping(sample.get("model_usage")).values()]
    known = [count for count in used if isinstance(count, int)]
    return sum(known) if known else None


def _seconds(value: Any) -> float | None:
    return round(float(value), 3) if isinstance(value, int | float) and value >= 0 else None


def _text(content: Any, attachments: Mapping[str, Any]) -> str:
    if isinstance(content, str):
        return str(attachments.get(content.removeprefix(_ATTACHMENT), content))
    parts = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    return "\n".join(_text(part.get("text", f"[{part.get('type')}]"), attachments) for part in parts)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
