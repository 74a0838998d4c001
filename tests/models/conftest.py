"""Requests, and an environment without anybody's keys."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from safecase.evidence import Message
from safecase.models import EndpointOptions, Request, Settings


@pytest.fixture(autouse=True)
def _no_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No key of the machine's reaches a test."""
    for name in list(os.environ):
        if name.startswith("SAFECASE_API_KEY_") or name == "OPENAI_API_KEY":
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def ask() -> Callable[..., Request]:
    """Make a request of one user turn."""

    def make(text: str = "Say hello.", *, system: str | None = None, **settings: object) -> Request:
        messages = (Message(role="user", content=text),)
        if system is not None:
            messages = (Message(role="system", content=system), *messages)
        return Request(messages=messages, settings=Settings(**{"max_tokens": 16, "seed": 1, **settings}), trace="t")

    return make


@pytest.fixture
def quick() -> EndpointOptions:
    """Options under which a failing test does not take long."""
    return EndpointOptions(timeout_s=2.0, read_timeout_s=1.0, connect_timeout_s=1.0, retries=2, longest_wait_s=2.0)
