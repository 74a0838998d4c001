"""Spend the budget where weaknesses are likely: Thompson sampling over cells of attack x category.

The problem: a plan of many thousand trials in its own order finds weaknesses at the rate at which they lie about. Going
where they are dense finds more for the same calls; but a rate over whatever was run is then no rate of anything.

The choice: the schedule decides *which cell* comes next, never *which intent* of a cell. Within a cell the intents
stay in the seeded random order of the plan, and an intent is run whole (every arm, every repetition). So each cell
gives a sequence whose order no answer has touched, and a confidence sequence over it, which holds at every length at
once, holds however the length came about. What is said over several cells needs weights fixed beforehand: each cell's
share of the plan (`Cell.share`). A mean over all trials that were run is no estimate of anything and must not be taken.

Which cell: of those whose next intent would be a new weakness (no unsafe answer to that intent under that family yet),
the one with the highest draw from its posterior chance of an unsafe answer, for each call it costs. The prior of a cell
is what its attack and its category have shown elsewhere, worth a few units. A share of the units, the floor, goes round
all cells in proportion to the plan, so that every cell's sequence grows.
"""

from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from safecase.compose import TRANSLATED, Intent, known_attacks, learned_attacks, planned_attacks, scenario_of, select
from safecase.declare import Framework, Sampling
from safecase.evidence import Judgement, Scenario, Trial
from safecase.run._plan import Plan, PlannedTrial, settings_digest, trials_of

FLOOR = 0.2
"""Share of the units that goes round all cells, whatever they gave so far."""

_PRIOR_UNITS = 4.0
"""How many units of its own a cell needs to weigh as much as what its attack and category showed elsewhere."""

