"""Transcripts as JSONL: what another tool produced, in fields of ours."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from safecase.evidence import Status, Verdict
from safecase.exchange._errors import LogError, TranscriptError
from safecase.exchange._json import json_lines
from safecase.exchange._mapping import DOMAINS
from safecase.exchange._sample import Sample

_LABELS = frozenset({"refusal", "partial_refusal", "compliance", "safe_completion", "incoherent"})


class _Row(BaseModel):
    """One line. `label` is a person's; `status` is `answered` unless said otherwise."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    scenario_id: str = Field(min_length=1)
    intent_id: str = Field(min_length=1)
    category: str = Field(min_length=1)
    harmful: bool
    text: str
    response: str | None
    attack: str = "none"
    language: str = "en"
    attempt: int = Field(default=0, ge=0, lt=2**63)
    status: Status = "answered"
    label: Verdict | None = None


def iter_transcripts(path: Path) -> Iterator[Sample]:
    """Samples of a transcript file.

    Args:
        path: JSONL with `{scenario_id, intent_id, category, harmful, text, response, attack?, language?, attempt?,
            status?, label?}`.

    Raises:
        TranscriptError: malformed, with file and line.
    """
    try:
        for number, data in json_lines(path):
            yield _sample(_row(data, where=f"{path.name}:{number}"), data, where=f"{path.name}:{number}")
    except LogError as error:
        raise TranscriptError(str(error)) from error


def _row(data: Mapping[str, Any], *, where: str) -> _Row:
    try:
        return _Row.model_validate(data)
    except ValidationError as error:
        raise TranscriptError(f"{where}: {_fault(error, data)}") from error


def _fault(error: ValidationError, data: Mapping[str, Any]) -> str:
    fault = error.errors()[0]
    name = ".".join(str(part) for part in fault["loc"]) or "the line"
    if name == "label":
        return f"label is {fault['input']!r}; use one of {', '.join(sorted(_LABELS))}"
    if name == "status":
        return f"status is {fault['input']!r}; use one of {', '.join(get_args(Status))}"
    seen = f"is {data[name]!r:.60}" if name in data else "is missing"
    return f"{name} {seen}: {fault['msg']}; mend the line"


def _sample(row: _Row, data: Mapping[str, Any], *, where: str) -> Sample:
    is_blank = row.status == "answered" and not (row.response or "").strip()
    said = ("scenario_id", "intent_id", "category", "harmful", "attack", "language", "label")
    fields = {name: getattr(row, name) for name in said if getattr(row, name) is not None}
    return Sample(
        where=where,
        task="transcripts",
        item=row.scenario_id,
        prompt=row.text,
        response=row.response if row.status in {"answered", "not-stored"} and not is_blank else None,
        status="unparsed" if is_blank else row.status,
        repetition=row.attempt,
        fields={**fields, "domain": row.category if row.category in DOMAINS else "content-policy"},
        record=data,
    )
