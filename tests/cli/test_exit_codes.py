"""Errors that rooms declare, and the codes they end a command with."""

import os
import subprocess
import sys
from importlib import import_module

import pytest

from safecase.cli._common import BAD_INPUT, FAILED, NOT_SUPPORTED, NOT_VERIFIED
from safecase.cli._faults import CODES, classify
from safecase.models import UnknownModel
from safecase.monitor import MonitorError, SourceTrouble
from safecase.serve import NotPermitted


@pytest.mark.parametrize(("room", "name"), CODES)
def test_every_listed_error_is_one_that_its_room_shows(room: str, name: str) -> None:
    found = getattr(import_module(f"safecase.{room}"), name)
    assert issubclass(found, Exception)
    assert (found.__module__.split(".")[1], found.__name__) == (room, name)


def test_the_nearest_listed_kind_gives_the_code() -> None:
    class Odd(SourceTrouble):
        pass

    assert issubclass(SourceTrouble, MonitorError)
    assert classify(Odd("x")) == FAILED
    assert classify(MonitorError("x")) == BAD_INPUT
    assert classify(UnknownModel("x")) == BAD_INPUT
    assert classify(NotPermitted("expired", "x", "y")) == NOT_SUPPORTED
    assert classify(NotPermitted("ledger-broken", "x", "y")) == NOT_VERIFIED


def test_what_no_room_declares_is_a_bug() -> None:
    assert classify(ValueError("x")) is None
    elsewhere = type("SafeguardError", (Exception,), {"__module__": "elsewhere.safeguard"})
    assert classify(elsewhere("x")) is None


def test_an_error_is_said_without_loading_every_room() -> None:
    found = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "safecase", "run", "no-such-case"],
        capture_output=True,
        text=True,
        env=os.environ,
        check=False,
    )
    assert found.returncode == BAD_INPUT
    assert "no-such-case" in found.stderr
    for room in ("monitor", "redteam", "report", "serve"):
        assert f" safecase.{room}\n" not in found.stderr
