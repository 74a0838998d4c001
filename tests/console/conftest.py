"""A console in front of a small permitted case, with a clock that tests move and a browser of their own making."""

import contextlib
import datetime as dt
import re
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from safecase.console import Server, Settings, show_cases
from tests.serve.permitted import START, Permitted, permitted_at_home


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Permitted]:
    """A case with permits for two contexts, made once."""
    with permitted_at_home(tmp_path_factory.mktemp("console")) as made:
        yield made


@pytest.fixture
def made(original: Permitted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Permitted:
    """A copy of it that a test may spoil."""
    for name in ("case", "people", "home"):
        shutil.copytree(original.path.parent / name, tmp_path / name)
    monkeypatch.setenv("SAFECASE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SAFECASE_HAZARD_KEY_FILE", str(tmp_path / "home" / "hazard.key"))
    monkeypatch.delenv("SAFECASE_REGISTRY", raising=False)
    return Permitted(path=tmp_path / "case", keys=tmp_path / "people", root=original.root)


@dataclass
class Moved:
    """A clock that stands where a test puts it."""

    at: dt.datetime = START + dt.timedelta(days=1)

    def __call__(self) -> dt.datetime:
        return self.at


@dataclass
class Browser:
    """Asks for pages and sends forms as a browser does: cookies, origin, the token of the last page."""

    session: aiohttp.ClientSession
    origin: str
    clock: Moved
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    page: str = ""

    async def get(self, path: str, **options: Any) -> str:
        async with self.session.get(path, **options) as answer:
            self.status, self.headers = answer.status, {name.lower(): said for name, said in answer.headers.items()}
            self.page = (await answer.read()).decode("utf-8", "replace")
            return self.page

    @property
    def token(self) -> str:
        found = re.search(r'name="token" value="([0-9a-f]+)"', self.page)
        assert found is not None
        return found[1]

    async def post(self, path: str, **fields: Any) -> str:
        data = aiohttp.FormData({"token": self.token})
        for name, value in fields.items():
            data.add_field(name, value, filename="given.json" if hasattr(value, "read") else None)
        async with self.session.post(path, data=data, headers={"Origin": self.origin}) as answer:
            self.status, self.headers = answer.status, {name.lower(): said for name, said in answer.headers.items()}
            self.page = (await answer.read()).decode("utf-8", "replace")
            return self.page


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """Serve cases and give a browser that looks at them."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(*paths: Path, loopback: bool = True, **settings: Any) -> Browser:
            clock = Moved()
            given = Settings(**{"by": "ana", "keys": tmp_path / "console-keys.json", **settings})
            server = Server(show_cases(paths), given, loopback=loopback, now=clock)
            runner = web.AppRunner(server.app(), access_log=None)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
            jar = aiohttp.CookieJar(unsafe=True)
            session = await stack.enter_async_context(aiohttp.ClientSession(origin, cookie_jar=jar))
            return Browser(session=session, origin=origin, clock=clock)

        yield start
