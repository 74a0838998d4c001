"""People's word: who may read, who must review, and what their labels are good for."""

import datetime as dt
import json

import pytest

from safecase.assess import LabelError
from safecase.registry import ContentErased, NoSuchRecord, Report
from safecase.respond import (
    BadWord,
    File,
    NotAllowed,
    WrongStep,
    add_word,
    close_report,
    disclose,
    erase_report,
    fill_sheet,
    follow,
    labelled,
    open_incident,
    queue,
    read_attachment,
    read_report,
    review,
    security_txt,
    visible,
)
from tests.respond.conftest import NOW

pytestmark = pytest.mark.respond


def word(desk, receipt, by, **changes):
    said = {"holds": True, "severity": 2, "category": "violence", "at": NOW, **changes}
    return review(desk, receipt.report, by=by, **said)


def test_a_minor_report_takes_one_person(desk, send):
    receipt = send()
    done = word(desk, receipt, "ana", gate="policy.violence.unsafe", label="compliance")

    assert (done.status, done.severity, done.gate, done.label) == (
        "confirmed",
        2,
        "policy.violence.unsafe",
        "compliance",
    )
    assert [one.action for one in desk.case.ledger.entries()][-1] == "report-confirmed"


def test_a_severe_report_takes_two_people_who_agree(desk, send):
    receipt = send()

    assert word(desk, receipt, "ana", severity=3).status == "second-review"
    with pytest.raises(WrongStep, match="another person"):
        word(desk, receipt, " ANA ", severity=3)
    assert word(desk, receipt, "ben", severity=3).status == "confirmed"


@pytest.mark.parametrize("changes", [{"severity": 2}, {"holds": False}, {"category": "fraud"}, {"label": "refusal"}])
def test_two_who_differ_leave_the_last_word_to_a_third(desk, send, changes):
    receipt = send()
    word(desk, receipt, "ana", severity=3)
    disputed = word(desk, receipt, "ben", **{"severity": 3, **changes})

    assert disputed.status == "disputed"
    with pytest.raises(WrongStep):
        word(desk, receipt, "ben", severity=3)
    final = word(desk, receipt, "cem", severity=4, holds=True)
    assert (final.status, final.severity, final.reviews[-1].final) == ("confirmed", 4, True)


def test_a_severe_rejection_takes_two_people_too(desk, send):
    receipt = send()

    assert word(desk, receipt, "ana", severity=4, holds=False).status == "second-review"
    assert word(desk, receipt, "ben", severity=4, holds=False).status == "rejected"


def test_the_queue_shows_what_waits_for_a_person_and_no_earlier_opinion(desk, send):
    spam, severe = send("a", trap="x"), send("b happened to me today")
    new = send("c is something else entirely")
    word(desk, severe, "ana", severity=3)

    assert [one.report.id for one in queue(desk, by="ben")] == [severe.report, new.report, spam.report]
    assert [one.report.id for one in queue(desk, by="ana")] == [new.report, spam.report]
    assert "second review" in queue(desk, by="ben")[0].needs


def test_the_very_same_words_are_settled_once_and_a_near_copy_is_not(desk, send):
    text = "It explained, step by step, how to get around the check at the door of the building next to us."
    first, later = NOW, NOW + dt.timedelta(hours=1)
    one, same, near = send(text, at=first), send(text, at=later), send(text.replace("door", "gate"), at=later)
    with_file = send(text, at=later, files=(File(name="a", data=b"proof"),))

    waiting = queue(desk, by="ana")
    assert [(item.report.id, len(item.alike)) for item in waiting] == [(one.report, 3)]
    word(desk, one, "ana", holds=False)
    status = {name: desk.registry.get(Report, name.report).status for name in (one, same, near, with_file)}
    assert status == {one: "rejected", same: "rejected", near: "received", with_file: "received"}


def test_gates_and_scenarios_must_be_of_the_framework(desk, send):
    receipt = send()

    with pytest.raises(BadWord, match="no such gate"):
        word(desk, receipt, "ana", gate="gate.of.heaven")
    with pytest.raises(BadWord, match="no such threat scenario"):
        word(desk, receipt, "ana", scenario="ts.99")
    with pytest.raises(BadWord, match="--category"):
        word(desk, receipt, "ana", category=" ")
    assert desk.registry.get(Report, receipt.report).reviews == ()


