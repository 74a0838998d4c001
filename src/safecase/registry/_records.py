"""The records: what was reported, what went wrong, and what is owed to whom by when."""

from typing import Annotated, ClassVar, Literal

from pydantic import AwareDatetime, Field

from safecase.declare import IncidentKind, Record
from safecase.evidence import Verdict
from safecase.registry._facts import UNKNOWN, Fact, FactMoment

Channel = Literal["feedback", "risky-output", "model-fault", "security", "policy-violation", "non-compliance"]
Source = Literal["public", "in-app", "staff", "monitor", "redteam", "exchange"]
ReportStatus = Literal["received", "second-review", "disputed", "confirmed", "rejected", "closed"]
Severity = Literal[1, 2, 3, 4]
"""1 nuisance, 2 limited harm, 3 serious harm, 4 could add to mass harm; from 3 on two people review."""
Label = Verdict
DisclosureState = Literal["received", "acknowledged", "validated", "fixing", "fixed", "disclosed", "declined"]
IncidentStatus = Literal["open", "contained", "resolved", "closed"]
Text = Annotated[str, Field(min_length=1, max_length=20_000)]


class Kept(Record):
    """Base of what a registry keeps; `kind` names it in the events. A room may add kinds of its own."""

    kind: ClassVar[str]

    id: str
    case: str


class Attachment(Record):
    """A file that came with a report. Its bytes are sealed under `content`, its name with the text of the report.

    Attributes:
        type: media type as its first bytes say, never as its sender says.
        fingerprint: keyed hash of the bytes.
    """

    content: str
    type: str
    size: int
    fingerprint: str


class Review(Record):
    """One person's word on a report.

    Attributes:
        holds: whether it is what it says.
        gate, scenario: ids of the case's framework.
        label: what the reported answer is, for the judge's calibration.
        final: the last word of a third person where two differed.
    """

    by: str
    at: AwareDatetime
    holds: bool
    severity: Severity
    category: str
    gate: str | None = None
    scenario: str | None = None
    label: Label | None = None
    note: str = ""
    final: bool = False


class Exchanged(Record):
    """A message between the reporter and the desk; its words are sealed under `content`."""

    at: AwareDatetime
    by: Literal["reporter", "desk"]
    content: str


class Disclosure(Record):
    """Where a security report stands in coordinated disclosure.

    Attributes:
        embargo_until: nobody publishes before; None where nothing is agreed yet.
        bounty: amount in whole units of `currency`; None where none was decided, 0 where none is paid.
    """

    state: DisclosureState = "received"
    embargo_until: AwareDatetime | None = None
    bounty: Annotated[int, Field(ge=0)] | None = None
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = "USD"
    advisory: str | None = None


class Report(Kept):
    """What somebody, or a program, brought to the desk.

    Attributes:
        content: id of the sealed text (JSON with title, text, request, answer, contact and names of attachments).
        fingerprint: keyed hash of the text, so that equal texts meet and nobody can guess them from the database.
        group: id of the first report of its kind of text; its own where it is the first.
        spam: signs of spam, in words; a person decides.
        accused: keyed hashes of the people it accuses; they are kept out.
        token: keyed hash of the reporter's token; None where nobody follows up.
        event_ids: events of the gateway that it speaks of.
        severity, category, gate, scenario, label: what the reviews came to.
    """

    kind: ClassVar[str] = "report"

    channel: Channel
    source: Source = "public"
    confidentiality: Literal["open", "confidential", "anonymous"] = "open"
    received: AwareDatetime
    content: str
    fingerprint: str
    group: str
    spam: tuple[str, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    accused: tuple[str, ...] = ()
    token: str | None = None
    context: str | None = None
    trial_id: str | None = None
    event_ids: tuple[str, ...] = ()
    status: ReportStatus = "received"
    reviews: tuple[Review, ...] = ()
    severity: Severity | None = None
    category: str | None = None
    gate: str | None = None
    scenario: str | None = None
    label: Label | None = None
    incident: str | None = None
    disclosure: Disclosure | None = None
    messages: tuple[Exchanged, ...] = ()


class Awareness(Record):
    """From when it can be proved that the organisation knew.

    Attributes:
        evidence: what proves it: `report r-…`, `alert a-…`, `ledger <hash>`, or a person's word.
    """

    at: AwareDatetime
    evidence: Text
    reason: str = ""


class Step(Record):
    """One line of an incident's timeline."""

    at: AwareDatetime
    by: str
    what: Text


class Containment(Record):
    """What was done to a permit. `restriction` names the signed statement in the case."""

    at: AwareDatetime
    by: str
    action: Literal["stop", "narrow"]
    context: str
    reason: Text
    restriction: str


class IncidentFacts(Record):
    """The record that law asks for. *unknown* is a value.

    Source: EU Code of Practice, Safety & Security chapter, serious-incident fields.
    """

    began: FactMoment = UNKNOWN
    ended: FactMoment = UNKNOWN
    harm: Fact = UNKNOWN
    victims: Fact = UNKNOWN
    chain_of_events: Fact = UNKNOWN
    model: Fact = UNKNOWN
    evidence_of_involvement: Fact = UNKNOWN
    response: Fact = UNKNOWN
    recommendation: Fact = UNKNOWN
    root_cause: Fact = UNKNOWN
    patterns: Fact = UNKNOWN


class Incident(Kept):
    """Something that went wrong, or nearly did.

    Attributes:
        kinds: all that fit; a clock starts for each that a regime names.
        near_miss: nothing was harmed; no clock runs.
        imminent: whether death or serious injury threatens; *unknown* counts as yes.
        scenario: threat scenario of the case's framework.
        not_owed: regime -> why its clocks do not run, as a person said.
        similar_to: a name of another provider's model, where the incident happened elsewhere.
    """

    kind: ClassVar[str] = "incident"

    title: Text
    kinds: tuple[IncidentKind, ...]
    near_miss: bool = False
    severity: Severity
    imminent: bool | Literal["unknown"] = UNKNOWN
    status: IncidentStatus = "open"
    owner: str
    opened: AwareDatetime
    awareness: Awareness
    contexts: tuple[str, ...] = ()
    reports: tuple[str, ...] = ()
    alerts: tuple[str, ...] = ()
    scenario: str | None = None
    similar_to: str | None = None
    facts: IncidentFacts = IncidentFacts()
    timeline: tuple[Step, ...] = ()
    containment: tuple[Containment, ...] = ()
    not_owed: dict[str, Text] = Field(default_factory=dict)
    resolved: AwareDatetime | None = None
    closed: AwareDatetime | None = None


class Obligation(Kept):
    """Something owed by a moment.

    Attributes:
        about: what it is owed for: the id of an incident, of a report, or of the case.
        rule: `<pack>.<rule>`; with `pack_sha256` the very text it follows from.
        since: the moment its clock runs from, and `basis` in words.
        due: the last moment.
        met, reference: when it was met, and by what (a receipt's number, a message's id).
        lapsed: why it fell away without being met.
    """

    kind: ClassVar[str] = "obligation"

    about: str
    regime: str
    rule: str
    what: Text
    citation: Text
    pack_version: str
    pack_sha256: str
    zone: str
    since: AwareDatetime
    basis: Text
    due: AwareDatetime
    number: int = 1
    met: AwareDatetime | None = None
    reference: str | None = None
    lapsed: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether it still has to be met."""
        return self.met is None and self.lapsed is None
