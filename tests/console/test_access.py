"""Who gets in, and what other sites, wrong names, old forms and crafted paths get."""

import re
import shutil
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from aiohttp import FormData

from safecase.console import KeysRefused, issue_key, read_keys, revoke_keys
from tests.serve.permitted import Permitted

PAGES = ("/", "/case/case", "/case/case/argument", "/case/case/sign", "/case/case/desk", "/case/case/live")


async def test_a_case_that_has_vanished_is_said_on_every_page_and_is_not_made_anew(made: Permitted, serve, tmp_path):
    (tmp_path / "sheets").mkdir()
    browser = await serve(made.path, sheets=tmp_path / "sheets")
    for path in PAGES:
        await browser.get(path)
    shutil.rmtree(made.path)

    for path in (*PAGES, "/case/case/reports", "/case/case/queue"):
        page = await browser.get(path)
        assert browser.status == 200, path
        assert "cannot be read" in page, path

    assert not made.path.exists()


async def test_every_answer_forbids_what_it_does_not_need(made: Permitted, serve):
    browser = await serve(made.path)

    for path in (*PAGES, "/case/case/reports", "/none", "/health", "/static/console.css", "/static/none"):
        await browser.get(path)
        policy = browser.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe-inline" not in policy
        assert browser.headers["x-frame-options"] == "DENY"
        assert browser.headers["cache-control"] == "no-store"
        if "text/html" in browser.headers["content-type"]:
            assert " style=" not in browser.page
            assert not re.search(r"<script(?! src=\"/static/console.js\")", browser.page)
            assert not re.search(r"\son\w+=", browser.page)


async def test_a_form_from_elsewhere_or_without_our_token_does_nothing(made: Permitted, serve):
    browser = await serve(made.path)
    await browser.get("/case/case")
    token = browser.token
    tries = [
        ({}, {"token": token}),  # no origin
        ({"Origin": "null"}, {"token": token}),
        ({"Origin": "https://evil.example"}, {"token": token}),
        ({"Origin": f"{browser.origin}.evil.example"}, {"token": token}),
        ({"Origin": browser.origin}, {}),
        ({"Origin": browser.origin}, {"token": "0" * 64}),
        ({"Origin": browser.origin}, {"token": "é"}),
    ]

    for headers, fields in tries:
        for path in ("/case/case/verify", "/case/case/sign", "/leave", "/enter"):
            async with browser.session.post(path, data=FormData(fields), headers=headers) as answer:
                assert answer.status == 403, (headers, fields, path)
    assert "Nobody has verified" in await browser.get("/case/case")


async def test_a_token_belongs_to_one_browser(made: Permitted, serve):
    mine = await serve(made.path)
    await mine.get("/case/case")
    token = mine.token
    mine.session.cookie_jar.clear()
    await mine.get("/case/case")

    async with mine.session.post("/case/case/verify", data={"token": token}, headers={"Origin": mine.origin}) as answer:
        assert answer.status == 403


async def test_another_name_for_this_machine_is_refused(made: Permitted, serve):
    browser = await serve(made.path)

    await browser.get("/case/case", headers={"Host": "evil.example"})
    assert browser.status == 421
    assert "approve" not in browser.page
    await browser.get("/case/case", headers={"Host": browser.origin.replace("http://127.0.0.1", "localhost")})
    assert browser.status == 200


async def test_off_loopback_nothing_is_seen_without_a_key(made: Permitted, serve, tmp_path: Path):
    keys = tmp_path / "keys.json"
    browser = await serve(made.path, loopback=False, keys=keys)

    for path in (*PAGES, "/case/case/reports", "/case/case/report/report.html", "/case/none", "/case/case/queue"):
        async with browser.session.get(path, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (303, "/enter"), path
            assert "limited" not in await answer.text()
    await browser.get("/enter")
    for key in ("", "sc-aaaaaaaaaa-" + "x" * 43, "é" * 50):
        await browser.post("/enter", key=key)
        assert browser.status == 401
    assert "case" not in re.findall(r"/case/(\w+)", browser.page)


async def test_a_key_opens_until_it_is_revoked_or_its_hours_are_over(made: Permitted, serve, tmp_path: Path):
    keys = tmp_path / "keys.json"
    entry = issue_key(keys, person="ana", role="viewer", out=tmp_path / "ana.key")
    key = (tmp_path / "ana.key").read_text().strip()
    browser = await serve(made.path, loopback=False, keys=keys)
    await browser.get("/enter")

    await browser.post("/enter", key=key)
    assert "ana, viewer" in browser.page
    await browser.get("/case/case")
    assert "Verify now" not in browser.page
    await browser.post("/case/case/verify")
    assert browser.status == 403
    browser.clock.at = browser.clock.at.replace(day=browser.clock.at.day + 1)
    await browser.get("/case/case")
    assert "Your key" in browser.page
    await browser.post("/enter", key=key)
    revoke_keys(keys, "ana")
    await browser.get("/case/case")
    assert "Your key" in browser.page
    assert key not in keys.read_text()
    assert entry.hash in keys.read_text()
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "ana.key").stat().st_mode) == 0o600


