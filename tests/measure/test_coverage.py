"""Law 2 by simulation: bounds hold as often as they say, whoever judges and whenever one stops.

The worlds are those of `benchmarks/coverage.py` and `calls_saved.py`, which print the full tables. Here each runs a few
dozen times, which sees bounds that are badly wrong; `slow` runs them often enough to see what is somewhat wrong.
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

_FOLDER = Path(__file__).parents[2] / "benchmarks"


def _benchmark(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", _FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module
    spec.loader.exec_module(module)
    return module


simulation, calls = _benchmark("coverage"), _benchmark("calls_saved")

BROKEN = "guard and judge err alike, labels of bare"
SOUND = sorted(set(simulation.WORLDS) - {BROKEN})


@pytest.mark.parametrize("name", SOUND)
def test_bounds_hold_at_their_level(name):
    found = simulation.coverage(name, simulation.WORLDS[name], runs=20 if name in simulation.STOPPED else 30)

    assert found.holds


@pytest.mark.parametrize("name", sorted(simulation.PEOPLE))
def test_bounds_hold_without_a_plan(name):
    assert simulation.coverage(name, simulation.WORLDS[name], runs=100, planned=False).holds


def test_labels_of_the_bare_arm_mislead_when_guard_and_judge_err_alike():
    """The assumption that breaks: a guard leaves what it finds hard, and the judge finds the same hard.

    Calibrated on answers before the guard, the judge looks better than it is on what the guard let through; so labels
    come from the arm's own trials (calibration `own`), with which the same world is measured rightly.
    """
    own, bare = (simulation.WORLDS[name] for name in ("guard and judge err alike, own labels", BROKEN))

    assert own.sensitivity(after_guard=True) < bare.sensitivity(after_guard=False) - 0.1
    naive = simulation.coverage(BROKEN, bare, runs=20)
    honest = simulation.coverage("own", own, runs=20)
    assert not naive.holds
    assert honest.holds


@pytest.mark.slow
@pytest.mark.parametrize("name", SOUND)
def test_bounds_hold_at_their_level_in_full(name):
    assert simulation.coverage(name, simulation.WORLDS[name], runs=2000).holds


@pytest.mark.parametrize("planned", [True, False], ids=["plan", "no plan"])
@pytest.mark.parametrize("name", sorted(simulation.AT_LIMIT))
def test_looking_after_every_intent_clears_no_more_than_alpha_falsely(name, planned):
    runs = 300

    assert simulation.false_clears(name, simulation.AT_LIMIT[name], runs=runs, planned=planned) <= (
        simulation.most_misses(runs)
    )


@pytest.mark.slow
@pytest.mark.parametrize("planned", [True, False], ids=["plan", "no plan"])
@pytest.mark.parametrize("name", sorted(simulation.AT_LIMIT))
def test_looking_after_every_intent_clears_no_more_than_alpha_falsely_in_full(name, planned):
    runs = 20_000

    assert simulation.false_clears(name, simulation.AT_LIMIT[name], runs=runs, planned=planned) <= (
        simulation.most_misses(runs)
    )


def _holds_under_adaptive_allocation(found) -> bool:
    """Attacks of one run share their intents; a quarter as many independent reads is the safe way to count them."""
    return max(found.over, found.under) <= simulation.most_misses(found.reads // 4)


def test_bounds_over_cells_hold_under_a_bandit_and_pooled_ones_do_not():
    found = simulation.bandit(runs=8)

    assert _holds_under_adaptive_allocation(found)
    assert found.pooled > 0.25  # the truth is 0.2
    assert found.pooled_under > found.reads / 3


@pytest.mark.slow
@pytest.mark.parametrize(("limit", "draws"), [(0.05, 400), (0.2, 400), (0.2, 700), (0.4, 400)])
def test_bounds_over_cells_hold_under_a_bandit_in_full(limit, draws):
    assert _holds_under_adaptive_allocation(simulation.bandit(runs=1000, limit=limit, draws=draws))


def test_a_bet_per_trial_or_an_easy_stratum_first_clears_falsely_in_most_runs():
    """Why the design is a bet per completed intent in one random order."""
    runs = 60
    once = simulation.AtLimit(limit=0.2, intents=60, trials=30, alike=0.8)

    assert simulation.bet_per_trial(runs=runs) > runs / 2
    assert simulation.easy_first(runs=runs) > runs / 2
    assert simulation.false_clears("a bet per intent", once, runs=runs) <= simulation.most_misses(runs)
    assert simulation.easy_first(runs=runs, shuffled=True) <= simulation.most_misses(runs)


def test_a_scanner_makes_a_safe_model_look_broken_and_our_interval_does_not():
    name = "judge 0.92/0.39, rate 0.0"
    world = simulation.WORLDS[name]

    assert simulation._observed(name, world) == pytest.approx(0.61, abs=0.01)
    found = simulation.coverage(name, world, runs=20)
    assert (found.over, found.under) == (0, 0)
    assert found.width < 0.61


def test_a_naive_correction_sees_under_half_when_guard_and_judge_err_alike():
    """At a correlation of 0.7: 2.6 % reported where 6 % are unsafe."""
    world = simulation.WORLDS[BROKEN]

    assert world.truth == pytest.approx(0.06)
    assert simulation._observed(BROKEN, world) == pytest.approx(0.026, abs=0.004)


def test_prediction_powered_estimates_are_refused_where_they_would_mislead():
    """At 0.002 with 200 labels the textbook interval covers 32 %."""
    world = simulation.LABELLED["rate 0.002, 200 labels"]

    found = simulation.powered("rate 0.002, 200 labels", world, runs=80)

    assert found.given == 0
    assert 0.15 < found.naive_covered / 80 < 0.5


@pytest.mark.parametrize("name", sorted(set(simulation.LABELLED) - {"rate 0.002, 200 labels"}))
def test_prediction_powered_bounds_hold_where_they_are_given(name):
    found = simulation.powered(name, simulation.LABELLED[name], runs=60)

    assert found.given > 10
    assert max(found.over, found.under) <= simulation.most_misses(60)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(simulation.LABELLED) - {"rate 0.002, 200 labels"}))
def test_prediction_powered_bounds_hold_where_they_are_given_in_full(name):
    """A large-sample method: up to a fifth over its error is allowed for."""
    found = simulation.powered(name, simulation.LABELLED[name], runs=2000)

    assert max(found.over, found.under) <= 1.2 * simulation.most_misses(2000)


def _saves_what_is_promised(limit: float, *, runs: int, slack: float) -> None:
    rate = limit / 2
    fixed, cautious = calls.fixed_sample(rate, limit), calls.fixed_sample(round(0.8 * limit, 6), limit)

    same = calls.saved(rate, limit, fixed=fixed, runs=runs)
    longer = calls.saved(rate, limit, fixed=fixed, stretch=1.2, runs=runs)
    far = calls.saved(rate, limit, fixed=cautious, runs=max(20, runs // 4))
    assert same.share <= 0.9
    assert longer.share <= 0.9
    assert longer.cleared >= calls.POWER - slack
    assert far.share <= 0.25


@pytest.mark.parametrize("limit", calls.LIMITS)
def test_stopping_early_saves_what_is_promised(limit):
    """At most 0.9 of a fixed sample planned for this truth, at its power; 0.25 of one planned for 0.8 of the limit."""
    _saves_what_is_promised(limit, runs=100, slack=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("limit", calls.LIMITS)
def test_stopping_early_saves_what_is_promised_in_full(limit):
    _saves_what_is_promised(limit, runs=4000, slack=0.06)


def test_the_simulation_would_notice_bounds_that_are_too_narrow(monkeypatch):
    """A guard proves that it looks at something: with an error declared six times too small, it fails."""
    world = simulation.World(rate=0.2, sizes=(1, 1), intents=60)
    monkeypatch.setattr(simulation, "ALPHA", 0.3)
    found = simulation.coverage("too narrow", world, runs=80)
    monkeypatch.undo()

    assert not found.holds
