"""Keep the records that people are accountable for: reports, incidents and obligations, in SQL.

Takes:  frozen records, who did what when, and a 32-byte key.
Gives:  current records, the events that led to them in one hash chain, sealed contents that can be made unreadable.
Does not own: what a record means, who may read it, the clock, the key, laws.
"""

from safecase.declare import IncidentKind
from safecase.registry._errors import (
    AlreadyRecorded,
    ContentErased,
    ContentUnreadable,
    NoSuchRecord,
    RegistryBroken,
    RegistryError,
    RegistryUnavailable,
)
from safecase.registry._facts import UNKNOWN, Fact, FactMoment
from safecase.registry._records import (
    Attachment,
    Awareness,
    Channel,
    Containment,
    Disclosure,
    DisclosureState,
    Exchanged,
    Incident,
    IncidentFacts,
    IncidentStatus,
    Kept,
    Label,
    Obligation,
    Report,
    ReportStatus,
    Review,
    Severity,
    Source,
    Step,
)
from safecase.registry._store import Event, Registry, Writer

__all__ = [
    "UNKNOWN",
    "AlreadyRecorded",
    "Attachment",
    "Awareness",
    "Channel",
    "Containment",
    "ContentErased",
    "ContentUnreadable",
    "Disclosure",
    "DisclosureState",
    "Event",
    "Exchanged",
    "Fact",
    "FactMoment",
    "Incident",
    "IncidentFacts",
    "IncidentKind",
    "IncidentStatus",
    "Kept",
    "Label",
    "NoSuchRecord",
    "Obligation",
    "Registry",
    "RegistryBroken",
    "RegistryError",
    "RegistryUnavailable",
    "Report",
    "ReportStatus",
    "Review",
    "Severity",
    "Source",
    "Step",
    "Writer",
]
