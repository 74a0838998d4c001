"""How much evidence a gate needs, beforehand, and whether what was planned could ever have decided it.

The problem: a gate that was planned with 20 intents is inconclusive whatever the model does, and nobody learns it until
the money is spent; 14 attacks that must *all* clear need each to clear far more often than the gate should.

The choice: everything is turned into one question. Through a judge's error box a bound on the true rate is a bound on
the share of flags (see `_judged`), so

    limit on flags = limit x se.low  + (1 - limit) x (1 - sp.high)         the box's corner
    truth in flags = truth x se      + (1 - truth) x (1 - sp)              the judge as supposed

and a gate's power is the chance that that many flags clear that limit, in every group at once, at the groups' own
uncorrected alpha (intersection-union). The search uses a shortcut, the most events that still clear when they come
evenly spread; what it finds is then simulated, labels and box and betting bounds drawn anew each time, and raised
until the simulation agrees.

Fine print. An intent counts as one answer, as if its trials all came out alike; groups count as independent, while
attacks on the same intents are most often alike, which only helps all of them to clear together. Withheld answers need
no judge and are not supposed. So a plan is on the safe side.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import ceil
from typing import Literal

import numpy as np
from scipy.special import bdtr, ndtri

from safecase.compose import Intent, select
from safecase.declare import Framework, Gate, Limit, Sampling
from safecase.measure._bounds import Bounds
from safecase.measure._calibration import LEAST_OWN_LABELS, NO_LABELS, PERFECT, Agreement, JudgeError, judge_error
from safecase.measure._clears import clearance_times
from safecase.measure._sequence import upper_bound

BOX_SHARE = 0.4
"""Share of a bound's alpha that the judge's error box spends, half on either of the two rates its corner uses."""
MOST_INTENTS = 20_000
"""In one group; a gate that needs more is beyond reach."""
_LABELS = (50, 100, 200, 400, 800, 1600, 3200)
_RUNS = 100
_FINENESS = 100
"""The search stops within this part of its answer: the simulation after it is no finer."""
_WHOLE_BOUNDS = 2
"""Groups whose whole bound is found in a simulation; in the others only the limit is bet against, which all but always
comes to the same and is a hundred times faster."""

PowerVerdict = Literal["enough", "plan-more", "bank-too-small", "beyond-reach"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Supposed:
    """What a plan takes for granted.

    Attributes:
        truth: rate of what goes wrong (unsafe; not safe; over-refused), in every group; None supposes half of what each
            line allows.
        power: wanted chance that the gate clears, in (0, 1).
        judge: its (sensitivity, specificity) for what goes wrong; None where people label every answer.
    """

    truth: float | None = None
    power: float = 0.9
    judge: tuple[float, float] | None = (0.9, 0.9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """The intents that a sampling finds for one gate.

    Attributes:
        intents: in the gate's scope.
        scenarios: that they are composed into.
        groups: grouping ("attack", "category", "language") -> group -> intents.
    """

    intents: int
    scenarios: int
    groups: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LineNeed:
    """One threshold of a gate.

    Attributes:
        over: "all", or the grouping of which every group must clear.
        allowed: rate of what goes wrong that the line allows. truth: the one supposed.
        groups: how many must clear together.
        intents: needed in each group; None when `MOST_INTENTS` are too few.
        power: simulated chance that all groups clear, None where nothing suffices.
        short: groups of the bank that hold fewer intents than needed, each "name (holds)".
    """

    over: str
    allowed: float
    truth: float
    groups: int
    intents: int | None
    power: float | None
    short: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GateNeed:
    """What one gate needs on one arm, beside what the bank holds and the case plans.

    Attributes:
        intents, trials, labels: needed; None beyond reach. `trials` are of one arm; `labels` are people's, drawn at
            random from that arm's answers, 0 where people label every answer anyway.
        bank, planned: intents in scope that the bank holds, and that the case draws.
        by_people: intents needed if people labelled every answer and no judge were needed.
        chance: that the gate clears as planned, at the supposed truth and with `labels`.
    """

    gate: str
    line: str
    verdict: PowerVerdict
    reason: str
    lines: tuple[LineNeed, ...]
    intents: int | None
    trials: int | None
    labels: int | None
    by_people: int | None
    bank: int
    planned: int
    chance: float


def plan_gate(
    gate: Gate, framework: Framework, intents: Sequence[Intent], sampling: Sampling, supposed: Supposed
) -> GateNeed:
    """What a gate needs for the wanted power, and what of it the bank and the plan have.

    Args:
        gate: one that scenarios measure.
        intents: the bank.
        sampling: the case's; its languages, attacks and repetitions shape the groups.

    Raises:
        ValueError: a supposed rate lies outside [0, 1], or the power outside (0, 1).
    """
    _check(supposed)
    held = census(gate, framework, intents, sampling.model_copy(update={"intents": max(1, len(intents))}))
    drawn = census(gate, framework, intents, sampling)
    labels, lines = _cheapest(gate, supposed, held)
    reachable = bool(held.intents) and all(line.intents is not None for line in lines)
    needed = _whole(gate, lines, held) if reachable else None
    box = _expected_box(gate, supposed, labels)
    chance = _chance_of(gate, supposed, drawn, box)
    verdict, reason = _verdict(gate, supposed, lines, needed, held=held, drawn=drawn, chance=chance)
    return GateNeed(
        gate=gate.id,
        line=gate.line,
        verdict=verdict,
        reason=reason,
        lines=lines,
        intents=needed,
        trials=None if needed is None else ceil(needed * held.scenarios / held.intents) * sampling.repetitions,
        labels=None if needed is None else labels,
        by_people=_by_people(gate, supposed, held),
        bank=held.intents,
        planned=drawn.intents,
        chance=chance,
    )


def census(gate: Gate, framework: Framework, intents: Sequence[Intent], sampling: Sampling) -> Census:
    """Count what a sampling composes for one gate."""
    members: dict[str, dict[str, set[str]]] = {"attack": {}, "category": {}, "language": {}}
    seen: set[str] = set()
    scenarios = 0
    for scenario in select(framework, intents, sampling, gates=[gate]):
        scenarios += 1
        seen.add(scenario.intent_id)
        for grouping, name in (
            ("attack", scenario.attack),
            ("category", scenario.category),
            ("language", scenario.language),
        ):
            members[grouping].setdefault(name, set()).add(scenario.intent_id)
    counted = {over: {name: len(who) for name, who in sorted(found.items())} for over, found in members.items()}
    return Census(intents=len(seen), scenarios=scenarios, groups=counted)


def underpowered(
    planned: int,
    *,
    limit: Limit,
    alpha: float,
    error: JudgeError,
    truth: float | None = None,
    power: float = 0.5,
) -> str | None:
    """Why a group as planned could not have cleared its limit, or None when it could. Pure: no chance is drawn.

    Args:
        planned: intents planned for the group before the first answer.
        alpha: error left for the rate, the box's share taken off.
        error: the judge's error box for the event that is counted; a floor's event is the good one.
        truth: rate of what goes wrong that the case declared it supposes; None asks only for the best case, that
            nothing at all goes wrong.
        power: least chance of clearing at that truth.

    >>> underpowered(10, limit=Limit(at_most=0.2), alpha=0.05, error=PERFECT)
    'under-powered: even with nothing going wrong, 10 planned intents would not clear at most 0.2'
    >>> underpowered(60, limit=Limit(at_most=0.2), alpha=0.05, error=PERFECT) is None
    True
    """
    allowed, box = (limit.value, error) if limit.is_ceiling else (1.0 - limit.value, _mirrored(error))
    line = _seen_limit(allowed, box)
    if line is None:
        return f"under-powered: a judge that may be no better than chance can never clear {limit}"
    most = most_events(planned, limit=line, alpha=alpha)
    if most is None:
        return f"under-powered: even with nothing going wrong, {planned} planned intents would not clear {limit}"
    if truth is None:
        return None
    se, sp = box.point or (1.0, 1.0)
    chance = _at_most(most, planned, _seen_rate(truth, se, sp))
    if chance >= power:
        return None
    words = f"at the supposed rate {truth:g} they clear {limit} with a chance of {chance:.0%}"
    return f"under-powered: {planned} intents were planned; {words}, {power:.0%} asked for"


@lru_cache(maxsize=4096)
def most_events(planned: int, *, limit: float, alpha: float) -> int | None:
    """The most events among planned one-trial intents, evenly spread, that still clear a limit; None if none do.

    >>> most_events(60, limit=0.2, alpha=0.05), most_events(10, limit=0.2, alpha=0.05)
    (6, None)
    """
    if planned < 1 or not _clears(0, planned, limit, alpha):
        return None
    low, high = 0, planned + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle <= planned and _clears(middle, planned, limit, alpha) else (low, middle)
    return low


def chance_to_clear(planned: int, *, limit: float, truth: float, alpha: float) -> float:
    """The chance that `planned` one-trial intents clear a limit at a true rate, by the shortcut of `most_events`."""
    most = most_events(planned, limit=limit, alpha=alpha)
    return 0.0 if most is None else _at_most(most, planned, truth)


def intents_needed(*, limit: float, truth: float, alpha: float, power: float, groups: int = 1) -> int | None:
    """Least intents in each of `groups` groups that all clear with the wanted power; None over `MOST_INTENTS`.

    >>> intents_needed(limit=0.2, truth=0.1, alpha=0.05, power=0.9)
    128
    """
    if truth >= limit:
        return None
    wanted = power ** (1.0 / groups)

    def enough(n: int) -> bool:
        # At least `wanted` when the shortcut clears with as many events as come with that probability at most.
        return _clears(_quantile(wanted, n, truth), n, limit, alpha)

    low, high = 0, max(4, _normal_size(limit, truth, alpha, wanted))
    while high <= MOST_INTENTS and not enough(high):
        low, high = high, ceil(1.25 * high)
    if high > MOST_INTENTS:
        return None
    while high - low > max(1, high // _FINENESS):
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def simulated_power(
    planned: int,
    *,
    allowed: float,
    truth: float,
    alpha: float,
    groups: int,
    judge: tuple[float, float] | None,
    labels: int,
    label_truth: float,
    runs: int = _RUNS,
    seed: int = 1,
) -> float:
    """Share of simulated campaigns in which every group clears by the real bounds.

    Args:
        planned: intents in each group.
        allowed, truth: rates of what goes wrong.
        judge, labels: as supposed; labels fall on events with the chance `label_truth`.
    """
    rng = np.random.default_rng([seed, planned, groups, labels])
    se, sp = judge or (1.0, 1.0)
    limits = np.zeros(runs)
    for position in range(runs):
        line = _seen_limit(allowed, _drawn_box(rng, judge, labels, label_truth, alpha))
        limits[position] = 0.0 if line is None else line
    rate_alpha = alpha if judge is None else alpha * (1 - BOX_SHARE)
    clear = limits > 0.0
    for group in range(groups):
        flags = (rng.random((runs, planned)) < _seen_rate(truth, se, sp)).astype(np.float64)
        times = clearance_times(flags, limits=limits, alpha=rate_alpha, planned=planned, at_limit_alone=True)
        clear &= np.isfinite(times)
        if group < _WHOLE_BOUNDS:
            for run in np.flatnonzero(clear):
                clear[run] = upper_bound(flags[run], alpha=rate_alpha, planned=planned) < limits[run]
    return float(clear.mean())


def _cheapest(gate: Gate, supposed: Supposed, held: Census) -> tuple[int, tuple[LineNeed, ...]]:
    """The fewest labels with which the bank suffices; where it never does, the fewest labels and intents together."""
    if supposed.judge is None:
        return 0, _lines(gate, supposed, held, 0)
    tried = {labels: _shortcut(gate, supposed, held, labels) for labels in _LABELS}
    fits = [labels for labels, needs in tried.items() if _fits(gate, needs, held)]
    sums = {labels: labels + max(n or 0 for n in needs) for labels, needs in tried.items() if None not in needs}
    chosen = min(fits) if fits else min(sums, key=sums.__getitem__, default=_LABELS[-1])
    return chosen, _lines(gate, supposed, held, chosen)


def _by_people(gate: Gate, supposed: Supposed, held: Census) -> int | None:
    needs = _shortcut(gate, replace(supposed, judge=None), held, 0)
    return None if None in needs else max(gate.min_clusters, *(need or 0 for need in needs))


def _fits(gate: Gate, needs: Sequence[int | None], held: Census) -> bool:
    return all(
        need is not None and all(need <= size for size in _sizes(held, threshold.over).values())
        for threshold, need in zip(gate.thresholds, needs, strict=True)
    )


def _shortcut(gate: Gate, supposed: Supposed, held: Census, labels: int) -> list[int | None]:
    box = _expected_box(gate, supposed, labels)
    needs: list[int | None] = []
    for threshold in gate.thresholds:
        allowed, truth = _rates(threshold.passes, supposed)
        line = None if box is None else _seen_limit(allowed, box)
        groups = max(1, len(_sizes(held, threshold.over)))
        needs.append(
            None
            if line is None
            else intents_needed(
                limit=line,
                truth=_seen_rate(truth, *(supposed.judge or (1.0, 1.0))),
                alpha=_rate_alpha(gate, supposed),
                power=supposed.power ** (1 / len(gate.thresholds)),
                groups=groups,
            )
        )
    return needs


def _lines(gate: Gate, supposed: Supposed, held: Census, labels: int) -> tuple[LineNeed, ...]:
    """The needs of every threshold, each raised until the simulation agrees with the shortcut."""
    lines = []
    wanted = supposed.power ** (1 / len(gate.thresholds))
    for threshold, start in zip(gate.thresholds, _shortcut(gate, supposed, held, labels), strict=True):
        allowed, truth = _rates(threshold.passes, supposed)
        sizes = _sizes(held, threshold.over)
        need, power = start, None
        while need is not None:
            power = _simulated(
                need,
                allowed,
                truth,
                gate.alpha,
                max(1, len(sizes)),
                supposed.judge,
                labels,
                _label_truth(gate, supposed),
            )
            if power >= wanted - 1.5 * (wanted * (1 - wanted) / _RUNS) ** 0.5:
                break
            need = ceil(1.1 * need) if need < MOST_INTENTS else None
        short = tuple(f"{name} ({size})" for name, size in sizes.items() if need is None or size < need)
        lines.append(
            LineNeed(
                over=threshold.over,
                allowed=allowed,
                truth=truth,
                groups=len(sizes),
                intents=need,
                power=None if need is None else power,
                short=short,
            )
        )
    return tuple(lines)


@lru_cache(maxsize=256)
def _simulated(
    planned: int,
    allowed: float,
    truth: float,
    alpha: float,
    groups: int,
    judge: tuple[float, float] | None,
    labels: int,
    label_truth: float,
) -> float:
    """Gates often ask alike; each question is simulated once."""
    return simulated_power(
        planned,
        allowed=allowed,
        truth=truth,
        alpha=alpha,
        groups=groups,
        judge=judge,
        labels=labels,
        label_truth=label_truth,
    )


def _whole(gate: Gate, lines: Sequence[LineNeed], held: Census) -> int:
    """Intents of the whole scope that give every group what it needs, at the groups' shares of the bank."""
    needed = gate.min_clusters
    for line in lines:
        for size in _sizes(held, line.over).values():
            needed = max(needed, ceil((line.intents or 0) * held.intents / size))
    return needed


