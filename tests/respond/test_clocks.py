"""Clocks: every figure of every pack, time zones, summer time, calendar days, months' ends."""

import datetime as dt
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safecase.declare import PackError
from safecase.registry import Awareness, Incident, Report
from safecase.respond import ClockRule, Period, due, load_packs, owed_for_incident, owed_for_report, shipped_clock_packs
from safecase.respond._filing import _VALUES
from safecase.respond._packs import FIELDS

pytestmark = pytest.mark.respond

NOW = dt.datetime(2026, 11, 21, 9, 30, tzinfo=dt.UTC)
PACKS = load_packs(shipped_clock_packs(), beside=Path())


def incident(*kinds: str, **changes: object) -> Incident:
    aware = Awareness(at=NOW, evidence="report r-1")
    fields = {"id": "i-1", "case": "c", "title": "t", "kinds": kinds, "severity": 3, "owner": "ana", "opened": NOW}
    return Incident.model_validate({**fields, "awareness": aware, "imminent": False, **changes})


def owed(found: Incident, pack: str) -> dict[str, dt.timedelta]:
    """Rule -> how long after awareness (or resolution) it is due."""
    loaded = PACKS[pack].pack
    zone = ZoneInfo(loaded.zone)
    return {rule.id: due(rule, since, zone) - since for rule, since in owed_for_incident(found, loaded)}


def rule(ends: str = "same-time", **period: int) -> ClockRule:
    return ClockRule(id="r", what="w", citation="c", trigger="aware", within=Period(**period), ends=ends)


DAY, HOUR = dt.timedelta(days=1), dt.timedelta(hours=1)


@pytest.mark.parametrize(
    ("kind", "rule_id", "days"),
    [
        ("critical-infrastructure-disruption", "first-report-infrastructure", 2),
        ("serious-security-breach", "first-report-security", 5),
        ("weight-exfiltration", "first-report-security", 5),
        ("death", "first-report-death", 10),
        ("serious-harm", "first-report-harm", 15),
    ],
)
def test_the_european_first_report_is_due_by_kind(kind, rule_id, days):
    assert owed(incident(kind), "eu-cop") == {rule_id: days * DAY, "interim-report": 28 * DAY}


def test_of_several_kinds_the_earliest_first_report_is_owed():
    found = owed(incident("death", "critical-infrastructure-disruption"), "eu-cop")

    assert found == {"first-report-infrastructure": 2 * DAY, "interim-report": 28 * DAY}


def test_the_final_report_is_due_sixty_days_after_resolution():
    found = incident("death", resolved=NOW + 40 * DAY)

    assert owed(found, "eu-cop")["final-report"] == 60 * DAY


def test_minor_kinds_owe_nothing_to_europe():
    assert owed(incident("misuse", "safeguard-failure"), "eu-cop") == {}


@pytest.mark.parametrize("pack_and_figures", [("us-ca-sb53", 15 * DAY), ("us-ny-raise", 72 * HOUR)])
@pytest.mark.parametrize(("imminent", "short"), [(False, False), (True, True), ("unknown", True)])
def test_american_clocks_and_unknown_imminence_counts_as_imminent(pack_and_figures, imminent, short):
    pack, figure = pack_and_figures
    found = owed(incident("misuse", imminent=imminent), pack)

    assert (24 * HOUR in found.values()) is short
    assert figure in found.values()


def test_a_near_miss_and_a_law_that_does_not_ask_start_no_clock():
    assert owed(incident("death", near_miss=True), "eu-cop") == {}
    assert owed(incident("death", not_owed={"us-ca-sb53": "not a critical incident"}), "us-ca-sb53") == {}


@pytest.mark.parametrize(
    ("pack", "rule_id", "period"),
    [
        ("eu-cop", "report-update", Period(business_days=5)),
        ("eu-cop", "report-renewal", Period(months=6)),
        ("us-ca-sb53", "framework-change", Period(days=30)),
        ("us-ca-sb53", "internal-use-summary", Period(months=3)),
        ("us-ca-sb53", "reporter-update", Period(months=1)),
        ("us-ny-raise", "internal-use-summary", Period(months=3)),
        ("framework", "review", Period(months=12)),
        ("framework", "publication", Period(months=12)),
    ],
)
def test_the_other_figures(pack, rule_id, period):
    rules = {one.id: one for one in PACKS[pack].pack.rules}

    assert rules[rule_id].period == period


def test_every_figure_has_its_citation_and_every_pack_a_version_date_and_zone():
    assert len(PACKS) >= 4
    for loaded in PACKS.values():
        pack = loaded.pack
        assert pack.version
        assert pack.source
        assert len(loaded.sha256) == 64
        for one in pack.rules:
            figures = [value for value in one.period.model_dump().values() if value is not None]
            assert any(char.isdigit() for char in one.citation) or "monthly" in one.citation, one.id
            assert figures


def test_only_non_compliance_reports_owe_their_reporter_an_update():
    fields = {"id": "r-1", "case": "c", "received": NOW, "content": "c", "fingerprint": "f", "group": "r-1"}
    pack = PACKS["us-ca-sb53"].pack

    assert [one.id for one, _ in owed_for_report(Report(channel="non-compliance", **fields), pack)] == [
        "reporter-update"
    ]
    assert list(owed_for_report(Report(channel="feedback", **fields), pack)) == []


