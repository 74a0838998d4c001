"""Clock packs: a law's periods as data, each with its citation; a version and a digest name the very text."""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self, get_args
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field, model_validator

from safecase.declare import Document, Id, PackError, Problem, Record
from safecase.evidence import digest_bytes
from safecase.registry import Channel, IncidentKind

_HERE = Path(__file__).parent / "packs"

Trigger = Literal[
    "aware",
    "resolved",
    "report-received",
    "framework-reviewed",
    "framework-changed",
    "report-published",
    "update-confirmed",
    "summary-sent",
]
"""What starts a clock. The first two are moments of an incident, the third of a report, the others of the case."""
CASE_TRIGGERS = tuple(name for name in get_args(Trigger) if name not in {"aware", "resolved", "report-received"})
Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=1)]

FIELDS = {
    "organisation": "the organisation",
    "contact": "its contact",
    "incident": "id of the incident",
    "title": "title",
    "kinds": "what kinds it is of",
    "severity": "severity, 1 to 4",
    "imminent": "whether death or serious injury threatens",
    "awareness": "when we became aware, and what proves it",
    "opened": "when the record was opened",
    "status": "status",
    "contexts": "deployment contexts",
    "containment": "what was done to the permit",
    "timeline": "timeline",
    "resolved": "when it was resolved",
    "facts.began": "when it began",
    "facts.ended": "when it ended",
    "facts.harm": "harm",
    "facts.victims": "victims or those affected",
    "facts.chain_of_events": "chain of events",
    "facts.model": "model involved",
    "facts.evidence_of_involvement": "evidence of the model's involvement",
    "facts.response": "response",
    "facts.recommendation": "recommendation to the authority",
    "facts.root_cause": "root cause",
    "facts.patterns": "patterns and near misses",
}
"""What a filing can be made of, by the name a pack uses."""


class Period(Record):
    """A stretch of time: exactly one of these. Hours run by the clock; the others by the calendar of the zone."""

    hours: Count | None = None
    days: Count | None = None
    business_days: Count | None = None
    weeks: Count | None = None
    months: Count | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if len(self.model_dump(exclude_none=True)) != 1:
            raise ValueError("give exactly one of hours, days, business_days, weeks, months")
        return self


class ClockRule(Record):
    """One thing owed.

    Attributes:
        kinds: kinds of incident that start it; empty: every kind.
        channels: channels of report that start it.
        imminent: true: only where death or serious injury threatens, or nobody knows.
        one_of: of the rules of this name in the pack only the earliest is owed.
        within: by when, once. every: by when, again and again.
        restarts: what the next period of `every` runs from: the clock's start, or the moment the last was met.
        ends: the same clock time, or the end of the last day.
    """

    id: Id
    what: Text
    citation: Text
    trigger: Trigger
    kinds: tuple[IncidentKind, ...] = ()
    channels: tuple[Channel, ...] = ()
    imminent: bool = False
    one_of: str | None = None
    within: Period | None = None
    every: Period | None = None
    restarts: Literal["from-start", "when-met"] = "from-start"
    ends: Literal["same-time", "end-of-day"] = "same-time"

    @model_validator(mode="after")
    def _one_period(self) -> Self:
        if (self.within is None) == (self.every is None):
            raise ValueError("give either `within:` or `every:`")
        return self

    @property
    def period(self) -> Period:
        """Its period, whichever way it is owed."""
        return self.within or self.every  # type: ignore[return-value]  # the validator saw to it


class FilingField(Record):
    """A line of a filing."""

    label: Text
    of: Text = Field(description="name of a value, as in `FIELDS`")


class ClockPack(Record):
    """A law, a code or a framework as clocks."""

    id: Id
    title: Text
    version: Text
    date: dt.date
    source: Text
    authority: Text
    zone: Text
    keep_years: Count | None = None
    notes: tuple[Text, ...] = ()
    rules: tuple[ClockRule, ...] = Field(min_length=1)
    filing: tuple[FilingField, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A pack with the digest of its file."""

    pack: ClockPack
    sha256: str


def shipped_clock_packs() -> tuple[str, ...]:
    """Ids of the packs that come with the program."""
    return tuple(sorted(path.stem for path in _HERE.glob("*.yaml")))


def load_packs(names: Iterable[str], *, beside: Path) -> Mapping[str, Loaded]:
    """Read clock packs.

    Args:
        names: ids of shipped packs, or paths to YAML files, relative ones from `beside`.

    Raises:
        PackError: a file is missing or wrong, each fault with its line.
    """
    found: dict[str, Loaded] = {}
    for name in names:
        path = beside / name if Path(name).suffix in {".yaml", ".yml"} else _HERE / f"{name}.yaml"
        loaded = _load(path)
        found[loaded.pack.id] = loaded
    return found


def _load(path: Path) -> Loaded:
    document = Document(path)
    pack = document.parse(ClockPack)
    if problems := tuple(_faults(pack, document)):
        raise PackError(problems)
    return Loaded(pack=pack, sha256=digest_bytes(document.text.encode()))


def _faults(pack: ClockPack, document: Document) -> Iterable[Problem]:
    if pack.zone not in available_timezones():
        yield document.problem(("zone",), f"zone is {pack.zone!r}", "give an IANA name such as Europe/Brussels")
    seen: set[str] = set()
    for number, rule in enumerate(pack.rules):
        if rule.id in seen:
            yield document.problem(("rules", number), f"rule {rule.id!r} stands twice", "give it another id")
        seen.add(rule.id)
    for number, field in enumerate(pack.filing):
        if field.of not in FIELDS:
            known = ", ".join(FIELDS)
            yield document.problem(("filing", number), f"field is made of {field.of!r}", f"use one of {known}")


def zone_of(pack: ClockPack) -> ZoneInfo:
    """The zone whose calendar a pack's days are counted in."""
    return ZoneInfo(pack.zone)