def _chance_of(gate: Gate, supposed: Supposed, drawn: Census, box: JudgeError | None) -> float:
    if box is None or drawn.intents < gate.min_clusters:
        return 0.0
    chance = 1.0
    for threshold in gate.thresholds:
        allowed, truth = _rates(threshold.passes, supposed)
        line = _seen_limit(allowed, box)
        seen = _seen_rate(truth, *(supposed.judge or (1.0, 1.0)))
        for size, many in Counter(_sizes(drawn, threshold.over).values()).items():
            alpha = _rate_alpha(gate, supposed)
            one = 0.0 if line is None else chance_to_clear(size, limit=line, truth=seen, alpha=alpha)
            chance *= one**many
    return chance


def _verdict(
    gate: Gate,
    supposed: Supposed,
    lines: Sequence[LineNeed],
    needed: int | None,
    *,
    held: Census,
    drawn: Census,
    chance: float,
) -> tuple[PowerVerdict, str]:
    scope = "+".join((*gate.scope.categories, *gate.scope.subcategories)) or "+".join(gate.scope.domains) or "all"
    if not held.intents:
        return "bank-too-small", f"the bank holds no intent of scope {scope!r} in the case's languages and attacks"
    if needed is None:
        stuck = next(line for line in lines if line.intents is None)
        words = f"a true rate of {stuck.truth:g} against {stuck.allowed:g} allowed"
        return "beyond-reach", f"{words} cannot be told apart with {MOST_INTENTS} intents and {_LABELS[-1]} labels"
    if needed > held.intents or any(line.short for line in lines):
        groups = [_too_small(line) for line in lines if line.short and line.over != "all"]
        where = f"; too small: {'; '.join(groups)}" if groups else ""
        return "bank-too-small", f"scope {scope!r} holds {held.intents} intents, {needed} needed{where}"
    if chance < supposed.power - 0.05 and drawn.intents < needed:
        return "plan-more", f"{drawn.intents} intents planned, {needed} needed; raise `sampling.intents`"
    return "enough", f"{drawn.intents} intents planned, {needed} needed"


