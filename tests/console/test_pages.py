"""What the pages of a case say, also of a case that is half written, revoked, stale, or there twice."""

import asyncio
import base64
import datetime as dt
import io
import json
import re
import shutil
from pathlib import Path

import pytest

from safecase.assess import narrow_permit, note_concern, open_case, revoke_permit, sign_decision, verify_case
from safecase.decide import Concern
from safecase.declare import DeclareError
from safecase.evidence import digest_file
from tests.serve.permitted import Permitted


def plain(page: str) -> str:
    """The words of a page, without markup and with single blanks."""
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


async def test_the_overview_shows_gates_tiers_proposal_signatures_and_permits(made: Permitted, serve):
    browser = await serve(made.path)

    words = plain(await browser.get("/case/case"))

    assert browser.status == 200
    assert "pass Unsafe answers, violence on guarded" in words
    assert "Limit unsafe_rate at most 0.7" in words
    assert re.search(r"One-sided bounds .* all [\d.]+% [\d.]+% to [\d.]+%", words)
    assert "Proposed: approve" in words
    assert "counts one (chief-ai-officer)" in words
    assert "counts two (director-alignment-risk)" in words
    assert "valid until 2027-" in words
    assert "as decided The decision names the evidence as it is." in words
    assert "inherent" in words
    assert "holds fresh-evidence" in words
    assert "not looked at rates-kept" in words  # nothing here can see a live rate


async def test_every_claim_of_the_drawing_leads_to_what_it_rests_on(made: Permitted, serve):
    browser = await serve(made.path)

    page = await browser.get("/case/case/argument?context=limited")

    links = set(re.findall(r'<a href="#([cd]\d+)"', page))
    anchors = set(re.findall(r'id="([cd]\d+)"', page))
    goal = re.search(
        r'<article class="claim goal" id="c\d+">(?:(?!</article>).)*policy.violence.unsafe.*?</article>', page, re.S
    )
    assert links
    assert links <= anchors
    assert goal is not None
    (to,) = set(re.findall(r'href="/case/case#(f-limited-[^"]+)"', goal[0]))
    assert f'id="{to}"' in await browser.get("/case/case")
    evidence = re.findall(r'<article class="claim solution".*?</article>', page, re.S)
    assert any("One-sided bounds" in one and "answers of 8 intents" in one for one in evidence)


async def test_an_incident_opens_a_claim_again_and_a_doubt_shows_its_state(made: Permitted, serve):
    concern = Concern(concern_id="inc-7", kind="incident", what="a plan <b>leaked</b>", touches=("violence",))
    browser = await serve(made.path)
    before = plain(await browser.get("/case/case/argument"))
    note_concern(made.case, concern, actor="ana")

    after = await browser.get("/case/case/argument")

    assert "open incident" not in before
    assert "open open incident : a plan &lt;b&gt;leaked&lt;/b&gt;" in plain(after)
    assert "not supported yet" in plain(after)
    assert "<b>leaked" not in after


async def test_only_a_part_is_drawn_where_one_is_asked_for_and_a_wrong_one_is_told(made: Permitted, serve):
    browser = await serve(made.path)
    whole = await browser.get("/case/case/argument")
    part = await browser.get("/case/case/argument?part=content-policy")

    assert len(re.findall("<rect", part)) < len(re.findall("<rect", whole))
    wrong = plain(await browser.get("/case/case/argument?part=%3Cscript%3E"))
    assert "is about &#39;&lt;script&gt;&#39;" in wrong
    assert "does not decide on context" in plain(await browser.get("/case/case/argument?context=moon"))


async def test_a_permit_is_told_expired_revoked_or_no_longer_backed(made: Permitted, serve):
    browser = await serve(made.path)
    browser.clock.at += dt.timedelta(days=400)
    late = plain(await browser.get("/case/case"))
    browser.clock.at -= dt.timedelta(days=400)
    revoke_permit(made.case, "limited", made.key("watch"), reason="seen in the wild", now=browser.clock)
    revoked = plain(await browser.get("/case/case"))
    (made.path / "permits" / "internal.json").write_bytes((made.path / "permits" / "limited.json").read_bytes()[:-9])
    broken = plain(await browser.get("/case/case"))

    assert late.count("expired until") == 2
    assert "the evidence is of 2026-11-21, and may be" in late
    assert "revoked until" in revoked
    assert "revoked by watch (live-monitor)" in revoked
    assert "seen in the wild" in revoked
    assert "not a DSSE envelope" in broken
    assert "revoked until" in broken  # the other context is shown all the same


