"""The desk as the console shows it: reports without their words, incidents, and what is owed by when.

Looking is as `safecase respond list`, `incident list` and `clocks` look: who is accused learns nothing, confidential
reports are for compliance, and clocks are brought into step first, so that none that ran out is missed.
"""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from safecase.assess import Case
from safecase.registry import Incident, Report
from safecase.respond import Desk, Reopening, Standing, clocks, has_desk, incidents, open_desk, reopenings, visible


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskView:
    """What stands at a desk.

    Attributes:
        waiting: reports that no two people have settled yet.
        obligations: those open, the earliest first; `done` counts the others.
        everyone: whether nobody is named in `respond.yaml`, so that whoever has the case reads open reports.
    """

    reports: tuple[Report, ...]
    waiting: int
    incidents: tuple[Incident, ...]
    obligations: tuple[Standing, ...]
    done: int
    reopenings: tuple[Reopening, ...]
    everyone: bool

    @property
    def overdue(self) -> int:
        """Obligations that are late."""
        return sum(one.state == "overdue" for one in self.obligations)

    @property
    def open_incidents(self) -> int:
        """Incidents that are not closed."""
        return sum(one.closed is None for one in self.incidents)


def desk_view(case: Case, *, by: str, at: dt.datetime) -> DeskView | None:
    """The desk of a case as a person may see it; None where the case has none.

    Raises:
        RegistryError: the registry cannot be opened or read.
        KeyTrouble: its key is not here.
    """
    with _desk(case) as desk:
        if desk is None:
            return None
        every = clocks(desk, now=at, everything=True)
        reports = visible(desk, by)
        known = {one.id for one in incidents(desk, by=by)}
        hidden = {one.id for one in desk.registry.all(Incident, case=case.spec.id)} - known
        unseen = {one.id for one in desk.registry.all(Report, case=case.spec.id)} - {one.id for one in reports}
        told = [one for one in every if one.obligation.about not in hidden | unseen]
        return DeskView(
            reports=tuple(reversed(reports)),
            waiting=sum(one.status in {"received", "second-review", "disputed"} for one in reports),
            incidents=incidents(desk, by=by),
            obligations=tuple(one for one in told if one.obligation.is_open),
            done=sum(not one.obligation.is_open for one in told),
            reopenings=reopenings(desk),
            everyone=not (desk.spec.people.triage or desk.spec.people.security or desk.spec.people.compliance),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Troubles:
    """What may break a condition, as far as a person may know of it."""

    incidents: tuple[Incident, ...]
    reopenings: tuple[Reopening, ...]


def troubles(case: Case, *, by: str) -> Troubles | None:
    """What a desk knows that may break a condition; None where the case has no desk.

    Raises:
        RegistryError, KeyTrouble: as `desk_view`.
    """
    with _desk(case) as desk:
        return None if desk is None else Troubles(incidents=incidents(desk, by=by), reopenings=reopenings(desk))


@contextmanager
def _desk(case: Case) -> Iterator[Desk | None]:
    """The desk, open; None where opening it would make it. A key that is not here is missing, and none is made."""
    if not has_desk(case):
        yield None
        return
    case.vault()
    with open_desk(case) as desk:
        yield desk
