"""Open obligations as an iCalendar file: what is owed, to whom, by when; never why in anybody's words."""

import datetime as dt
from collections.abc import Iterable, Mapping

from safecase.respond._obligations import Standing
from safecase.respond._packs import Loaded

_LONG = dt.timedelta(days=3)
_WARNINGS = {True: (dt.timedelta(days=7), dt.timedelta(days=1)), False: (dt.timedelta(hours=8), dt.timedelta(hours=2))}


def calendar(standings: Iterable[Standing], *, case: str, packs: Mapping[str, Loaded], now: dt.datetime) -> bytes:
    """An iCalendar file (RFC 5545). The same obligations at the same moment give the same bytes.

    Args:
        standings: those that are not open are left out.
        now: becomes the stamp of every entry, and decides which are overdue.
    """
    import icalendar  # late: only this needs the extra

    made = icalendar.Calendar()
    made.add("prodid", "-//safecase//respond//EN")
    made.add("version", "2.0")
    made.add("x-wr-calname", f"Obligations of {case}")
    for one in standings:
        if one.obligation.is_open:
            made.add_component(_event(one, packs=packs, now=now))
    return bytes(made.to_ical())


def _event(
    one: Standing, *, packs: Mapping[str, Loaded], now: dt.datetime
) -> object:  # icalendar ships no types we use
    import icalendar

    owed = one.obligation
    loaded = packs.get(owed.regime)
    to = loaded.pack.authority if loaded is not None else owed.regime
    event = icalendar.Event()
    event.add("uid", f"{owed.id}@safecase")
    event.add("dtstamp", now.astimezone(dt.UTC).replace(microsecond=0))
    event.add("dtstart", owed.due.astimezone(dt.UTC).replace(microsecond=0))
    event.add("summary", f"{'OVERDUE: ' if one.state == 'overdue' else ''}{owed.what} ({owed.about})")
    event.add("description", f"To: {to}\nSource: {owed.citation}\nClock: {owed.basis}, {owed.since.isoformat()}")
    event.add("categories", [owed.regime])
    event.add("priority", 1 if one.state in {"overdue", "due-soon"} else 5)
    for before in _WARNINGS[owed.due - owed.since >= _LONG]:
        alarm = icalendar.Alarm()
        alarm.add("action", "DISPLAY")
        alarm.add("description", owed.what)
        alarm.add("trigger", -before)
        event.add_component(alarm)
    return event
