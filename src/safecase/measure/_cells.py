"""A rate under adaptive allocation: fixed weights over cells, each with a confidence sequence of its own.

The problem: a bandit sends trials where an attack x category cell looks weak. The pooled mean then speaks of the
bandit's taste, not of the model: it drifts towards the weak cells, or away from a cell that was unlucky early.

The choice: the rate of an attack is a mean with *target weights declared beforehand* (each category's share of the
planned bank, say). Every cell meets its intents in a seeded random order of its own and has its own betting sequence;
the bound is the weighted sum of the cells' bounds, which hold together by a union bound over the cells.

    upper = sum of weight x (upper bound of the cell at its share of alpha)        a cell without values: 1

How many values a cell gets may depend on anything, on the other cells too: its bound holds at all times at once, seen
in its own order. A product of the cells' wealth would be sharper and is not valid: the same intent meets several
attacks, so what one cell shows tells of the next value in another, and the product is no fair gamble.

Alpha is shared in proportion to the square root of the weights: where draws follow the weights, that is what makes
the sum least (the derivative of w sqrt(log(1/a) / n) in a is near w / (a sqrt(n))).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from safecase.evidence import digest_bytes
from safecase.measure._bounds import Bounds
from safecase.measure._calibration import JudgeError
from safecase.measure._judged import Ends, Tallies, Tally, difference_bounds, rate_bounds
from safecase.measure._sequence import mean_bounds

_CLOSE = 1e-9
CellT = TypeVar("CellT")
AlphaT = TypeVar("AlphaT", float, float | None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What one attack x category cell showed.

    Attributes:
        weight: its share of the target, declared before the first answer; at least 0.
        values: in [0, 1], one per completed intent, in the cell's own random order (`cell_order`).
        planned: intents that were planned for it before the first answer; None where a bandit decides.
    """

    weight: float
    values: Sequence[float]
    planned: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedCell:
    """A cell whose answers a fallible judge saw; `tallies` one per completed intent, else as `Cell`."""

    weight: float
    tallies: Sequence[Tally] | Tallies
    planned: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedCell:
    """A cell whose intents answered on two arms; tallies of the same intents in the same order, else as `Cell`."""

    weight: float
    before: Sequence[Tally] | Tallies
    after: Sequence[Tally] | Tallies
    planned: int | None = None


def cell_order(intents: Iterable[str], *, cell: str, seed: int) -> tuple[str, ...]:
    """The seeded random order in which a cell meets its intents; it depends on the seed and the names alone.

    >>> cell_order(["a", "b", "c"], cell="plain/violence", seed=1)
    ('a', 'c', 'b')
    """
    return tuple(sorted(intents, key=lambda intent: digest_bytes(f"{seed}/{cell}/{intent}".encode())))


def weighted_bounds(cells: Sequence[Cell], *, alpha_lower: float, alpha_upper: float) -> Bounds:
    """One-sided bounds of the weighted mean; each holds alone, at any stopping time, under any allocation.

    Args:
        cells: their weights sum to 1.
        alpha_lower, alpha_upper: error of each bound, in (0, 1).

    Returns:
        Bounds in [0, 1]. A cell without values contributes its worst: 0 to the lower bound, 1 to the upper.

    Raises:
        ValueError: the weights are negative or do not sum to 1, or a value or alpha is out of range.

    >>> seen, unseen = Cell(weight=0.9, values=[0.0] * 200), Cell(weight=0.1, values=[])
    >>> bounds = weighted_bounds([seen, unseen], alpha_lower=0.05, alpha_upper=0.05)
    >>> bounds.low, 0.1 < bounds.high < 0.13
    (0.0, True)
    """

    def of_cell(cell: Cell, lower: float, upper: float) -> Bounds:
        return mean_bounds(cell.values, alpha_lower=lower, alpha_upper=upper, planned=cell.planned)

    return _weighted([(cell.weight, cell) for cell in cells], of_cell, alpha_lower, alpha_upper)


def weighted_rate_bounds(
    cells: Sequence[JudgedCell],
    error: JudgeError,
    *,
    alpha_lower: float | None,
    alpha_upper: float | None,
    ends: Ends | None = None,
) -> Bounds:
    """`weighted_bounds` through a judge's error box, which must hold for every cell.

    The box is one event for all cells, so it costs its own error once and none of these alphas.

    Args:
        alpha_lower, alpha_upper: error of each bound; None leaves that one vacuous.
        ends: as for `rate_bounds`.

    Raises:
        ValueError: as `weighted_bounds`.
    """

    def of_cell(cell: JudgedCell, lower: float | None, upper: float | None) -> Bounds:
        return rate_bounds(cell.tallies, error, alpha_lower=lower, alpha_upper=upper, planned=cell.planned, ends=ends)

    return _weighted([(cell.weight, cell) for cell in cells], of_cell, alpha_lower, alpha_upper)


def weighted_difference_bounds(
    cells: Sequence[PairedCell],
    errors: tuple[JudgeError, JudgeError],
    *,
    alpha_lower: float,
    alpha_upper: float,
    ends: Ends | None = None,
) -> Bounds:
    """Bounds of the weighted mean of (after - before), paired by intent within each cell.

    Args:
        cells: their weights sum to 1.
        errors: the judge's error on (before, after), each of which must hold for every cell.
        alpha_lower, alpha_upper: error of each bound, the boxes' own error aside.
        ends: as for `rate_bounds`.

    Returns:
        Bounds in [-1, 1]. A cell without pairs contributes its worst: -1 to the lower bound, 1 to the upper.

    Raises:
        ValueError: as `weighted_bounds`, or a cell holds more intents on one side than on the other.
    """

    def of_cell(cell: PairedCell, lower: float, upper: float) -> Bounds:
        return difference_bounds(
            cell.before,
            cell.after,
            errors,
            alpha_lower=lower,
            alpha_upper=upper,
            planned=cell.planned,
            ends=ends,
        )

    return _weighted([(cell.weight, cell) for cell in cells], of_cell, alpha_lower, alpha_upper, least=-1.0)


def _weighted(
    weighted: Sequence[tuple[float, CellT]],
    bounds: Callable[[CellT, AlphaT, AlphaT], Bounds],
    alpha_lower: AlphaT,
    alpha_upper: AlphaT,
    *,
    least: float = 0.0,
) -> Bounds:
    _check([weight for weight, _ in weighted])
    roots = sum(weight**0.5 for weight, _ in weighted)
    low = high = 0.0
    for weight, cell in weighted:
        if weight:
            share = weight**0.5 / roots
            found = bounds(cell, _part(alpha_lower, share), _part(alpha_upper, share))
            low += weight * found.low
            high += weight * found.high
    return Bounds(low=max(least, low), high=min(1.0, high))


def _part(alpha: AlphaT, share: float) -> AlphaT:
    return alpha if alpha is None else alpha * share


def _check(weights: Sequence[float]) -> None:
    if any(weight < 0 for weight in weights) or abs(sum(weights) - 1.0) > _CLOSE:
        raise ValueError(f"target weights must be at least 0 and sum to 1, got {list(weights)!r}")
