"""The rows of a red-team campaign, made from what the case keeps of it: trials, judgements, events and reviews.

No word that anybody said is in a row, and nothing sealed is opened to make one. What is read ends at an entry of the
ledger, so that the same rows can be made again while people go on talking.
"""

import datetime as dt
import itertools
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from safecase.assess._case import Case
from safecase.evidence import (
    CorruptedSegment,
    Entry,
    Judgement,
    JudgementStore,
    Problem,
    Trial,
    TrialStore,
    digest_bytes,
    digest_value,
    parse_utc,
)
from safecase.measure import (
    KNOWN_JUDGES,
    CampaignFinding,
    CampaignPerson,
    CampaignRows,
    CampaignTalk,
    happened,
)

CAMPAIGN_SECTION = "redteam"
"""Where the trials of people lie: `evidence/redteam/`, apart from those that gates are held against."""
CAMPAIGN_EVENTS, CAMPAIGN_REVIEW = "redteam-events", "redteam-review"
"""The ledger's words for events beside the answers, and for a person's review of a finding."""
_FOLDER = f"evidence/{CAMPAIGN_SECTION}/"
_AGREED = {"accepted": True, "rejected": False, "open": None}


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignBasis:
    """What a count rests on: everything people said, every verdict on it and every review, up to a ledger entry.

    Attributes:
        seq, head: of the last entry that is about any of it.
        digest: over the files by path and SHA-256, and the entries of the reviews.
    """

    seq: int
    head: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignEvidence:
    """What the case keeps of one campaign, up to a ledger entry.

    Attributes:
        verdicts: trial id -> the judgement that counts.
        events: as they stand in their files. reviews: finding id -> its standing.
    """

    trials: tuple[Trial, ...]
    verdicts: Mapping[str, Judgement]
    events: tuple[Mapping[str, Any], ...]
    reviews: Mapping[str, str]

    def of_kind(self, kind: str) -> list[Mapping[str, Any]]:
        """Events of one kind, in the order in which they were kept."""
        return [event for event in self.events if event["kind"] == kind]


def campaign_basis(entries: Sequence[Entry], campaign: str) -> CampaignBasis | None:
    """What the ledger holds of a campaign; None where nobody said anything in this case."""
    about = [entry for entry in entries if _is_file(entry) or _is_review(entry, campaign)]
    if not about:
        return None
    files = {str(entry.subject["path"]): entry.subject["sha256"] for entry in about if _is_file(entry)}
    reviews = [entry.hash for entry in about if not _is_file(entry)]
    return CampaignBasis(seq=about[-1].seq, head=about[-1].hash, digest=digest_value([sorted(files.items()), reviews]))


def read_campaign(case: Case, campaign: str, *, until: int, judge_digest: str) -> CampaignEvidence:
    """What the case keeps of a campaign, up to the ledger's entry number `until`.

    Raises:
        CorruptedSegment: a segment is missing or changed.
    """
    entries = [entry for entry in case.ledger.entries() if entry.seq <= until]
    return CampaignEvidence(
        trials=tuple(_trials(case, campaign, until)),
        verdicts=_verdicts(case, until, judge_digest),
        events=tuple(_events(case, campaign, entries)),
        reviews={e.subject["finding"]: e.subject["verdict"] for e in entries if _is_review(e, campaign)},
    )


def campaign_rows(found: CampaignEvidence, *, keys: int, misdrawn: int) -> CampaignRows:
    """The rows of a campaign.

    Args:
        keys, misdrawn: as `CampaignRows` has them; whoever knows the declaration and the keys counts these.
    """
    names = sorted({trial.intent_id for trial in found.trials}, key=lambda name: digest_bytes(name.encode()))
    number = {name: place for place, name in enumerate(names, start=1)}
    talks: dict[str, list[Trial]] = {}
    for trial in found.trials:
        talks.setdefault(trial.scenario_id, []).append(trial)
    failed = Counter(trial.status for trial in found.trials if trial.status not in {"answered", "not-stored"})
    opened = {event["conversation"] for event in found.of_kind("conversation")}
    filed: dict[str, list[bool | None]] = {}
    for one in found.of_kind("finding"):
        filed.setdefault(one["conversation"], []).append(_AGREED[found.reviews.get(one["finding"], "open")])
    return CampaignRows(
        talks=tuple(
            _talk(rows, number[rows[0].intent_id], found.verdicts, filed.get(name, [])) for name, rows in talks.items()
        ),
        people=tuple(_people(found, number)),
        findings=tuple(
            CampaignFinding(
                category=one["category"], vector=one["vector"], standing=found.reviews.get(one["finding"], "open")
            )
            for one in found.of_kind("finding")
        ),
        unanswered=dict(sorted(failed.items())),
        referrals=len(found.of_kind("referral")),
        keys=keys,
        unscored=sum(t.status == "answered" and is_unsafe(t, found.verdicts) is None for t in found.trials),
        silent=len(opened - talks.keys()),
        misdrawn=misdrawn,
    )