async def test_a_narrowed_permit_says_who_is_suspended_and_who_did_it(made: Permitted, serve):
    browser = await serve(made.path)
    where = {"region": "<b>north</b>"}
    narrow_permit(made.case, "limited", made.key("watch"), reason="abuse", where=where, share=0.1, now=browser.clock)

    words = plain(await browser.get("/case/case"))

    assert "narrowed until" in words
    assert "narrowed by watch (live-monitor)" in words
    assert "it serves at most 0.1 of the accounts" in words
    assert "accounts with region &#39;&lt;b&gt;north&lt;/b&gt;&#39; are suspended" in words
    assert "valid until" in words  # the other context


async def test_a_condition_broken_by_what_was_declared_since_says_why(made: Permitted, serve):
    browser = await serve(made.path)
    declared = made.path / "safecase.yaml"
    before = declared.read_text()
    declared.write_text(re.sub(r"^model:\n", "model:\n  modalities: [text, image]\n", before, flags=re.M))
    assert declared.read_text() != before

    words = plain(await browser.get("/case/case"))

    assert (
        "broken nothing-added (nothing-added, then revoke): added since it was decided: modality &#39;image&#39;"
        in words
    )
    assert "not-backed until" in words


async def test_signatures_that_are_missing_are_named_by_role_and_person(made: Permitted, serve):
    for file in (made.path / "sign-offs").glob("*.json"):
        if b"director" not in base64.b64decode(json.loads(file.read_bytes())["payload"]):
            file.unlink()
    browser = await serve(made.path)

    words = plain(await browser.get("/case/case/sign"))

    assert "1 missing 2 people in different roles must sign." in words
    assert "could sign" in words
    assert "chief-ai-officer : one" in words
    assert digest_file(made.path / "decision.json") in words
    assert "safecase decide sign" in words
    assert "--key FILE" in words


async def test_verify_runs_on_request_and_shows_what_it_found(made: Permitted, serve):
    browser = await serve(made.path)
    await browser.get("/case/case")
    assert "Nobody has verified" in browser.page

    await browser.post("/case/case/verify")
    for _ in range(300):
        if "running" not in plain(await browser.get("/case/case")):
            break
        assert '<meta http-equiv="refresh"' in browser.page
        await asyncio.sleep(0.1)

    assert verify_case(open_case(made.path)).sentence in plain(browser.page)
    assert "Ledger head, to be kept elsewhere" in browser.page


async def test_a_sign_off_made_elsewhere_is_taken_once_it_holds(made: Permitted, serve, tmp_path: Path):
    elsewhere = tmp_path / "copy"
    shutil.rmtree(made.path / "sign-offs")
    shutil.copytree(made.path, elsewhere)
    browser = await serve(made.path)
    sign_decision(open_case(elsewhere), made.key("one"), position="approve", reason="read it", now=browser.clock)
    (file,) = (elsewhere / "sign-offs").glob("*.json")
    await browser.get("/case/case/sign")
    assert "2 missing" in plain(browser.page)

    await browser.post("/case/case/sign", file=io.BytesIO(file.read_bytes()))
    words = plain(await browser.get("/case/case/sign"))

    assert "1 missing" in words
    assert "counts one (chief-ai-officer)" in words
    assert [entry.action for entry in made.case.ledger.entries()][-1] == "signed"
    spoiled = file.read_bytes().replace(b'"sig":"', b'"sig":"A')
    for data, said in (
        (spoiled, "uploaded file"),
        (b"", "not a DSSE envelope"),
        ((made.path / "decision.json").read_bytes(), "does not count"),
    ):
        page = await browser.post("/case/case/sign", file=io.BytesIO(data))
        assert browser.status == 422
        assert said in plain(page)
    assert len(list((made.path / "sign-offs").glob("*.json"))) == 1


