"""Security reports: security.txt, the states of coordinated disclosure, and what is paid."""

import datetime as dt

from safecase.evidence import format_utc
from safecase.registry import Disclosure, DisclosureState, Report
from safecase.respond._access import report_for
from safecase.respond._desk import Desk, DeskSpec, person_name
from safecase.respond._errors import BadWord, WrongStep

NEXT: dict[DisclosureState, tuple[DisclosureState, ...]] = {
    "received": ("acknowledged", "declined"),
    "acknowledged": ("validated", "declined"),
    "validated": ("fixing",),
    "fixing": ("fixed",),
    "fixed": ("disclosed",),
    "disclosed": (),
    "declined": ("acknowledged",),
}
"""Which state may follow which. A validated flaw is not declined; a declined one may be taken up again."""

_EXPIRES = dt.timedelta(days=180)


def security_txt(spec: DeskSpec, *, now: dt.datetime) -> str | None:
    """The text of `/.well-known/security.txt`; None without a contact.

    Source: RFC 9116; it asks for an expiry less than a year away.
    """
    if spec.contact is None:
        return None
    expires = format_utc((now + _EXPIRES).replace(microsecond=0)).replace(".000000Z", "Z")
    lines = [f"Contact: {spec.contact}", f"Expires: {expires}", f"Preferred-Languages: {', '.join(spec.languages)}"]
    if spec.policy is not None:
        lines.append(f"Policy: {spec.policy}")
    return "\n".join(lines) + "\n"


def disclose(
    desk: Desk,
    report_id: str,
    state: DisclosureState,
    *,
    by: str,
    at: dt.datetime,
    embargo_until: dt.datetime | None = None,
    bounty: int | None = None,
    advisory: str | None = None,
) -> Report:
    """Take a security report to its next state.

    Args:
        embargo_until: agreed with the reporter; disclosing before it is refused.
        bounty: whole units of the desk's currency; the amount for the report's severity by default once it is fixed.
        advisory: where it was published.

    Raises:
        NoSuchRecord: there is none, or not for this person.
        WrongStep: no security report, the state does not follow, or the embargo holds.
        BadWord: disclosed without saying where.
    """
    by = person_name(by)
    report_for(desk, report_id, by)

    def moved(report: Report) -> Report:
        old = report.disclosure
        if old is None:
            raise WrongStep(f"report {report_id!r} is no security report; it came as {report.channel!r}")
        if state not in NEXT[old.state]:
            may = ", ".join(NEXT[old.state]) or "nothing"
            raise WrongStep(f"report {report_id!r} is {old.state!r}; {may} may follow, not {state!r}")
        new = old.model_copy(update={"state": state, **_given(embargo_until, bounty, advisory, old)})
        if state == "fixed" and new.bounty is None and report.severity is not None:
            paid = desk.spec.bounty.amounts.get(report.severity)
            new = new.model_copy(update={"bounty": paid})
        new = new.model_copy(update={"currency": desk.spec.bounty.currency})
        _may_publish(new, at=at)
        return report.model_copy(update={"disclosure": new})

    done = desk.registry.change(Report, report_id, moved, action=f"disclosure-{state}", actor=by, at=at)
    desk.log("disclosure", by=by, at=at, report=report_id, state=state)
    return done


def _given(
    embargo_until: dt.datetime | None, bounty: int | None, advisory: str | None, old: Disclosure
) -> dict[str, object]:
    return {
        "embargo_until": embargo_until or old.embargo_until,
        "bounty": old.bounty if bounty is None else bounty,
        "advisory": advisory or old.advisory,
    }


def _may_publish(disclosure: Disclosure, *, at: dt.datetime) -> None:
    if disclosure.state != "disclosed":
        return
    if disclosure.embargo_until is not None and at < disclosure.embargo_until:
        raise WrongStep(f"the embargo holds until {disclosure.embargo_until.isoformat()}; agree another date first")
    if disclosure.advisory is None:
        raise BadWord("--advisory is missing; say where it was published")
