"""Incidents and broken conditions as doubts about the safety-case argument.

They are brought to the case as concerns (`assess.note_concern`): a file each, named by the ledger. The argument that
the next decision makes has a defeater for each, open until the incident is resolved or the decision made anew. No name
and no title travels: the case is read by more people than the desk.
"""

import datetime as dt

from safecase.assess import concerns, note_concern
from safecase.decide import Concern
from safecase.registry import Incident, Report
from safecase.respond._desk import Desk


def bring(desk: Desk, concern: Concern, *, by: str, at: dt.datetime) -> None:
    """Bring a concern to the case; nothing happens where the case has it so already."""
    known = {one.concern_id: one for one in concerns(desk.case)}
    if known.get(concern.concern_id) != concern:
        note_concern(desk.case, concern, actor=by, now=lambda: at)


def bring_incident(desk: Desk, incident: Incident, *, by: str, at: dt.datetime) -> None:
    """Bring an incident as it stands. A near miss is none, until harm shows."""
    if incident.near_miss:
        return
    kinds, where = ", ".join(incident.kinds), f" with {incident.similar_to}" if incident.similar_to else ""
    closed = None if incident.resolved is None else f"resolved on {incident.resolved:%Y-%m-%d}"
    concern = Concern(
        concern_id=incident.id,
        kind="incident",
        what=f"Incident {incident.id}{where}: {kinds}, severity {incident.severity}",
        touches=tuple(_touched(desk, incident)),
        contexts=incident.contexts,
        closed=closed,
    )
    bring(desk, concern, by=by, at=at)


def _touched(desk: Desk, incident: Incident) -> list[str]:
    """What of the framework it speaks about: its threat scenario, and the gates that its reports name."""
    known = {*desk.case.framework.entries(), *(gate.id for gate in desk.case.framework.gates)}
    reports = desk.registry.all(Report, case=incident.case)
    named = {incident.scenario, *(one.gate for one in reports if one.id in incident.reports)}
    return sorted(name for name in named if name is not None and name in known)
