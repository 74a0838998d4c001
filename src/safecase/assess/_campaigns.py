"""Red-team campaigns in a case: their counts, kept as files, and what the ledger says came in since.

Imports run one way and `redteam` stands above, so what a campaign found comes back through a file. It is named for its
bytes and never written over: an edition of the report finds the one that was in force when it was made.

    redteam report  ->  redteam/counted/<campaign>-<digest>.json  +  ledger entry  ->  report, verify
"""

from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from safecase.assess._campaign_rows import CAMPAIGN_EVENTS, CAMPAIGN_REVIEW
from safecase.assess._case import Case, Clock, NothingToRead
from safecase.evidence import Entry, canonical_json, digest_bytes, write_atomic
from safecase.measure import CampaignCounts
from safecase.report import CampaignLine, Campaigns

COUNTED = "redteam-counted"
DECLARED = "redteam/declared/"
"""Copies of every declaration, `<campaign>-<digest>.yaml`."""
_FOLDER = "redteam/counted"


def keep_counts(case: Case, counts: CampaignCounts, *, now: Clock) -> Path:
    """Write counts and name them in the ledger; nothing happens when they are those in force already."""
    data = canonical_json(counts.model_dump(mode="json")) + b"\n"
    digest = digest_bytes(data)
    path = case.path / _FOLDER / f"{counts.declared.id}-{digest[:12]}.json"
    inside = path.relative_to(case.path).as_posix()
    subject = {"path": inside, "sha256": digest, "campaign": counts.declared.id}
    standing = counted_entries(tuple(case.ledger.entries()), counts.declared.id)
    if not standing or standing[-1].subject != subject or not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, data)
        case.ledger.append(COUNTED, actor="safecase", subject=subject, at=now())
    return path


def counted_entries(entries: Sequence[Entry], campaign: str | None = None) -> list[Entry]:
    """The ledger's entries about counts, of one campaign or of all."""
    about = [entry for entry in entries if entry.action == COUNTED]
    return [entry for entry in about if campaign in (None, entry.subject.get("campaign"))]


def read_counts(case: Case, entry: Entry) -> CampaignCounts:
    """The counts that a ledger entry names.

    Raises:
        NothingToRead: the file is missing, changed, or not in a form that this safecase knows.
    """
    path = case.path / str(entry.subject["path"])
    data = path.read_bytes() if path.is_file() else b""
    mend = f"run `safecase redteam report {case.path}` again"
    if digest_bytes(data) != entry.subject["sha256"]:
        raise NothingToRead(f"{path}: the counts of a campaign are missing or changed; {mend}")
    try:
        return CampaignCounts.model_validate_json(data)
    except ValidationError as fault:
        raise NothingToRead(f"{path}: not the counts of a campaign ({fault.errors()[0]['msg']}); {mend}") from fault


def campaigns_at(case: Case, head: str) -> Campaigns:
    """Every campaign of a case as it stood at a ledger head: counted, held and not counted, or only declared.

    Args:
        head: the ledger's head when the edition was made; where the ledger does not know it, all of it is read.
    """
    entries = _up_to(case, head)
    standing = {str(entry.subject.get("campaign")): entry for entry in counted_entries(entries)}
    lines = tuple(_line(case, entry, entries) for _, entry in sorted(standing.items()))
    others = sorted(_declared(entries) - standing.keys())
    held = [name for name in others if any(_is_event(one, name) and one.subject.get("messages", 1) for one in entries)]
    return Campaigns(counted=lines, uncounted=tuple(held), silent=tuple(name for name in others if name not in held))


def _up_to(case: Case, head: str) -> tuple[Entry, ...]:
    entries = tuple(case.ledger.entries()) if case.ledger.path.exists() else ()
    place = next((at for at, entry in enumerate(entries) if entry.hash == head), len(entries) - 1)
    return entries[: place + 1]


def _line(case: Case, entry: Entry, entries: Sequence[Entry]) -> CampaignLine:
    counts = read_counts(case, entry)
    name = counts.declared.id
    seq = next((one.seq for one in entries if one.hash == counts.head), entry.seq)
    later = [one for one in entries if one.seq > seq]
    return CampaignLine(
        counts=counts,
        file=str(entry.subject["path"]),
        sha256=str(entry.subject["sha256"]),
        messages_since=_messages(later, name),
        reviews_since=sum(one.action == CAMPAIGN_REVIEW and one.subject["campaign"] == name for one in later),
        events_since=sum(_is_event(one, name) for one in later),
    )


def _declared(entries: Sequence[Entry]) -> set[str]:
    names = [Path(str(entry.subject.get("path", ""))) for entry in entries]
    return {name.stem.rpartition("-")[0] for name in names if name.as_posix().startswith(DECLARED)}


def _messages(entries: Sequence[Entry], campaign: str) -> int:
    return sum(int(entry.subject.get("messages", 0)) for entry in entries if _is_event(entry, campaign))


def _is_event(entry: Entry, campaign: str) -> bool:
    """An older safecase did not name the campaign, so such an entry may be about any."""
    return entry.action == CAMPAIGN_EVENTS and entry.subject.get("campaign", campaign) == campaign
