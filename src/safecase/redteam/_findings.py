"""Findings, a person's review of each, and the requests that come of it.

A review is a ledger entry, so what was said once stays. An accepted finding proposes a scenario: its request, never the
answer, goes to `learned/` in the format of a bank. Nothing reads that file until a person names it in `banks:`.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from safecase.assess import CAMPAIGN_REVIEW, Case, Clock, record
from safecase.detect import find_personal_data, normalise
from safecase.evidence import Trial, TrialStore, canonical_json, digest_bytes
from safecase.redteam._campaign import Declared
from safecase.redteam._errors import NoSuchFinding
from safecase.redteam._events import EventStore, Filed, Opened
from safecase.redteam._recorder import SECTION

Standing = Literal["open", "accepted", "rejected"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A finding as it stands.

    Attributes:
        arm: which arm the answer came from; people who review see it, participants never do.
        by, note: of the review, None before one.
        duplicate_of: the scenario that held this request already when it was accepted, else None.
    """

    filed: Filed
    team: str
    arm: str
    standing: Standing = "open"
    by: str | None = None
    note: str | None = None
    scenario: str | None = None
    duplicate_of: str | None = None

    @property
    def id(self) -> str:
        """Of the finding."""
        return self.filed.finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What accepting a finding did.

    Attributes:
        bank: the file of proposals, None when the request was there already.
        duplicate_of: id of the scenario that holds it, else None.
        notes: what a person should look at, in sentences.
    """

    bank: Path | None
    scenario: str | None
    duplicate_of: str | None
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A finding opened for a reviewer: the request side, and the sealed parts in plain."""

    finding: Finding
    request: str
    answer: str | None
    comment: str | None


def read_findings(case: Case, campaign: str) -> tuple[Finding, ...]:
    """Every finding of a campaign with its review, in the order filed."""
    events = list(EventStore(case.path).read(campaign))
    talks = {event.conversation: event for event in events if isinstance(event, Opened)}
    reviews = {review["finding"]: review for review in _reviews(case, campaign)}
    return tuple(
        _standing(event, talks[event.conversation], reviews.get(event.finding))
        for event in events
        if isinstance(event, Filed)
    )


def show_finding(case: Case, campaign: str, finding: str, *, reader: str, now: Clock) -> Shown:
    """Open a finding's answer and comment for a reviewer, after a ledger entry that names them.

    Raises:
        NoSuchFinding: the campaign holds none of that id.
        KeyMissing: the hazard key is not here.
    """
    found = _find(case, campaign, finding)
    trial = _trial(case, found)
    vault = case.vault()
    subject = {"purpose": "red-team review", "finding": finding, "trial": trial.trial_id}
    case.ledger.append("sealed-read", actor=reader, subject=subject, at=now())
    sealed = found.filed.sealed
    return Shown(
        finding=found,
        request=request_side(trial),
        answer=vault.unseal(trial.sealed, trial.trial_id) if trial.sealed is not None else None,
        comment=vault.unseal(bytes.fromhex(sealed), finding) if sealed is not None else None,
    )


def reject_finding(case: Case, campaign: str, finding: str, *, by: str, note: str = "", now: Clock) -> None:
    """Say that a finding shows no weakness.

    Raises:
        NoSuchFinding: it is not there, or was reviewed already.
    """
    found = _open_finding(case, campaign, finding, by=by)
    _say(case, found, verdict="rejected", by=by, note=note, now=now)


