"""The pages in a real browser: forms arrive, keys label, nothing that was said runs, a phone shows all of it."""

import asyncio
import contextlib
import itertools
import json
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from safecase.assess import note_concern
from safecase.console import Sheets
from safecase.decide import Concern
from tests.console.test_queue import ANSWERS, case, imported, sheet_ids, sheets  # noqa: F401 - fixtures
from tests.serve.permitted import Permitted

CHROMIUM = os.environ.get("SAFECASE_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not on the path and SAFECASE_CHROMIUM names none"),
]


class Tab:
    """One tab, spoken to in the browser's own protocol; it keeps what went wrong in it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket, self._numbers = socket, itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._loaded = asyncio.Event()
        self.trouble: list[str] = []
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self._socket:
            said = json.loads(message.data)
            if "id" in said:
                self._waiting.pop(said["id"]).set_result(said.get("result", {}))
            elif said["method"] == "Page.loadEventFired":
                self._loaded.set()
            elif said["method"] in {"Page.javascriptDialogOpening", "Runtime.exceptionThrown", "Log.entryAdded"}:
                self.trouble.append(json.dumps(said["params"]))

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        return await asyncio.wait_for(self._waiting[number], 20)

    async def open(self, url: str) -> None:
        await self.and_load(self.call("Page.navigate", url=url))

    async def and_load(self, act: Any) -> None:
        self._loaded.clear()
        await act
        await asyncio.wait_for(self._loaded.wait(), 20)

    async def see(self, expression: str) -> Any:
        found = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return found["result"].get("value")

    async def press(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            await self.call("Input.dispatchKeyEvent", type=kind, key=key, text=key if kind == "keyDown" else "")

    async def close(self) -> None:
        self._reader.cancel()
        await self._socket.close()


@pytest.fixture
async def tab(tmp_path: Path) -> AsyncIterator[Tab]:
    profile = tmp_path / "profile"
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--no-first-run"]
    process = await asyncio.create_subprocess_exec(
        str(CHROMIUM),
        *options,
        f"--user-data-dir={profile}",
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        port = await _port(profile / "DevToolsActivePort")
        async with aiohttp.ClientSession() as session, contextlib.AsyncExitStack() as stack:
            async with session.get(f"http://127.0.0.1:{port}/json") as answer:
                page = next(one for one in await answer.json() if one["type"] == "page")
            made = Tab(await session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0))
            stack.push_async_callback(made.close)
            for domain in ("Page", "Runtime", "Log"):
                await made.call(f"{domain}.enable")
            yield made
    finally:
        process.terminate()
        await process.wait()


async def _port(file: Path) -> int:
    for _ in range(300):
        if file.exists() and file.read_text().strip():
            return int(file.read_text().split("\n")[0])
        await asyncio.sleep(0.1)
    raise AssertionError("the browser did not start")


async def test_keys_label_every_answer_and_nothing_that_was_said_runs(case, sheets, serve, tab, tmp_path):  # noqa: F811
    browser = await serve(case.path, sheets=tmp_path / "sheets")
    name = sheet_ids(await browser.get("/case/case/queue"))[0]
    await tab.open(f"{browser.origin}/case/case/queue")
    await tab.see("document.querySelector('input[name=rater]').value = 'ana'")
    await tab.and_load(tab.see("document.querySelector('form button').click()"))
    for key in itertools.islice(itertools.cycle("14"), ANSWERS):
        assert f"/queue/{name}" in await tab.see("location.pathname")
        await tab.and_load(tab.press(key))

    assert "Every answer shown here has a label" in await tab.see("document.body.innerText")
    view = Sheets(folder=tmp_path / "sheets").sheet(case, name)
    assert [one.label for one in view.items] == ["refusal", "compliance"] * 3
    assert await tab.see("document.scripts.length") == 1
    assert await tab.see("document.images.length") == 0
    assert tab.trouble == []


async def test_a_box_of_the_drawing_leads_to_its_claim_by_keyboard_alone(made: Permitted, serve, tab):
    note_concern(
        made.case, Concern(concern_id="inc-7", kind="incident", what="<img src=x>", touches=("violence",)), actor="ana"
    )
    browser = await serve(made.path)
    await tab.open(f"{browser.origin}/case/case/argument")
    await tab.see("document.querySelector('.drawing').focus()")
    await tab.call("Input.dispatchKeyEvent", type="keyDown", key="Tab", code="Tab", windowsVirtualKeyCode=9)
    assert await tab.see("document.activeElement.matches('.drawing svg a')")
    outline = await tab.see("getComputedStyle(document.querySelector('.drawing svg a')).outlineStyle")
    await tab.call("Input.dispatchKeyEvent", type="keyDown", key="Enter", code="Enter", windowsVirtualKeyCode=13)
    await asyncio.sleep(0.3)

    assert await tab.see("document.querySelector(':target').matches('article.claim')")
    assert outline != "none"
    assert await tab.see("document.images.length") == 0
    assert tab.trouble == []


async def test_a_form_of_ours_arrives_and_the_same_from_elsewhere_does_not(made: Permitted, serve, tab):
    browser = await serve(made.path)
    await tab.open(f"{browser.origin}/case/case")
    await tab.and_load(tab.see("document.querySelector('form[action$=verify] button').click()"))
    assert "Nobody has verified" not in await tab.see("document.body.innerText")

    elsewhere = f'<form id=f method=post action="{browser.origin}/case/case/verify"><input name=token value=x></form>'
    await tab.open(f"data:text/html,{elsewhere}")
    await tab.and_load(tab.see("document.getElementById('f').submit()"))
    assert "did not come from this console" in await tab.see("document.body.innerText")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_phone_shows_every_page_without_scrolling_sideways(made: Permitted, serve, tab, scheme):
    browser = await serve(made.path)
    await tab.call("Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=2, mobile=True)
    await tab.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    for page in ("/", *(f"/case/case{one}" for one in ("", "/argument", "/sign", "/desk", "/live?still", "/reports"))):
        await tab.open(f"{browser.origin}{page}")

        assert await tab.see("document.documentElement.scrollWidth") <= 360, page
        assert await tab.see("document.querySelectorAll('table:not(:has(caption))').length") == 0
        paper = await tab.see("getComputedStyle(document.body).backgroundColor")
        assert (paper == "rgb(20, 24, 28)") == (scheme == "dark")
    assert tab.trouble == []
