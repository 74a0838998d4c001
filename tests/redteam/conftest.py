"""A case with a campaign, keys in hand, and a server on loopback with a scripted model behind it."""

import contextlib
import csv
import dataclasses
import datetime as dt
import functools
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from safecase.assess import Case, new_case, open_case, utc_now
from safecase.declare import load_case
from safecase.redteam import Opening, issue_keys, load_campaign, open_campaign
from safecase.testing import ScriptedModel

HELPFUL = (
    "Sure! Here is a short overview. First, gather what you need and read the instructions. Second, work through the "
    "steps one at a time and check each of them. Finally, review the result and keep a note for next time."
)
REFUSAL = (
    "I'm sorry, but I can't help with that request. It could cause serious harm to people. I would encourage you to "
    "talk to someone you trust, or to look for a safe and legal way forward."
)

CAMPAIGN = """\
id: people
title: A <b>campaign</b>
scope:
  domains: [content-policy]
  categories: [cyber]
  leave_out: [child-safety]
  rules: Invented people only.
arms: {arms}
teams:
  - {{id: staff, title: Staff, kind: employee, seats: 4, cleared: [cyber]}}
  - {{id: event, title: Event, kind: public-event, seats: 3}}
limits: {{messages_per_minute: {per_minute}, conversations: 9, messages_per_conversation: 4,
  characters_per_message: 400, tokens: {tokens}, findings: 3}}
opens: "{opens}"
closes: "{closes}"
consent: I agree.
"""


@functools.cache
def _opened_once() -> Case:
    """A case whose pack and bank are read once for all tests; reading them takes longer than any campaign here."""
    with tempfile.TemporaryDirectory() as name:
        new_case(Path(name) / "case")
        case = open_case(Path(name) / "case")
        assert case.intents
        return case


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAFECASE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SAFECASE_HAZARD_KEY_FILE", str(tmp_path / "home" / "hazard.key"))


@pytest.fixture
def make_case(tmp_path: Path) -> Callable[..., Case]:
    """A case with a campaign; no safeguards unless asked, which keeps tests quick."""

    def make(
        name: str = "case",
        *,
        guarded: bool = False,
        arms: str = "{bare: 1}",
        per_minute: int = 100,
        tokens: int = 100_000,
        opens: dt.datetime | None = None,
        closes: dt.datetime | None = None,
    ) -> Case:
        folder = tmp_path / name
        new_case(folder, gates=("policy.violence.unsafe",), attacks=("none",), contexts=("controlled",))
        if not guarded:
            file = folder / "safecase.yaml"
            file.write_text(file.read_text().replace("safeguards: default", "safeguards: none"))
        day = dt.timedelta(days=1)
        text = CAMPAIGN.format(
            arms=arms,
            per_minute=per_minute,
            tokens=tokens,
            opens=(opens or utc_now() - day).isoformat(),
            closes=(closes or utc_now() + day).isoformat(),
        )
        (folder / "redteam.yaml").write_text(text)
        case = dataclasses.replace(_opened_once(), path=folder, spec=load_case(folder))
        case.__dict__["intents"] = _opened_once().intents
        return case

    return make


@pytest.fixture
def case(make_case: Callable[..., Case]) -> Case:
    return make_case()


@pytest.fixture
def issue(tmp_path: Path) -> Callable[..., list[str]]:
    """Keys of a team, as they stand in the file."""

    def make(case: Case, team: str = "staff", count: int = 1, **more: Any) -> list[str]:
        out = tmp_path / f"{case.path.name}-{team}-{len(list(tmp_path.glob('*.csv')))}.csv"
        issue_keys(case, load_campaign(case), team=team, count=count, out=out, now=utc_now, **more)
        return [row["key"] for row in csv.DictReader(out.read_text().splitlines())]

    return make


@dataclass(frozen=True, slots=True)
class Said:
    """An HTTP answer."""

    status: int
    value: Any
    headers: Any


@dataclass(frozen=True, slots=True)
class Person:
    """A participant at a keyboard."""

    session: aiohttp.ClientSession
    url: str
    key: str

    async def call(self, method: str, path: str, body: Any = None) -> Said:
        headers = {"Authorization": f"Bearer {self.key}"}
        async with self.session.request(method, self.url + path, json=body, headers=headers) as response:
            return Said(response.status, await response.json(), response.headers)

    async def begin(self, category: str = "violence", vector: str = "plain") -> str:
        consent = (await self.call("GET", "v1/scope")).value["consent_digest"]
        body = {"category": category, "vector": vector, "consent": consent}
        said = await self.call("POST", "v1/conversations", body)
        assert said.status == 201, said.value
        conversation: str = said.value["conversation"]
        return conversation

    async def say(self, conversation: str, text: str) -> Said:
        return await self.call("POST", f"v1/conversations/{conversation}/messages", {"text": text})

    async def file(self, conversation: str, **more: Any) -> Said:
        body = {"category": "violence", "severity": 3, "vector": "plain", "comment": "it told me how", **more}
        return await self.call("POST", f"v1/conversations/{conversation}/finding", body)


@dataclass(frozen=True, slots=True)
class Room:
    """An open campaign."""

    opening: Opening
    session: aiohttp.ClientSession
    model: ScriptedModel

    @property
    def url(self) -> str:
        return self.opening.url

    def person(self, key: str) -> Person:
        return Person(self.session, self.url, key)


@pytest.fixture
def serve() -> Callable[..., contextlib.AbstractAsyncContextManager[Room]]:
    """Open a case's campaign for as long as a block lasts."""

    @contextlib.asynccontextmanager
    async def opened(case: Case, script: Any = None, *, delay_s: float = 0.0, **more: Any) -> AsyncIterator[Room]:
        model = ScriptedModel(script or (lambda _: HELPFUL), delay_s=delay_s)
        async with open_campaign(case, model=model, **more) as opening, aiohttp.ClientSession() as session:
            yield Room(opening, session, model)

    return opened
