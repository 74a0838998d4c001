"""When something is due. Pure: instants and packs in, instants out.

    since --- period, in the calendar of the authority's zone ---> due

Hours run by the clock, so 24 hours are 24 hours also across a change to summer time. Days, weeks and months are
wall-clock: the same local time that many days later, whatever the clocks did in between. A local time that a change
skips is read with the offset before it; one that comes twice is its first coming, which is the earlier.
"""

import calendar
import datetime as dt
from collections.abc import Iterator
from zoneinfo import ZoneInfo

from safecase.registry import Incident, Report
from safecase.respond._packs import ClockPack, ClockRule, Period, zone_of

_SATURDAY = 5


def due(rule: ClockRule, since: dt.datetime, zone: ZoneInfo, *, times: int = 1) -> dt.datetime:
    """The last moment of a rule's period, `times` periods after an instant, in UTC.

    Args:
        since: aware.
        times: the period is counted so often from the start, so that 4 weeks do not drift and months keep their day.

    >>> rule = ClockRule(id="r", what="w", citation="c", trigger="aware", within=Period(days=2))
    >>> due(rule, dt.datetime(2026, 3, 28, 12, tzinfo=dt.UTC), ZoneInfo("Europe/Brussels")).isoformat()
    '2026-03-30T11:00:00+00:00'
    """
    if since.tzinfo is None:
        raise ValueError(f"{since!r} has no time zone")
    period = rule.period
    if period.hours is not None:
        return since.astimezone(dt.UTC) + dt.timedelta(hours=period.hours * times)
    local = since.astimezone(zone)
    wall = dt.datetime.combine(_later_day(local.date(), period, times), local.time().replace(fold=0))
    if rule.ends == "end-of-day":
        wall = dt.datetime.combine(wall.date() + dt.timedelta(days=1), dt.time())
    return wall.replace(tzinfo=zone).astimezone(dt.UTC)


def owed_for_incident(incident: Incident, pack: ClockPack) -> Iterator[tuple[ClockRule, dt.datetime]]:
    """The rules that an incident starts, each with the instant its clock runs from.

    A near miss starts none, nor does a pack that a person said is not owed.
    """
    if incident.near_miss or pack.id in incident.not_owed:
        return
    started = [(rule, since) for rule in pack.rules if (since := _incident_start(rule, incident)) is not None]
    zone = zone_of(pack)
    for rule, since in started:
        rivals = [due(other, at, zone) for other, at in started if rule.one_of and other.one_of == rule.one_of]
        if not rivals or due(rule, since, zone) == min(rivals):
            yield rule, since


def owed_for_report(report: Report, pack: ClockPack) -> Iterator[tuple[ClockRule, dt.datetime]]:
    """The rules that a report starts, each with the instant its clock runs from."""
    for rule in pack.rules:
        if rule.trigger == "report-received" and report.channel in rule.channels:
            yield rule, report.received


def _incident_start(rule: ClockRule, incident: Incident) -> dt.datetime | None:
    if rule.kinds and not set(rule.kinds) & set(incident.kinds):
        return None
    if rule.imminent and incident.imminent is False:
        return None
    if rule.trigger == "aware":
        return incident.awareness.at
    return incident.resolved if rule.trigger == "resolved" else None


def _later_day(day: dt.date, period: Period, times: int) -> dt.date:
    if period.months is not None:
        months = day.year * 12 + day.month - 1 + period.months * times
        year, month = divmod(months, 12)
        return dt.date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))
    if period.business_days is not None:
        return _later_business_day(day, period.business_days * times)
    return day + dt.timedelta(days=((period.days or 0) + 7 * (period.weeks or 0)) * times)


def _later_business_day(day: dt.date, count: int) -> dt.date:
    """Monday to Friday. Holidays are not left out: they would only make it later."""
    while count:
        day += dt.timedelta(days=1)
        count -= day.weekday() < _SATURDAY
    return day
