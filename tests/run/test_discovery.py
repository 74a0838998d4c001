"""The benchmark of the bandit replays both ways fairly: on a pool whose answer is known."""

import importlib.util
import sys
from pathlib import Path

import pytest

from safecase.compose import load_shipped_bank

_PATH = Path(__file__).parents[2] / "benchmarks" / "discovery.py"
_SPEC = importlib.util.spec_from_file_location("benchmark_discovery", _PATH)
assert _SPEC is not None
assert _SPEC.loader is not None
discovery = importlib.util.module_from_spec(_SPEC)
sys.modules[_SPEC.name] = discovery
_SPEC.loader.exec_module(discovery)


@pytest.fixture(scope="module")
def intents() -> list[str]:
    by_area = [[i.id for i in load_shipped_bank() if i.category == area][:6] for area in discovery.AREAS]
    return [intent for many in by_area for intent in many]


def test_both_ways_find_the_whole_pool_in_the_end_and_the_bandit_finds_it_sooner(intents: list[str]):
    pool = {(i, a): a in {"fiction", "academic"} for i in intents for a in discovery.ATTACKS}

    runs = discovery.replay(pool, seeds=3, budgets=(100, len(pool)))

    for way in ("uniform", "bandit"):
        assert [run[len(pool)].weaknesses for run in runs[way]] == [2 * len(intents)] * 3
    assert min(run[100].weaknesses for run in runs["bandit"]) > 1.5 * max(r[100].weaknesses for r in runs["uniform"])