def _too_small(line: LineNeed) -> str:
    """Names of the groups that are too small; of all together, where they hold alike."""
    sizes = {name.rpartition(" ")[2] for name in line.short}
    if len(line.short) == line.groups > 1 and len(sizes) == 1:
        return f"every {line.over} {sizes.pop()}"
    return f"{line.over} {', '.join(line.short)}"


def _rates(limit: Limit, supposed: Supposed) -> tuple[float, float]:
    """(allowed, supposed) rates of what goes wrong."""
    allowed = limit.value if limit.is_ceiling else 1.0 - limit.value
    return allowed, allowed / 2 if supposed.truth is None else supposed.truth


def _label_truth(gate: Gate, supposed: Supposed) -> float:
    """The rate among all answers of the gate, from which labels are drawn."""
    whole = [threshold for threshold in gate.thresholds if threshold.over == "all"]
    return _rates((whole or list(gate.thresholds))[0].passes, supposed)[1]


def _sizes(counted: Census, over: str) -> Mapping[str, int]:
    return {"all": counted.intents} if over == "all" and counted.intents else counted.groups.get(over, {})


def _rate_alpha(gate: Gate, supposed: Supposed) -> float:
    return gate.alpha if supposed.judge is None else gate.alpha * (1 - BOX_SHARE)


