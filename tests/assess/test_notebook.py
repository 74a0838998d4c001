"""One call: a model in, an assessment out that shows itself."""

import asyncio
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import safecase
from safecase.assess import Assessment, CaseExists, assess_async, new_case
from safecase.declare import Budget
from safecase.exchange import COLUMNS, MissingExtra
from safecase.models import Request
from safecase.testing import ScriptedModel
from tests.assess.conftest import safe_target

GATES = ("policy.violence.unsafe", "policy.overrefusal")


def small(model: object = None, **options: object) -> Assessment:
    """An assessment of a few trials."""
    given = {"gates": GATES, "intents": 3, "attacks": ["none"], "contexts": ["closed"], **options}
    return safecase.assess(model or ScriptedModel(safe_target), **given)  # type: ignore[arg-type]  # any option


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory):
    """One assessment for the tests that only look."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAFECASE_HOME", str(tmp_path_factory.mktemp("home")))
        yield small()


def test_one_call_gives_tables_proposals_and_a_picture(found: Assessment):
    assert found.run.trials == len(found.trials) == 12
    assert [row["context"] for row in found.proposals] == ["closed"]
    assert "policy.violence.unsafe" in repr(found)
    assert "95%" in repr(found)
    assert found._repr_html_().count("<table>") == 2
    assert {row["verdict"] for row in found.findings} >= {"inconclusive", "not-planned"}
    assert found.verify().holds


def test_a_temporary_case_goes_with_its_last_user_and_save_keeps_it(tmp_path: Path):
    found = small()
    path, kept = found.path, found.save(tmp_path / "kept")

    assert found.is_temporary
    assert "temporary" in repr(found)
    del found
    assert not path.exists()
    assert (kept / "decision.json").exists()


def test_a_directory_is_gone_on_with_and_another_case_there_is_not_overwritten(tmp_path: Path):
    first = small(directory=tmp_path / "case")
    second = small(directory=tmp_path / "case")

    assert (first.is_temporary, second.run.trials, second.run.skipped) == (False, 0, 12)
    with pytest.raises(CaseExists, match="says something else"):
        small(directory=tmp_path / "case", intents=4)
    with pytest.raises(CaseExists, match="exists"):
        first.save(tmp_path / "case")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"intents": 0}, "intents is 0; it must be greater than"),
        ({"intents": "many"}, "intents is 'many'; it must be a valid integer"),
        ({"temperature": -1}, "temperature is -1; it must be greater than"),
        ({"judge": "lmm/x"}, "no judge is called 'lmm/x'"),
        ({"contexts": "closed"}, r"contexts is 'closed'; give a list of names, such as \['closed'\]"),
        ({"gates": None}, "gates is None; give a list"),
        ({"budget": {"trials": 5}}, "give safecase.declare.Budget"),
        ({"workers": 0}, "workers is 0; give a whole number from 1"),
        ({"model": 7}, "model is 7; give a target's name"),
        ({"framework": 7}, "framework is 7; give a pack's name"),
    ],
)
def test_an_argument_that_cannot_be_is_told_by_its_name(given: dict[str, object], said: str):
    with pytest.raises(ValueError, match=said) as caught:
        small(**given)
    assert type(caught.value) is ValueError


def test_a_run_that_stopped_says_why(found: Assessment):
    stopped = small(budget=Budget(seconds=0.0001))

    assert "stopped: time budget of 0.0001 s is spent" in repr(stopped)
    assert "stopped: time budget" in stopped._repr_html_()
    assert "stopped" not in repr(found)


async def test_it_waits_inside_a_running_loop_too_and_can_be_awaited():
    """A notebook's cell runs inside a loop."""
    waited = small()
    awaited = await assess_async(case=waited.path, model=ScriptedModel(safe_target))

    assert (waited.run.trials, awaited.run.skipped) == (12, 12)
    assert [dict(row) for row in waited.proposals] == [dict(row) for row in awaited.proposals]


async def test_a_failure_inside_a_running_loop_is_the_callers():
    def fails(_: Request) -> str:
        raise RuntimeError("the script is wrong")

    with pytest.raises(RuntimeError, match="the script is wrong"):
        small(ScriptedModel(fails))


def test_what_a_case_says_is_not_said_again(tmp_path: Path):
    new_case(tmp_path / "case")

    with pytest.raises(ValueError, match="leave out framework, intents"):
        safecase.assess(case=tmp_path / "case", intents=3, framework="frontier-v1.1")
    with pytest.raises(ValueError, match="nothing to assess"):
        safecase.assess()


def test_the_package_is_a_function_at_any_time():
    """Before and after the subpackage of that name is imported, and quickly until then."""
    code = (
        "import sys, safecase; assert not {'numpy', 'pydantic'} & set(sys.modules); before = safecase.assess; "
        "import safecase.assess; from safecase.assess import open_case; "
        "assert safecase.assess is before and callable(before) and before.open_case is open_case; "
        "assert callable(safecase.assess_async) and 'assess' in dir(safecase)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

    assert next(iter(inspect.signature(safecase.assess).parameters)) == "model"
    assert asyncio.iscoroutinefunction(safecase.assess_async)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = safecase.nothing  # type: ignore[attr-defined]


def test_a_data_frame_without_its_package_says_which_to_install(found: Assessment, monkeypatch: pytest.MonkeyPatch):
    for package in ("pandas", "polars"):
        monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(MissingExtra, match=r"pandas is not installed; pip install 'safecase\[notebook\]'"):
        found.trials.to_pandas()
    with pytest.raises(MissingExtra, match="polars is not installed"):
        found.trials.to_polars()


@pytest.mark.notebook
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # theirs, as they load
def test_every_table_is_a_data_frame(found: Assessment):
    pytest.importorskip("pandas", reason="pandas (extra `notebook`) is not installed")
    pytest.importorskip("polars", reason="polars (extra `notebook`) is not installed")

    for name in ("trials", "judgements", "estimates", "findings", "proposals"):
        table = getattr(found, name)
        columns = [column.name for column in COLUMNS[name]]
        assert list(table.to_pandas().columns) == table.to_polars().columns == columns
        assert len(table.to_pandas()) == table.to_polars().height == len(table)
