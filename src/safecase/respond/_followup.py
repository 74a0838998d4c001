"""The reporter and the desk, by token: where a report stands, and messages both ways, without an identity."""

import datetime as dt
from dataclasses import dataclass
from typing import Literal

from safecase.registry import ContentErased, Exchanged, Obligation, Report
from safecase.respond._access import report_for
from safecase.respond._desk import Desk, person_name
from safecase.respond._errors import BadWord, WrongStep
from safecase.respond._intake import holder_of
from safecase.respond._obligations import meet_in
from safecase.web import Refused

_MOST_MESSAGES = 100
_SHOWN = {
    "received": "received",
    "second-review": "under review",
    "disputed": "under review",
    "confirmed": "confirmed",
    "rejected": "not confirmed",
    "closed": "closed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUp:
    """What a reporter sees. Nobody of the desk is named.

    Attributes:
        disclosure: state of a security report, None for others.
        bounty: amount and currency, once it was decided.
    """

    report: str
    received: dt.datetime
    standing: str
    messages: tuple[tuple[dt.datetime, Literal["reporter", "desk"], str], ...]
    disclosure: str | None = None
    bounty: str | None = None


def follow(desk: Desk, token: str) -> FollowUp:
    """Where a report stands.

    Raises:
        Refused: the token opens none.
    """
    report = holder_of(desk, token)
    disclosure = report.disclosure
    paid = None if disclosure is None or disclosure.bounty is None else f"{disclosure.bounty} {disclosure.currency}"
    return FollowUp(
        report=report.id,
        received=report.received,
        standing=_SHOWN[report.status],
        messages=tuple((one.at, one.by, _words(desk, one)) for one in report.messages),
        disclosure=None if disclosure is None else disclosure.state,
        bounty=paid,
    )


def add_word(desk: Desk, token: str, text: str, *, at: dt.datetime) -> FollowUp:
    """Let the reporter say more.

    Raises:
        Refused: the token opens none, the report is closed, or the text is empty or too long.
    """
    report = holder_of(desk, token)
    most = desk.spec.limits.characters
    if report.status == "closed":
        raise Refused(409, "closed", "this report is closed; send a new one")
    if not 0 < len(text.strip()) <= most or len(report.messages) >= _MOST_MESSAGES:
        raise Refused(413, "message", f"a message has 1 to {most} characters, a report {_MOST_MESSAGES} messages")
    _add(desk, report.id, "reporter", text, actor="reporter", at=at)
    return follow(desk, token)


def tell_reporter(desk: Desk, report_id: str, text: str, *, by: str, at: dt.datetime) -> tuple[Obligation, ...]:
    """Give the reporter a status update, which meets the monthly one that is owed.

    Returns:
        The obligations that it met.

    Raises:
        NoSuchRecord: there is none, or not for this person.
        BadWord: nothing was said.
    """
    by = person_name(by)
    report = report_for(desk, report_id, by)
    if not text.strip():
        raise BadWord("--text is empty; say where the report stands")
    message = _add(desk, report.id, "desk", text, actor=by, at=at)
    with desk.registry.writing() as writer:
        owed = [one for one in writer.all(Obligation, case=report.case) if one.about == report.id and one.is_open]
        met = tuple(
            meet_in(desk, writer, one.id, by=by, at=at, reference=f"message {message}", now=at)
            for one in owed
            if one.since <= at
        )
    if met:
        desk.log("reporter-told", by=by, at=at, report=report.id, met=[one.id for one in met])
    return met


def close_report(desk: Desk, report_id: str, *, by: str, at: dt.datetime) -> Report:
    """Close a report that was settled; no more updates are owed for it.

    Raises:
        NoSuchRecord: there is none, or not for this person.
        WrongStep: it still waits for a review.
    """
    by = person_name(by)
    report_for(desk, report_id, by)

    def closed(report: Report) -> Report:
        if report.status not in {"confirmed", "rejected"}:
            raise WrongStep(f"report {report_id!r} is {report.status}; review it before it is closed")
        return report.model_copy(update={"status": "closed"})

    done = desk.registry.change(Report, report_id, closed, action="closed", actor=by, at=at)
    desk.log("report-closed", by=by, at=at, report=report_id)
    return done


def _words(desk: Desk, message: Exchanged) -> str:
    try:
        return desk.registry.read(message.content).decode()
    except ContentErased:
        return "(erased)"


def _add(
    desk: Desk, report_id: str, who: Literal["reporter", "desk"], text: str, *, actor: str, at: dt.datetime
) -> str:
    with desk.registry.writing() as writer:
        content = writer.seal(text.encode("utf-8", "replace"))
        word = Exchanged(at=at, by=who, content=content)
        writer.change(
            Report,
            report_id,
            lambda one: one.model_copy(update={"messages": (*one.messages, word)}),
            action="message",
            actor=actor,
            at=at,
        )
    return content
