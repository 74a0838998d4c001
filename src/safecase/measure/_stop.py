"""When may a run stop? When every gate is decided on every arm, by the bounds that will be read at the end.

The problem: a run stops when what has come in looks good. What has come in is what came fast, and a refusal comes
faster than an essay; and a gate that looks decided on half of its attacks is not.

The choice: the same sums as in `_estimate`, over the same intents. An intent bets when everything planned for it is
there and everything before it in the plan's order has bet. Bounds from betting hold however one comes to stop, so
asking often costs nothing; and a bound never loosens, so a gate that is decided stays decided while others run on.

Fine print. Every planned group counts from the start, also one that nothing came of yet. A gate whose planned intents
cannot clear it even without one event is *under-powered*: it is never decided, and never a reason to stop. People's
labels come after a run, so a gate that asks for them stays open.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from safecase.declare import Framework, Gate, Grouping, Threshold
from safecase.evidence import CALIBRATIONS, VERDICTS, Judgement, Trial
from safecase.measure._calibration import Event, JudgeCard
from safecase.measure._columns import CHUNK, Codes, Mask, Slot
from safecase.measure._estimate import (
    EVENT_OF,
    Allocation,
    Cache,
    Measurement,
    Part,
    beside,
    groups,
    held_groups,
    intents_of,
    level_of,
    measurement,
    one_end,
    part_of_gate,
    portfolio,
    reach_of,
)
from safecase.measure._judging import KNOWN_JUDGES
from safecase.measure._measure import Collector

State = Literal["open", "pass", "fail", "under-powered"]

_LEAST_NEWS = 256
_NEWS_SHARE = 0.08
"""Trials that must have come since the last look: this many, and this share of all so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateStanding:
    """Where a gate stands on one arm.

    Attributes:
        intents: how many have bet, or had when it was decided.
    """

    gate: str
    arm: str
    state: State
    intents: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a run stands.

    Attributes:
        gates: every planned gate on every planned arm.
        trials: how many had come in at the last look.
    """

    gates: tuple[GateStanding, ...]
    trials: int

    @property
    def may_stop(self) -> bool:
        """True when every gate is decided; never without a gate."""
        return bool(self.gates) and all(gate.state in {"pass", "fail"} for gate in self.gates)


class Stopper:
    """Takes trials with their judgements as they come in, and says which gates they decide.

    Args:
        gates: those the plan concentrates on; one that no planned place bears on is left aside.
        card: of the run's judge; judgements by others count for nothing.
        planned: the places of the plan, in its order; read once.
        allocation: what decides the order of the run; where answers do, gates are decided by bounds over cells.

    A run that goes on after a break feeds what is on record first. A trial that comes again (an attempt that failed and
    was tried again) stands for the one before.
    """

    def __init__(
        self,
        framework: Framework,
        gates: Sequence[Gate],
        card: JudgeCard,
        planned: Iterable[Slot],
        *,
        allocation: Allocation = "plan-order",
    ) -> None:
        self._framework = framework
        self._gates = tuple(gate for gate in gates if gate.measure in EVENT_OF)
        self._card = card
        self._allocation = allocation
        self._collector = Collector(planned)
        self._verdict: list[NDArray[np.int8]] = []
        self._known: list[Mask] = []
        self._judge: list[Codes] = []
        self._waiting: list[tuple[Trial, Judgement | None]] = []
        self._seen = 0
        self._cache = Cache()
        self._decided: dict[tuple[str, str], GateStanding] = {}
        self._blocking: dict[tuple[str, str], str] = {}
        self._standing: Standing | None = None

    def feed(self, rows: Iterable[tuple[Trial, Judgement | None]]) -> None:
        """Take trials with what the judge said of them, None where nothing was; all attempts of an episode together."""
        fresh = list(rows)
        self._seen += len(fresh)
        self._waiting += fresh
        if len(self._waiting) >= CHUNK:
            self._encode()

    def decided(self, *, afresh: bool = False) -> Standing:
        """Where the gates stand; looked at anew only when enough has come in since, or when asked to."""
        last = self._standing
        if afresh or last is None or self._seen - last.trials >= max(_LEAST_NEWS, _NEWS_SHARE * last.trials):
            self._standing = self._look()
        assert self._standing is not None  # noqa: S101 - set above
        return self._standing

    def _encode(self) -> None:
        counts = self._collector.add([trial for trial, _ in self._waiting])
        said = [judgement for (_, judgement), here in zip(self._waiting, counts, strict=True) if here]
        mine = [j if j is None or self._is_mine(j) else None for j in said]
        verdicts = [-1 if j is None or j.verdict is None else VERDICTS.index(j.verdict) for j in mine]
        self._verdict.append(np.array(verdicts, dtype=np.int8))
        self._known.append(np.array([j is not None and j.judge in KNOWN_JUDGES for j in mine], dtype=np.bool_))
        self._judge.append(self._collector.book["judge"].encode(["none" if j is None else j.judge for j in mine]))
        self._waiting.clear()

    def _is_mine(self, judgement: Judgement) -> bool:
        return judgement.judge in KNOWN_JUDGES or judgement.judge_digest == self._card.judge_digest

    def _look(self) -> Standing:
        self._encode()
        whole = self._measurement()
        return Standing(
            gates=tuple(line for gate in self._gates for line in self._of_gate(whole, gate)), trials=self._seen
        )

    def _measurement(self) -> Measurement:
        rows = self._collector.rows()
        _, from_end = np.unique(rows.ids[::-1], return_index=True)
        last = np.sort(len(rows) - 1 - from_end)  # of a trial that came again, the last
        self._verdict = [np.concatenate(self._verdict)]
        self._known = [np.concatenate(self._known)]
        self._judge = [np.concatenate(self._judge)]
        return measurement(
            rows.take(last),
            judge=self._judge[0][last],
            verdict=self._verdict[0][last],
            known=self._known[0][last],
            label=np.full(last.size, -1, dtype=np.int8),
            rank=self._collector.rank(),
            planned=self._collector.planned,
            book=self._collector.book,
            card=self._card,
            cache=self._cache,
            allocation=self._allocation,
        )

    def _of_gate(self, whole: Measurement, gate: Gate) -> Iterable[GateStanding]:
        part = part_of_gate(whole, gate, self._framework)
        for arm in part.values("arm", planned=True):
            key = (gate.id, arm)
            mine = part.only("arm", arm)
            if key not in self._decided and mine.slots.any():
                line = self._stand(gate, arm, part, mine)
                if line.state not in {"pass", "fail"}:
                    yield line
                    continue
                self._decided[key] = line
            if key in self._decided:
                yield self._decided[key]

    def _stand(self, gate: Gate, arm: str, part: Part, mine: Part) -> GateStanding:
        event, _ = EVENT_OF[gate.measure]
        intents = intents_of(portfolio(mine), event)

        def line(state: State) -> GateStanding:
            return GateStanding(gate=gate.id, arm=arm, state=state, intents=intents)

        if (portfolio(mine).intents_planned or 0) < gate.min_clusters:
            return line("under-powered")
        if intents < gate.min_clusters or not _is_calibrated(gate, portfolio(mine), event, arm):
            return line("open")
        for threshold, over in _lines(gate):
            many = beside(held_groups(part, gate, over), over)
            for _, group in groups(held_groups(mine, gate, over), over, planned=True):
                is_read = _is_calibrated(gate, group, event, arm)
                if is_read and _fails(threshold, group, event, arm, alpha=gate.alpha / many):
                    return line("fail")
        return line(self._clears(gate, arm, mine, event))

    def _clears(self, gate: Gate, arm: str, mine: Part, event: Event) -> State:
        """`pass` when every group of every threshold clears; what blocked the last time is asked first."""
        key = (gate.id, arm)
        asked = [
            (f"{over}/{name}", threshold, group)
            for threshold, over in _lines(gate)
            for name, group in groups(held_groups(mine, gate, over), over, planned=True)
        ]
        for name, threshold, group in sorted(asked, key=lambda one: one[0] != self._blocking.get(key)):
            if not _is_calibrated(gate, group, event, arm):
                return "open"
            upper = threshold.passes.is_ceiling
            end = one_end(group, event, arm, upper=upper, alpha=gate.alpha)
            if not threshold.passes.holds(end):
                self._blocking[key] = name
                best = reach_of(group, event, arm=arm, alpha=gate.alpha)
                reachable = threshold.is_cleared(lower=best["best_lower"], upper=best["best_upper"])
                return "open" if reachable else "under-powered"
        return "pass"


def _lines(gate: Gate) -> list[tuple[Threshold, Grouping]]:
    """Every threshold with the groups that it is asked of: one over the whole also of learned attacks, as `decide` does
    where no line is by attack."""
    overs = {threshold.over for threshold in gate.thresholds}
    beside_whole: list[tuple[Threshold, Grouping]] = [
        (one, "attack") for one in gate.thresholds if one.over == "all" and "attack" not in overs
    ]
    return [*((one, one.over) for one in gate.thresholds), *beside_whole]


def _is_calibrated(gate: Gate, part: Part, event: Event, arm: str) -> bool:
    level = level_of(part, event, arm=arm, alpha=gate.alpha)
    return CALIBRATIONS.index(level) <= CALIBRATIONS.index(gate.calibration)


def _fails(threshold: Threshold, group: Part, event: Event, arm: str, *, alpha: float) -> bool:
    """`Threshold.is_failed` with only the bound it reads worked out."""
    upper = not threshold.passes.is_ceiling if threshold.fails is None else threshold.fails.is_ceiling
    end = one_end(group, event, arm, upper=upper, alpha=alpha)
    return threshold.is_failed(lower=0.0 if upper else end, upper=end if upper else 1.0)