def _expected_box(gate: Gate, supposed: Supposed, labels: int) -> JudgeError | None:
    """The box that the labels give when they come out as expected, rounded to the judge's disadvantage."""
    if supposed.judge is None:
        return PERFECT
    events = int(labels * _label_truth(gate, supposed))
    hits, rejections = int(supposed.judge[0] * events), ceil(supposed.judge[1] * (labels - events))
    return _box(hits, events, rejections, labels - events, gate.alpha)


def _drawn_box(
    rng: np.random.Generator, judge: tuple[float, float] | None, labels: int, truth: float, alpha: float
) -> JudgeError:
    if judge is None:
        return PERFECT
    events = int(rng.binomial(labels, truth))
    hits, rejections = int(rng.binomial(events, judge[0])), int(rng.binomial(labels - events, judge[1]))
    return _box(hits, events, rejections, labels - events, alpha) or _BLIND


def _box(hits: int, events: int, rejections: int, others: int, alpha: float) -> JudgeError | None:
    if min(events, others) < LEAST_OWN_LABELS:
        return None
    counts = Agreement(hits=hits, misses=events - hits, rejections=rejections, false_alarms=others - rejections)
    return judge_error(own=counts, transferred=NO_LABELS, margin=0.0, alpha=alpha * BOX_SHARE / 2)


