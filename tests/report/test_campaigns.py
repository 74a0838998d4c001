"""Red teaming by people in every edition: counted, traced; admitted where it was not held, not counted, or is old."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from safecase.measure import CampaignCounts, count_campaign
from safecase.report import CampaignLine, Campaigns, ReportInput, numbers, render
from safecase.report._document import document
from safecase.report._numbers import Tracer, printable
from tests.measure.test_campaign import DECLARED, rows, talk
from tests.report.conftest import page_text, synthetic
from tests.report.test_editions import Page

FILE = "redteam/counted/people-0123456789ab.json"


def line(title: str = "A week of trying, 2 rooms", **more: Any) -> CampaignLine:
    declared = DECLARED.model_copy(update={"title": title})
    counted = rows(
        *(talk(n, n % 3 == 0, None if n % 5 else True, arm="guarded" if n % 2 else "bare") for n in range(1, 13)),
        talk(13, None, team="event", category="privacy", vector="logic"),
        unanswered={"timeout": 2},
        referrals=1,
        unscored=1,
    )
    counts = CampaignCounts(
        head="c" * 64,
        counted_from="d" * 64,
        judge_digest="e" * 64,
        declared=declared,
        rows=counted,
        report=count_campaign(declared, counted, judge="embedded"),
    )
    return CampaignLine(counts=counts, file=FILE, sha256="f" * 64, **more)


def told(*lines: CampaignLine, **more: Any) -> ReportInput:
    return synthetic(campaigns=Campaigns(counted=lines, **more))


def admitted(given: ReportInput) -> str:
    tracer = Tracer({**printable(given), **numbers(given)})
    groups = document(given, tracer)["admitted"]
    group = next(group for group in groups if group["title"] == "Red teaming by people")
    return " ".join(f"{','.join(one['subjects'])} {one['words']}" for one in group["lines"])


def test_every_figure_leads_to_its_place_in_the_counts() -> None:
    found = {name: one for name, one in numbers(told(line())).items() if name.startswith("campaign/")}
    counts = json.loads(line().counts.model_dump_json())

    assert len(found) > 60, "the check must find its subjects"
    for name, one in found.items():
        if "of" not in one.query:
            value: Any = counts
            for step in one.query["pointer"].strip("/").split("/"):
                value = value[int(step)] if isinstance(value, list) else value[step]
            assert (one.value, one.evidence_digest, one.query["file"]) == (value, "f" * 64, FILE), name
    everyone = found["campaign/people/success/0/by_judge"]
    assert (everyone.n, everyone.low is not None, everyone.text) == (12, True, "33.3%")


def test_it_stands_in_every_edition_and_prints_no_free_number(tmp_path: Path) -> None:
    rendered = render(told(line(messages_since=3, reviews_since=1, events_since=2)), tmp_path)
    text = rendered.paths["html"].read_text(encoding="utf-8")
    part = text[text.index('id="campaigns"') : text.index('id="unmeasured"')]

    assert Page(text).untraced == []
    for words in ("no gate reads it", "Every public event team", "Staff, before safeguards", "Tried by nobody"):
        assert words in part
    assert "(timeout)" in part
    assert "not a random sample of anything" in part
    assert re.search(r"Not up to date:</strong> since it was counted, messages came in \(<a.*>3</a>\)", part)
    value = json.loads(rendered.paths["json"].read_bytes())
    assert value["document"]["campaigns"][0]["totals"]["messages"] == "campaign/people/messages"
    assert value["numbers"]["campaign/people/messages"]["value"] == 26
    assert rendered.paths["pdf"].stat().st_size > 10_000


def test_a_share_that_is_not_known_is_no_number() -> None:
    found = numbers(told(line()))
    event = next(n for n, one in enumerate(line().counts.report.success) if one.group == "team:event")

    share = found[f"campaign/people/success/{event}/by_judge"]
    assert (share.value, share.text, share.low, share.high) == (None, "not known", 0.0, 1.0)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (Campaigns(), "No red-team campaign by people was held."),
        (Campaigns(uncounted=("people",)), "people was held and not counted yet"),
        (Campaigns(silent=("people",)), "people was declared, and nobody has said anything in it yet"),
        (Campaigns(counted=(line(),)), "decides no gate; ⟦campaign/people/empty⟧ of ⟦campaign/people/cells⟧ pairs"),
        (Campaigns(counted=(line(events_since=1),)), "since it was counted, conversations or findings were added"),
    ],
)
def test_the_report_admits_what_is_true_of_each_campaign(given: Campaigns, words: str) -> None:
    assert words in admitted(synthetic(campaigns=given))


def test_a_case_without_a_campaign_has_no_such_part(given: ReportInput) -> None:
    text = page_text(given)

    assert 'id="campaigns"' not in text
    assert "No red-team campaign by people was held." in text
    assert not [name for name in numbers(given) if name.startswith("campaign/")]


def test_a_title_poses_as_no_number_and_no_markup() -> None:
    text = page_text(told(line("<b>⟦trials/total⟧</b>")))

    assert "&lt;b&gt;[trials/total]" in text
