"""Incidents: provable awareness, clocks in step, containment, a record where unknown is a value."""

import datetime as dt
import json

import icalendar
import pytest

from safecase.assess import NotSupported
from safecase.registry import Incident, NoSuchRecord, Obligation, Report
from safecase.respond import (
    BadWord,
    PermitContainer,
    WrongStep,
    calendar,
    check_registry,
    clocks,
    close_incident,
    contain,
    draft_filing,
    incident_for,
    incidents,
    meet,
    open_incident,
    resolve_incident,
    start_clock,
    update_incident,
    write_filing,
)
from tests.respond.conftest import NOW

pytestmark = pytest.mark.respond

HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)


@pytest.fixture
def opened(desk):
    """Open an incident; what differs."""

    def make(**changes):
        fields = {"title": "t", "kinds": ("serious-harm",), "severity": 3, "by": "ana", "at": NOW, "imminent": False}
        return open_incident(desk, **{**fields, **changes})

    return make


def owed(desk, *, now=NOW, everything=False):
    """Rule and number -> (state, due)."""
    found = clocks(desk, now=now, everything=everything)
    return {f"{one.obligation.rule}-{one.obligation.number}": (one.state, one.obligation.due) for one in found}


# --- Awareness --------------------------------------------------------------------------------------------------------


def test_awareness_is_the_earliest_that_is_on_record(desk, send, opened):
    old, new = send("one", at=NOW - 3 * DAY), send("two, which is later", at=NOW - DAY)
    made = opened(reports=(new.report, old.report), alerts={"a-1": NOW - 2 * DAY})

    assert made.awareness.at == NOW - 3 * DAY
    assert made.awareness.evidence == f"report {old.report}"
    assert owed(desk)["eu-cop.first-report-harm-1"][1] == NOW + 12 * DAY
    assert desk.registry.get(Report, old.report).incident == made.id


def test_a_person_may_say_earlier_freely_and_later_only_with_a_reason(desk, send, opened):
    receipt = send(at=NOW - 3 * DAY)

    with pytest.raises(BadWord, match=f"report {receipt.report} shows awareness"):
        opened(reports=(receipt.report,), aware_at=NOW - DAY)
    with pytest.raises(BadWord, match="to come"):
        opened(aware_at=NOW + DAY)
    assert opened(aware_at=NOW - 5 * DAY).awareness.at == NOW - 5 * DAY
    later = opened(reports=(receipt.report,), aware_at=NOW - DAY, why="it was about another model")
    assert (later.awareness.at, later.awareness.reason) == (NOW - DAY, "it was about another model")


def test_an_older_report_found_later_moves_every_open_clock_earlier(desk, send, opened):
    made = opened()
    before = owed(desk)["eu-cop.first-report-harm-1"][1]
    older = send(at=NOW - 2 * DAY)
    update_incident(desk, made.id, by="ana", at=NOW + HOUR, reports=(older.report,))

    assert owed(desk)["eu-cop.first-report-harm-1"][1] == before - 2 * DAY
    moved = desk.registry.history(Obligation, f"o-{made.id}-eu-cop.first-report-harm-1")[-1]
    assert (moved.action, moved.said["was"]) == ("due-moved", before.isoformat())


# --- Clocks in step ---------------------------------------------------------------------------------------------------


def test_opening_starts_the_clocks_of_every_regime(desk, opened):
    opened(imminent=None)

    assert owed(desk) == {
        "us-ca-sb53.imminent-danger-1": ("due-soon", NOW + DAY),
        "us-ny-raise.imminent-danger-1": ("due-soon", NOW + DAY),
        "us-ny-raise.safety-incident-1": ("open", NOW + 3 * DAY),
        "eu-cop.first-report-harm-1": ("open", NOW + 15 * DAY),
        "us-ca-sb53.critical-safety-incident-1": ("open", NOW + 15 * DAY),
        "eu-cop.interim-report-1": ("open", NOW + 28 * DAY),
    }


def test_what_changes_in_an_incident_changes_what_is_owed(desk, opened):
    made = opened()
    update_incident(desk, made.id, by="ana", at=NOW, kinds=("death",), imminent=True)

    found = owed(desk, everything=True)
    assert found["eu-cop.first-report-death-1"] == ("open", NOW + 10 * DAY)
    assert found["eu-cop.first-report-harm-1"][0] == "lapsed"
    assert "us-ny-raise.imminent-danger-1" in found
    update_incident(desk, made.id, by="ana", at=NOW, not_owed={"us-ny-raise": "not yet in force"})
    assert owed(desk, everything=True)["us-ny-raise.safety-incident-1"][0] == "lapsed"


