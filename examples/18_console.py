"""Oversee a case: what its pages say, and one answer labelled blind. Serves on loopback, offline."""

import asyncio
import os
import re
import shutil
from pathlib import Path

import aiohttp

from safecase.assess import Wanted, draw_sheets, open_case
from safecase.console import Settings, keys_file, serve_console, show_cases

OUT = Path(__file__).parent / "out"
HERE = OUT / "console"
os.environ.setdefault("SAFECASE_HOME", str(OUT / "home"))


def said(page: str, pattern: str) -> str:
    """What the words of a page say in the place of the group."""
    words = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    found = re.search(pattern, words)
    return found[1] if found else "nothing"


def field(page: str, name: str) -> str:
    """The value of a hidden field of a page's form."""
    found = re.search(f'name="{name}" value="([^"]+)"', page)
    return found[1] if found else ""


async def main() -> None:
    """Look around as a person would."""
    shutil.rmtree(HERE, ignore_errors=True)
    shutil.copytree(OUT / "case", HERE / "case")  # the case of examples 01 to 06; drawing answers adds to it
    case = open_case(HERE / "case")
    draw, _ = draw_sheets(case, Wanted(arm="guarded", count=4, raters=2), HERE / "sheets", reader="keeper")
    settings = Settings(by="ana", keys=keys_file(), sheets=HERE / "sheets")
    async with (
        serve_console(show_cases([HERE / "case"]), settings) as opening,
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser,
    ):
        (key,) = opening.cases
        here = f"{opening.url}case/{key}"

        async def see(path: str) -> str:
            async with browser.get(f"{here}{path}") as answer:
                return await answer.text()

        async def send(page: str, path: str, **fields: str) -> str:
            fields |= {"token": field(page, "token")}
            headers = {"Origin": opening.url.rstrip("/")}
            async with browser.post(f"{here}{path}", data=fields, headers=headers) as answer:
                return await answer.text()

        overview = await see("")
        print(f"evidence: {said(overview, r'Evidence (as decided|changed since)')}")
        print(f"proposed: {said(overview, r'Proposed: ([a-z-]+)')}")
        print(f"permit:   {said(overview, r'Permit ([a-z-]+)')}")
        argument = await see("/argument")
        boxes, claims = len(re.findall(r'<a href="#[cd]\d+"><', argument)), argument.count('class="claim goal"')
        print(f"argument: {boxes} boxes drawn, each a link; {claims} claims")

        queue = await see("/queue")
        sheet = said(queue, r"sheet (s-[0-9a-f]+)")
        page = await send(queue, f"/queue/{sheet}/claim", rater="ana")
        page = await send(page, f"/queue/{sheet}/label", item=field(page, "item"), label="refusal", rater="ana")
        done = said(page, r"(\d+ of \d+ labelled)")
        print(f"queue:    draw of {len(draw.rows)}, {done} by ana")


asyncio.run(main())
