"""The catalogue is complete and up to date, and the Inspect tasks it names load."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from safecase.declare import load_framework, shipped_packs
from safecase.suites import SHIPPED

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def catalogue() -> ModuleType:
    spec = importlib.util.spec_from_file_location("write_catalogue", ROOT / "scripts" / "write_catalogue.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["write_catalogue"] = module
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_script_writes(catalogue):
    assert catalogue.PAGE.read_text(encoding="utf-8") == catalogue.page(), "run `python scripts/write_catalogue.py`"


def test_every_suite_and_measure_has_its_facts_and_nothing_else_has(catalogue):
    frameworks = [load_framework(name) for name in shipped_packs()]
    suites = {suite.id for one in frameworks for suite in one.suites} | set(SHIPPED)
    measures = {measure for one in frameworks for suite in one.suites for measure in suite.measures}
    facts = catalogue.facts()

    assert set(facts["suites"]) == suites
    assert measures <= set(facts["measures"])
    for name, fact in facts["suites"].items():
        assert set(fact) == {"licence", "source", "shows", "shows_not", "needs", "time"}, name


def test_every_gate_is_on_the_page(catalogue):
    gates = [gate for name in shipped_packs() for gate in load_framework(name).gates]
    page = catalogue.PAGE.read_text(encoding="utf-8")

    assert gates
    assert not [gate.id for gate in gates if f"`{gate.id}`" not in page]


def test_every_named_inspect_task_was_loaded_once(catalogue):
    """As recorded, with date and version; the next test looks again where the package is installed."""
    record = json.loads(catalogue.FOUND.read_text(encoding="utf-8"))

    assert set(record["tasks"]) == set(catalogue.named_tasks())
    assert not [name for name, found in record["tasks"].items() if found["loads"] == "no task of this name"]


def test_every_named_inspect_task_loads_here(catalogue):
    pytest.importorskip(
        "inspect_evals", reason="inspect-evals is not in the lock; `make catalogue-inspect` loads its tasks"
    )
    record = json.loads(catalogue.FOUND.read_text(encoding="utf-8"))["tasks"]
    loaded = catalogue.loaded_tasks(list(record))

    assert {name: found["loads"] for name, found in loaded.items()} == {n: f["loads"] for n, f in record.items()}
