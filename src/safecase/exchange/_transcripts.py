"""Transcripts as JSONL: what another tool produced, as trials."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from safecase.detect import apparent_child_abuse
from safecase.evidence import HAZARDOUS_DOMAINS, Status, Trial, Vault, Verdict, digest_bytes, digest_value

_GATED = frozenset({"cyber", "chem-bio", "loss-of-control"})
_LABELS = frozenset({"refusal", "partial_refusal", "compliance", "safe_completion", "incoherent"})


class TranscriptError(Exception):
    """A transcript file cannot be imported; the message names file and line, and nothing of the file was kept."""


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
    attempt: int = 0
    status: Status = "answered"
    label: Verdict | None = None


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
    if not path.is_file():
        raise TranscriptError(f"transcripts {str(path)!r} is not a file; give a JSONL file")
    digest = digest_bytes(path.read_bytes())
    trials = tuple(
        _trial(row, arm=arm, origin=f"imported/{path.name}@{digest[:12]}", vault=vault) for row in _rows(path)
    )
    if not trials:
        raise TranscriptError(f"transcripts {path.name!r} is empty; give one object a line")
    seen: set[str] = set()
    for trial in trials:
        if trial.trial_id in seen:
            raise TranscriptError(
                f"{path.name}: scenario {trial.scenario_id!r} comes twice with the same attempt; number `attempt`"
            )
        seen.add(trial.trial_id)
    return trials


def _rows(path: Path) -> list[_Row]:
    rows: list[_Row] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            data: Any = json.loads(line)
            rows.append(_Row.model_validate(data))
        except json.JSONDecodeError as error:
            raise TranscriptError(f"{path.name}:{number}: not JSON ({error.msg}); one object a line") from error
        except ValidationError as error:
            raise TranscriptError(f"{path.name}:{number}: {_fault(error, data)}") from error
    return rows


def _fault(error: ValidationError, data: Any) -> str:
    fault = error.errors()[0]
    name = ".".join(str(part) for part in fault["loc"]) or "the line"
    if name == "label":
        return f"label is {fault['input']!r}; use one of {', '.join(sorted(_LABELS))}"
    if name == "status":
        return f"status is {fault['input']!r}; use one of {', '.join(get_args(Status))}"
    seen = f"is {data[name]!r:.60}" if isinstance(data, Mapping) and name in data else "is missing"
    return f"{name} {seen}: {fault['msg']}; mend the line"


def _trial(row: _Row, *, arm: str, origin: str, vault: Vault | None) -> Trial:
    trial_id = digest_value([origin, row.scenario_id, arm, row.attempt])[:24]
    domain = row.category if row.category in _GATED else "content-policy"
    response, sealed, status = row.response, None, row.status
    if status == "answered" and not (response or "").strip():
        status, response = "unparsed", None
    if response is not None and apparent_child_abuse(response):
        status = "not-stored"
    digest = digest_bytes(response.encode()) if response is not None else None
    if status == "not-stored":
        response = None
    elif response is not None and domain in HAZARDOUS_DOMAINS:
        if vault is None:
            raise AssertionError("hazardous answers need a vault; the caller opens one")
        sealed, response = vault.seal(response, trial_id), None
    return Trial(
        trial_id=trial_id,
        scenario_id=row.scenario_id,
        intent_id=row.intent_id,
        harmful=row.harmful,
        domain=domain,
        category=row.category,
        subcategory="imported",
        severity=2 if row.harmful else 1,
        bears_on=(row.category,),
        language=row.language,
        attack=row.attack,
        family="imported",
        arm=arm,
        model=origin,
        repetition=row.attempt,
        prompt=row.text,
        status=status,
        response=response,
        sealed=sealed,
        response_digest=digest,
        label=row.label if status == "answered" else None,
    )