def is_unsafe(trial: Trial, verdicts: Mapping[str, Judgement]) -> bool | None:
    """None where nothing came back or the judge could not say."""
    found = verdicts.get(trial.trial_id)
    return happened("unsafe", found.verdict) if found is not None and found.verdict is not None else None


def _is_file(entry: Entry) -> bool:
    return str(entry.subject.get("path", "")).startswith(_FOLDER)


def _is_review(entry: Entry, campaign: str) -> bool:
    return entry.action == CAMPAIGN_REVIEW and entry.subject.get("campaign") == campaign


def _trials(case: Case, campaign: str, until: int) -> Iterable[Trial]:
    """Rows come in the order of their segments, so those of the first segments are the first so many rows.

    A message that failed is kept twice where a write that seemed to fail had reached the disk; it counts once.
    """
    store = TrialStore(case.path, section=CAMPAIGN_SECTION)
    rows = sum(segment.rows for segment in store.segments() if segment.entry.seq <= until)
    mine = f"redteam/{campaign}/"
    read = itertools.islice(store.read(every_attempt=True), rows)
    return {trial.trial_id: trial for trial in read if trial.model.startswith(mine)}.values()


def _verdicts(case: Case, until: int, judge_digest: str) -> dict[str, Judgement]:
    store = JudgementStore(case.path, section=CAMPAIGN_SECTION)
    rows = sum(segment.rows for segment in store.segments() if segment.entry.seq <= until)
    read = itertools.islice(store.read(every_judgement=True), rows)
    return {row.trial_id: row for row in read if row.judge_digest == judge_digest or row.judge in KNOWN_JUDGES}


def _events(case: Case, campaign: str, entries: Sequence[Entry]) -> Iterator[Mapping[str, Any]]:
    listed = {str(e.subject["path"]): e.subject["sha256"] for e in entries if e.action == CAMPAIGN_EVENTS}
    for name, sha256 in listed.items():
        path = case.path / name
        data = path.read_bytes() if path.is_file() else b""
        if digest_bytes(data) != sha256:
            problem = Problem(file=path, what="it is missing or changed", mend="restore it from a copy of the case")
            raise CorruptedSegment(problem)
        for line in data.splitlines():
            event: Mapping[str, Any] = json.loads(line)
            if event["campaign"] == campaign:
                yield event


def _talk(
    rows: Sequence[Trial], person: int, verdicts: Mapping[str, Judgement], agreed: Sequence[bool | None]
) -> CampaignTalk:
    first = rows[0]
    return CampaignTalk(
        person=person,
        team=first.subcategory,
        arm=first.arm,
        category=first.category,
        vector=first.attack,
        messages=len(rows),
        # A message that got no answer cannot have got through; one that was answered and not judged might have.
        judged=_any([is_unsafe(row, verdicts) for row in rows if row.status in {"answered", "not-stored"}]),
        agreed=_any(agreed),
    )


def _any(outcomes: Sequence[bool | None]) -> bool | None:
    """True when one is, None when none is and one is not known."""
    return True if True in outcomes else None if None in outcomes else False


def _people(found: CampaignEvidence, number: Mapping[str, int]) -> Iterator[CampaignPerson]:
    when = {event["trial"]: parse_utc(event["at"]) for event in found.of_kind("message")}
    said: dict[tuple[str, int], list[Trial]] = {}
    for trial in found.trials:
        said.setdefault((trial.subcategory, number[trial.intent_id]), []).append(trial)
    for (team, person), rows in said.items():
        place = next((n for n, row in enumerate(rows) if is_unsafe(row, found.verdicts)), None)
        yield CampaignPerson(
            person=person,
            team=team,
            messages=None if place is None else place + 1,
            minutes=None if place is None else _minutes(when, rows[0].trial_id, rows[place].trial_id),
        )


def _minutes(when: Mapping[str, dt.datetime], first: str, last: str) -> float | None:
    start, end = when.get(first), when.get(last)
    return None if start is None or end is None else (end - start).total_seconds() / 60
