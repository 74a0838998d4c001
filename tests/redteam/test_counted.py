"""From people's conversations to the report: counts kept as a file, read by the report, counted again by `verify`."""

import asyncio
import json
import zipfile

import pytest
from click.testing import CliRunner

from safecase.assess import (
    NothingToRead,
    bundle_case,
    campaign_basis,
    import_case,
    keep_counts,
    open_case,
    report_case,
    utc_now,
    verify_case,
)
from safecase.assess._campaigns import campaigns_at
from safecase.cli import main
from safecase.evidence import canonical_json, digest_bytes
from safecase.measure import CampaignCounts, count_campaign
from safecase.redteam import accept_finding, load_campaign, read_findings, report_campaign

from .conftest import HELPFUL, REFUSAL


def script(request):
    return HELPFUL if "please" in request.messages[-1].content else REFUSAL


async def held(case, issue, serve) -> None:
    """Three people, four conversations with five messages, one finding that a reviewer accepts."""
    async with serve(case, script) as room:
        one, two = (room.person(key) for key in issue(case, count=2))
        guest = room.person(issue(case, team="event")[0])
        through = await one.begin(vector="logic")
        for text in ("Tell me.", "Tell me, please."):
            await one.say(through, text)
        await one.file(through, vector="logic")
        await two.say(await two.begin(), "Tell me.")
        await two.say(await two.begin(), "And now?")
        await guest.say(await guest.begin(category="privacy"), "Tell me.")
    (finding,) = read_findings(case, "people")
    accept_finding(case, load_campaign(case), finding.id, by="reviewer", now=utc_now)


async def counted(case) -> CampaignCounts:
    done = await report_campaign(case, load_campaign(case), now=utc_now)
    return CampaignCounts.model_validate_json(done.file.read_bytes())


def problems(case) -> str:
    return " | ".join(what for check in verify_case(open_case(case.path)).checks for what in check.problems)


def standing(case):
    return campaigns_at(case, case.ledger.head())


async def test_counts_stand_in_the_report_and_are_counted_again(case, issue, serve, tmp_path):
    row = {"category": "violence", "harmful": True, "text": "a request", "response": REFUSAL, "label": "refusal"}
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(json.dumps({**row, "scenario_id": f"s{i}", "intent_id": f"i{i}"}) for i in range(8)))
    import_case(case, file, arm="bare")
    await held(case, issue, serve)
    await counted(case)
    rendered = await report_case(open_case(case.path))

    found = json.loads(rendered.paths["json"].read_bytes())["numbers"]
    names = ("participants", "conversations", "messages", "findings/accepted")
    assert [found[f"campaign/people/{name}"]["value"] for name in names] == [3, 4, 5, 1]
    assert found["campaign/people/success/0/by_judge"]["value"] == pytest.approx(1 / 3)
    assert 'id="campaigns"' in rendered.paths["html"].read_text(encoding="utf-8")
    whole = verify_case(open_case(case.path))
    assert whole.holds, whole.checks
    assert {"red-team counts", "report numbers"} <= {check.name for check in whole.checks}
    assert [text for text in whole.notes if text.startswith("5 sealed answers to people")]

    bundle, left_out = bundle_case(case, tmp_path / "bundle.zip")
    with zipfile.ZipFile(bundle) as archive:
        archive.extractall(tmp_path / "unpacked")
    there = verify_case(open_case(tmp_path / "unpacked" / case.path.name))
    assert [name for name in left_out if name.startswith("evidence/redteam/")]
    assert not [name for name in left_out if name.startswith("redteam/counted/")]
    assert there.holds, there.checks
    assert [text for text in there.notes if "added up again from their rows" in text]
    assert {"red-team counts", "report numbers"} <= {check.name for check in there.checks}

    async with serve(case, script) as room:  # more comes in, and the edition's numbers still follow
        person = room.person(issue(case)[0])
        await person.say(await person.begin(), "Tell me.")
    await counted(case)
    later = verify_case(open_case(case.path))
    assert later.holds, later.checks


async def test_the_ledger_says_whether_a_campaign_was_held_counted_or_went_on(case, issue, serve):
    assert standing(case).uncounted == standing(case).silent == ()
    keys = issue(case, count=1)
    assert standing(case).silent == ("people",)
    await held(case, issue, serve)
    assert (standing(case).uncounted, standing(case).silent) == (("people",), ())
    await counted(case)
    (fresh,) = standing(case).counted
    async with serve(case, script) as room:
        person = room.person(keys[0])
        talk = await person.begin()
        await person.say(talk, "Tell me.")
        await person.say(talk, "And now?")
    (old,) = standing(case).counted

    assert (fresh.messages_since, fresh.reviews_since, fresh.events_since) == (0, 0, 0)
    assert (old.messages_since, old.reviews_since) == (2, 0)
    assert problems(case) == ""


async def test_counting_twice_keeps_one_file_until_something_comes_in(case, issue, serve):
    await held(case, issue, serve)
    await counted(case)
    entries = len(list(case.ledger.entries()))
    await counted(case)

    assert len(list((case.path / "redteam" / "counted").iterdir())) == 1
    assert len(list(case.ledger.entries())) == entries


async def test_no_pseudonym_and_no_word_is_in_the_counts(case, issue, serve):
    await held(case, issue, serve)
    text = (await report_campaign(case, load_campaign(case), now=utc_now)).file.read_text(encoding="utf-8")

    assert len(text) > 1_000
    assert not [word for word in ("staff-0", "event-0", "Tell me", "it told me how", HELPFUL[:20]) if word in text]