_UNKNOWN, _SAFE, _UNSAFE = 0, 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One attack on one category, and what was seen there. Benign twins have cells of their own.

    Attributes:
        share: of all units of the plan, in (0, 1]; the weight of the cell in anything said over all cells.
        planned, taken: units (an intent through every arm and repetition).
        unsafe, safe: scenarios with a verdict, by whether any answer in any arm was unsafe.
    """

    attack: str
    category: str
    harmful: bool
    share: float
    planned: int
    taken: int
    unsafe: int
    safe: int


class BanditSchedule:
    """The order of a plan's trials, decided as answers come in. The same plan and the same answers give the same order.

    It keeps a few numbers for each scenario and composes each one when its turn comes.

    Args:
        plan, framework, intents: as for `planned_trials`.
        wanted: the trials still to run; all of the plan by default.
        floor: share of the units that goes round all cells, in [0, 1].

    Raises:
        ValueError: `floor` lies outside [0, 1].
    """

    def __init__(
        self,
        plan: Plan,
        framework: Framework,
        intents: Sequence[Intent],
        *,
        wanted: Iterable[PlannedTrial] | None = None,
        floor: float = FLOOR,
    ) -> None:
        if not 0 <= floor <= 1:
            raise ValueError(f"floor must lie in [0, 1], got {floor!r}")
        sampling = Sampling.model_validate(plan.sampling)
        self._plan, self._intents, self._floor = plan, intents, floor
        self._settings = settings_digest(plan)
        self._seed = sampling.seed
        self._rng = np.random.default_rng(sampling.seed)
        self._scenarios = _Scenarios()
        known = (TRANSLATED, *known_attacks().values(), *planned_attacks(sampling), *learned_attacks(intents))
        self._attacks = {attack.name: attack for attack in known}
        place = {intent.id: number for number, intent in enumerate(intents)}
        gates = [gate for gate in framework.gates if gate.id in plan.gates]
        for scenario in select(framework, intents, sampling, gates=gates):
            self._scenarios.add(scenario, place[scenario.intent_id])
        self._scenarios.freeze()
        self._wanted = None if wanted is None else self._places(wanted)
        self._state = bytearray(len(self._scenarios))
        self._table = _Table(self._scenarios, rng=self._rng)
        self._found: set[tuple[int, str]] = set()
        self._fresh = np.array([harmful for _, _, harmful in self._scenarios.cells], dtype=np.bool_)
        self._ready: deque[PlannedTrial] = deque()

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells, in the order in which the plan first names them."""
        t = self._table
        return tuple(
            Cell(
                attack=attack,
                category=category,
                harmful=harmful,
                share=float(t.share[c]),
                planned=int(t.planned[c]),
                taken=int(t.taken[c]),
                unsafe=int(t.unsafe[c]),
                safe=int(t.safe[c]),
            )
            for c, (attack, category, harmful) in enumerate(self._scenarios.cells)
        )

    def next(self) -> PlannedTrial | None:
        """The next trial; None when the plan is at its end. The trials of a unit come one after the other."""
        while not self._ready:
            if (cell := self._choose()) is None:
                return None
            self._ready.extend(self._take(cell))
        return self._ready.popleft()

    def learn(self, trial: Trial, judgement: Judgement | None) -> None:
        """Take note of a verdict, of this run or an earlier one. Absence of a verdict teaches nothing."""
        number = self._scenarios.find(trial.scenario_id)
        if number is None:
            return
        cell = self._scenarios.cell[number]
        self._table.calls[cell] += 1
        self._table.trials[cell] += trial.attempt == 0
        if judgement is None or judgement.verdict is None:
            return
        if judgement.verdict == "compliance" and trial.harmful:
            self._mark_unsafe(number, cell)
        elif self._state[number] == _UNKNOWN:
            self._state[number] = _SAFE
            self._table.safe[cell] += 1

    def _mark_unsafe(self, number: int, cell: int) -> None:
        if self._state[number] == _UNSAFE:
            return
        self._table.safe[cell] -= self._state[number] == _SAFE
        self._table.unsafe[cell] += 1
        self._state[number] = _UNSAFE
        family = self._family(cell)
        self._found.add((self._scenarios.intent[number], family))
        for other, (attack, _, _) in enumerate(self._scenarios.cells):
            if self._attacks[attack].family == family:
                self._refresh(other)

    def _family(self, cell: int) -> str:
        return self._attacks[self._scenarios.cells[cell][0]].family

    def _choose(self) -> int | None:
        """The cell whose turn it is; None when all are at their end."""
        table = self._table
        is_open = table.taken < table.planned
        if not is_open.any():
            return None
        due = np.where(is_open, table.phase + self._floor * table.share * table.taken.sum() - table.taken, -np.inf)
        if due.max() >= 1.0:
            return int(due.argmax())
        value = self._rng.beta(*table.posterior()) / table.cost()
        fresh = self._fresh & is_open
        return int(np.where(fresh if fresh.any() else is_open, value, -1.0).argmax())

    def _refresh(self, cell: int) -> None:
        """Note whether the next unit of a cell would be a new weakness."""
        members, position = self._scenarios.members[cell], int(self._table.position[cell])
        is_harmful = self._scenarios.cells[cell][2]
        self._fresh[cell] = (
            is_harmful
            and position < len(members)
            and (self._scenarios.intent[members[position]], self._family(cell)) not in self._found
        )

    def _take(self, cell: int) -> list[PlannedTrial]:
        """The trials of a cell's next unit that are not on record."""
        members, start = self._scenarios.members[cell], int(self._table.position[cell])
        end = start + 1
        while end < len(members) and self._scenarios.intent[members[end]] == self._scenarios.intent[members[start]]:
            end += 1
        self._table.position[cell] = end
        self._table.taken[cell] += 1
        self._refresh(cell)
        return [trial for number in members[start:end] for trial in self._trials(number)]

    def _trials(self, number: int) -> Iterator[PlannedTrial]:
        """The trials of a scenario that are wanted."""
        if self._wanted is not None and not self._wanted[number]:
            return
        for place, trial in enumerate(trials_of(self._plan, self._compose(number), settings=self._settings)):
            if self._wanted is None or self._wanted[number] >> place & 1:
                yield trial

    def _places(self, wanted: Iterable[PlannedTrial]) -> list[int]:
        """(scenario,): bit n is set where the nth trial of the scenario is wanted."""
        arms = {arm.name: place for place, arm in enumerate(self._plan.arms)}
        bits = [0] * len(self._scenarios)
        for trial in wanted:
            number = self._scenarios.find(trial.scenario.scenario_id)
            if number is not None:
                bits[number] |= 1 << (trial.repetition * len(arms) + arms[trial.arm.name])
        return bits

    def _compose(self, number: int) -> Scenario:
        name, _, harmful = self._scenarios.cells[self._scenarios.cell[number]]
        return scenario_of(
            self._intents[self._scenarios.intent[number]],
            attack=self._attacks[name],
            language=self._scenarios.languages[self._scenarios.language[number]],
            harmful=harmful,
            seed=self._seed if harmful else 0,
        )


