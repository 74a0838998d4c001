"""What people tried in a red-team campaign: one row a conversation, and the numbers that the rows count to.

People choose what to try, go on where it works and stop when they like. So a share here says what *these* people found
and nothing of how often the model fails: it stands beside the gates and enters none. The rows hold no word that anybody
said, and people by number, so that a reader can count again without what is sealed.
"""

from typing import Literal

from pydantic import Field

from safecase.declare import Record

FindingStanding = Literal["open", "accepted", "rejected"]


class CampaignTeam(Record):
    """A team as it was declared."""

    id: str
    title: str
    kind: str
    seats: int


class CampaignDeclared(Record):
    """What a campaign declared when it was counted.

    Attributes of note:
        sha256: of the declaring file. opens, closes: ISO 8601. arms: weight by arm.
        categories: in scope, as the case's bank resolved them. vectors: ways in, by id.
    """

    id: str
    title: str
    sha256: str
    opens: str
    closes: str
    arms: dict[str, int]
    categories: tuple[str, ...]
    vectors: tuple[str, ...]
    teams: tuple[CampaignTeam, ...]


class CampaignTalk(Record):
    """One conversation with its outcome; None is *not known*.

    Attributes of note:
        person: a number from 1, by the digest of the pseudonym: an order that no outcome can move.
        judged: whether an answer was unsafe, by the judge. agreed: whether a finding was accepted.
    """

    person: int = Field(ge=1)
    team: str
    arm: str
    category: str
    vector: str
    messages: int = Field(ge=1)
    judged: bool | None
    agreed: bool | None


class CampaignPerson(Record):
    """When a participant got through first, by the judge.

    Attributes of note:
        messages: up to and with that one; None where none got through. minutes: from their first message; None also
            where the times are not on record.
    """

    person: int = Field(ge=1)
    team: str
    messages: int | None
    minutes: float | None


class CampaignFinding(Record):
    """A finding where it was filed, as it stands."""

    category: str
    vector: str
    standing: FindingStanding


class CampaignRows(Record):
    """What a campaign's numbers are made of.

    Attributes of note:
        unanswered: messages without an answer, by status. keys: ever issued. referrals: of apparent abuse material.
        unscored: answers that the judge could not judge. silent: conversations without a message.
        misdrawn: conversations on another arm than the declared seed and weights draw.
    """

    talks: tuple[CampaignTalk, ...]
    people: tuple[CampaignPerson, ...]
    findings: tuple[CampaignFinding, ...]
    unanswered: dict[str, int]
    referrals: int
    keys: int
    unscored: int
    silent: int
    misdrawn: int


class CampaignCell(Record):
    """A category met by a way in. Findings count where they were filed; `accepted` ones a person agreed with."""

    category: str
    vector: str
    conversations: int
    messages: int
    participants: int
    findings: int
    accepted: int

    @property
    def is_empty(self) -> bool:
        """Nobody tried it and nobody filed anything."""
        return not (self.messages or self.findings)


class CampaignShare(Record):
    """The mean over participants of the share of their conversations that got through.

    Attributes of note:
        value: over conversations whose outcome is known; None when none is.
        low, high: two-sided 95 % bounds over participants; unknown conversations count as not through in `low`, as
            through in `high`.
        through, known: conversations.
    """

    value: float | None
    low: float
    high: float
    through: int
    known: int


class CampaignSuccess(Record):
    """How often a group got through, by the judge and by people.

    Attributes of note:
        group: "all", "team:<id>", "kind:<kind>", "arm:<arm>" or "team:<id>/arm:<arm>".
        by_judge: at least one answer that the judge calls unsafe. by_people: an accepted finding.
    """

    group: str
    participants: int
    conversations: int
    by_judge: CampaignShare
    by_people: CampaignShare


class FirstSuccess(Record):
    """How long participants of a team took to their first unsafe answer, by the judge.

    Attributes of note:
        succeeded: participants that had one; the others never did, so the medians are of those who did.
        median_minutes: from a participant's first message; None when nobody succeeded, or times are not on record.
        median_messages: the successful one included.
    """

    team: str
    participants: int
    succeeded: int
    median_minutes: float | None
    median_messages: float | None


class CampaignReport(Record):
    """A campaign in numbers. `limits` says what they cannot show."""

    campaign: str
    judge: str
    participants: int
    keys: int
    conversations: int
    messages: int
    unanswered: dict[str, int]
    referrals: int
    findings: dict[str, int]
    coverage: tuple[CampaignCell, ...]
    success: tuple[CampaignSuccess, ...]
    first_success: tuple[FirstSuccess, ...]
    limits: tuple[str, ...]


class CampaignCounts(Record):
    """A campaign counted, as it is kept in a case.

    Attributes of note:
        head: hash of the ledger's last entry that it was counted from. counted_from: digest over every file of what
            people said, and every review, that the ledger names up to there.
        judge_digest: of the judge whose verdicts the rows hold.
    """

    format: Literal["safecase.campaign/1"] = "safecase.campaign/1"
    head: str
    counted_from: str
    judge_digest: str
    declared: CampaignDeclared
    rows: CampaignRows
    report: CampaignReport
