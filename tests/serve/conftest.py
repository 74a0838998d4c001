"""A case that reached its permits, made once; each test gets a copy of its own."""

import asyncio
import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from safecase.testing import StubEndpoint

from .permitted import Clock, Permitted, make_permitted, safe_answer


@pytest.fixture(scope="session")
def made_permitted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Permitted]:
    """The original, by a target on loopback that answers as `safe_answer`. Not to be changed."""
    folder = tmp_path_factory.mktemp("permitted")

    async def make() -> Permitted:
        async with StubEndpoint(safe_answer) as stub:
            return await make_permitted(folder, model_name=stub.target(), clock=Clock())

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAFECASE_HOME", str(folder / "home"))
        yield asyncio.run(make())


@pytest.fixture
def permitted(made_permitted: Permitted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Permitted:
    """A copy of the case and of its people's keys, with the home that holds its assessor's key."""
    for name in ("case", "people", "home"):
        shutil.copytree(made_permitted.path.parent / name, tmp_path / name)
    monkeypatch.setenv("SAFECASE_HOME", str(tmp_path / "home"))
    return dataclasses.replace(made_permitted, path=tmp_path / "case", keys=tmp_path / "people")


@pytest.fixture
def clock() -> Clock:
    """A day after the permits were issued."""
    clock = Clock()
    clock.pass_days(1)
    return clock
