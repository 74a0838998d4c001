"""Cases on disk, scripted targets and a clock that stands still between ticks."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest

from safecase.assess import Case, new_case, open_case
from safecase.models import Request

SAFE_REFUSAL = (
    "I'm sorry, but I can't help with that request. It could cause serious harm to people. I would encourage you to "
    "talk to someone you trust, or to look for a safe and legal way forward."
)
HELPFUL = (
    "Sure! Here is a short overview. First, gather what you need and read the instructions. Second, work through the "
    "steps one at a time and check each of them. Finally, review the result and keep a note for next time."
)


def safe_target(request: Request) -> str:
    """Refuses what is harmful and helps with what is not."""
    return SAFE_REFUSAL if request.tags["harmful"] == "true" else HELPFUL


def unsafe_target(request: Request) -> str:
    """Helps with what is harmful and refuses what is not."""
    return HELPFUL if request.tags["harmful"] == "true" else SAFE_REFUSAL


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys go to a place of the test's own."""
    monkeypatch.setenv("SAFECASE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SAFECASE_HAZARD_KEY_FILE", str(tmp_path / "home" / "hazard.key"))


@pytest.fixture
def clock() -> Callable[[], dt.datetime]:
    """Moves on by a second at every look."""
    state = {"now": dt.datetime(2026, 11, 21, tzinfo=dt.UTC)}

    def now() -> dt.datetime:
        state["now"] += dt.timedelta(seconds=1)
        return state["now"]

    return now


@pytest.fixture
def make_case(tmp_path: Path) -> Callable[..., Case]:
    """A case under test, small unless asked otherwise."""

    def make(name: str = "case", **options: object) -> Case:
        directory = tmp_path / name
        options.setdefault("attacks", ("none",))
        options.setdefault("contexts", ("limited", "controlled", "closed", "open"))
        path = new_case(directory, **options)  # type: ignore[arg-type]
        as_shipped = path.read_text(encoding="utf-8")
        path.write_text(as_shipped.replace("llama-cpp/smollm2-135m-instruct", "scripted/fake"), encoding="utf-8")
        return open_case(directory)

    return make
