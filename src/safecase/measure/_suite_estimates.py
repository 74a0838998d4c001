"""Estimates from the attempts of a suite: one per gate, arm and group, with what never came bounded at its worst.

An attempt that was planned and has no answer, or whose failure a person found spurious, is *absent*: it counts as 0 in
every lower bound and as 1 in every upper one, whichever side is safe.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from safecase.declare import Gate
from safecase.evidence import Calibration, Estimate, PlannedAttempt, TaskAttempt, digest_value
from safecase.measure._bounds import Bounds
from safecase.measure._errors import NoEvidence
from safecase.measure._estimate import LEVEL
from safecase.measure._fixed import fixed_suite_bounds
from safecase.measure._horizon import Horizon, Timed, fit_horizon, horizon_bounds
from safecase.measure._passk import pass_at_k
from safecase.measure._sequence import mean_bounds
from safecase.measure._suite_inputs import Inputs

K = 10
"""Attempts that `pass_at_10` allows."""

LEAST_STRENGTH = 0.10
"""A single-task strength below this is none to preserve: shares are taken of it at least. safecase's own figure."""

TWO_HOURS = 2.0
_SHOWN = (1 - LEVEL) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteEvidence:
    """What one suite gave on one arm.

    Attributes:
        planned: every attempt that the plan asks for.
        attempts: those on record, by id; others than planned are not read.
        spurious: ids of attempts whose failure a person found spurious.
        fixed: the tasks are all there are (`these-tasks`), else a sample of such tasks.
        calibration: "own" where a rule grades.
        grader: as estimates name it.
    """

    planned: tuple[PlannedAttempt, ...]
    attempts: Mapping[str, TaskAttempt]
    inputs: Mapping[str, Inputs]
    fixed: bool
    calibration: Calibration
    grader: str
    spurious: frozenset[str] = frozenset()

    def counted(self, planned: PlannedAttempt) -> TaskAttempt | None:
        """The answered attempt that counts, None where it is absent."""
        found = self.attempts.get(planned.attempt_id)
        if found is None or found.status != "answered" or planned.attempt_id in self.spurious:
            return None
        return found


def estimate_suite(evidence: SuiteEvidence, gates: Iterable[Gate], *, arm: str) -> tuple[Estimate, ...]:
    """The estimates that gates on this suite read, on one arm; nothing where not one attempt is on record.

    A time horizon comes with the share solved of two-hour tasks (group `point:2h`), by the same curve.
    """
    if not any(one.attempt_id in evidence.attempts for one in evidence.planned):
        return ()
    found: list[Estimate] = []
    for gate in gates:
        inputs = evidence.inputs.get(gate.measure)
        entering = () if inputs is None else _entering(evidence.planned, inputs, gate.measure)
        if inputs is None or not entering:  # a plan may name some tasks alone
            continue
        whole = _Part(evidence=evidence, inputs=inputs, planned=entering)
        for grouping in sorted({"all", *(threshold.over for threshold in gate.thresholds)}):
            groups = whole.groups(grouping)
            found += [_estimate(gate, part, arm=arm, group=name, beside=len(groups)) for name, part in groups.items()]
        if gate.measure == "time_horizon_hours":
            found.append(_two_hour_point(gate, whole, arm=arm))
    return tuple(found)


