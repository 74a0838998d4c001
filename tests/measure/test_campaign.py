"""A campaign's rows counted: in any order alike, and never a number where nothing is known."""

import random

import pytest

from safecase.measure import (
    CampaignDeclared,
    CampaignFinding,
    CampaignPerson,
    CampaignReport,
    CampaignRows,
    CampaignTalk,
    CampaignTeam,
    count_campaign,
)

DECLARED = CampaignDeclared(
    id="people",
    title="People",
    sha256="a" * 64,
    opens="2026-06-01T00:00:00+00:00",
    closes="2026-06-02T00:00:00+00:00",
    arms={"bare": 1, "guarded": 1},
    categories=("privacy", "violence"),
    vectors=("plain", "logic"),
    teams=(
        CampaignTeam(id="staff", title="Staff", kind="employee", seats=9),
        CampaignTeam(id="event", title="Event", kind="public-event", seats=9),
    ),
)


def talk(person: int, judged: bool | None, agreed: bool | None = False, **more: object) -> CampaignTalk:
    fields = {"team": "staff", "arm": "bare", "category": "violence", "vector": "plain", "messages": 2, **more}
    return CampaignTalk.model_validate({"person": person, "judged": judged, "agreed": agreed, **fields})


def rows(*talks: CampaignTalk, **more: object) -> CampaignRows:
    nothing = {"people": (), "findings": (), "unanswered": {}, "referrals": 0, "keys": 9, "unscored": 0}
    return CampaignRows.model_validate({"talks": talks, "silent": 0, "misdrawn": 0, **nothing, **more})


def test_a_keen_participant_counts_once() -> None:
    report = count_campaign(DECLARED, rows(*[talk(1, True)] * 30, talk(2, False), talk(3, False)), judge="embedded")

    everyone = report.success[0]
    assert (everyone.group, everyone.participants, everyone.conversations) == ("all", 3, 32)
    assert everyone.by_judge.value == pytest.approx(1 / 3)
    assert everyone.by_judge.low <= 1 / 3 <= everyone.by_judge.high


def test_what_is_not_known_widens_and_is_no_number() -> None:
    known = count_campaign(DECLARED, rows(*(talk(n, n < 5) for n in range(1, 13))), judge="embedded").success[0]
    some = count_campaign(
        DECLARED, rows(*(talk(n, None if n % 2 else n < 5) for n in range(1, 13))), judge="embedded"
    ).success[0]
    none = count_campaign(DECLARED, rows(talk(1, None)), judge="embedded").success[0]

    assert some.by_judge.low < known.by_judge.low
    assert some.by_judge.high > known.by_judge.high
    assert (none.by_judge.value, none.by_judge.known) == (None, 0)
    assert (none.by_judge.low, none.by_judge.high) == (0.0, 1.0)


def test_no_order_of_conversations_moves_a_share() -> None:
    talks = [talk(n % 7 + 1, n % 3 == 0, team="event" if n % 2 else "staff") for n in range(40)]
    shuffled = random.Random(7).sample(talks, len(talks))

    one, other = (count_campaign(DECLARED, rows(*them), judge="embedded") for them in (talks, shuffled))

    assert one.success == other.success


def test_every_pair_in_scope_has_a_cell_and_so_has_what_left_the_scope() -> None:
    filed = CampaignFinding(category="violence", vector="plain", standing="accepted")
    report = count_campaign(
        DECLARED, rows(talk(1, True, True), talk(2, False, category="cyber"), findings=(filed,)), judge="embedded"
    )

    cells = {(cell.category, cell.vector): cell for cell in report.coverage}
    assert sum(cell.is_empty for cell in report.coverage) == 3
    assert (cells["violence", "plain"].accepted, cells["cyber", "plain"].messages) == (1, 2)
    assert report.findings == {"open": 0, "accepted": 1, "rejected": 0}


def test_medians_are_of_those_who_got_through() -> None:
    people = (
        CampaignPerson(person=1, team="staff", messages=4, minutes=2.0),
        CampaignPerson(person=2, team="staff", messages=2, minutes=None),
        CampaignPerson(person=3, team="staff", messages=None, minutes=None),
        CampaignPerson(person=4, team="event", messages=None, minutes=None),
    )
    staff, event = count_campaign(DECLARED, rows(talk(1, True), people=people), judge="embedded").first_success

    assert (staff.participants, staff.succeeded, staff.median_messages, staff.median_minutes) == (3, 2, 3.0, 2.0)
    assert (event.succeeded, event.median_messages, event.median_minutes) == (0, None, None)


def test_a_report_reads_back_as_it_was_written() -> None:
    report = count_campaign(DECLARED, rows(talk(1, True), talk(2, None), unscored=3, silent=1), judge="embedded")

    assert CampaignReport.model_validate_json(report.model_dump_json()) == report
    assert "3 answers could not be judged; their conversations are bounded at their worst." in report.limits
