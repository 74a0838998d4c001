"""A desk on a small case, with a clock that tests move."""

import contextlib
import dataclasses
import datetime as dt
import functools
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from safecase.assess import Case, new_case, open_case
from safecase.respond import Desk, Receipt, Server, Submission, open_desk, take

NOW = dt.datetime(2026, 11, 21, 9, 30, tzinfo=dt.UTC)
PEOPLE = """\
organisation: Ours
contact: mailto:security@example.org
policy: https://example.org/disclosure
people: {triage: [ana, ben, cem], security: [sec], compliance: [officer]}
limits: {per_minute: 5, per_minute_all: 40, characters: 2000, attachments: 2, attachment_bytes: 5000}
bounty: {currency: EUR, amounts: {3: 500, 4: 5000}}
app_keys: [2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683]
"""
APP_KEY = "key"


@functools.cache
def _opened_once() -> tuple[Case, dict[str, bytes]]:
    """A case that is read once for all tests, and its files."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "case"
        new_case(path, gates=("policy.violence.unsafe",), contexts=("closed", "limited"))
        files = {file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()}
        return open_case(path), files


@pytest.fixture(autouse=True)
def _keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAFECASE_HAZARD_KEY_FILE", str(tmp_path / "home" / "hazard.key"))
    monkeypatch.delenv("SAFECASE_REGISTRY", raising=False)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    opened, files = _opened_once()
    path = tmp_path / "case"
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    (path / "respond.yaml").write_text(PEOPLE, encoding="utf-8")
    return dataclasses.replace(opened, path=path)


@pytest.fixture
def desk(case: Case) -> Iterator[Desk]:
    with open_desk(case) as opened:
        yield opened


@pytest.fixture
def send(desk: Desk) -> Callable[..., Receipt]:
    """Send a report; a channel and what differs."""

    def sent(text: str = "It told me how.", *, at: dt.datetime = NOW, **changes: object) -> Receipt:
        said = Submission(**{"channel": "risky-output", "text": text, **changes})
        return take(desk, said, source="public", at=at)

    return sent


@dataclass
class Served:
    """A desk behind HTTP, and seconds that a test moves."""

    url: str
    session: aiohttp.ClientSession
    seconds: list[float]


@pytest.fixture
async def served(desk: Desk) -> AsyncIterator[Served]:
    seconds = [0.0]
    server = Server(desk, now=lambda: NOW, monotonic=lambda: seconds[0])
    runner = web.AppRunner(server.app(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(runner.cleanup)
        session = await stack.enter_async_context(aiohttp.ClientSession(url))
        yield Served(url=url, session=session, seconds=seconds)
