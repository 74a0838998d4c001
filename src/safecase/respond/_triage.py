"""People's word on reports: one for what is minor, two apart for what is severe, a third where those differ.

received --(severity 1, 2)--> confirmed | rejected
received --(severity 3, 4)--> second-review --agree--> confirmed | rejected
                                            --differ--> disputed --a third person--> confirmed | rejected
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from safecase.registry import Label, Report, Review, Severity
from safecase.respond._access import report_for, visible
from safecase.respond._desk import Desk, person_key, person_name
from safecase.respond._errors import BadWord, WrongStep

SEVERE: Severity = 3
_WAITING = {"disputed": 0, "second-review": 1, "received": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A report that waits for a person.

    Attributes:
        alike: other reports of its group, that are settled with it.
    """

    report: Report
    needs: str
    alike: tuple[str, ...] = field(default=())


def queue(desk: Desk, *, by: str) -> tuple[Waiting, ...]:
    """What waits for this person: disputes first, then second reviews, then new reports; spam last, the rest by age.

    One entry stands for a group. What a person reviewed already does not wait for them.
    """
    reports = visible(desk, by)
    waiting = [
        Waiting(report=one, needs=_needs(one), alike=_alike(one, reports))
        for one in reports
        if one.status in _WAITING and not _reviewed(one, by) and one.id == _head(one, reports)
    ]
    return tuple(sorted(waiting, key=lambda one: (bool(one.report.spam), _WAITING[one.report.status])))


def review(
    desk: Desk,
    report_id: str,
    *,
    by: str,
    holds: bool,
    severity: Severity,
    category: str,
    at: dt.datetime,
    gate: str | None = None,
    scenario: str | None = None,
    label: Label | None = None,
    note: str = "",
) -> Report:
    """Give one's word on a report.

    Args:
        holds: whether it is what it says.
        gate, scenario: of the case's framework.
        label: what the reported answer is; goes back to the judge's calibration.

    Raises:
        NoSuchRecord: there is none, or not for this person.
        WrongStep: it is settled, or this person reviewed it already.
        BadWord: a gate or scenario that the framework does not have, or no category.
    """
    by = person_name(by)
    report_for(desk, report_id, by)
    _must_be_known(desk, gate=gate, scenario=scenario, category=category)

    def reviewed(report: Report) -> Report:
        if report.status not in _WAITING:
            raise WrongStep(f"report {report_id!r} is {report.status}; it takes no more reviews")
        if _reviewed(report, by):
            raise WrongStep(f"report {report_id!r} has the review of {by!r}; another person gives the next")
        word = Review(
            by=by,
            at=at,
            holds=holds,
            severity=severity,
            category=category,
            gate=gate,
            scenario=scenario,
            label=label,
            note=note,
            final=report.status == "disputed",
        )
        return settle(report.model_copy(update={"reviews": (*report.reviews, word)}))

    done = desk.registry.change(Report, report_id, reviewed, action="reviewed", actor=by, at=at)
    if done.status in {"confirmed", "rejected"}:
        desk.log(f"report-{done.status}", by=by, at=at, report=done.id, severity=done.severity, category=done.category)
        _settle_group(desk, done, by=by, at=at)
    return done


def settle(report: Report) -> Report:
    """What the reviews of a report come to. Pure."""
    reviews = report.reviews
    final = next((one for one in reviews if one.final), None)
    if final is not None:
        return _settled(report, final)
    severe = any(one.severity >= SEVERE for one in reviews)
    if len(reviews) == 1:
        return report.model_copy(update={"status": "second-review"}) if severe else _settled(report, reviews[0])
    if len({_point(one) for one in reviews}) > 1:
        return report.model_copy(update={"status": "disputed"})
    return _settled(report, *reviews)


def labelled(desk: Desk) -> tuple[dict[str, Any], ...]:
    """Labels of settled reports that name a trial: rows `{trial_id, label}`, as `safecase measure label` reads."""
    return tuple(
        {"trial_id": one.trial_id, "label": one.label}
        for one in desk.registry.all(Report, case=desk.case.spec.id)
        if one.trial_id is not None and one.label is not None and one.status in {"confirmed", "rejected", "closed"}
    )


def _settle_group(desk: Desk, head: Report, *, by: str, at: dt.datetime) -> None:
    """Reports of the very same words, without files, that nobody looked at follow the one that people settled.

    A near-copy does not: who wants a report dismissed would send one like it that deserves to be.
    """

    def followed(report: Report) -> Report:
        if report.status != "received" or report.reviews:
            return report
        return report.model_copy(update={name: getattr(head, name) for name in _OUTCOME})

    for one in desk.registry.all(Report, case=head.case):
        if (
            one.id != head.id
            and one.fingerprint == head.fingerprint
            and one.status == "received"
            and not one.attachments
        ):
            said = {"as": head.id}
            desk.registry.change(Report, one.id, followed, action="settled-with-group", actor=by, at=at, said=said)


_OUTCOME = ("status", "severity", "category", "gate", "scenario")


def _settled(report: Report, *words: Review) -> Report:
    first = words[0]
    return report.model_copy(
        update={
            "status": "confirmed" if first.holds else "rejected",
            "severity": first.severity,
            "category": first.category,
            "gate": next((one.gate for one in words if one.gate), None),
            "scenario": next((one.scenario for one in words if one.scenario), None),
            "label": first.label,
        }
    )


def _point(review: Review) -> tuple[object, ...]:
    """What two people must agree on."""
    return (review.holds, review.severity, review.category, review.label)


def _needs(report: Report) -> str:
    return {"disputed": "the last word", "second-review": "a second review", "received": "a review"}[report.status]


def _reviewed(report: Report, person: str) -> bool:
    return person_key(person) in {person_key(one.by) for one in report.reviews}


def _head(report: Report, reports: Iterable[Report]) -> str:
    """The report of a group that people look at: one that reviews were begun on, else the first still waiting."""
    group = [one for one in reports if one.group == report.group and one.status in _WAITING]
    return min(group, key=lambda one: (not one.reviews, one.received, one.id)).id


def _alike(report: Report, reports: Iterable[Report]) -> tuple[str, ...]:
    return tuple(one.id for one in reports if one.group == report.group and one.id != report.id)


def _must_be_known(desk: Desk, *, gate: str | None, scenario: str | None, category: str) -> None:
    framework = desk.case.framework
    if gate is not None and gate not in {one.id for one in framework.gates}:
        raise BadWord(f"--gate is {gate!r}; framework {framework.id!r} has no such gate, see `safecase declare CASE`")
    if scenario is not None and scenario not in framework.entries():
        raise BadWord(f"--scenario is {scenario!r}; framework {framework.id!r} has no such threat scenario")
    if not category.strip():
        raise BadWord("--category is empty; say in a word what it is about")