BRUSSELS, NEW_YORK = ZoneInfo("Europe/Brussels"), ZoneInfo("America/New_York")


def test_days_keep_the_local_time_across_a_change_of_clocks():
    # Summer time begins on 29 March 2026 in Brussels and on 8 March in New York.
    since = dt.datetime(2026, 3, 28, 12, tzinfo=BRUSSELS)

    assert due(rule(days=2), since, BRUSSELS) == dt.datetime(2026, 3, 30, 12, tzinfo=BRUSSELS)
    assert due(rule(days=2), since, BRUSSELS) - since.astimezone(dt.UTC) == 47 * HOUR


def test_hours_run_by_the_clock_across_a_change_of_clocks():
    since = dt.datetime(2026, 3, 7, 12, tzinfo=NEW_YORK)

    assert due(rule(hours=72), since, NEW_YORK) - since.astimezone(dt.UTC) == 72 * HOUR
    assert due(rule(hours=24), since, NEW_YORK).astimezone(NEW_YORK).hour == 13


def test_a_local_time_that_is_skipped_or_comes_twice_is_read_cautiously():
    skipped = due(rule(days=1), dt.datetime(2026, 3, 28, 2, 30, tzinfo=BRUSSELS), BRUSSELS)
    twice = due(rule(days=1), dt.datetime(2026, 10, 24, 2, 30, tzinfo=BRUSSELS), BRUSSELS)

    assert skipped == dt.datetime(2026, 3, 29, 1, 30, tzinfo=dt.UTC)
    assert twice == dt.datetime(2026, 10, 25, 0, 30, tzinfo=dt.UTC)


def test_the_day_is_that_of_the_authority_and_not_of_the_server():
    since = dt.datetime(2026, 11, 21, 2, tzinfo=dt.UTC)  # still 20 November in New York

    found = due(rule(ends="end-of-day", days=1), since, NEW_YORK)
    assert found == dt.datetime(2026, 11, 22, 0, tzinfo=NEW_YORK)


@pytest.mark.parametrize(
    ("months", "times", "expected"),
    [(1, 1, (2027, 2, 28)), (1, 2, (2027, 3, 31)), (12, 1, (2028, 1, 31)), (3, 1, (2027, 4, 30))],
)
def test_months_end_where_the_month_ends_and_do_not_drift(months, times, expected):
    since = dt.datetime(2027, 1, 31, 12, tzinfo=dt.UTC)
    every = ClockRule(id="r", what="w", citation="c", trigger="aware", every=Period(months=months))

    assert due(every, since, ZoneInfo("Etc/UTC"), times=times) == dt.datetime(*expected, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("day", "expected"),
    [(16, 23), (20, 27), (21, 27), (22, 27)],  # Monday, Friday, Saturday, Sunday
)
def test_business_days_leave_out_weekends(day, expected):
    since = dt.datetime(2026, 11, day, 12, tzinfo=dt.UTC)

    assert due(rule(business_days=5), since, ZoneInfo("Etc/UTC")).day == expected


def test_a_moment_without_a_zone_is_refused():
    with pytest.raises(ValueError, match="no time zone"):
        due(rule(days=1), dt.datetime(2026, 1, 1), BRUSSELS)  # noqa: DTZ001


@given(
    since=st.timedeltas(dt.timedelta(), dt.timedelta(days=1500)).map(lambda after: NOW + after),
    later=st.timedeltas(dt.timedelta(), dt.timedelta(days=40)),
    unit=st.sampled_from(["hours", "days", "business_days", "weeks", "months"]),
    zone=st.sampled_from(["Europe/Brussels", "America/Los_Angeles", "Etc/UTC", "Pacific/Apia"]),
)
def test_knowing_later_is_never_due_earlier(since, later, unit, zone):
    """By the day; a skipped hour and a weekend can turn two moments of neighbouring days around within it."""
    one = due(rule(**{unit: 3}), since, ZoneInfo(zone))
    two = due(rule(**{unit: 3}), since + later, ZoneInfo(zone))

    assert one > since
    assert two.astimezone(ZoneInfo(zone)).date() >= one.astimezone(ZoneInfo(zone)).date()
    assert unit == "business_days" or two >= one - HOUR


def test_a_pack_with_a_wrong_zone_field_or_period_is_refused_with_its_line(tmp_path):
    good = (
        "id: mine\ntitle: t\nversion: '1'\ndate: 2026-01-01\nsource: s\nauthority: a\nzone: Etc/UTC\n"
        "rules:\n  - {id: r, what: w, citation: c 1, trigger: aware, within: {days: 1}}\n"
    )
    path = tmp_path / "mine.yaml"
    for old, new, says in (
        ("zone: Etc/UTC", "zone: Mars/Base", "mine.yaml:7"),
        ("within: {days: 1}", "within: {days: 1, hours: 3}", "exactly one"),
        ("within: {days: 1}", "trigger: aware", "mine.yaml:9"),
        ("rules:", "filing: [{label: l, of: facts.colour}]\nrules:", "facts.colour"),
    ):
        path.write_text(good.replace(old, new))
        with pytest.raises(PackError, match=says):
            load_packs(["mine.yaml"], beside=tmp_path)
    path.write_text(good)
    assert load_packs(["mine.yaml"], beside=tmp_path)["mine"].pack.zone == "Etc/UTC"


def test_every_name_that_a_filing_may_use_has_a_value():
    assert set(_VALUES) == set(FIELDS)