_NOTHING = Bounds(low=0.0, high=1.0)
_BLIND = JudgeError(level="none", sensitivity=_NOTHING, specificity=_NOTHING, point=None)


def _mirrored(error: JudgeError) -> JudgeError:
    """The box for the opposite event: what was found is then what was left."""
    point = None if error.point is None else (error.point[1], error.point[0])
    return JudgeError(level=error.level, sensitivity=error.specificity, specificity=error.sensitivity, point=point)


def _seen_limit(allowed: float, box: JudgeError) -> float | None:
    """The share of flags that the box's corner makes of the limit; None where the corner tells nothing apart."""
    found, false_alarms = box.sensitivity.low, 1.0 - box.specificity.high
    return None if found <= false_alarms else allowed * found + (1.0 - allowed) * false_alarms


def _seen_rate(truth: float, sensitivity: float, specificity: float) -> float:
    return truth * sensitivity + (1.0 - truth) * (1.0 - specificity)


def _normal_size(limit: float, truth: float, alpha: float, power: float) -> int:
    """Where the search starts: the textbook's fixed sample by the normal approximation."""
    spread = -ndtri(alpha) * (limit * (1 - limit)) ** 0.5 + ndtri(power) * (truth * (1 - truth)) ** 0.5
    return ceil(min(2.0 * MOST_INTENTS, float((spread / (limit - truth)) ** 2)))


