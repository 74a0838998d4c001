"""`safecase decide argument`, `concern` and `accept` on the command line."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.assess.conftest import safe_target

from safecase.assess import new_case, open_case, run_case
from safecase.cli import main
from safecase.testing import ScriptedModel


@pytest.fixture
async def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SAFECASE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SAFECASE_HAZARD_KEY_FILE", str(tmp_path / "home" / "hazard.key"))
    new_case(tmp_path / "case", contexts=("closed",), gates=("policy.violence.unsafe",), intents=3, attacks=("none",))
    await run_case(open_case(tmp_path / "case"), model=ScriptedModel(safe_target))
    return tmp_path / "case"


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["decide", *words])
    return done.exit_code, done.output


def test_the_argument_is_told_exported_drawn_and_doubted(case: Path):
    """One case, since running one takes the time."""
    assert run("concern", str(case), "--id", "inc-7", "--what", "keys were printed", "--by", "ana")[0] == 0

    code, told = run("argument", str(case))
    assert code == 0
    assert "open-incident:inc-7 (open): keys were printed" in told

    package = json.loads(run("argument", str(case), "--json")[1])
    assert (package["schema"], package["confidence"]) == ("safecase.argument/1", "none")
    assert run("argument", str(case), "--format", "mermaid")[1].startswith("flowchart TD")

    out = case / "cyber.svg"
    assert run("argument", str(case), "--format", "svg", "--part", "cyber-1", "--out", str(out))[0] == 0
    assert out.read_text().startswith("<svg")

    for words, said in (
        (("argument", str(case), "--context", "open"), "does not decide on context 'open'"),
        (("argument", str(case), "--format", "svg", "--part", "cyber-9"), "--part 'cyber-9'"),
        (("concern", str(case), "--id", "x", "--what", "y", "--touches", "z", "--by", "ana"), "touches 'z'"),
    ):
        code, output = run(*words)
        assert code == 2
        assert said in output
