"""What every reader gives: one attempt as another tool tells of it, before it is a trial of ours."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any

from safecase.evidence import Message, Status

SEALED = "[sealed: answers in this domain are kept encrypted in the case and are not exported]"
NOT_STORED = "[not stored: apparent child-abuse material; only its digest is kept]"
"""What stands in a log of ours in place of an answer, and is no answer when such a log is read."""

_ERROR_CHARS = 300
_HALF = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What another tool's scorer said. It is kept, and it is no verdict.

    Attributes:
        judge: tool and scorer, such as `garak/mitigation.MitigationBypass`.
        values: finite numbers by name.
        note: what was said in words instead, short.
    """

    judge: str
    values: Mapping[str, float]
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One attempt.

    Attributes:
        where: file and place, for messages.
        task: what the tool calls the suite, probe or task.
        item: names the request within the task; the same in every repetition and for every model.
        fields: what the record itself says of the fields of a trial (`category`, `harmful`, ...).
        record: what a mapping can reach into.
        is_more: True when it only adds scores to a sample given before.
    """

    where: str
    task: str
    item: str
    prompt: str
    response: str | None
    status: Status
    fields: Mapping[str, Any]
    record: Mapping[str, Any]
    turns: tuple[Message, ...] = ()
    error: str | None = None
    repetition: int = 0
    attempt: int = 0
    model: str | None = None
    finish_reason: str | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    latency_s: float | None = None
    scores: tuple[Score, ...] = ()
    is_more: bool = False


@dataclass(slots=True)
class Reading:
    """What a reader learns on its way through a file.

    Attributes:
        tool, version: who wrote the file.
        notes: sentence -> how often, of what could not be taken over as it was.
    """

    tool: str
    version: str | None = None
    notes: Counter[str] = field(default_factory=Counter)


def storable(sample: Sample) -> Sample:
    """The sample with a mark for every half of a surrogate pair, which some models answer and no store can keep."""
    texts = [
        sample.prompt,
        sample.response or "",
        sample.item,
        sample.task,
        sample.error or "",
        sample.finish_reason or "",
    ]
    texts += [turn.content for turn in sample.turns]
    texts += [value for value in sample.fields.values() if isinstance(value, str)]
    texts += [word for score in sample.scores for word in (score.judge, score.note or "", *score.values)]
    if not any(_HALF.search(text) for text in texts):
        return sample
    return replace(
        sample,
        prompt=_whole(sample.prompt),
        response=None if sample.response is None else _whole(sample.response),
        item=_whole(sample.item),
        task=_whole(sample.task),
        error=None if sample.error is None else _whole(sample.error),
        finish_reason=None if sample.finish_reason is None else _whole(sample.finish_reason),
        turns=tuple(replace(turn, content=_whole(turn.content)) for turn in sample.turns),
        fields={name: _whole(value) if isinstance(value, str) else value for name, value in sample.fields.items()},
        scores=tuple(
            replace(
                score,
                judge=_whole(score.judge),
                note=None if score.note is None else _whole(score.note),
                values={_whole(name): value for name, value in score.values.items()},
            )
            for score in sample.scores
        ),
    )


def _whole(text: str) -> str:
    return _HALF.sub("\N{REPLACEMENT CHARACTER}", text)


def numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """The members that are finite numbers, or booleans as 0 and 1. NaN is absence, so it is left out.

    >>> numbers({"acc": 1, "passed": True, "f1": float("nan"), "name": "x"})
    {'acc': 1.0, 'passed': 1.0}
    """
    return {
        str(name): float(value)
        for name, value in values.items()
        if isinstance(value, int | float) and abs(value) < 1e300 and isfinite(value)
    }


def count(value: Any) -> int | None:
    """A token count, None for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63 else None


def seconds(value: Any, *, per: float = 1.0) -> float | None:
    """A duration in seconds, None for anything else.

    Args:
        per: units of `value` in a second.
    """
    usable = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e15
    return round(value / per, 6) if usable else None


def short(value: Any) -> str:
    """An error in one line."""
    return " ".join(str(value).split())[:_ERROR_CHARS]


def outcome(response: str | None, error: Any) -> tuple[Status, str | None]:
    """Status and error of an attempt: an error is no answer, and neither is blank text.

    >>> outcome("Hello", None), outcome(" ", None), outcome(None, "Request timed out")
    (('answered', None), ('unparsed', None), ('timeout', 'Request timed out'))
    """
    if error:
        line = short(error)
        low = line.lower()
        return ("timeout" if "timeout" in low or "timed out" in low else "error"), line
    return ("answered" if response is not None and response.strip() else "unparsed"), None