def accept_finding(
    case: Case, declared: Declared, finding: str, *, by: str, note: str = "", text: str | None = None, now: Clock
) -> Accepted:
    """Say that a finding shows a weakness, and propose its request as a scenario.

    Args:
        text: the request in a reviewer's words; all the participant's messages up to the answer by default.

    Raises:
        NoSuchFinding: it is not there, or was reviewed already.
    """
    campaign = declared.campaign.id
    found = _open_finding(case, campaign, finding, by=by)
    request = (text if text is not None else request_side(_trial(case, found))).strip()
    bank = learned_path(campaign)
    rows = _rows(case.path / bank)
    known = _known_requests(case, rows)
    proposed = f"learned-{campaign}-{finding.removeprefix('f-')}"
    holder = known.get(request_digest(request))
    duplicate = holder if holder != proposed else None  # it holds itself where a crash cut the review off
    scenario = None if duplicate else proposed
    if scenario is not None and holder is None:
        row = {
            "id": scenario,
            "domain": found.filed.domain,
            "category": found.filed.category,
            "subcategory": f"red-team-{found.filed.vector}",
            "severity": found.filed.severity,
            "bears_on": [found.filed.category],
            "text": request,
            "twin": None,
            "source": f"{campaign}/{finding}",
        }
        data = b"".join(canonical_json(one) + b"\n" for one in [*rows, row])
        record(case, bank, data, action="redteam-learned", now=now, by=by, scenario=scenario)
    _say(case, found, verdict="accepted", by=by, note=note, now=now, scenario=scenario, duplicate_of=duplicate)
    kinds = sorted(Counter(span.kind for span in find_personal_data(request)))
    notes = [f"the request seems to hold personal data ({', '.join(kinds)})"] if kinds else []
    return Accepted(
        bank=None if scenario is None else case.path / bank,
        scenario=scenario,
        duplicate_of=duplicate,
        notes=tuple(notes),
    )


def learned_path(campaign: str) -> str:
    """The file of proposals, relative to the case."""
    return f"learned/redteam-{campaign}.jsonl"


def request_side(trial: Trial) -> str:
    """What the participant said up to and with this message, without a word of the answers."""
    said = [turn.content for turn in trial.turns if turn.role == "user"]
    return "\n\n".join([*said, trial.prompt])


def request_digest(text: str) -> str:
    """Digest of a request with disguise, case, punctuation and spacing undone: near-identical ones share it.

    >>> request_digest("How do I  pick a LOCK?") == request_digest("how do i pick a lock")
    True
    """
    letters = "".join(c if c.isalnum() else " " for c in normalise(text).casefold())
    return digest_bytes(" ".join(letters.split()).encode())


def _standing(event: Filed, talk: Opened, review: Mapping[str, Any] | None) -> Finding:
    if review is None:
        return Finding(filed=event, team=talk.team, arm=talk.arm)
    return Finding(
        filed=event,
        team=talk.team,
        arm=talk.arm,
        standing=review["verdict"],
        by=review["by"],
        note=review["note"] or None,
        scenario=review["scenario"],
        duplicate_of=review["duplicate_of"],
    )


def _find(case: Case, campaign: str, finding: str) -> Finding:
    for found in read_findings(case, campaign):
        if found.id == finding:
            return found
    raise NoSuchFinding(f"campaign {campaign!r} holds no finding {finding!r}; `safecase redteam findings` lists them")


def _open_finding(case: Case, campaign: str, finding: str, *, by: str) -> Finding:
    if not by.strip():
        raise NoSuchFinding("a review needs the person who makes it; give --by")
    found = _find(case, campaign, finding)
    if found.standing != "open":
        raise NoSuchFinding(f"finding {finding!r} was {found.standing} by {found.by!r}, and a review stands")
    return found


def _trial(case: Case, found: Finding) -> Trial:
    trials = TrialStore(case.path, section=SECTION).read({"trial_id": found.filed.trial})
    trial = next(trials, None)
    if trial is None:
        raise NoSuchFinding(f"finding {found.id!r} points at trial {found.filed.trial!r}, which is not in evidence")
    return trial


def _say(
    case: Case,
    found: Finding,
    *,
    verdict: Standing,
    by: str,
    note: str,
    now: Clock,
    scenario: str | None = None,
    duplicate_of: str | None = None,
) -> None:
    subject = {
        "campaign": found.filed.campaign,
        "finding": found.id,
        "verdict": verdict,
        "by": by,
        "note": note,
        "scenario": scenario,
        "duplicate_of": duplicate_of,
    }
    case.ledger.append(CAMPAIGN_REVIEW, actor=by, subject=subject, at=now())


def _reviews(case: Case, campaign: str) -> list[Mapping[str, Any]]:
    entries = case.ledger.entries() if case.ledger.path.exists() else iter(())
    return [e.subject for e in entries if e.action == CAMPAIGN_REVIEW and e.subject["campaign"] == campaign]


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def _known_requests(case: Case, rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Digest -> id of every request that the case's banks, or the proposals so far, hold."""
    held: Iterable[tuple[str, str]] = [(intent.text, intent.id) for intent in case.intents]
    return {request_digest(text): name for text, name in [*held, *((row["text"], row["id"]) for row in rows)]}
