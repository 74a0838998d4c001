"""Draft filings, made from the record alone: Markdown for people, JSON for programs. A person sends them.

What the record does not know stands there as *unknown*, and is listed once more at the end, so that nobody has to look
for it.
"""

import datetime as dt
import html
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safecase.assess import record
from safecase.evidence import canonical_json, digest_bytes, format_utc
from safecase.registry import UNKNOWN, Incident, Obligation
from safecase.respond._desk import FOLDER, Desk, person_name
from safecase.respond._errors import BadWord
from safecase.respond._incidents import incident_for

_NONE = "none on record"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filing:
    """A draft.

    Attributes:
        data: what the JSON holds.
        markdown: the same for people.
        unknown: labels of the fields that nobody knows.
    """

    data: dict[str, Any]
    markdown: str
    unknown: tuple[str, ...]


def draft_filing(desk: Desk, obligation_id: str, *, by: str, now: dt.datetime) -> Filing:
    """Draft what an obligation of an incident asks for.

    Raises:
        NoSuchRecord: no such obligation, or its incident is not for this person.
        BadWord: it is not about an incident, or its pack has no filing.
    """
    owed = desk.registry.get(Obligation, obligation_id)
    loaded = desk.packs.get(owed.regime)
    if loaded is None or not loaded.pack.filing or not owed.about.startswith("i-"):
        raise BadWord(f"obligation {obligation_id!r} asks for no filing that can be drafted; it owes {owed.what!r}")
    incident = incident_for(desk, owed.about, person_name(by))
    fields = [(field.label, _VALUES[field.of](desk, incident)) for field in loaded.pack.filing]
    unknown = tuple(label for label, value in fields if value == UNKNOWN)
    data = {
        "draft": True,
        "regime": owed.regime,
        "title": loaded.pack.title,
        "authority": loaded.pack.authority,
        "what": owed.what,
        "citation": owed.citation,
        "pack": {"version": owed.pack_version, "sha256": owed.pack_sha256},
        "obligation": owed.id,
        "due": format_utc(owed.due),
        "drafted": format_utc(now),
        "registry_head": desk.registry.head(),
        "fields": [{"label": label, "value": value} for label, value in fields],
        "unknown": list(unknown),
    }
    return Filing(data=data, markdown=_markdown(data, owed, now=now), unknown=unknown)


def write_filing(desk: Desk, obligation_id: str, *, by: str, now: dt.datetime) -> tuple[Path, Path, Filing]:
    """Draft it and keep both forms in the case, named by the ledger. A later draft stands beside an earlier one.

    Returns:
        The Markdown, the JSON, and the draft.
    """
    filing = draft_filing(desk, obligation_id, by=by, now=now)
    data = canonical_json(filing.data) + b"\n"
    stem = f"{FOLDER}/filings/{obligation_id}-{digest_bytes(data)[:8]}"
    for name, content in ((f"{stem}.md", filing.markdown.encode()), (f"{stem}.json", data)):
        said = {"obligation": obligation_id, "by": by, "unknown": len(filing.unknown)}
        record(desk.case, name, content, action="filing-drafted", now=lambda: now, **said)
    return desk.case.path / f"{stem}.md", desk.case.path / f"{stem}.json", filing


def _markdown(data: dict[str, Any], owed: Obligation, *, now: dt.datetime) -> str:
    late = owed.is_open and now > owed.due
    lines = [
        f"# DRAFT: {owed.what}",
        "",
        f"To: {data['authority']}. Under: {data['title']} ({owed.citation}).",
        f"Due: {data['due']}{' - **OVERDUE**' if late else ''}. Drafted: {data['drafted']}.",
        "",
        "A program drafted this from the record. A person checks it and sends it.",
        "",
    ]
    for field in data["fields"]:
        lines += [f"## {field['label']}", "", *_quoted(field["value"]), ""]
    lines += [
        "## Not known",
        "",
        *([f"- {label}" for label in data["unknown"]] or ["Nothing is marked as unknown."]),
        "",
    ]
    lines.append(f"Obligation `{owed.id}`, pack version {owed.pack_version}, registry head `{data['registry_head']}`.")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> list[str]:
    """Lines of a quotation; markup in them stays text."""
    shown = html.escape(text, quote=False)
    return [f"> {_plain(line)}" for line in shown.splitlines() or [""]]


def _plain(line: str) -> str:
    return "".join(f"\\{sign}" if sign in "\\`*_{}[]#!|" else sign for sign in line)


# --- What fields are made of ------------------------------------------------------------------------------------------

Value = Callable[[Desk, Incident], str]


def _moment(at: dt.datetime | str | None) -> str:
    return at.isoformat() if isinstance(at, dt.datetime) else (at or "not yet")


def _fact(name: str) -> Value:
    return lambda _, incident: _moment(getattr(incident.facts, name))


def _awareness(_: Desk, incident: Incident) -> str:
    aware = incident.awareness
    return f"{aware.at.isoformat()} ({aware.evidence})" + (f"; {aware.reason}" if aware.reason else "")


def _imminent(_: Desk, incident: Incident) -> str:
    return incident.imminent if isinstance(incident.imminent, str) else ("yes" if incident.imminent else "no")


def _contained(_: Desk, incident: Incident) -> str:
    done = [
        f"{one.at.isoformat()}: permit of {one.context}: {one.action} ({one.restriction})"
        for one in incident.containment
    ]
    return "\n".join(done) or _NONE


def _timeline(_: Desk, incident: Incident) -> str:
    return "\n".join(f"{step.at.isoformat()}: {step.what}" for step in incident.timeline)


_VALUES: dict[str, Value] = {
    "organisation": lambda desk, _: desk.spec.organisation,
    "contact": lambda desk, _: desk.spec.contact or UNKNOWN,
    "incident": lambda _, incident: incident.id,
    "title": lambda _, incident: incident.title,
    "kinds": lambda _, incident: ", ".join(incident.kinds),
    "severity": lambda _, incident: str(incident.severity),
    "imminent": _imminent,
    "awareness": _awareness,
    "opened": lambda _, incident: incident.opened.isoformat(),
    "status": lambda _, incident: incident.status,
    "contexts": lambda _, incident: ", ".join(incident.contexts) or UNKNOWN,
    "containment": _contained,
    "timeline": _timeline,
    "resolved": lambda _, incident: _moment(incident.resolved),
    **{f"facts.{name}": _fact(name) for name in type(Incident.model_fields["facts"].default).model_fields},
}
"""Holds every name of `_packs.FIELDS`; a test compares them."""
