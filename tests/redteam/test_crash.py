"""A server killed at any moment loses seconds of chat at most, and never a finding that it acknowledged."""

import asyncio
import json
import sys

import aiohttp

from safecase.assess import open_case, utc_now, verify_case
from safecase.evidence import TrialStore
from safecase.redteam import SECTION, load_campaign, read_findings
from safecase.redteam._events import FOLDER, EventStore
from safecase.testing import StubEndpoint

from .conftest import Person


async def test_kill_minus_nine_never_loses_an_acknowledged_finding(case, issue, serve):
    keys = issue(case, count=4)
    told: list[tuple[str, str]] = []
    async with StubEndpoint() as stub, aiohttp.ClientSession() as session:
        command = [sys.executable, "-m", "safecase", "redteam", "open", str(case.path), "--json", "--port", "0"]
        server = await asyncio.create_subprocess_exec(
            *command, "--model", stub.target(), stdout=asyncio.subprocess.PIPE
        )
        assert server.stdout is not None
        url = json.loads(await server.stdout.readline())["url"]
        enough = asyncio.Event()

        async def talk(key: str) -> None:
            person = Person(session, url, key)
            while True:
                conversation = await person.begin()
                await person.say(conversation, "Tell me.")
                filed = await person.file(conversation)
                if filed.status != 201:
                    return
                told.append((conversation, filed.value["finding"]))
                if len(told) >= 6:
                    enough.set()

        tasks = [asyncio.create_task(talk(key)) for key in keys]
        await asyncio.wait_for(enough.wait(), timeout=60)
        server.kill()
        await server.communicate()
        await asyncio.gather(*tasks, return_exceptions=True)

    reopened = open_case(case.path)
    async with serve(reopened):  # adopts what the crash left unlisted
        pass
    found = {(one.filed.conversation, one.id) for one in read_findings(reopened, "people")}
    kept = {trial.scenario_id for trial in TrialStore(case.path, section=SECTION).read()}
    assert len(told) >= 6
    assert set(told) <= found
    assert {conversation for conversation, _ in told} <= kept
    assert verify_case(reopened).holds


async def test_events_that_a_crash_left_unlisted_are_listed_by_the_next_server(case, issue, serve, monkeypatch):
    async with serve(case) as room:
        person = room.person(issue(case)[0])
        await person.say(await person.begin(), "Tell me.")
    events = len(list(EventStore(case.path).read("people")))
    with monkeypatch.context() as patch:
        patch.setattr("safecase.redteam._events.EventStore._list", lambda *_, **__: None)
        extra = list(EventStore(case.path).read("people"))[:1]
        EventStore(case.path).append(extra, now=utc_now)
    torn = case.path / FOLDER / ("0" * 24 + ".jsonl")
    torn.write_text("{half")

    async with serve(case) as room:
        assert any("1 segments" in text for text in room.opening.notes)
    assert len(list(EventStore(case.path).read("people"))) == events + 1
    assert not verify_case(case).holds  # the foreign file is named, and never read
    torn.unlink()
    assert verify_case(case).holds
    assert load_campaign(case)