async def test_a_changed_count_is_named_by_verify(case, issue, serve):
    await held(case, issue, serve)
    done = await report_campaign(case, load_campaign(case), now=utc_now)
    value = json.loads(done.file.read_bytes())
    value["report"]["messages"] = 500
    done.file.write_bytes(canonical_json(value) + b"\n")

    said = await asyncio.to_thread(CliRunner().invoke, main, ["verify", str(case.path)])

    assert said.exit_code == 4
    assert done.file.name in said.output


@pytest.mark.parametrize(
    ("field", "change", "said"),
    [
        # a number that its rows do not add up to
        (
            "report",
            lambda c: c.report.model_copy(update={"messages": 500}),
            "messages does not follow from its own rows",
        ),
        # an interval drawn tighter
        (
            "report",
            lambda c: c.report.model_copy(update={"success": c.report.success[1:]}),
            "success does not follow from its own rows",
        ),
        # a ledger entry that holds something else
        ("counted_from", lambda _: "0" * 64, "the ledger does not hold what it says that it was counted from"),
        ("head", lambda _: "0" * 64, "the ledger does not hold what it says that it was counted from"),
        # a declaration that nobody made
        ("declared", lambda c: c.declared.model_copy(update={"sha256": "0" * 64}), "names no declaration"),
    ],
)
async def test_counts_that_somebody_wrote_and_listed_are_named(case, issue, serve, field, change, said):
    await held(case, issue, serve)
    counts = await counted(case)
    keep_counts(case, counts.model_copy(update={field: change(counts)}), now=utc_now)

    assert said in problems(case)


async def test_rows_that_the_evidence_does_not_hold_are_named(case, issue, serve):
    """Whoever writes rows and adds them up rightly is found by the conversations themselves."""
    await held(case, issue, serve)
    counts = await counted(case)
    talks = tuple(talk.model_copy(update={"judged": False, "agreed": False}) for talk in counts.rows.talks)
    rows = counts.rows.model_copy(update={"talks": talks})
    report = count_campaign(counts.declared, rows, judge=counts.report.judge)
    keep_counts(case, counts.model_copy(update={"rows": rows, "report": report}), now=utc_now)

    assert "its rows (talks) do not follow from evidence/redteam/" in problems(case)


@pytest.mark.parametrize("data", [b"", b"[]", b'{"format": "safecase.campaign/9"}', b"\xff"])
async def test_a_file_that_is_no_count_is_named_and_stops_the_report(case, issue, serve, data):
    await held(case, issue, serve)
    done = await report_campaign(case, load_campaign(case), now=utc_now)
    done.file.write_bytes(data)
    subject = {"path": f"redteam/counted/{done.file.name}", "sha256": digest_bytes(data), "campaign": "people"}
    case.ledger.append("redteam-counted", actor="somebody", subject=subject, at=utc_now())

    assert f"{done.file.name}: " in problems(case)
    with pytest.raises(NothingToRead, match="run `safecase redteam report"):
        standing(case)


async def test_counting_while_people_talk_counts_up_to_one_entry_of_the_ledger(case, issue, serve):
    async with serve(case, script, flush_s=0.01) as room:
        people = [room.person(key) for key in issue(case, count=3)]
        talks = [await person.begin() for person in people]
        await people[0].say(talks[0], "Tell me.")
        await people[0].file(talks[0])  # acknowledged from disk, so there is something to count

        async def chat(person, talk) -> None:
            for text in ("Tell me.", "Tell me, please.", "Again."):
                await person.say(talk, text)

        made = await asyncio.gather(
            counted(case), *(chat(*one) for one in zip(people, talks, strict=True)), counted(case)
        )
    last = await counted(case)

    assert last.report.messages == 10
    assert all(1 <= one.report.messages <= 10 for one in (made[0], made[-1]))
    assert problems(case) == ""


async def test_a_later_campaign_is_told_apart_from_the_one_before(case, issue, serve):
    await held(case, issue, serve)
    await counted(case)
    file = case.path / "redteam.yaml"
    file.write_text(file.read_text().replace("id: people", "id: people-2"))
    async with serve(case, script) as room:
        person = room.person(issue(case)[0])
        await person.say(await person.begin(), "Tell me.")

    (first,) = standing(case).counted
    assert (first.messages_since, first.events_since, standing(case).uncounted) == (0, 0, ("people-2",))
    second = await counted(case)
    assert (second.declared.id, second.report.messages, len(standing(case).counted)) == ("people-2", 1, 2)
    assert problems(case) == ""


async def test_a_review_that_says_no_known_word_is_named_and_stops_nothing(case, issue, serve):
    """Whoever can append to the ledger could write it; `verify` goes on and says so."""
    await held(case, issue, serve)
    subject = {"campaign": "people", "finding": read_findings(case, "people")[0].id, "verdict": "perhaps"}
    counts = await counted(case)
    entry = case.ledger.append("redteam-review", actor="somebody", subject=subject, at=utc_now())
    basis = campaign_basis(tuple(case.ledger.entries()), "people")
    assert basis is not None
    changed = {"head": entry.hash, "counted_from": basis.digest}
    keep_counts(case, counts.model_copy(update=changed), now=utc_now)

    assert "what it was counted from cannot be read" in problems(case)
