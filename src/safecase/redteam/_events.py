"""What happened in a campaign beside the answers: consents, conversations, messages, findings, referrals.

Events lie in immutable JSONL segments under `evidence/redteam/events/`, each named for its bytes and listed in the
case's ledger before anyone is told that it is kept:

    write whole -> fsync -> ledger entry {path, sha256, rows, campaign, messages}

Killed between the two, the next server lists the segment that is there. Killed before, the batch was never kept.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from safecase.assess import CAMPAIGN_EVENTS, Clock
from safecase.declare import Record
from safecase.evidence import (
    CorruptedSegment,
    Ledger,
    Problem,
    canonical_json,
    digest_bytes,
    write_atomic,
)

FOLDER = "evidence/redteam/events"


class Event(Record):
    """What every event says. `at`: ISO 8601, UTC."""

    campaign: str
    at: str
    participant: str


class Consent(Event):
    """A participant agreed to a consent text and rules, named by their digest."""

    kind: Literal["consent"] = "consent"
    consent_digest: str


class Opened(Event):
    """A conversation began. `arm` was drawn for the participant's conversation number `ordinal`."""

    kind: Literal["conversation"] = "conversation"
    conversation: str
    team: str
    arm: str
    ordinal: int
    category: str
    domain: str
    vector: str
    language: str
    stack_digest: str


class Said(Event):
    """A message was answered, or failed. `tokens` is what it was charged."""

    kind: Literal["message"] = "message"
    conversation: str
    index: int
    trial: str
    status: str
    tokens: int


class Filed(Event):
    """A finding.

    Attributes of note:
        trial: the answer it points at.
        sealed: hex of the comment under the hazard key, bound to the finding's id; None where it may not be kept.
    """

    kind: Literal["finding"] = "finding"
    finding: str
    conversation: str
    index: int
    trial: str
    category: str
    domain: str
    severity: int
    vector: str
    sealed: str | None = None
    comment_digest: str


class Referred(Event):
    """Apparent child-abuse material came up: only its digest is kept, for the referral that a person must make."""

    kind: Literal["referral"] = "referral"
    conversation: str
    where: Literal["message", "answer", "comment"]
    text_digest: str


AnyEvent = Annotated[Consent | Opened | Said | Filed | Referred, Field(discriminator="kind")]
_ANY: TypeAdapter[AnyEvent] = TypeAdapter(AnyEvent)


class EventStore:
    """The events of a case. One object is for one thread at a time.

    Args:
        case_dir: the case; its ledger lists the segments.
    """

    def __init__(self, case_dir: Path) -> None:
        self._case_dir = case_dir
        self._folder = case_dir / FOLDER
        self._ledger = Ledger(case_dir / "ledger.jsonl")

    def append(self, events: Sequence[AnyEvent], *, now: Clock) -> None:
        """Write events as one segment and list it. When this returns, the disk has both.

        Raises:
            DiskFull: no space left; nothing of the batch is listed.
            ValueError: no events.
        """
        if not events:
            raise ValueError("nothing to append: a segment holds at least one event")
        data = b"".join(canonical_json(event.model_dump(mode="json")) + b"\n" for event in events)
        path = self._folder / f"{digest_bytes(data)[:24]}.jsonl"
        if not path.exists():  # the same bytes, written before a ledger entry failed, are the same segment
            write_atomic(path, data, replace=False)
        self._list(path, data, events, now=now, was_found=False)

    def adopt(self, *, now: Clock) -> int:
        """List whole segments that a crash left unlisted; how many."""
        listed = {path for path, _ in self._segments()}
        found = sorted(self._folder.glob("*.jsonl")) if self._folder.is_dir() else []
        lost = [path for path in found if path.relative_to(self._case_dir).as_posix() not in listed]
        whole = [(path, data) for path in lost if digest_bytes(data := path.read_bytes()).startswith(path.stem)]
        for path, data in whole:
            self._list(path, data, _parse(data), now=now, was_found=True)
        return len(whole)

    def read(self, campaign: str) -> Iterator[AnyEvent]:
        """Events of a campaign in the order they were listed.

        Raises:
            CorruptedSegment: a listed segment is missing or changed.
        """
        for name, sha256 in self._segments():
            path = self._case_dir / name
            data = path.read_bytes() if path.is_file() else b""
            if digest_bytes(data) != sha256:
                problem = Problem(file=path, what="it is missing or changed", mend="restore it from a copy of the case")
                raise CorruptedSegment(problem)
            yield from (event for event in _parse(data) if event.campaign == campaign)

    def _segments(self) -> list[tuple[str, str]]:
        if not self._ledger.path.exists():
            return []
        named = [entry.subject for entry in self._ledger.entries() if entry.action == CAMPAIGN_EVENTS]
        return list({str(subject["path"]): str(subject["sha256"]) for subject in named}.items())

    def _list(self, path: Path, data: bytes, events: Sequence[AnyEvent], *, now: Clock, was_found: bool) -> None:
        name = path.relative_to(self._case_dir).as_posix()
        messages = sum(isinstance(event, Said) for event in events)
        # One server writes a segment, for one campaign; a bundle without the segment still knows how much came in.
        said = {"rows": len(events), "campaign": events[0].campaign, "messages": messages}
        subject = {"path": name, "sha256": digest_bytes(data), **said}
        more = {"found_after_a_crash": True} if was_found else {}
        self._ledger.append(CAMPAIGN_EVENTS, actor="safecase", subject={**subject, **more}, at=now())


def _parse(data: bytes) -> list[AnyEvent]:
    return [_ANY.validate_python(json.loads(line)) for line in data.splitlines()]