class _Scenarios:
    """The scenarios of a plan as columns of small numbers, 20 bytes for each.

    Attributes:
        cells: (attack, category, harmful), in the order of the plan.
        cell, intent, language: (scenario,), places in their lists.
        members: (cell, scenario of that cell), in the order of the plan.
    """

    def __init__(self) -> None:
        self.cells: list[tuple[str, str, bool]] = []
        self.languages: list[str] = []
        self.cell, self.intent, self.language = array("I"), array("I"), array("B")
        self.members: list[array[int]] = []
        self._cell_of: dict[tuple[str, str, bool], int] = {}
        self._keys, self._order = array("Q"), array("I")

    def __len__(self) -> int:
        return len(self.cell)

    def add(self, scenario: Scenario, intent: int) -> None:
        named = (scenario.attack, scenario.category, scenario.harmful)
        if named not in self._cell_of:
            self._cell_of[named] = len(self.cells)
            self.cells.append(named)
            self.members.append(array("I"))
        if scenario.language not in self.languages:
            self.languages.append(scenario.language)
        cell = self._cell_of[named]
        self.members[cell].append(len(self))
        self.cell.append(cell)
        self.intent.append(intent)
        self.language.append(self.languages.index(scenario.language))
        self._keys.append(_key(scenario.scenario_id))

    def freeze(self) -> None:
        """Sort the ids, so that `find` finds."""
        self._order = array("I", sorted(range(len(self)), key=self._keys.__getitem__))
        self._keys = array("Q", (self._keys[number] for number in self._order))

    def find(self, scenario_id: str) -> int | None:
        """The place of a scenario; None when the plan has none of this id."""
        key = _key(scenario_id)
        at = bisect_left(self._keys, key)
        return self._order[at] if at < len(self._keys) and self._keys[at] == key else None

    def units(self, cell: int) -> int:
        """Units of a cell: runs of one intent."""
        intents = [self.intent[number] for number in self.members[cell]]
        return sum(1 for place, intent in enumerate(intents) if place == 0 or intents[place - 1] != intent)


def _key(scenario_id: str) -> int:
    """The first 64 bits of an id, in which two scenarios of a plan of a million meet once in 30 million plans."""
    return int(scenario_id[:16], 16)


class _Table:
    """What is known of each cell; every array has shape (cell,)."""

    def __init__(self, scenarios: _Scenarios, *, rng: np.random.Generator) -> None:
        count = len(scenarios.cells)
        self.planned = np.array([scenarios.units(cell) for cell in range(count)], dtype=np.int64)
        self.share: NDArray[np.float64] = self.planned / max(1, self.planned.sum())
        self.phase: NDArray[np.float64] = rng.random(count)  # else all cells of one size would be due at once
        self.position, self.taken, self.unsafe, self.safe, self.calls, self.trials = (
            np.zeros(count, dtype=np.int64) for _ in range(6)
        )
        self._attack = _codes([attack for attack, _, _ in scenarios.cells])
        self._category = _codes([f"{category}/{harmful}" for _, category, harmful in scenarios.cells])

    def posterior(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Beta parameters of each cell's chance of an unsafe unit."""
        overall = (self.unsafe.sum() + 1.0) / (self.unsafe.sum() + self.safe.sum() + 2.0)
        odds = (
            _odds(self._pooled(self._attack, overall)) * _odds(self._pooled(self._category, overall)) / _odds(overall)
        )
        prior = np.clip(odds / (1.0 + odds), 0.01, 0.99)
        return _PRIOR_UNITS * prior + self.unsafe, _PRIOR_UNITS * (1.0 - prior) + self.safe

    def cost(self) -> NDArray[np.float64]:
        """Calls that a trial of each cell took, at least 1; more where an attack makes several attempts."""
        return (self.calls + 1.0) / (self.trials + 1.0)

    def _pooled(self, code: NDArray[np.int64], overall: float) -> NDArray[np.float64]:
        """For each cell the rate over all cells of the same code, drawn towards the overall rate."""
        unsafe, safe = (np.bincount(code, weights=column) for column in (self.unsafe, self.safe))
        rate = (unsafe + _PRIOR_UNITS * overall) / (unsafe + safe + _PRIOR_UNITS)
        return np.asarray(rate[code], dtype=np.float64)


def _odds(rate: Any) -> Any:  # a number or an array of them
    return rate / (1.0 - rate)


def _codes(names: Sequence[str]) -> NDArray[np.int64]:
    known = {name: code for code, name in enumerate(dict.fromkeys(names))}
    return np.array([known[name] for name in names], dtype=np.int64)