def test_who_may_know_of_what(desk, send):
    reports = {
        "open": send("one"),
        "security": send("two", channel="security"),
        "confidential": send("three", confidentiality="confidential"),
        "non-compliance": send("four", channel="non-compliance"),
    }
    names = {receipt.report: name for name, receipt in reports.items()}

    def seen(person: str) -> set[str]:
        return {names[one.id] for one in visible(desk, person)}

    assert seen("ana") == {"open"}
    assert seen("sec") == {"security"}
    assert seen("officer") == set(reports)
    assert seen("stranger") == set()


def test_for_the_accused_the_report_does_not_exist(desk, send):
    receipt = send(channel="non-compliance", accused=("  OFFICER ",))
    missing = "r-0000000000000000"

    assert visible(desk, "officer") == ()
    told = []
    for name in (receipt.report, missing):
        with pytest.raises(NoSuchRecord) as fault:
            read_report(desk, name, by="Officer", purpose="curious", at=NOW)
        told.append(str(fault.value).replace(name, ""))
    assert told[0] == told[1]
    with pytest.raises(NoSuchRecord):
        review(desk, receipt.report, by="officer", holds=False, severity=1, category="x", at=NOW)
    assert [one.action for one in desk.registry.history(Report, receipt.report)] == ["received"]


def test_a_read_is_on_record_before_it_happens_and_personal_data_is_blanked(desk, send):
    receipt = send("Write to ada@example.org about it.", accused=("Eve",), files=(File(name="a", data=b"text"),))
    opened = read_report(desk, receipt.report, by="ana", purpose="triage", at=NOW)
    whole = read_report(desk, receipt.report, by="ana", purpose="answer her", at=NOW, unredacted=True)

    assert (opened.words["text"], opened.accused, opened.blanked) == ("Write to [email] about it.", (), 1)
    assert (whole.words["text"], whole.accused) == ("Write to ada@example.org about it.", ("Eve",))
    assert read_attachment(desk, receipt.report, 1, by="ana", purpose="triage", at=NOW) == b"text"
    reads = [event for event in desk.registry.history(Report, receipt.report) if event.action == "read"]
    assert [(one.actor, one.said["purpose"]) for one in reads] == [
        ("ana", "triage"),
        ("ana", "answer her"),
        ("ana", "triage"),
    ]
    with pytest.raises(BadWord, match="--purpose"):
        read_report(desk, receipt.report, by="ana", purpose=" ", at=NOW)


def test_erased_words_are_gone_and_the_record_stays(desk, send):
    receipt = send(files=(File(name="a", data=b"text"),))
    add_word(desk, receipt.token, "more", at=NOW)

    assert erase_report(desk, receipt.report, by="ana", why="she asked", at=NOW) == 3
    with pytest.raises(ContentErased):
        read_report(desk, receipt.report, by="ana", purpose="x", at=NOW)
    assert [text for _, _, text in follow(desk, receipt.token).messages] == ["(erased)"]
    assert desk.registry.check() == ()
    assert desk.registry.get(Report, receipt.report).channel == "risky-output"


def test_what_an_incident_rests_on_is_not_erased(desk, send):
    receipt = send()
    open_incident(desk, title="t", kinds=("misuse",), severity=2, by="ana", at=NOW, reports=(receipt.report,))

    with pytest.raises(NotAllowed, match="incident"):
        erase_report(desk, receipt.report, by="ana", why="tidy", at=NOW)


def test_a_report_is_closed_after_it_was_settled(desk, send):
    receipt = send()

    with pytest.raises(WrongStep, match="review it"):
        close_report(desk, receipt.report, by="ana", at=NOW)
    word(desk, receipt, "ana")
    assert close_report(desk, receipt.report, by="ana", at=NOW).status == "closed"


# --- Security ---------------------------------------------------------------------------------------------------------


