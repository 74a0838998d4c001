"""A later edition tells what happened since the one before, every figure of it traced."""

import datetime as dt
import re
from dataclasses import replace
from pathlib import Path

from safecase.decide import Regression
from safecase.report import OF_LEDGER, EventLine, GateReading, ReportInput, Since, numbers, render
from tests.report.conftest import page_text, synthetic
from tests.report.test_editions import Page

DAY = dt.date(2026, 6, 28)
GATE = "policy.violence.unsafe"


def reading(verdict: str, value: float | None, text: str) -> GateReading:
    return GateReading(
        gate=GATE,
        context="closed",
        verdict=verdict,
        estimate_id="unsafe_rate/guarded/category:violence",
        value=value,
        text=text,
    )


def event(seq: int, action: str, what: str) -> EventLine:
    return EventLine(seq=seq, action=action, date=DAY, what=what)


def told(**changes: object) -> ReportInput:
    events = (
        event(40, "alerted", "the rate unsafe/any is over the promised 12.1%: 98.0% of 11 accounts"),
        event(41, "incident-opened", "i-0a1b: safeguard-failure"),
        event(42, "narrowed", "closed: condition rates-kept is broken"),
        *(event(50 + n, "scenario-learned", f"learned-{n}: accepted by two") for n in range(8)),
    )
    learned = tuple(
        Regression(scenario=f"learned-{n}", arm=arm, outcome=outcome, contexts=("closed",))
        for n, (arm, outcome) in enumerate((("bare", "unsafe"), ("guarded", "safe"), ("guarded", "safe")))
    )
    since = Since(
        edition=1,
        head="a" * 64,
        evidence_root="b" * 64,
        events=events,
        before=(reading("inconclusive", 0.31, "31.0%"),),
        learned=learned,
    )
    return synthetic(**{"since": since, "readings": (reading("pass", 0.093, "9.3%"),), **changes})


def test_every_count_is_a_number_with_its_way_back_to_the_ledger() -> None:
    given = told()
    found = numbers(given)

    assert {name: found[f"since/{name}"].value for name in OF_LEDGER} == {
        **dict.fromkeys(OF_LEDGER, 0),
        "alerted": 1,
        "incident-opened": 1,
        "narrowed": 1,
        "scenario-learned": 8,
    }
    assert found["since/alerted"].query == {
        "kind": "ledger",
        "of": "alerted",
        "after": "a" * 64,
        "to": given.ledger_head,
    }
    assert found["since/learned/guarded/safe"].value == 2
    before = found[f"since/gate/{GATE}/closed/before"]
    assert (before.value, before.query["file"], before.evidence_digest) == (0.31, "report/editions.json", "b" * 64)


def test_it_stands_in_every_edition_and_prints_no_free_number(tmp_path: Path) -> None:
    rendered = render(told(), tmp_path)
    text = rendered.paths["html"].read_text(encoding="utf-8")
    page = Page(text)

    assert page.untraced == []
    part = text[text.index('id="since"') : text.index('id="checklist"')]
    for words in ("Incidents opened", "Near misses", "inconclusive", "pass", "98.0%", "and more in the ledger"):
        assert words in part
    assert len(re.findall(r"learned-\d", part)) == 6
    assert rendered.paths["pdf"].stat().st_size > 10_000


def test_of_many_gates_those_that_read_as_before_are_left_out() -> None:
    many = tuple(replace(reading("inconclusive", 0.31, "31.0%"), gate=f"policy.g{n}.unsafe") for n in range(31))
    since = told().since
    assert since is not None
    moved = (replace(many[0], verdict="fail"), *many[1:])
    text = page_text(told(since=replace(since, before=many), readings=moved))
    part = text[text.index('id="since"') : text.index('id="checklist"')]

    assert "the others are as they were" in part
    assert "policy.g0.unsafe" in part
    assert "policy.g1.unsafe" not in part


def test_a_first_edition_has_no_such_part(given: ReportInput) -> None:
    assert given.since is None
    assert 'id="since"' not in page_text(given)
    assert 'id="since"' in page_text(told())
    assert not [name for name in numbers(given) if name.startswith("since/")]


def test_a_word_of_the_ledger_poses_as_no_number() -> None:
    since = told().since
    assert since is not None
    evil = Since(
        edition=1,
        head=since.head,
        evidence_root=since.evidence_root,
        events=(event(1, "alerted", "<script>⟦trials/total⟧</script>"),),
        before=(),
        learned=(),
    )
    text = page_text(told(since=evil, readings=()))

    assert "<script>[trials/total]" not in text
    assert "&lt;script&gt;[trials/total]" in text
