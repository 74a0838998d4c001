"""The review queue: blind, one answer at a time, nothing hazardous on a page, and files that `take` reads."""

import asyncio
import json
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from safecase.assess import (
    Case,
    Wanted,
    draw_sheets,
    import_case,
    load_labels,
    new_case,
    open_case,
    take_final,
    take_sheets,
    write_disputes,
)
from safecase.console import NoSuchSheet, NotTheirs, Sheets, issue_key

REFUSES = "I'm sorry, but I can't help with that request."
EVIL = "</textarea><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7*7 }}\u202egnp.exe"
SECRET = "the sealed words"
ANSWERS = 6


def rows(count: int) -> Iterator[dict[str, object]]:
    """Plain answers, of which one is markup, and two that are hazardous."""
    for i in range(count):
        yield {
            "scenario_id": f"s{i}",
            "intent_id": f"i{i}",
            "category": "violence",
            "harmful": True,
            "text": f"request {i}",
            "response": EVIL if i == 0 else f"{REFUSES} ({i})",
        }
    for i in range(2):
        yield {
            "scenario_id": f"c{i}",
            "intent_id": f"c{i}",
            "category": "chem-bio",
            "domain": "chem-bio",
            "harmful": True,
            "text": f"hazard {i}",
            "response": f"{SECRET} {i}",
        }


@pytest.fixture(scope="session")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("queue")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAFECASE_HOME", str(folder / "home"))
        patch.setenv("SAFECASE_HAZARD_KEY_FILE", str(folder / "home" / "hazard.key"))
        new_case(folder / "case", contexts=("closed",))
        (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows(ANSWERS)))
        import_case(open_case(folder / "case"), folder / "rows.jsonl", arm="guarded")
    return folder


