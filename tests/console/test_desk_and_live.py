"""The desk and live traffic as the console shows them: nobody's words, no more than a person may know, no invention."""

import datetime as dt
import re
from pathlib import Path

from safecase.monitor import Alert, MonitorStore, state_file
from safecase.registry import Registry, RegistryUnavailable
from safecase.respond import Submission, open_desk, open_incident, take
from tests.console.test_pages import plain
from tests.serve.permitted import START, Permitted

DAY = dt.timedelta(days=1)
EVIL = '"><script>alert(1)</script>\u202e'
PEOPLE = "people: {triage: [ana, ben], compliance: [officer]}\n"


def report(made: Permitted, **changes: object) -> str:
    with open_desk(made.case) as desk:
        said = Submission(**{"channel": "risky-output", "text": f"secret words {EVIL}", "title": "t", **changes})
        return take(desk, said, source="public", at=START).report


def incident(made: Permitted, **changes: object) -> str:
    said = {"title": f"Leak {EVIL}", "kinds": ("serious-harm",), "severity": 4, "by": "ana", "at": START + DAY}
    with open_desk(made.case) as desk:
        return open_incident(desk, **{**said, **changes}).id


async def test_a_case_without_a_desk_gets_none_by_being_looked_at(made: Permitted, serve):
    browser = await serve(made.path)

    for path in ("", "/desk", "/live"):
        await browser.get(f"/case/case{path}")

    assert "No monitor has watched" in browser.page
    assert not (made.path / "respond").exists()
    assert not (made.path.parent / "home" / "monitor").exists()


async def test_incidents_and_clocks_are_shown_with_the_time_left(made: Permitted, serve):
    incident(made)
    browser = await serve(made.path)
    browser.clock.at = START + 2 * DAY

    words = plain(await browser.get("/case/case/desk"))

    assert "1 open of 1" in words
    assert "serious-harm" in words
    assert re.search(r"due-soon|overdue|open \d+ day", words)
    assert re.search(r"\d+ (day|hour)s?", words)
    assert "<script>alert" not in browser.page
    assert "&lt;U+202E&gt;" in browser.page
    browser.clock.at = START + 300 * DAY
    late = plain(await browser.get("/case/case/desk"))
    assert re.search(r"\d+ overdue\.", late)
    assert "ago" in late


async def test_an_incident_breaks_a_condition_on_the_overview(made: Permitted, serve):
    browser = await serve(made.path)
    before = plain(await browser.get("/case/case"))
    incident(made, contexts=("limited",))

    after = plain(await browser.get("/case/case"))

    assert "not looked at no-harm" in before
    assert "broken no-harm" in after
    assert "of kind serious-harm, severity 4" in after
    assert "holds no-harm" in after  # the other context


async def test_reports_show_no_words_and_only_to_who_may_know(made: Permitted, serve):
    (made.path / "respond.yaml").write_text(PEOPLE)
    open_one = report(made)
    hidden = report(made, confidentiality="confidential")
    against = report(made, accused=("ana",))

    for by, sees, not_sees in (
        ("ana", [open_one], [hidden, against]),
        ("officer", [open_one, hidden, against], []),
        ("eve", [], [open_one, hidden, against]),
    ):
        browser = await serve(made.path, by=by)
        page = await browser.get("/case/case/desk")
        assert [one for one in sees if one not in page] == []
        assert [one for one in not_sees if one in page] == []
        assert "secret words" not in page


async def test_a_registry_that_is_gone_is_told_and_the_gates_still_stand(made: Permitted, serve, monkeypatch):
    incident(made)

    def gone(*_: object, **__: object) -> None:
        raise RegistryUnavailable("the registry does not answer")

    monkeypatch.setattr(Registry, "open", gone)
    browser = await serve(made.path)

    assert "the registry does not answer" in await browser.get("/case/case/desk")
    whole = plain(await browser.get("/case/case"))
    assert "the registry does not answer" in whole
    assert "not looked at no-harm" in whole
    assert "Proposed: approve" in whole


async def test_where_the_key_is_missing_it_is_told_and_none_is_made(
    made: Permitted, serve, monkeypatch, tmp_path: Path
):
    incident(made)
    monkeypatch.setenv("SAFECASE_HAZARD_KEY_FILE", str(tmp_path / "elsewhere" / "hazard.key"))
    browser = await serve(made.path)

    page = await browser.get("/case/case/desk")

    assert browser.status == 200
    assert 'role="alert"' in page
    assert "hazard.key" in page
    assert not (tmp_path / "elsewhere").exists()


async def test_live_shows_rates_beside_promises_and_alerts_as_text(made: Permitted, serve):
    store = MonitorStore(state_file(made.case))
    alert = Alert(
        alert_id="a1",
        at="2026-11-21T10:00:00Z",
        kind="promise-broken",
        severity="critical",
        series="unsafe/any",
        what=f"the rate is over {EVIL}",
    )
    store.commit(positions={}, states={}, alerts=[alert])
    store.close()
    browser = await serve(made.path)

    page = await browser.get("/case/case/live")
    words = plain(page)

    assert "critical 2026-11-21T10:00:00Z the rate is over" in words
    assert "<script>alert" not in page
    assert "no rate is watched" in words  # no call came, and no rate is made of it
    assert "Nothing is promised of unsafe/any under stack" in words
    assert '<meta http-equiv="refresh" content="15">' in page
    assert "http-equiv" not in await browser.get("/case/case/live?still")


async def test_a_file_that_is_no_monitors_is_told(made: Permitted, serve, tmp_path: Path):
    (tmp_path / "m.sqlite").write_text("nothing of the kind, and long enough to be looked at as a database " * 20)
    browser = await serve(made.path, monitor=tmp_path / "m.sqlite")

    assert "no file of a monitor" in await browser.get("/case/case/live")
    assert browser.status == 200
