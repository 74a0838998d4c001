"""The same tests on both databases: SQLite always, PostgreSQL where SAFECASE_POSTGRES names a server."""

import datetime as dt
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from safecase.registry import Registry, Report

NOW = dt.datetime(2026, 11, 21, 9, tzinfo=dt.UTC)
KEY = bytes(range(32))
SERVER = os.environ.get("SAFECASE_POSTGRES")
WITHOUT = pytest.mark.skipif(SERVER is None, reason="SAFECASE_POSTGRES is not set")


def report(name: str = "r-1", **changes: object) -> Report:
    fields = {"id": name, "case": "c", "channel": "feedback", "received": NOW, "content": "c-1"}
    return Report.model_validate({**fields, "fingerprint": "f", "group": name, **changes})


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A database of our own on the server."""
    server = sa.make_url(str(SERVER))
    name = f"safecase_test_{secrets.token_hex(6)}"
    admin = sa.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with admin.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    yield server.set(database=name).render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=[pytest.mark.postgres, WITHOUT])])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'registry.db'}"
    found: str = request.getfixturevalue("postgres")
    with sa.create_engine(found, poolclass=sa.NullPool).begin() as connection:
        connection.execute(sa.text("DROP SCHEMA public CASCADE"))
        connection.execute(sa.text("CREATE SCHEMA public"))
    return found


@pytest.fixture
def registry(url: str) -> Iterator[Registry]:
    with Registry.open(url, key=KEY) as opened:
        yield opened
