"""The embedded model through a capability suite, held to the pack's standard of elicitation, into a gate's finding."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from safecase.models import open_model
from safecase.suites import NoSandbox, find_engine

pytestmark = [pytest.mark.local_model, pytest.mark.sandbox, pytest.mark.slow]


@pytest.fixture
def example() -> ModuleType:
    path = Path(__file__).parents[2] / "examples" / "17_elicitation.py"
    spec = importlib.util.spec_from_file_location("example_17", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def test_a_run_that_falls_short_of_the_standard_says_in_what_and_passes_nothing(
    example: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    try:
        find_engine()
    except NoSandbox as reason:
        pytest.skip(str(reason))
    monkeypatch.setenv("SAFECASE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SAFECASE_HAZARD_KEY_FILE", str(tmp_path / "home" / "hazard.key"))
    async with open_model("llama-cpp/smollm2-135m-instruct") as model:
        await example.run_and_decide(example.planned(tmp_path / "case", example.SMALL), model)

    told = capsys.readouterr().out
    assert "12 attempts" in told
    assert "variant 'as-deployed' was tried" in told
    assert "2 answers an attempt, 30 asked for" in told
    assert "cyber.simple-suite: provisional-high" in told
