"""What stands in a case now: what was found and decided, as the signed files say, and the argument from the estimates
as they were kept. For whoever looks on: nothing is measured, judged or written, so it says nothing that `verify` does.
"""

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from safecase.assess._argument import arguments_of
from safecase.assess._case import Case, NothingToRead
from safecase.assess._stages import decide_estimates, facts_of
from safecase.decide import Argument, Determination, Proposal
from safecase.evidence import (
    DECISION,
    DETERMINATION,
    FINDINGS,
    Estimate,
    Finding,
    StatementBroken,
    check_envelope,
    parse_public_key,
    read_envelope,
)

_SIGNED = {"findings.json": FINDINGS, "determination.json": DETERMINATION, "decision.json": DECISION}


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the program found and proposed when it last decided.

    Attributes:
        evidence_root: of the evidence that it rests on.
        at: when, None where the ledger does not say.
        problems: what does not hold of the signed files, one sentence each.
    """

    framework: str
    author: str
    evidence_root: str
    assume_frontier: bool
    findings: tuple[Finding, ...]
    determinations: tuple[Determination, ...]
    proposals: tuple[Proposal, ...]
    hold: tuple[str, ...]
    frontier: str
    limits: tuple[str, ...]
    at: dt.datetime | None
    problems: tuple[str, ...]


def standing(case: Case) -> Standing | None:
    """What stands; None where nothing was decided yet.

    Raises:
        StatementBroken: a signed file is missing, cannot be read, or says something else.
        LedgerBroken: the ledger cannot be read.
    """
    if not (case.path / "decision.json").exists():
        return None
    found, tiers, decided = (_predicate(case, name) for name in _SIGNED)
    times = [entry.at for entry in case.ledger.entries() if entry.subject.get("path") == "decision.json"]
    return Standing(
        framework=decided["framework"],
        author=decided["author"],
        evidence_root=decided["evidence_root"],
        assume_frontier=decided["assume_frontier"],
        findings=tuple(Finding(**{**one, "evidence": tuple(one["evidence"])}) for one in found["findings"]),
        determinations=tuple(
            Determination(**{**one, "rests_on": tuple(one["rests_on"])}) for one in tiers["determinations"]
        ),
        proposals=tuple(
            Proposal(**{**one, "reasons": tuple(one["reasons"]), "exceptions": tuple(one["exceptions"])})
            for one in decided["proposals"]
        ),
        hold=tuple(decided["hold"]),
        frontier=decided["frontier"],
        limits=tuple(found["limits"]),
        at=times[-1] if times else None,
        problems=_problems(case),
    )


def kept_estimates(case: Case) -> tuple[Estimate, ...]:
    """The estimates as they were last measured.

    Raises:
        NothingToRead: the case was not measured.
    """
    path = case.path / "estimates.json"
    if not path.exists():
        raise NothingToRead(f"nothing of {str(case.path)!r} was measured; run `safecase measure {case.path}` first")
    return tuple(Estimate(**row) for row in json.loads(path.read_bytes()))


def standing_arguments(case: Case, *, at: dt.datetime) -> tuple[Argument, ...]:
    """The argument of every context, from the estimates as kept, with the concerns and acceptances of now.

    Args:
        at: the instant for which signers' keys must be valid.

    Raises:
        NothingToRead: the case was not measured.
        StatementBroken: an acceptance or an exception does not hold.
    """
    estimates = kept_estimates(case)
    decided = (case.path / "decision.json").exists()
    assume = bool(_predicate(case, "decision.json")["assume_frontier"]) if decided else False
    made = decide_estimates(case, estimates, assume_frontier=assume, at=at)
    return arguments_of(case, made, estimates, facts_of(case, assume_frontier=assume), at=at)


def _predicate(case: Case, name: str) -> Mapping[str, Any]:
    statement = read_envelope(case.path / name).statement()
    if statement.predicate_type != _SIGNED[name]:
        raise StatementBroken(f"{case.path / name}: a {statement.predicate_type!r}; run `safecase decide {case.path}`")
    return statement.predicate


def _problems(case: Case) -> tuple[str, ...]:
    """Signed files that no key of the case signed as they stand."""
    files = sorted((case.path / "keys").glob("*.pem"))
    keys = [parse_public_key(path.read_text(encoding="utf-8"), origin=str(path)) for path in files]
    return tuple(str(problem) for name in _SIGNED for problem in check_envelope(case.path / name, keys))