async def test_keys_that_cannot_be_read_let_nobody_in(made: Permitted, serve, tmp_path: Path):
    keys = tmp_path / "keys.json"
    issue_key(keys, person="ana", role="overseer", out=tmp_path / "ana.key")
    browser = await serve(made.path, loopback=False, keys=keys)
    await browser.get("/enter")
    await browser.post("/enter", key=(tmp_path / "ana.key").read_text())
    assert "ana, overseer" in browser.page

    keys.write_text("{")
    await browser.get("/")

    assert "Your key" in browser.page
    await browser.post("/enter", key=(tmp_path / "ana.key").read_text())
    assert browser.status == 401


def test_a_key_needs_a_name_a_new_file_and_a_holder_to_be_revoked(tmp_path: Path):
    keys = tmp_path / "keys.json"
    issue_key(keys, person=" Ana  Ng ", role="viewer", out=tmp_path / "a.key")

    assert [one.person for one in read_keys(keys).keys] == ["Ana Ng"]
    for name in ("", " ", "a:b", "a\nb"):
        if name != "a\nb":  # blanks of any kind are one blank
            with pytest.raises(KeysRefused, match="give a name"):
                issue_key(keys, person=name, role="viewer", out=tmp_path / "b.key")
    with pytest.raises(KeysRefused, match="never overwritten"):
        issue_key(keys, person="bo", role="viewer", out=tmp_path / "a.key")
    with pytest.raises(KeysRefused, match="no valid key"):
        revoke_keys(keys, "bo")


@pytest.mark.parametrize(
    "name",
    [
        "../safecase.yaml",
        "..%2Fsafecase.yaml",
        "%2e%2e/safecase.yaml",
        "figures/../../ledger.jsonl",
        "figures%2F..%2F..%2Fledger.jsonl",
        "editions.json",
        "/etc/passwd",
        "report.html%00.svg",
        "figures/.svg",
        "linked.svg",
        "figures/linked.svg",
        "figures/",
        "report.html/",
    ],
)
async def test_no_path_leads_out_of_the_report(made: Permitted, serve, name: str):
    (made.path / "report" / "figures").mkdir(parents=True)
    (made.path / "report" / "report.html").write_text("<script>alert(1)</script>fine")
    (made.path / "report" / "figures" / "linked.svg").symlink_to(made.path / "safecase.yaml")
    browser = await serve(made.path)

    from yarl import URL

    await browser.get(URL(f"{browser.origin}/case/case/report/{name}", encoded=True))

    assert browser.status in {303, 404}
    assert "framework:" not in browser.page


async def test_a_report_runs_nothing_and_is_nobodys_origin(made: Permitted, serve):
    (made.path / "report").mkdir()
    (made.path / "report" / "report.html").write_text("<script>alert(1)</script>fine")
    (made.path / "report" / "report.pdf").write_bytes(b"%PDF-1.7")
    browser = await serve(made.path)

    assert "fine" in await browser.get("/case/case/report/report.html")
    policy = browser.headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none'")
    assert "script-src" not in policy
    await browser.get("/case/case/report/report.pdf")
    assert browser.headers["content-disposition"] == 'attachment; filename="report.pdf"'


async def test_a_large_form_is_turned_away_unread(made: Permitted, serve):
    browser = await serve(made.path)
    await browser.get("/case/case")

    await browser.post("/case/case/sign", reason="x" * 600_000)

    assert browser.status == 413


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("multipart/form-data; boundary=x", b"--x\r\nbroken"),
        ("multipart/form-data", b"no boundary"),
        ("application/x-www-form-urlencoded; charset=nope", b"token=x"),
        ("application/x-www-form-urlencoded; charset=utf-8", b"token=%ff%fe&token"),
        ("application/json", b"{"),
    ],
)
async def test_a_broken_form_is_refused_and_is_no_fault_of_the_server(made: Permitted, serve, kind, data):
    browser = await serve(made.path)
    headers = {"Origin": browser.origin, "Content-Type": kind}

    async with browser.session.post("/case/case/verify", data=data, headers=headers) as answer:
        assert answer.status in {400, 403}


def test_keys_that_are_issued_and_revoked_at_once_all_count(tmp_path):
    """Also the first ones, which make the file and its salt."""
    keys = tmp_path / "console" / "keys.json"

    def issue(number: int) -> None:
        issue_key(keys, person=f"p{number}", role="viewer", out=tmp_path / f"{number}.key")
        if number % 2:
            revoke_keys(keys, f"p{number}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(issue, range(24)))

    kept = read_keys(keys).keys
    assert {one.person for one in kept} == {f"p{number}" for number in range(24)}
    assert {one.person for one in kept if one.revoked} == {f"p{number}" for number in range(1, 24, 2)}