@pytest.fixture
def case(imported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    for name in ("case", "home"):
        shutil.copytree(imported / name, tmp_path / name)
    monkeypatch.setenv("SAFECASE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SAFECASE_HAZARD_KEY_FILE", str(tmp_path / "home" / "hazard.key"))
    monkeypatch.delenv("SAFECASE_REGISTRY", raising=False)
    return open_case(tmp_path / "case")


@pytest.fixture
def sheets(case: Case, tmp_path: Path) -> list[Path]:
    """A draw of every answer, a sheet each for two people."""
    wanted = Wanted(arm="guarded", count=ANSWERS + 2, raters=2)
    _, files = draw_sheets(case, wanted, tmp_path / "sheets", reader="keeper")
    return [file for file in files if file.suffix == ".jsonl"]


def finish(file: Path, label: str = "refusal") -> Path:
    """Label by hand what the page does not show."""
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    for line in lines:
        line["label"] = line["label"] or label
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def sheet_ids(page: str) -> list[str]:
    return re.findall(r"sheet (s-[0-9a-f]{16})<", page)


async def test_two_people_label_a_third_decides_and_the_case_takes_the_files(case, sheets, serve, tmp_path):
    browser = await serve(case.path, sheets=tmp_path / "sheets")
    ids = sheet_ids(await browser.get("/case/case/queue"))
    assert len(ids) == 2
    for rater, name in zip(("ana", "bo"), ids, strict=True):
        await browser.get("/case/case/queue")
        await browser.post(f"/case/case/queue/{name}/claim", rater=rater)
        for _ in range(ANSWERS):
            assert browser.status == 200
            helps = "&lt;script&gt;" in browser.page
            item = re.search(r'name="item" value="(r-[0-9a-f]+)"', browser.page)
            label = "compliance" if rater == "bo" and helps else "refusal"
            await browser.post(f"/case/case/queue/{name}/label", item=item[1], label=label, rater=rater)
        assert "Every answer shown here has a label" in browser.page

    queue = await browser.get("/case/case/queue")
    assert queue.count("6 of 6 labelled") == 2
    for sheet in sheets:
        view = Sheets(folder=tmp_path / "sheets").listing(case)
        rater = next(one.rater for one in view if one.file == sheet)
        assert take_sheets(case, [finish(sheet)], rater=rater)["labels"] == ANSWERS + 2

    assert write_disputes(case, tmp_path / "sheets" / "open.csv", reader="keeper") == 1
    page = await browser.get("/case/case/queue")
    assert page.count("in the case, by") == 2
    last = sheet_ids(page)[-1]
    await browser.post(f"/case/case/queue/{last}/claim", rater="ana")
    assert "was a rater of one of these answers" in browser.page
    await browser.get("/case/case/queue")
    await browser.post(f"/case/case/queue/{last}/claim", rater="cem")
    assert "What people said" in browser.page
    assert 'value="skip"' not in browser.page
    item = re.search(r'name="item" value="(r-[0-9a-f]+)"', browser.page)[1]
    await browser.post(f"/case/case/queue/{last}/label", item=item, label="compliance", rater="cem")
    assert take_final(case, tmp_path / "sheets" / "open.jsonl", rater="cem")["labels"] == 1
    assert list(load_labels(case).final.values()) == ["compliance"]


async def test_a_page_shows_neither_arm_nor_judge_nor_gate_nor_ids_of_the_case(case, sheets, serve, tmp_path):
    browser = await serve(case.path, sheets=tmp_path / "sheets")
    name = sheet_ids(await browser.get("/case/case/queue"))[0]

    page = await browser.post(f"/case/case/queue/{name}/claim", rater="ana")

    for word in ("guarded", "bare", "judge", "gate", "violence", "pass", "fail", "scenario"):
        assert word not in page.lower().replace("safeguards", ""), word
    for trial in case.trials.read():
        assert trial.trial_id not in page


async def test_hazardous_answers_are_counted_and_never_shown(case, sheets, serve, tmp_path):
    browser = await serve(case.path, sheets=tmp_path / "sheets")
    assert SECRET in sheets[0].read_text()
    queue = await browser.get("/case/case/queue")
    pages = [queue]
    for rater, name in zip(("ana", "bo"), sheet_ids(queue), strict=True):
        await browser.get("/case/case/queue")
        pages.append(await browser.post(f"/case/case/queue/{name}/claim", rater=rater))
        items = [json.loads(line)["item"] for file in sheets for line in file.read_text().splitlines()]
        pages += [await browser.get(f"/case/case/queue/{name}?item={item}") for item in items]

    assert queue.count("2 more are kept sealed as hazardous") == 2
    assert "safecase measure calibrate sheets" in queue
    assert "--show-harmful" in queue
    assert not [page for page in pages if SECRET in page or "hazard 0" in page]
    assert sum("is not shown on sheet" in page for page in pages) >= 4


async def test_what_a_model_said_is_text_and_nothing_in_it_hides(case, sheets, serve, tmp_path):
    browser = await serve(case.path, sheets=tmp_path / "sheets")
    name = sheet_ids(await browser.get("/case/case/queue"))[0]
    await browser.post(f"/case/case/queue/{name}/claim", rater="ana")
    pages = [browser.page]
    while found := re.search(r'rel="next" href="([^"]+)"', pages[-1]):
        pages.append(await browser.get(f"/case/case/queue/{name}{found[1]}"))
    (evil,) = [page for page in pages if "alert(1)" in page]

    assert len(pages) == ANSWERS
    assert "<script>alert" not in evil
    assert "<img" not in evil
    assert "{{ 7*7 }}" in evil
    assert "\u202e" not in evil
    assert "&lt;U+202E&gt;gnp.exe" in evil


async def test_a_very_long_answer_is_shown_whole(case, serve, tmp_path):
    long = [{**next(rows(2)), "scenario_id": "l", "intent_id": "l", "response": "word " * 200_000}]
    (tmp_path / "long.jsonl").write_text(json.dumps(long[0]) + "\n")
    import_case(case, tmp_path / "long.jsonl", arm="long")
    draw_sheets(case, Wanted(arm="long", count=1, raters=1), tmp_path / "sheets", reader="keeper")
    browser = await serve(case.path, sheets=tmp_path / "sheets")
    name = sheet_ids(await browser.get("/case/case/queue"))[0]

    page = await browser.post(f"/case/case/queue/{name}/claim", rater="ana")

    assert browser.status == 200
    assert page.count("word ") == 200_000


def test_a_sheet_is_one_persons_and_a_person_has_one_sheet_of_a_draw(case, sheets, tmp_path):
    queue = Sheets(folder=tmp_path / "sheets")
    first, second = (one.id for one in queue.listing(case))
    queue.claim(case, first, rater="ana")

    with pytest.raises(NotTheirs, match="ana's"):
        queue.claim(case, first, rater="bo")
    with pytest.raises(NotTheirs, match="on another sheet"):
        queue.claim(case, second, rater="ana")
    item = queue.sheet(case, first).items[0].id
    with pytest.raises(NotTheirs, match="'bo' does not fill in"):
        queue.label(case, first, item, label="refusal", rater="bo")
    with pytest.raises(NoSuchSheet, match="label is 'safe'"):
        queue.label(case, first, item, label="safe", rater="ana")
    with pytest.raises(NoSuchSheet, match="is not shown"):
        queue.label(case, first, "r-0", label="refusal", rater="ana")
    with pytest.raises(NoSuchSheet, match="no sheet"):
        queue.sheet(case, "s-0")


def test_labels_given_at_once_are_all_kept(case, sheets, tmp_path):
    queue = Sheets(folder=tmp_path / "sheets")
    view = queue.listing(case)[0]
    queue.claim(case, view.id, rater="ana")

    async def give() -> None:
        calls = [
            asyncio.to_thread(queue.label, case, view.id, one.id, label="refusal", rater="ana") for one in view.items
        ]
        await asyncio.gather(*calls)

    asyncio.run(give())

    assert queue.sheet(case, view.id).left == 0
    assert view.file.stat().st_mode & 0o777 == 0o600


async def test_files_that_are_no_sheets_are_passed_over_or_told(case, sheets, serve, tmp_path):
    folder = tmp_path / "sheets"
    (folder / "other.jsonl").write_text('{"sheet": "s-of-another-case", "item": "r-1"}\n')
    (folder / "linked.jsonl").symlink_to("/etc/passwd")
    browser = await serve(case.path, sheets=folder)
    assert len(sheet_ids(await browser.get("/case/case/queue"))) == 2

    (folder / "broken.jsonl").write_text("not json")

    assert "broken.jsonl: it is not JSON lines" in await browser.get("/case/case/queue")
    assert browser.status == 200


async def test_with_keys_a_labeller_sees_the_queue_and_nothing_else(case, sheets, serve, tmp_path):
    keys = tmp_path / "keys.json"
    for name, role in (("ana", "labeller"), ("bo", "labeller"), ("eve", "viewer")):
        issue_key(keys, person=name, role=role, out=tmp_path / f"{name}.key")
    browser = await serve(case.path, sheets=tmp_path / "sheets", keys=keys, loopback=False)
    await browser.get("/enter")
    await browser.post("/enter", key=(tmp_path / "ana.key").read_text())
    assert "ana, labeller" in browser.page

    for page in ("", "/argument", "/sign", "/desk", "/live", "/reports", "/report/report.html"):
        await browser.get(f"/case/case{page}")
        assert browser.status == 403, page
    name = sheet_ids(await browser.get("/case/case/queue"))[0]
    await browser.post(f"/case/case/queue/{name}/claim", rater="somebody else")
    assert "as ana" in browser.page
    other = await serve(case.path, sheets=tmp_path / "sheets", keys=keys, loopback=False)
    for who, status in (("bo", 403), ("eve", 403)):
        await other.get("/enter")
        await other.post("/enter", key=(tmp_path / f"{who}.key").read_text())
        await other.get(f"/case/case/queue/{name}")
        assert other.status == status
        await other.get("/")
        await other.post("/leave")


def test_a_person_who_takes_two_sheets_of_a_draw_at_once_gets_one(case, sheets, tmp_path):
    queue = Sheets(folder=tmp_path / "sheets")
    names = [one.id for one in queue.listing(case)]

    def claim(name: str) -> bool:
        try:
            queue.claim(case, name, rater="ana")
        except NotTheirs:
            return False
        return True

    for _ in range(10):
        with ThreadPoolExecutor(2) as pool:
            assert sum(pool.map(claim, names)) == 1
        for file in sheets:
            file.with_name(f"{file.name}.rater").unlink(missing_ok=True)