def test_a_near_miss_owes_nothing_until_it_turns_out_that_somebody_was_harmed(desk, opened):
    made = opened(near_miss=True)

    assert owed(desk) == {}
    update_incident(desk, made.id, by="ana", at=NOW + DAY, harmed=True)
    assert owed(desk)["eu-cop.first-report-harm-1"][1] == NOW + 15 * DAY


def test_interim_reports_come_every_four_weeks_while_it_is_open_and_none_is_skipped(desk, opened):
    made = opened()
    later = NOW + 60 * DAY

    found = owed(desk, now=later)
    assert [found[f"eu-cop.interim-report-{n}"][0] for n in (1, 2, 3)] == ["overdue", "overdue", "open"]
    assert found["eu-cop.interim-report-3"][1] == NOW + 84 * DAY
    meet(desk, f"o-{made.id}-eu-cop.interim-report-1", by="ana", at=later, reference="R-1")
    resolve_incident(desk, made.id, by="ana", at=later, what="mended")
    found = owed(desk, now=later + DAY, everything=True)
    assert [found[f"eu-cop.interim-report-{n}"][0] for n in (1, 2, 3)] == ["met-late", "overdue", "lapsed"]
    assert found["eu-cop.final-report-1"][1] == later + 60 * DAY


def test_what_was_met_stays_met_and_needs_a_proof(desk, opened):
    name = f"o-{opened().id}-us-ny-raise.safety-incident-1"

    with pytest.raises(BadWord, match="--reference"):
        meet(desk, name, by="ana", at=NOW, reference=" ")
    with pytest.raises(WrongStep, match="to come"):
        meet(desk, name, by="ana", at=NOW + DAY, reference="R", now=NOW)
    with pytest.raises(WrongStep, match="runs from"):
        meet(desk, name, by="ana", at=NOW - DAY, reference="R", now=NOW)
    meet(desk, name, by="ana", at=NOW + DAY, reference="R-1")
    with pytest.raises(WrongStep, match="was met"):
        meet(desk, name, by="ana", at=NOW + DAY, reference="R-2")


def test_a_review_of_the_framework_is_due_a_year_after_the_last(desk):
    start_clock(desk, "framework-reviewed", since=NOW - 100 * DAY, by="ana", now=NOW)
    first = owed(desk)["framework.review-1"]
    start_clock(desk, "framework-reviewed", since=NOW, by="ana", now=NOW)

    assert first[1] == (NOW - 100 * DAY).replace(year=2027)
    found = owed(desk, everything=True)
    assert found["framework.review-1"][0] == "met"
    assert found["framework.review-2"] == ("open", NOW.replace(year=2027))


def test_a_change_of_the_framework_is_published_within_thirty_days_each_time(desk):
    for days in (3, 1):
        start_clock(desk, "framework-changed", since=NOW - days * DAY, by="ana", now=NOW)

    found = {name: at for name, (_, at) in owed(desk).items() if name.startswith("us-ca")}
    assert found == {
        "us-ca-sb53.framework-change-1": NOW + 27 * DAY,
        "us-ca-sb53.framework-change-2": NOW + 29 * DAY,
    }


@pytest.mark.parametrize("trigger", ["aware", "moonrise"])
def test_only_what_happens_to_a_case_is_started_by_hand(desk, trigger):
    with pytest.raises(BadWord, match="framework-reviewed"):
        start_clock(desk, trigger, since=NOW, by="ana", now=NOW)


# --- The record -------------------------------------------------------------------------------------------------------


def test_unknown_is_a_value_and_a_gap_is_none(desk, opened):
    made = opened()

    assert set(made.facts.model_dump(mode="json").values()) == {"unknown"}
    done = update_incident(
        desk, made.id, by="ana", at=NOW, facts={"harm": "two people hurt", "began": "2026-11-20T22:00:00+01:00"}
    )
    assert done.facts.began == NOW.replace(day=20, hour=21, minute=0)
    for facts in ({"harm": ""}, {"began": "yesterday"}, {"began": "2026-11-20T22:00:00"}, {"colour": "red"}):
        with pytest.raises(BadWord, match="--fact"):
            update_incident(desk, made.id, by="ana", at=NOW, facts=facts)
    assert "harm: two people hurt" in [step.what for step in done.timeline]


