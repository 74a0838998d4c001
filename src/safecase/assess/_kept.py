"""The files of a case, each named in its ledger as it stands."""

from collections.abc import Mapping
from typing import Any

from safecase.assess._case import Case, Clock
from safecase.evidence import (
    digest_bytes,
    write_atomic,
)
from safecase.run import (
    Plan,
)

ACTOR = "safecase"


def record(case: Case, name: str, data: bytes, *, action: str, now: Clock, **subject: Any) -> None:
    """Write a file of the case and name it in the ledger; nothing happens when both say it already.

    Args:
        name: path inside the case.
        subject: what else the ledger's entry says (JSON).
    """
    path = case.path / name
    said = {"path": name, "sha256": digest_bytes(data), **subject}
    if path.exists() and path.read_bytes() == data and last_said(case, name) == said:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, data)
    case.ledger.append(action, actor=ACTOR, subject=said, at=now())


def last_said(case: Case, name: str) -> Mapping[str, Any] | None:
    """What the ledger last said of a file, None when it never named it."""
    if not case.ledger.path.exists():
        return None
    found = [entry.subject for entry in case.ledger.entries() if entry.subject.get("path") == name]
    return found[-1] if found else None


def keep_case_file(case: Case, now: Clock) -> None:
    """Name `safecase.yaml` in the ledger as it stands, and what it names of the case: pack, stack, spec, banks."""
    banks = [str(bank.path) for bank in case.spec.banks]
    given = ("safecase.yaml", case.spec.framework, case.spec.safeguards, case.spec.model_spec, *banks)
    for name in given:
        path = case.path / name
        if path.is_file() and path.resolve().is_relative_to(case.path.resolve()):
            inside = path.resolve().relative_to(case.path.resolve()).as_posix()
            record(case, inside, path.read_bytes(), action="case-file", now=now)


def keep_plan(case: Case, plan: Plan, now: Clock) -> None:
    """Write `plan.json`, and the same under its digest, so that a later plan hides none."""
    keep_case_file(case, now)
    name = f"plans/{plan.digest[:12]}.json"
    record(case, name, plan.to_json(), action="planned", now=now, plan=plan.digest)
    record(case, "plan.json", plan.to_json(), action="planned", now=now, plan=plan.digest)
