"""Alerts of the monitor as reports at the desk: what the program noticed waits for people beside what people reported.

One alert is one report. It names the events and says what the alert says, which is no content; whoever reviews it looks
at the calls by `safecase monitor look`, which leaves a trace.
"""

import datetime as dt
from collections.abc import Callable

from safecase.assess import utc_now
from safecase.monitor import Alert, AlertTrouble
from safecase.registry import RegistryError, Report
from safecase.respond._desk import Desk
from safecase.respond._intake import EVENT_NAME, Submission, take

_MOST_EVENTS = 19  # of the twenty ids that a report may name; the first is the alert's


class DeskSink:
    """Takes warnings and critical alerts to the desk, once each, also after a crash.

    An alert that is only worth a line stays with the monitor; a person has a day too.
    """

    name = "desk"

    def __init__(self, desk: Desk, *, now: Callable[[], dt.datetime] = utc_now) -> None:
        self._desk, self._now = desk, now

    async def deliver(self, alert: Alert) -> None:
        """Put it before people.

        Raises:
            AlertTrouble: the registry does not take it now.
        """
        if alert.severity == "info":
            return
        name = f"alert:{alert.alert_id}"
        events = [one for one in alert.event_ids if EVENT_NAME.fullmatch(one)]  # of logs, ids of any shape
        said = Submission(
            channel="risky-output",
            title=f"{alert.kind} {alert.series}"[:200],
            text=f"{alert.what}\n\nalert {alert.alert_id}, {alert.severity}",
            event_ids=(name, *events[:_MOST_EVENTS]),
        )
        try:
            known = self._desk.registry.all(Report, case=self._desk.case.spec.id)
            if not any(name in one.event_ids for one in known):
                take(self._desk, said, source="monitor", at=self._now())
        except RegistryError as error:
            raise AlertTrouble(f"the desk did not take it ({type(error).__name__})") from None