def test_it_is_closed_when_it_is_resolved_owes_nothing_and_has_a_root_cause(desk, opened):
    made = opened(kinds=("misuse",))

    with pytest.raises(WrongStep, match="resolve it"):
        close_incident(desk, made.id, by="ana", at=NOW)
    resolve_incident(desk, made.id, by="ana", at=NOW, what="mended")
    with pytest.raises(WrongStep, match="still owes"):
        close_incident(desk, made.id, by="ana", at=NOW)
    for one in clocks(desk, now=NOW):
        meet(desk, one.obligation.id, by="ana", at=NOW, reference="R")
    with pytest.raises(WrongStep, match="root cause"):
        close_incident(desk, made.id, by="ana", at=NOW)
    update_incident(desk, made.id, by="ana", at=NOW, facts={"root_cause": "unknown"})
    assert close_incident(desk, made.id, by="ana", at=NOW).status == "closed"
    with pytest.raises(WrongStep, match="is closed"):
        update_incident(desk, made.id, by="ana", at=NOW, what="more")


@pytest.mark.parametrize(
    "changes", [{"title": " "}, {"kinds": ()}, {"contexts": ("moon",)}, {"scenario": "ts.99"}, {"by": ""}]
)
def test_a_wrong_word_opens_nothing(desk, opened, changes):
    with pytest.raises(BadWord):
        opened(**changes)

    assert desk.registry.all(Incident) == ()


def test_a_report_belongs_to_one_incident(desk, send, opened):
    receipt = send()
    opened(reports=(receipt.report,))

    with pytest.raises(WrongStep, match="update that one"):
        opened(reports=(receipt.report,))


def test_whom_a_report_accuses_does_not_see_its_incident(desk, send, opened):
    receipt = send(channel="non-compliance", accused=("ana",))
    made = opened(reports=(receipt.report,), by="officer")

    assert incidents(desk, by="ana") == ()
    assert incidents(desk, by="officer") == (made,)
    for act in (
        lambda: incident_for(desk, made.id, "ana"),
        lambda: update_incident(desk, made.id, by="ana", at=NOW, what="all fine"),
        lambda: resolve_incident(desk, made.id, by="ana", at=NOW, what="all fine"),
        lambda: close_incident(desk, made.id, by="ana", at=NOW),
    ):
        with pytest.raises(NoSuchRecord):
            act()


def test_decisions_stand_in_the_ledger_with_heads_that_the_registry_has(desk, opened):
    made = opened()
    resolve_incident(desk, made.id, by="ana", at=NOW, what="mended")

    actions = [entry.action for entry in desk.case.ledger.entries()]
    assert actions[-4:] == ["incident-opened", "concern", "incident-resolved", "concern"]
    assert check_registry(desk) == ()
    desk.case.ledger.append("x", actor="a", subject={"registry_head": "f" * 64}, at=NOW)
    assert "cut short" in check_registry(desk)[0]


# --- Containment ------------------------------------------------------------------------------------------------------


def test_containing_is_one_action_and_is_written_down(desk, opened):
    made = opened(contexts=("closed", "limited"))
    asked = []

    def container(*, action, context, reason):
        asked.append((action, context, reason))
        return f"x-{context}"

    done = contain(desk, made.id, action="stop", reason="it goes on", by="ana", at=NOW, container=container)
    assert asked == [("stop", name, f"incident {made.id}: it goes on") for name in ("closed", "limited")]
    assert done.status == "contained"
    assert [one.restriction for one in done.containment] == ["x-closed", "x-limited"]


def test_a_containment_that_fails_is_not_written_down_and_hides_no_earlier_one(desk, opened):
    made = opened(contexts=("closed", "limited"))

    def container(*, action, context, reason):
        if context == "limited":
            raise NotSupported("no permit")
        return "x-1"

    with pytest.raises(NotSupported):
        contain(desk, made.id, action="stop", reason="r", by="ana", at=NOW, container=container)
    assert [one.context for one in desk.registry.get(Incident, made.id).containment] == ["closed"]


def test_without_a_permit_there_is_nothing_to_contain(desk, opened, tmp_path):
    made = opened(contexts=("closed",))
    container = PermitContainer(case=desk.case, key_file=tmp_path / "no.pem", now=lambda: NOW)

    with pytest.raises(Exception, match=r"roster|key"):
        contain(desk, made.id, action="stop", reason="r", by="ana", at=NOW, container=container)
    with pytest.raises(BadWord, match="nothing to narrow by"):
        contain(desk, made.id, action="narrow", reason="r", by="ana", at=NOW, container=container)
    assert desk.registry.get(Incident, made.id).status == "open"