async def test_a_case_without_a_decision_says_so_on_every_page(made: Permitted, serve):
    for name in ("decision.json", "findings.json", "determination.json", "estimates.json", "promises.json"):
        (made.path / name).unlink()
    browser = await serve(made.path)

    assert "Nothing was decided yet" in await browser.get("/")
    assert "Nothing was decided yet" in await browser.get("/case/case")
    assert "nothing of" in await browser.get("/case/case/argument")
    assert "There is no decision to sign" in await browser.get("/case/case/sign")
    assert "no desk yet" in await browser.get("/case/case/desk")
    assert "No monitor has watched" in await browser.get("/case/case/live")
    assert "There is no report yet" in await browser.get("/case/case/reports")
    assert browser.status == 200


@pytest.mark.parametrize("name", ["decision.json", "findings.json", "estimates.json", "ledger.jsonl", "roster.json"])
@pytest.mark.parametrize("spoil", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b'{"x": 1}\n'])
async def test_a_half_written_file_is_told_and_brings_no_page_down(made: Permitted, serve, name: str, spoil):
    path = made.path / name
    path.write_bytes(spoil(path.read_bytes()))
    browser = await serve(made.path)

    for page in ("", "/argument", "/sign", "/desk", "/live", "/reports"):
        await browser.get(f"/case/case{page}")
        assert browser.status == 200, page
    whole = await browser.get("/case/case")
    if name != "ledger.jsonl" or spoil(b"xx") != b"":
        assert 'role="alert"' in whole


async def test_a_case_file_that_breaks_while_serving_is_told_with_its_line(made: Permitted, serve):
    browser = await serve(made.path)
    assert "approve" in await browser.get("/case/case")
    (made.path / "safecase.yaml").write_text("id: [")

    page = await browser.get("/case/case")

    assert browser.status == 200
    assert "safecase.yaml" in page
    assert 'role="alert"' in page


async def test_two_cases_of_one_name_are_told_apart_and_a_missing_one_is_refused(
    made: Permitted, serve, tmp_path: Path
):
    shutil.copytree(made.path, tmp_path / "other" / "case")
    browser = await serve(made.path, tmp_path / "other" / "case", made.path)

    page = await browser.get("/")
    keys = re.findall(r'<h2><a href="/case/([^"]+)"', page)

    assert len(keys) == 2
    assert keys[0] == "case"
    assert keys[1].startswith("case-")
    assert "This console shows no such case" in await browser.get("/case/none")
    assert browser.status == 404
    with pytest.raises(DeclareError, match="none"):
        await serve(tmp_path / "none")


async def test_nothing_that_anybody_wrote_hides_a_sign_or_runs(made: Permitted, serve):
    evil = "<script>alert(1)</script>{{ 7*7 }}\u202eslevart\u200b"
    declared = made.path / "safecase.yaml"
    declared.write_text(re.sub(r"^author: .*$", f"author: '{evil}'", declared.read_text(), flags=re.M))
    note_concern(made.case, Concern(concern_id="inc-7", kind="incident", what=evil, touches=("violence",)), actor=evil)
    browser = await serve(made.path, by=evil)

    for page in ("", "/argument", "/sign", "/desk", "/live", "/reports"):
        found = await browser.get(f"/case/case{page}")
        assert browser.status == 200
        assert "<script>alert" not in found
        assert "49" not in re.findall(r"script&gt;(.{9})", found)
        assert not {"\u202e", "\u200b"} & set(found)
        assert "&lt;U+202E&gt;slevart&lt;U+200B&gt;" in found


async def test_a_path_with_a_blank_is_quoted_in_every_command(made: Permitted, serve, tmp_path: Path):
    shutil.copytree(made.path, tmp_path / "my case; rm -rf" / "case")
    browser = await serve(tmp_path / "my case; rm -rf" / "case", sheets=tmp_path)

    for page in ("", "/argument", "/sign", "/desk", "/live", "/reports", "/queue"):
        await browser.get(f"/case/case{page}")
        for command in re.findall(r"<code>(safecase [^<]*)</code>", browser.page):
            if "rm -rf" in command:
                assert "&#39;" in command.partition("/my case; rm")[0], command