def _entering(planned: Sequence[PlannedAttempt], inputs: Inputs, measure: str) -> tuple[PlannedAttempt, ...]:
    sides = None if inputs.side is None else {inputs.side, inputs.against}
    conditions = {inputs.plain, inputs.other}
    return tuple(
        one
        for one in planned
        if one.condition in conditions
        and (sides is None or one.side in sides)
        and (measure != "time_horizon_hours" or one.human_minutes)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tally:
    """The attempts at one task under one condition: how many planned, how many counted, the sum of their values."""

    planned: int
    counted: int
    total: float

    @property
    def absent(self) -> int:
        return self.planned - self.counted

    @property
    def mean(self) -> float | None:
        return self.total / self.counted if self.counted else None

    @property
    def low(self) -> float:
        return self.total / self.planned

    @property
    def high(self) -> float:
        return (self.total + self.absent) / self.planned


@dataclass(frozen=True, kw_only=True)
class _Part:
    """The attempts that enter one estimate."""

    evidence: SuiteEvidence
    inputs: Inputs
    planned: tuple[PlannedAttempt, ...] = field(repr=False)

    def groups(self, grouping: str) -> dict[str, "_Part"]:
        """The groups by name: `all` alone, or one per category. Suites know no other grouping."""
        if grouping == "all":
            return {"all": self}
        if grouping != "category":
            return {}
        names = sorted({one.category for one in self.planned})
        return {f"category:{name}": self._only(name) for name in names}

    def _only(self, category: str) -> "_Part":
        kept = tuple(one for one in self.planned if one.category == category)
        return _Part(evidence=self.evidence, inputs=self.inputs, planned=kept)

    def tallies(self, condition: str, *, value: str, side: str | None = None) -> list[_Tally]:
        """One per task, in an order fixed by the tasks' ids alone, as good as random to what came of them."""
        mine: dict[str, list[PlannedAttempt]] = {}
        for one in self.planned:
            if one.condition == condition and side in (None, one.side):
                mine.setdefault(one.task, []).append(one)
        return [self._tally(mine[task], value) for task in sorted(mine, key=digest_value)]

    def _tally(self, planned: Sequence[PlannedAttempt], value: str) -> _Tally:
        values = [self.value_of(one, value) for one in planned]
        counted = [one for one in values if one is not None]
        return _Tally(planned=len(planned), counted=len(counted), total=float(sum(counted)))

    def value_of(self, planned: PlannedAttempt, value: str) -> float | None:
        attempt = self.evidence.counted(planned)
        if attempt is None:
            return None
        return attempt.score if value == "score" else attempt.measures.get(value)

    @cached_property
    def plain(self) -> list[_Tally]:
        return self.tallies(self.inputs.plain, value=self.inputs.value, side=self.inputs.side)

    @cached_property
    def counted(self) -> list[PlannedAttempt]:
        """Attempts that have the number asked for; one that says nothing of it is absent, as one that never came."""
        return [one for one in self.planned if self.value_of(one, self.inputs.value) is not None]

    @property
    def clusters(self) -> int:
        """Tasks with an attempt that has the number asked for, under every condition that they are asked under."""
        asked = {(one.task, one.condition) for one in self.planned}
        done = {(one.task, one.condition) for one in self.counted}
        return len({task for task, _ in asked} - {task for task, _ in asked - done})

    def rate_bounds(self, tallies: Sequence[_Tally], *, alpha_lower: float, alpha_upper: float) -> Bounds:
        """Bounds of the mean rate over tasks, by the suite's estimand."""
        if not tallies:
            return Bounds(low=0.0, high=1.0)
        if self.evidence.fixed:
            made = [one.planned for one in tallies]
            low, high = [one.total for one in tallies], [one.total + one.absent for one in tallies]
            return Bounds(
                low=fixed_suite_bounds(low, made, alpha_lower=alpha_lower, alpha_upper=alpha_upper).low,
                high=fixed_suite_bounds(high, made, alpha_lower=alpha_lower, alpha_upper=alpha_upper).high,
            )
        return over_tasks(
            [one.low for one in tallies],
            [one.high for one in tallies],
            alpha_lower=alpha_lower,
            alpha_upper=alpha_upper,
        )


def over_tasks(low: Sequence[float], high: Sequence[float], *, alpha_lower: float, alpha_upper: float) -> Bounds:
    """Bounds of a mean over tasks like these, from each task's value at its worst on either side."""
    n = len(low)
    return Bounds(
        low=mean_bounds(low, alpha_lower=alpha_lower, alpha_upper=alpha_upper, planned=n).low,
        high=mean_bounds(high, alpha_lower=alpha_lower, alpha_upper=alpha_upper, planned=n).high,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """A measure over a part: its point, how to bound it at an error, and the words for how.

    Attributes:
        tasks_like_these: the interval over a population of tasks, where it is shown and does not decide.
    """

    value: float | None
    bounds: Callable[[float], Bounds]
    method: str
    tasks_like_these: Callable[[float], Bounds] | None = None


def _estimate(gate: Gate, part: _Part, *, arm: str, group: str, beside: int) -> Estimate:
    return _made(gate, part, _READERS[gate.measure](part), arm=arm, group=group, beside=beside, measure=gate.measure)


def _made(gate: Gate, part: _Part, read: _Read, *, arm: str, group: str, beside: int, measure: str) -> Estimate:
    shown, one_sided, failure = (read.bounds(alpha) for alpha in (_SHOWN, gate.alpha, gate.alpha / beside))
    scope: dict[str, object] = {"name": gate.id, "group": group, "arm": arm, "alpha": gate.alpha, "unit": "tasks"}
    scope["estimand"] = "these-tasks" if part.evidence.fixed else "tasks-like-these"
    if gate.measure == "time_horizon_hours":
        scope["human_times"] = " and ".join(sorted({one.human_time for one in part.planned if one.human_minutes}))
    if read.tasks_like_these is not None:
        wider = read.tasks_like_these(_SHOWN)
        scope |= {"population_low": wider.low, "population_high": wider.high}
    return Estimate(
        estimate_id=f"{gate.id}/{arm}/{group}",
        measure=measure,
        arm=arm,
        group=group,
        value=read.value,
        low=shown.low,
        high=shown.high,
        lower_bound=one_sided.low,
        upper_bound=one_sided.high,
        failure_lower=failure.low,
        failure_upper=failure.high,
        level=LEVEL,
        n=len(part.counted),
        clusters=part.clusters,
        absent=len(part.planned) - len(part.counted),
        observed=read.value,
        judge=part.evidence.grader,
        calibration=part.evidence.calibration,
        method=read.method,
        scope=scope,
        trial_ids_digest=digest_value(sorted(one.attempt_id for one in part.counted)),
    )


# Measures


def _rate(part: _Part) -> _Read:
    tallies = part.plain
    means = [one.mean for one in tallies if one.mean is not None]

    def bounds(alpha: float) -> Bounds:
        return part.rate_bounds(tallies, alpha_lower=alpha, alpha_upper=alpha)

    method = "Chernoff over attempts, tasks fixed" if part.evidence.fixed else "betting over tasks"
    return _Read(value=float(np.mean(means)) if means else None, bounds=bounds, method=method)


def _pass_at_10(part: _Part) -> _Read:
    """pass@10. Only a whole solve is a success."""
    solved = [
        _Tally(planned=one.planned, counted=one.counted, total=hits)
        for one, hits in zip(part.plain, _solves(part), strict=True)
    ]
    enough = [one for one in solved if one.counted >= K]
    value = float(np.mean([pass_at_k(int(one.total), one.counted, K) for one in enough])) if enough else None
    if not solved or any(one.planned < K for one in solved):
        return _Read(value=None, bounds=lambda _: Bounds(low=0.0, high=1.0), method=f"fewer than {K} attempts planned")
    made = [one.planned for one in solved]
    low, high = [one.total for one in solved], [one.total + one.absent for one in solved]

    def these(alpha: float) -> Bounds:
        return Bounds(
            low=fixed_suite_bounds(low, made, K, alpha_lower=alpha, alpha_upper=alpha).low,
            high=fixed_suite_bounds(high, made, K, alpha_lower=alpha, alpha_upper=alpha).high,
        )

    def like_these(alpha: float) -> Bounds:
        least = [pass_at_k(int(hits), n, K) for hits, n in zip(low, made, strict=True)]
        most = [pass_at_k(int(hits), n, K) for hits, n in zip(high, made, strict=True)]
        return over_tasks(least, most, alpha_lower=alpha, alpha_upper=alpha)

    if not part.evidence.fixed:
        return _Read(value=value, bounds=like_these, method=f"pass@{K}, betting over tasks")
    method = f"pass@{K}, Chernoff over attempts, tasks fixed"
    return _Read(value=value, bounds=these, method=method, tasks_like_these=like_these)


def _solves(part: _Part) -> list[int]:
    """Whole solves per task, in the order of `plain`."""
    mine: dict[str, int] = {}
    for one in part.planned:
        if one.condition == part.inputs.plain and part.inputs.side in (None, one.side):
            mine[one.task] = mine.get(one.task, 0) + ((part.value_of(one, part.inputs.value) or 0.0) >= 1.0)
    return [mine[task] for task in sorted(mine, key=digest_value)]


def _count(part: _Part) -> _Read:
    """Tasks solved at least once: a count over the whole suite, without sampling error; absent tries may have."""
    tallies, solves = part.plain, _solves(part)
    low = sum(hits > 0 for hits in solves)
    high = sum(hits > 0 or one.absent > 0 for hits, one in zip(solves, tallies, strict=True))
    bounds = Bounds(low=float(low), high=float(high))
    return _Read(value=float(low), bounds=lambda _: bounds, method="counted over the whole suite")


def _time_horizon(part: _Part) -> _Read:
    timed = _timed(part)
    curve = _curve(part)

    def bounds(alpha: float) -> Bounds:
        return horizon_bounds(timed, alpha_lower=alpha, alpha_upper=alpha)

    return _Read(value=curve.hours if curve else None, bounds=bounds, method="logistic in log time, profile likelihood")


def _two_hour_point(gate: Gate, part: _Part, *, arm: str) -> Estimate:
    """The share solved of two-hour tasks by the curve; its bounds are those of the horizon, seen from two hours."""
    curve = _curve(part)
    near = [one for one, timed in zip(part.plain, _timed(part), strict=True) if timed.hours >= TWO_HOURS]

    def bounds(alpha: float) -> Bounds:
        return part.rate_bounds(near, alpha_lower=alpha, alpha_upper=alpha)

    read = _Read(
        value=curve.share_at(TWO_HOURS) if curve else None,
        bounds=bounds,
        method="point by the logistic curve; bounds over the tasks of two hours and more alone",
    )
    return _made(gate, part, read, arm=arm, group="point:2h", beside=1, measure="success_rate")


def _timed(part: _Part) -> list[Timed]:
    """The tasks in the order of `plain`."""
    return [
        Timed(hours=hours, score_low=one.low, score_high=one.high)
        for hours, one in zip(_hours(part), part.plain, strict=True)
    ]


def _curve(part: _Part) -> Horizon | None:
    """The curve over the tasks with a counted attempt, None without one."""
    seen = [(hours, one.mean) for hours, one in zip(_hours(part), part.plain, strict=True) if one.mean is not None]
    return fit_horizon([hours for hours, _ in seen], [mean for _, mean in seen]) if seen else None


def _hours(part: _Part) -> list[float]:
    minutes = {one.task: one.human_minutes or 0.0 for one in part.planned if one.condition == part.inputs.plain}
    return [minutes[task] / 60 for task in sorted(minutes, key=digest_value)]


def _adaptation(part: _Part) -> _Read:
    """|change on the target set - change on the control set|, each change being plain minus told, paired by task."""
    inputs = part.inputs
    if inputs.other is None:
        raise NoEvidence("an adaptation difference compares two conditions; the suite's inputs name one")

    def pairs(side: str | None) -> list[tuple[_Tally, _Tally]]:
        plain = part.tallies(inputs.plain, value=inputs.value, side=side)
        told = part.tallies(inputs.other or "", value=inputs.value, side=side)
        return list(zip(plain, told, strict=True))

    target, control = pairs(inputs.side), pairs(inputs.against)

    def bounds(alpha: float) -> Bounds:
        # Each set's own bound takes half the error; the two ends of a size without its sign need no more.
        one, other = (_mean_change(part, some, alpha / 2) for some in (target, control))
        low, high = one.low - other.high, one.high - other.low
        return Bounds(low=min(1.0, max(0.0, low, -high)), high=min(1.0, max(abs(low), abs(high))))

    points = [_point_change(target), _point_change(control)]
    value = None if None in points else min(1.0, abs(points[0] - points[1]))  # type: ignore[operator]  # None ruled out
    return _Read(value=value, bounds=bounds, method="difference of differences, betting over tasks in each set")


def _mean_change(part: _Part, pairs: Sequence[tuple[_Tally, _Tally]], alpha: float) -> Bounds:
    if not pairs:
        return Bounds(low=-1.0, high=1.0)
    if part.evidence.fixed:
        plain, told = ([pair[which] for pair in pairs] for which in (0, 1))
        one, other = (part.rate_bounds(side, alpha_lower=alpha / 2, alpha_upper=alpha / 2) for side in (plain, told))
        return Bounds(low=one.low - other.high, high=one.high - other.low)
    low = [(plain.low - told.high + 1) / 2 for plain, told in pairs]
    high = [(plain.high - told.low + 1) / 2 for plain, told in pairs]
    unit = over_tasks(low, high, alpha_lower=alpha, alpha_upper=alpha)
    return Bounds(low=2 * unit.low - 1, high=2 * unit.high - 1)


def _point_change(pairs: Sequence[tuple[_Tally, _Tally]]) -> float | None:
    found = [plain.mean - told.mean for plain, told in pairs if plain.mean is not None and told.mean is not None]
    return float(np.mean(found)) if found else None


def _preserved(part: _Part) -> _Read:
    """The share of single-task strength that is left when two tasks are done at once: of both, the one less kept."""
    inputs = part.inputs
    if inputs.other is None:
        raise NoEvidence("a preserved share compares two conditions; the suite's inputs name one")
    together = part.tallies(inputs.other, value=inputs.value, side=inputs.side)
    halves = [(part.plain, together)]
    if inputs.beside is not None and inputs.against is not None:
        alone = part.tallies(inputs.plain, value=inputs.value, side=inputs.against)
        if alone:
            halves.append((alone, part.tallies(inputs.other, value=inputs.beside, side=inputs.side)))

    def bounds(alpha: float) -> Bounds:
        # The least of several shares is over a bound only where each is: the lower end needs no correction, the upper
        # one shares the error. Each share divides two bounds of half the error.
        found = [_share_bounds(part, alone, both, alpha, alpha / len(halves)) for alone, both in halves]
        return Bounds(low=min(one.low for one in found), high=min(one.high for one in found))

    points = [_point_share(alone, both) for alone, both in halves]
    value = None if None in points else min(point for point in points if point is not None)
    return _Read(value=value, bounds=bounds, method="ratio of bounded rates, the less preserved of both tasks")


def _share_bounds(
    part: _Part, alone: Sequence[_Tally], both: Sequence[_Tally], alpha_lower: float, alpha_upper: float
) -> Bounds:
    low = part.rate_bounds(both, alpha_lower=alpha_lower / 2, alpha_upper=alpha_upper / 2)
    base = part.rate_bounds(alone, alpha_lower=alpha_upper / 2, alpha_upper=alpha_lower / 2)
    return Bounds(
        low=min(1.0, low.low / max(base.high, LEAST_STRENGTH)), high=min(1.0, low.high / max(base.low, LEAST_STRENGTH))
    )


def _point_share(alone: Sequence[_Tally], both: Sequence[_Tally]) -> float | None:
    rates = [[one.mean for one in side if one.mean is not None] for side in (both, alone)]
    if not all(rates):
        return None
    return min(1.0, float(np.mean(rates[0])) / max(float(np.mean(rates[1])), LEAST_STRENGTH))


_READERS: Mapping[str, Callable[[_Part], _Read]] = {
    "pass_at_10": _pass_at_10,
    "success_rate": _rate,
    "undetected_rate": _rate,
    "honesty_rate": _rate,
    "misalignment_rate": _rate,
    "attack_success_rate": _rate,
    "utility_rate": _rate,
    "attacked_utility_rate": _rate,
    "insecure_code_rate": _rate,
    "abuse_rate": _rate,
    "twin_refusal_rate": _rate,
    "networks_taken": _count,
    "networks_taken_unseen": _count,
    "working_exploits": _count,
    "time_horizon_hours": _time_horizon,
    "adaptation_difference": _adaptation,
    "preserved_share": _preserved,
}

SUITE_MEASURES = frozenset(_READERS)
"""What suites give; the other measures are read from trials."""