# --- Calendar and filings ---------------------------------------------------------------------------------------------


def test_the_calendar_holds_what_is_open_with_reminders_and_says_what_is_overdue(desk, opened):
    made = opened()
    meet(desk, f"o-{made.id}-us-ny-raise.safety-incident-1", by="ana", at=NOW, reference="R")
    now = NOW + 16 * DAY
    found = clocks(desk, now=now, everything=True)
    data = calendar(found, case="mine", packs=desk.packs, now=now)

    events = list(icalendar.Calendar.from_ical(data).walk("VEVENT"))
    assert {str(event["uid"]) for event in events} == {
        f"o-{made.id}-{rule}@safecase"
        for rule in (
            "eu-cop.first-report-harm-1",
            "eu-cop.interim-report-1",
            "us-ca-sb53.critical-safety-incident-1",
        )
    }
    late = [event for event in events if str(event["summary"]).startswith("OVERDUE: ")]
    assert len(late) == 2
    assert events[0].decoded("dtstart") == NOW + 15 * DAY
    assert all(len(event.walk("VALARM")) == 2 for event in events)
    assert data == calendar(found, case="mine", packs=desk.packs, now=now)


@pytest.mark.parametrize(
    "rule", ["eu-cop.first-report-harm-1", "us-ca-sb53.critical-safety-incident-1", "us-ny-raise.safety-incident-1"]
)
def test_a_draft_is_made_of_the_record_and_shows_unknown_as_unknown(desk, opened, rule):
    made = opened()
    words = {"chain_of_events": "# Not a heading\n<script>alert(1)</script> [x](y)", "response": "permit stopped"}
    update_incident(desk, made.id, by="ana", at=NOW, facts=words)
    text, data, filing = write_filing(desk, f"o-{made.id}-{rule}", by="ana", now=NOW)

    kept = json.loads(data.read_bytes())
    fields = {one["label"]: one["value"] for one in kept["fields"]}
    assert kept["draft"] is True
    assert "unknown" in fields.values()
    assert set(kept["unknown"]) == {label for label, value in fields.items() if value == "unknown"}
    assert words["chain_of_events"] in fields.values()
    shown = text.read_text()
    assert "<script>" not in shown
    assert "\n# Not" not in shown
    assert "> \\# Not a heading" in shown
    assert all(f"- {label}" in shown for label in filing.unknown)
    assert desk.case.ledger.check_listed() == []


def test_a_late_draft_says_so_and_a_clock_without_a_filing_has_none(desk, opened, send):
    made = opened()
    send(channel="non-compliance")
    update = next(one for one in desk.registry.all(Obligation) if one.rule == "us-ca-sb53.reporter-update")

    assert (
        "OVERDUE"
        in draft_filing(desk, f"o-{made.id}-us-ny-raise.safety-incident-1", by="ana", now=NOW + 4 * DAY).markdown
    )
    with pytest.raises(BadWord, match="no filing"):
        draft_filing(desk, update.id, by="ana", now=NOW)


@pytest.mark.parametrize("days", [-1, 0, 400])
def test_a_look_at_the_clocks_of_another_day_keeps_nothing_and_shows_what_a_step_would(desk, days):
    """Periods to come would else be on record as owed since that day."""
    open_incident(desk, title="t", kinds=("death",), severity=4, by="ana", at=NOW)
    head, at = desk.registry.head(), NOW + dt.timedelta(days=days)

    seen = clocks(desk, now=at, everything=True, foresee=True)

    assert desk.registry.head() == head
    assert seen == clocks(desk, now=at, everything=True)


def test_a_report_of_one_incident_is_taken_into_no_other(desk, send, opened):
    """Its moment would else be shown as what the other was known by, and it would be told about one of them only."""
    receipt = send(at=NOW - 3 * DAY)
    first, second = opened(reports=(receipt.report,)), opened()

    with pytest.raises(WrongStep, match=f"belongs to incident '{first.id}'"):
        update_incident(desk, second.id, by="ana", at=NOW, reports=(receipt.report,))
    with pytest.raises(WrongStep, match="update that one"):
        opened(reports=(receipt.report,))

    assert desk.registry.get(Incident, second.id) == second
    assert len(incidents(desk, by="ana")) == 2
    again = update_incident(desk, first.id, by="ana", at=NOW, reports=(receipt.report,), what="seen again")
    assert again.reports == (receipt.report,)