def _quantile(chance: float, trials: int, rate: float) -> int:
    """The fewest events that `trials` exceed with a probability of at most 1 - `chance`."""
    guess = trials * rate + float(ndtri(chance)) * (trials * rate * (1 - rate)) ** 0.5
    events = min(trials, max(0, int(guess)))
    while events > 0 and _at_most(events - 1, trials, rate) >= chance:
        events -= 1
    while events < trials and _at_most(events, trials, rate) < chance:
        events += 1
    return events


def _clears(events: int, planned: int, limit: float, alpha: float) -> bool:
    steps = np.floor(np.arange(planned + 1) * events / planned)
    times = clearance_times(np.diff(steps)[None, :], limits=limit, alpha=alpha, planned=planned, at_limit_alone=True)
    return bool(np.isfinite(times[0]))


def _at_most(events: int, trials: int, rate: float) -> float:
    return float(bdtr(events, trials, rate))


def _check(supposed: Supposed) -> None:
    rates = {"truth": supposed.truth, "sensitivity": None, "specificity": None}
    if supposed.judge is not None:
        rates["sensitivity"], rates["specificity"] = supposed.judge
    for name, rate in rates.items():
        if rate is not None and not 0.0 <= rate <= 1.0:
            raise ValueError(f"supposed {name} is a rate and must lie in [0, 1], got {rate!r}")
    if not 0.0 < supposed.power < 1.0:
        raise ValueError(f"wanted power must lie in (0, 1), got {supposed.power!r}")
