"""Public faces load what is asked for, and nothing else."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import safecase
from safecase._face import lazy_face

ROOT = Path(safecase.__file__).parent
LAZY = sorted(path.parent.name for path in ROOT.glob("*/__init__.py") if "lazy_face(__name__)" in path.read_text())


def test_some_faces_are_lazy():
    assert {"assess", "evidence", "measure", "run"} <= set(LAZY)


@pytest.mark.parametrize("room", LAZY)
def test_a_lazy_face_gives_every_name_it_lists(room):
    face = importlib.import_module(f"safecase.{room}")

    missing = [name for name in face.__all__ if getattr(face, name, None) is None]
    assert missing == []
    assert set(face.__all__) <= set(dir(face))


def test_a_name_that_is_not_there_is_refused_like_anywhere():
    with pytest.raises(AttributeError, match=r"module 'safecase.measure' has no attribute 'gathre'"):
        _ = importlib.import_module("safecase.measure").gathre


def test_an_import_of_a_name_that_is_not_there_is_an_import_error():
    with pytest.raises(ImportError, match="gathre"):
        exec("from safecase.measure import gathre")


def test_what_is_loaded_once_is_the_same_object_after():
    load, _ = lazy_face("safecase.measure")

    assert load("gather") is importlib.import_module("safecase.measure").gather


def test_faces_that_are_lazy_import_nothing_of_their_own_above_the_list():
    for room in LAZY:
        tree = ast.parse((ROOT / room / "__init__.py").read_text())
        eager = [line.module for line in tree.body if isinstance(line, ast.ImportFrom)]
        assert [module for module in eager if str(module).startswith(f"safecase.{room}.")] == []


_RUN = """
import asyncio, sys
from pathlib import Path
import safecase.cli._run
from safecase.assess import open_case, run_case
from safecase.evidence import Identity
from safecase.models import Answer
class Fake:
    name, concurrency = "fake/one", 1
    async def generate(self, request): return Answer(text="no")
    async def identity(self): return Identity(kind="weights", model=self.name, digest="0" * 64)
case = open_case(Path(sys.argv[1]))
print(asyncio.run(run_case(case, model=Fake(), budget=case.spec.budget.model_copy(update={"trials": 1}))).trials)
print(*sorted(sys.modules))
"""


def test_a_run_loads_neither_what_decides_nor_what_reports(tmp_path):
    """Start-up is most of what a short run costs: what it does not need is not loaded."""
    (tmp_path / "safecase.yaml").write_text(
        "{id: one, title: one, framework: scaling-v2, contexts: [closed], safeguards: none, "
        "model: {name: fake/one, title: fake, safeguard_state: partial}, "
        "sampling: {gates: [policy.violence.unsafe], intents: 1}}"
    )
    ended = subprocess.run([sys.executable, "-c", _RUN, tmp_path], check=True, capture_output=True, text=True)
    trials, modules = ended.stdout.splitlines()
    loaded = set(modules.split())

    assert trials == "1"
    assert {"safecase.run._engine", "pyarrow"} <= loaded  # it did look at a run
    unwanted = {"decide", "exchange", "mark", "monitor", "redteam", "registry", "report", "respond", "serve", "suites"}
    assert sorted({f"safecase.{room}" for room in unwanted} & loaded) == []
    assert sorted({"scipy", "pandas", "aiohttp", "inspect_ai"} & loaded) == []