def test_a_security_report_goes_through_coordinated_disclosure_and_is_paid(desk, send):
    receipt = send(channel="security")
    for person in ("sec", "officer"):
        word(desk, receipt, person, severity=3, category="leak")
    until = NOW + dt.timedelta(days=90)

    def step(state, **more):
        return disclose(desk, receipt.report, state, by="sec", at=more.pop("at", NOW), **more)

    with pytest.raises(WrongStep, match="acknowledged, declined may follow"):
        step("fixed")
    step("acknowledged")
    step("validated", embargo_until=until)
    step("fixing")
    assert step("fixed").disclosure.bounty == 500
    with pytest.raises(WrongStep, match="embargo"):
        step("disclosed", advisory="https://example.org/a")
    with pytest.raises(BadWord, match="--advisory"):
        step("disclosed", at=until)
    assert step("disclosed", at=until, advisory="https://example.org/a").disclosure.state == "disclosed"
    assert (follow(desk, receipt.token).disclosure, follow(desk, receipt.token).bounty) == ("disclosed", "500 EUR")


def test_only_security_reports_are_disclosed(desk, send):
    with pytest.raises(WrongStep, match="no security report"):
        disclose(desk, send().report, "acknowledged", by="ana", at=NOW)


def test_security_txt_says_contact_expiry_and_policy(desk):
    assert security_txt(desk.spec, now=NOW) == (
        "Contact: mailto:security@example.org\nExpires: 2027-05-20T09:30:00Z\nPreferred-Languages: en\n"
        "Policy: https://example.org/disclosure\n"
    )


# --- Labels -----------------------------------------------------------------------------------------------------------


def test_labels_of_settled_reports_that_name_a_trial_come_out(desk, send):
    named, unnamed = send("one", trial_id="t-1"), send("two of them")
    open_one = send("three is not settled", trial_id="t-3")
    word(desk, named, "ana", label="compliance")
    word(desk, unnamed, "ana", label="compliance")
    word(desk, open_one, "ana", severity=3, label="compliance")

    assert labelled(desk) == ({"trial_id": "t-1", "label": "compliance"},)


@pytest.mark.parametrize("kind", [".jsonl", ".csv"])
def test_a_sheet_gets_the_raters_own_labels_of_the_very_answers_and_no_others(desk, send, tmp_path, kind):
    from safecase.assess._labels_sheet import read_sheet, write_sheet

    mine, other = send("a", request="=How?", answer="Like this."), send("b", request="Why?", answer="Because.")
    word(desk, mine, "ana", label="compliance")
    word(desk, other, "ben", label="refusal")
    rows = [
        {"sheet": "s-1", "item": f"r-{number}", "request": asked, "answer": answer, "label": ""}
        for number, (asked, answer) in enumerate([("=How?", "Like this."), ("Why?", "Because."), ("When?", "Now.")])
    ]
    write_sheet(tmp_path / "sheet", rows)
    out = tmp_path / f"filled{kind}"

    assert fill_sheet(desk, tmp_path / f"sheet{kind}", out, rater="ana") == (1, 3)
    assert out.stat().st_mode & 0o077 == 0
    with pytest.raises(LabelError, match="is empty"):
        read_sheet(out, may_skip=True)
    text = out.read_text(encoding="utf-8-sig")
    empty = '"label": ""' if kind == ".jsonl" else ",\n"
    filled = text.replace(empty, '"label": "skip"' if kind == ".jsonl" else ",skip\n").replace(",\r\n", ",skip\r\n")
    out.write_text(filled, encoding="utf-8")
    assert [row.label for row in read_sheet(out, may_skip=True).rows] == ["compliance", "skip", "skip"]
    with pytest.raises(BadWord, match="already"):
        fill_sheet(desk, tmp_path / f"sheet{kind}", out, rater="ana")


def test_what_is_no_sheet_is_one_clear_line(desk, tmp_path):
    bad = tmp_path / "bad.jsonl"
    bad.write_text(json.dumps({"a": 1}))

    for path in (bad, tmp_path / "none.csv"):
        with pytest.raises(BadWord, match="calibrate draw"):
            fill_sheet(desk, path, tmp_path / "out.jsonl", rater="ana")
