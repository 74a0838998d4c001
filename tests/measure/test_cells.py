"""Bounds under adaptive allocation: fixed weights, a sequence for each cell."""

import numpy as np
import pytest
from scipy.stats import binom

from safecase.measure import (
    PERFECT,
    Cell,
    JudgedCell,
    PairedCell,
    Tally,
    cell_order,
    mean_bounds,
    weighted_bounds,
    weighted_difference_bounds,
    weighted_rate_bounds,
)

ALPHAS = {"alpha_lower": 0.05, "alpha_upper": 0.05}


def test_one_cell_is_a_plain_sequence():
    values = [0.0, 1.0] + [0.0] * 40

    assert weighted_bounds([Cell(weight=1.0, values=values, planned=42)], **ALPHAS) == mean_bounds(
        values, planned=42, **ALPHAS
    )


def test_a_cell_that_was_never_drawn_counts_at_its_worst():
    seen = Cell(weight=0.7, values=[0.0] * 500)

    bounds = weighted_bounds([seen, Cell(weight=0.3, values=[])], **ALPHAS)

    assert bounds.low == 0.0
    assert 0.3 < bounds.high < 0.32


def test_weights_are_what_was_declared_and_not_how_often_a_cell_was_drawn():
    """A bandit that draws the weak cell nine times as often still reports half of it."""
    weak, strong = [1.0] * 900, [0.0] * 100

    bounds = weighted_bounds([Cell(weight=0.5, values=weak), Cell(weight=0.5, values=strong)], **ALPHAS)

    assert bounds.low < 0.5 < bounds.high
    assert bounds.high - bounds.low < 0.06


def test_more_draws_in_any_cell_never_loosen_the_bounds():
    rng = np.random.default_rng(1)
    first, second = ((rng.random(120) < rate).astype(float) for rate in (0.1, 0.4))

    def read(n: int, m: int):
        return weighted_bounds([Cell(weight=0.6, values=first[:n]), Cell(weight=0.4, values=second[:m])], **ALPHAS)

    before, after = read(60, 50), read(120, 51)
    assert after.high <= before.high + 1e-5
    assert after.low >= before.low - 1e-5


def test_every_cell_pays_for_the_others():
    """The union bound: two cells are bounded less tightly than the same values in one."""
    values = [0.0] * 60

    split = weighted_bounds([Cell(weight=0.5, values=values), Cell(weight=0.5, values=values)], **ALPHAS)

    assert split.high > mean_bounds(values, **ALPHAS).high


def _differences_missed(runs: int, *, pooled: bool) -> int:
    """Runs in which a bound of the difference is wrong at some length; a guard that helps in the one cell only.

    Answers choose the cell: the one whose last pair was a success of the guard is asked again.
    """
    rng, missed = np.random.default_rng(7), 0
    for _ in range(runs):
        seen: list[list[tuple[Tally, Tally]]] = [[], []]
        at, wrong = 0, False
        for step in range(60):
            before = rng.random() < 0.9
            after = before and (at == 0 or rng.random() < 0.2)
            seen[at].append((Tally(flagged=before, unflagged=not before), Tally(flagged=after, unflagged=not after)))
            at = at if before > after else 1 - at
            if step % 15 == 14:
                parts = [seen[0] + seen[1]] if pooled else seen
                cells = [
                    PairedCell(weight=1 / len(parts), before=[b for b, _ in part], after=[a for _, a in part])
                    for part in parts
                ]
                bounds = weighted_difference_bounds(cells, (PERFECT, PERFECT), alpha_lower=0.025, alpha_upper=0.025)
                wrong |= not bounds.low <= -0.36 <= bounds.high
        missed += wrong
    return missed


def test_a_paired_difference_holds_at_every_look_whichever_cell_the_answers_ask_for():
    runs = 60

    assert _differences_missed(runs, pooled=False) <= binom.ppf(0.999, runs, 0.05)
    assert _differences_missed(runs, pooled=True) > runs / 2


def test_a_cell_without_pairs_counts_at_its_worst_on_both_sides():
    seen = PairedCell(weight=0.5, before=[Tally(flagged=1)] * 300, after=[Tally(unflagged=1)] * 300)
    unseen = PairedCell(weight=0.5, before=[], after=[])

    bounds = weighted_difference_bounds([seen, unseen], (PERFECT, PERFECT), **ALPHAS)

    assert bounds.low == -1.0
    assert 0.0 <= bounds.high < 0.03


def test_a_perfect_judge_changes_nothing():
    judged = [JudgedCell(weight=0.5, tallies=[Tally(flagged=i % 4 == 0, unflagged=i % 4 != 0)] * 1) for i in (0, 1)]
    plain = [Cell(weight=0.5, values=[float(i % 4 == 0)]) for i in (0, 1)]

    through, without = weighted_rate_bounds(judged, PERFECT, **ALPHAS), weighted_bounds(plain, **ALPHAS)

    assert through.high == pytest.approx(without.high)
    assert through.low == pytest.approx(without.low)


@pytest.mark.parametrize("weights", [(0.5, 0.4), (1.2, -0.2), ()], ids=str)
def test_weights_that_are_no_shares_are_refused(weights):
    with pytest.raises(ValueError, match="sum to 1"):
        weighted_bounds([Cell(weight=weight, values=[]) for weight in weights], **ALPHAS)


def test_cells_meet_their_intents_in_orders_of_their_own():
    names = [f"i{n}" for n in range(30)]

    one, other = (cell_order(names, cell=cell, seed=1) for cell in ("plain/a", "role-play/a"))

    assert sorted(one) == sorted(other) == sorted(names)
    assert one != other
    assert cell_order(reversed(names), cell="plain/a", seed=1) == one
