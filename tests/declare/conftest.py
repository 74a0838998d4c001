"""A pack to spoil: each test changes one thing in a copy of a shipped pack."""

from collections.abc import Callable
from pathlib import Path

import pytest

from safecase.declare import PackError, load_framework, pack_path

Spoil = Callable[..., str]


@pytest.fixture
def spoil(tmp_path: Path) -> Spoil:
    """Replace `old` by `new` once in scaling-v2, after `after` where that is given, and return what the loader says."""

    def spoiled(old: str, new: str, *, after: str = "") -> str:
        text = pack_path("scaling-v2").read_text(encoding="utf-8")
        start = text.index(after)
        at = text.index(old, start)  # fails when the pack no longer holds what the test spoils
        path = tmp_path / "spoiled.yaml"
        path.write_text(text[:at] + new + text[at + len(old) :], encoding="utf-8")
        try:
            load_framework(str(path))
        except PackError as error:
            return str(error)
        return ""

    return spoiled
