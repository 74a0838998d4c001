"""The campaign engine: planned trials through arms, several at a time, judged, into evidence.

    plan --> lane (one per endpoint) --> workers: attempt, judge --> keeper --> segments
                ^                                                      |
                +------------- schedule learns, watch decides ---------+

A failed *attempt* is data and the run goes on; a failed *platform* (endpoint gone, wrong key, disk full) stops it with
nothing half-written. What was acknowledged (a segment on disk and in the ledger) is never run again.

Each endpoint has a lane of its own, so that a slow one holds up nobody else's trials.
"""

import asyncio
import contextlib
import datetime as dt
import gc
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from safecase.compose import Attack, known_attacks
from safecase.declare import Budget, Generation, Prices
from safecase.evidence import Identity, Judgement, JudgementStore, Message, Trial, why_unruled
from safecase.measure import Judge, ReadsMany, judge_batch
from safecase.models import PROBES, AttemptFailed, LeavesOut, Model, Paced, Request, Settings
from safecase.run._cache import NOT_CACHED, AnswerCache, CachedModel
from safecase.run._episode import run_episode
from safecase.run._errors import EndpointGone, NothingAnswered
from safecase.run._keep import Keeper
from safecase.run._meter import BudgetSpent, MeteredModel, Purse
from safecase.run._plan import PlannedTrial
from safecase.run._ports import Schedule, Sealer, Sink
from safecase.run._progress import Progress, RunSummary
from safecase.run._trial import Attempted, error_of, make_trial, status_of, tags_of
from safecase.safeguard import Stack

_PATIENCE = 12
"""First attempts of an arm that may all fail before the run stops."""
_IN_A_ROW = 25
"""Attempts in a row that an endpoint, or a layer, which did answer may fail before the run pauses."""
_HARMLESS = Request(messages=(Message(role="user", content=PROBES[0]),), trace="harmless", tags={NOT_CACHED: "asked"})
"""What is asked before a run pauses: an endpoint that answers this is there, and its own filter turned prompts away."""

_COLLECT_AFTER = 10_000  # objects; Python's default is 700
_READ_AT_ONCE = 64
"""Answers that a judge who can reads together: they meet warm caches, and numpy is called once for all."""
_LOOK_EVERY_S = 1.0
"""Seconds between two looks at whether what waits has waited long enough."""
_WATCHED_ROWS = 256
"""Rows of a segment where somebody watches: what is enough is asked after each."""


class Watch(Protocol):
    """Sees what was acknowledged, and says when enough is known."""

    def saw(self, trial: Trial, judgement: Judgement | None) -> None:
        """One acknowledged trial."""
        ...

    def enough(self) -> str | None:
        """Why the run may stop, None while it may not. Asked after every segment."""
        ...


class NoWatch:
    """Watches nothing and never stops a run."""

    def saw(self, trial: Trial, judgement: Judgement | None) -> None:
        pass

    def enough(self) -> None:
        return None


class PlanOrder:
    """The schedule that follows the plan."""

    def __init__(self, planned: Iterator[PlannedTrial]) -> None:
        self._planned = planned

    def next(self) -> PlannedTrial | None:
        """The next one of the plan."""
        return next(self._planned, None)

    def learn(self, trial: Trial, judgement: Judgement | None) -> None:
        """Changes nothing."""


class _AtMost:
    """A schedule that ends after so many trials."""

    def __init__(self, schedule: Schedule, left: int | None) -> None:
        self._schedule, self._left = schedule, left

    def next(self) -> PlannedTrial | None:
        """The next one, while any are left."""
        if self._left == 0:
            return None
        if self._left is not None:
            self._left -= 1
        return self._schedule.next()

    def learn(self, trial: Trial, judgement: Judgement | None) -> None:
        """Passed on."""
        self._schedule.learn(trial, judgement)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judging:
    """Who judges trials as they come, and where the judgements go."""

    judge: Judge
    store: JudgementStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Extras:
    """What a campaign may have beside its plan.

    Attributes:
        judging: None leaves judging to a later stage.
        schedule: made from the planned trials that have no answer yet; the plan's own order by default. Another
            order needs one endpoint for all arms, and then `Budget.trials` cuts that order, not the plan's.
        attacks: by name; the adaptive ones among them are played as episodes.
        watch: may stop the run when enough is known.
        cache: answers of identical requests; with `identities` by model name, whose answers they are.
        attacker: the model that adaptive attacks consult; its tokens are paid from the same budget.
        prices: of the target's tokens. prices_of: of a model that has others, by its name.
        total: planned trials that this call will run, for the progress; unknown without it.
        failed: trials that failed before, besides those that the store has. That they fail again says nothing of the
            endpoint, whose own filter may never answer them.
    """

    judging: Judging | None = None
    schedule: Callable[[Iterator[PlannedTrial]], Schedule] | None = None
    attacks: Mapping[str, Attack] = field(default_factory=known_attacks)
    watch: Watch = field(default_factory=NoWatch)
    cache: AnswerCache | None = None
    identities: Mapping[str, Identity] = field(default_factory=dict)
    attacker: Model | None = None
    prices: Prices | None = None
    prices_of: Mapping[str, Prices] = field(default_factory=dict)
    total: int | None = None
    failed: frozenset[str] = frozenset()


@dataclass
class _Lane:
    """The trials of one endpoint, or, where a schedule chooses, those of all."""

    models: Mapping[str, Model]
    schedule: Schedule
    workers: int


@dataclass
class _Tally:
    """What all lanes count together.

    Attributes:
        finished, done: planned trials, and the attempts at them: an episode makes several.
        answered, failures: arms that answered, and how those that never did failed.
        unruled: by arm and layer, requests in a row without a ruling.
        failed: by model of an arm that answered, attempts in a row that failed since.
    """

    total: int
    started: float
    finished: int = 0
    done: int = 0
    skipped: int = 0
    cached: int = 0
    errors: int = 0
    tokens: int = 0
    in_flight: int = 0
    answered: set[str] = field(default_factory=set)
    failures: dict[str, list[str]] = field(default_factory=dict)
    unruled: dict[tuple[str, str], int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    stopped: str | None = None


async def run_trials(
    planned: Iterable[PlannedTrial],
    *,
    model: Model | Mapping[str, Model],
    arms: Mapping[str, Stack],
    generation: Generation,
    store: Sink,
    vault: Sealer | None,
    budget: Budget,
    workers: int | None = None,
    now: Callable[[], dt.datetime],
    on_progress: Callable[[Progress], None] = lambda _: None,
    extras: Extras | None = None,
) -> RunSummary:
    """Run the trials that have no answer in the store yet; attempts that failed before are tried again.

    Args:
        planned: in the plan's order; with several endpoints it is gone through once for each.
        model: one for all arms, or one by arm.
        arms: stack by arm name.
        vault: seals answers of hazardous domains; None is allowed when the plan holds none.
        budget: hard limits; `trials` counts over all arms, those already there included.
        workers: most attempts in flight at each endpoint; the target's own advice by default.
        now: the clock of the ledger's entries.

    Raises:
        BadKey, Unreachable: the endpoint cannot be used.
        NothingAnswered: the first attempts all failed, and a harmless question too.
        EndpointGone: an endpoint or a safeguard layer that did answer gives errors alone, to a harmless question too.
        DiskFull: what was acknowledged before stays.
        UnheldBudget: a cost limit without prices.
    """
    campaign = _Campaign(
        arms=arms,
        settings=Settings(
            max_tokens=generation.max_tokens,
            temperature=generation.temperature,
            top_p=generation.top_p,
            seed=generation.seed,
        ),
        vault=vault,
        budget=budget,
        extras=extras or Extras(),
        store=store,
        now=now,
        on_progress=on_progress,
    )
    return await campaign.run(planned, model, workers)


class _Campaign:
    """One call of `run_trials`."""

    def __init__(
        self,
        *,
        arms: Mapping[str, Stack],
        settings: Settings,
        vault: Sealer | None,
        budget: Budget,
        extras: Extras,
        store: Sink,
        now: Callable[[], dt.datetime],
        on_progress: Callable[[Progress], None],
    ) -> None:
        self.arms, self.settings, self.vault, self.budget, self.extras = arms, settings, vault, budget, extras
        self.on_progress = on_progress
        self.purse = Purse(budget, extras.prices, extras.prices_of)
        self.attacker = None if extras.attacker is None else self._metered(extras.attacker)
        self.have = store.ids(answered=True)
        self.failed = self.extras.failed | (store.ids() - self.have)
        judgements = extras.judging.store if extras.judging else None
        self.paced: list[Paced] = []
        self.leaving_out: list[LeavesOut] = []
        watched = None if isinstance(extras.watch, NoWatch) else _WATCHED_ROWS
        self.keeper = Keeper(store, judgements, now=now, on_kept=extras.watch.saw, rows=watched)
        reads_many = extras.judging is not None and isinstance(extras.judging.judge, ReadsMany)
        # A schedule that learns has a use for each judgement before it chooses again.
        self.read_at_once = _READ_AT_ONCE if reads_many and extras.schedule is None else 1
        self.unread: list[tuple[_Lane, Attempted]] = []
        self.asking = asyncio.Lock()
        self.tally = _Tally(total=extras.total or 0, started=time.monotonic())

    async def run(
        self, planned: Iterable[PlannedTrial], model: Model | Mapping[str, Model], workers: int | None
    ) -> RunSummary:
        lanes = self._lanes(planned, model, workers)
        self.tally.stopped = self.extras.watch.enough()
        with _rare_collections():
            return await self._run(lanes)

    async def _run(self, lanes: list["_Lane"]) -> RunSummary:
        try:
            async with asyncio.timeout(self.budget.seconds), asyncio.TaskGroup() as beside:
                clock = beside.create_task(self._keep_in_time())
                async with asyncio.TaskGroup() as group:
                    for lane in lanes:
                        for _ in range(lane.workers):
                            group.create_task(self._work(lane))
                clock.cancel()
        except TimeoutError:
            self.tally.stopped = f"time budget of {self.budget.seconds:g} s is spent"
        except BaseExceptionGroup as faults:
            raise _first(faults) from None
        finally:
            try:
                await self._read()
            finally:
                await self.keeper.flush()
        return self._summary()

    # -- lanes

    def _lanes(
        self, planned: Iterable[PlannedTrial], model: Model | Mapping[str, Model], workers: int | None
    ) -> list[_Lane]:
        by_arm = model if isinstance(model, Mapping) else dict.fromkeys(self.arms, model)
        targets = {id(target): target for target in by_arm.values()}
        self.paced = [target for target in targets.values() if isinstance(target, Paced)]
        self.leaving_out = [target for target in targets.values() if isinstance(target, LeavesOut)]
        if self.extras.schedule is not None:
            return [self._scheduled(self.extras.schedule, planned, by_arm, workers)]
        streams = _again(planned, len(targets))
        lanes = []
        for stream, target in zip(streams, targets.values(), strict=True):
            mine = {arm: one for arm, one in by_arm.items() if one is target}
            order = PlanOrder(self._missing(stream, frozenset(mine), limit=self.budget.trials))
            lanes.append(self._lane(mine, order, workers))
        return lanes

    def _lane(self, by_arm: Mapping[str, Model], schedule: Schedule, workers: int | None) -> _Lane:
        # A target that finds its own level decides itself how many of its workers are at work.
        most = max(target.concurrency for target in by_arm.values())
        wrapped = {id(target): self._wrapped(target) for target in by_arm.values()}
        models = {arm: wrapped[id(target)] for arm, target in by_arm.items()}
        return _Lane(models=models, schedule=schedule, workers=max(1, workers or most))

    def _scheduled(
        self,
        make: Callable[[Iterator[PlannedTrial]], Schedule],
        planned: Iterable[PlannedTrial],
        by_arm: Mapping[str, Model],
        workers: int | None,
    ) -> _Lane:
        schedule = make(self._missing(planned, frozenset(self.arms), limit=None))
        limit = self.budget.trials
        left = None if limit is None else max(0, limit - self.tally.skipped)
        return self._lane(by_arm, _AtMost(schedule, left), workers)

    def _metered(self, model: Model) -> Model:
        is_counted = (self.budget.tokens, self.budget.cost_usd, self.extras.prices) != (None, None, None)
        return MeteredModel(model, self.purse) if is_counted else model

    def _wrapped(self, model: Model) -> Model:
        model = self._metered(model)
        if self.extras.cache is not None:
            model = CachedModel(model, self.extras.cache, identity=self.extras.identities[model.name])
        return model

    def _missing(
        self, planned: Iterable[PlannedTrial], arms: frozenset[str], *, limit: int | None
    ) -> Iterator[PlannedTrial]:
        """The trials of these arms that are still to run, among the first `limit` of the plan."""
        for position, trial in enumerate(planned):
            if limit is not None and position >= limit:
                return
            if trial.arm.name not in arms:
                continue
            if trial.trial_id in self.have:
                self.tally.skipped += 1
                continue
            yield trial

    # -- work

    async def _work(self, lane: _Lane) -> None:
        while (self.tally.stopped is None) and (planned := lane.schedule.next()) is not None:
            self.tally.in_flight += 1
            try:
                attempted = await self._attempt(lane, planned)
            except BudgetSpent as spent:
                self.tally.stopped = self.tally.stopped or str(spent)
                return
            finally:
                self.tally.in_flight -= 1
            self.unread += [(lane, one) for one in attempted]
            if len(self.unread) >= self.read_at_once or self.keeper.is_late:
                await self._read()
            for one in attempted:
                await self._account(lane, one)
            await self._keep()
            self.tally.finished += 1
            self.on_progress(self._progress())

    async def _keep_in_time(self) -> None:
        """Keep what waits, also while attempts hang and no worker comes by."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            if self.keeper.is_late:
                await self._read()
            await self._keep()

    async def _keep(self) -> None:
        if self.keeper.is_due:
            await self.keeper.flush()
            self.tally.stopped = self.tally.stopped or self.extras.watch.enough()

    async def _attempt(self, lane: _Lane, planned: PlannedTrial) -> tuple[Attempted, ...]:
        model, stack = lane.models[planned.arm.name], self.arms[planned.arm.name]
        attack = self.extras.attacks.get(planned.scenario.attack)
        if attack is None or attack.play is None:
            return (await attempt(planned, model=model, stack=stack, settings=self.settings, vault=self.vault),)
        return await run_episode(
            planned,
            model=model,
            attacker=self.attacker,
            stack=stack,
            settings=self.settings,
            vault=self.vault,
            attacks=self.extras.attacks,
            on_attacker_tokens=self._count_tokens,
        )

    def _count_tokens(self, tokens: int) -> None:
        self.tally.tokens += tokens

    async def _read(self) -> None:
        """Judge what nobody has read yet, and hand it to the keeper.

        A judge that breaks or is cut short takes no answer with it: they are kept, and wait for a later stage.
        """
        unread, self.unread = self.unread, []
        verdicts: dict[str, Judgement] = {}
        try:
            verdicts = await self._judge([one for _, one in unread])
        finally:
            # An episode is kept whole, so nothing may be written between its rows: no await from here on.
            for lane, one in unread:
                judgement = verdicts.get(one.trial.trial_id)
                lane.schedule.learn(one.trial, judgement)
                self.keeper.add(one.trial, judgement)

    async def _judge(self, attempted: Sequence[Attempted]) -> dict[str, Judgement]:
        if self.extras.judging is None or not attempted:
            return {}
        plain = {one.trial.trial_id: one.text for one in attempted if one.text is not None}
        rows = await judge_batch([one.trial for one in attempted], self.extras.judging.judge, lambda _: plain)
        return {row.trial_id: row for row in rows}

    async def _account(self, lane: _Lane, attempted: Attempted) -> None:
        tally, row = self.tally, attempted.trial
        tally.done += 1
        tally.cached += row.cached
        tally.tokens += 0 if row.cached else (row.tokens_in or 0) + (row.tokens_out or 0)
        is_known = row.trial_id in self.failed
        mute = self._mute_layer(row, is_known=is_known)
        if row.status in {"answered", "not-stored"}:
            tally.answered.add(row.arm)
            # What a layer withheld, or a cache knew, says nothing of the endpoint.
            tally.failed[row.model] = 0 if attempted.was_asked else tally.failed.get(row.model, 0)
            return
        tally.errors += 1
        if is_known:
            return
        if row.arm not in tally.answered:
            failures = tally.failures.setdefault(row.arm, [])
            failures.append(f"{row.status}: {row.error}")
            if len(failures) >= _PATIENCE:
                await self._must_answer_at_last(lane, row, failures)
        if mute is not None:
            await self._must_rule(lane, row, mute)
        elif row.model in tally.failed and why_unruled(row.rulings) is None:
            tally.failed[row.model] += 1
            if tally.failed[row.model] >= _IN_A_ROW:
                await self._must_be_there(lane, row)

    def _mute_layer(self, row: Trial, *, is_known: bool) -> str | None:
        """The layer that gave no ruling too often in a row, None while none did."""
        unruled, mute = self.tally.unruled, None
        for ruling in row.rulings:
            seat = (row.arm, ruling.layer)
            if ruling.error is None:
                unruled.pop(seat, None)
            elif ruling.enforced and not is_known:
                unruled[seat] = unruled.get(seat, 0) + 1
                mute = ruling.layer if unruled[seat] >= _IN_A_ROW else mute
        return mute

    async def _must_answer_at_last(self, lane: _Lane, row: Trial, failures: Sequence[str]) -> None:
        async with self.asking:
            if row.arm in self.tally.answered:
                return
            if await self._answers(lane, row.arm):
                self.tally.answered.add(row.arm)
                self.tally.failed.setdefault(row.model, 0)
                return
        self.unread = [(lane, one) for lane, one in self.unread if one.trial.arm != row.arm]
        self.keeper.drop(row.arm)
        raise NothingAnswered(
            f"the first {len(failures)} attempts of arm {row.arm!r} on {row.model!r} gave no answer (the last: "
            f"{failures[-1]}), nor did a harmless question; check the endpoint and run the same command again, which "
            "repeats them"
        )

    async def _must_rule(self, lane: _Lane, row: Trial, layer: str) -> None:
        done, seat = self.tally.done, (row.arm, layer)
        async with self.asking:
            if self.tally.unruled.get(seat, 0) < _IN_A_ROW:
                return
            if await self._answers(lane, row.arm):
                self.tally.unruled.pop(seat)
                return
        raise EndpointGone(
            f"safeguard layer {layer!r} of arm {row.arm!r} gave no ruling on the last {_IN_A_ROW} requests (the last: "
            f"{row.error}), nor on a harmless question; at least {done} trials of this run are kept. Mend the layer "
            "and run the same command again, which goes on from there"
        )

    async def _must_be_there(self, lane: _Lane, row: Trial) -> None:
        done = self.tally.done
        async with self.asking:
            if self.tally.failed[row.model] < _IN_A_ROW:
                return
            if await self._answers(lane, row.arm):
                self.tally.failed[row.model] = 0
                return
        raise EndpointGone(
            f"{row.model!r} did answer, and the last {_IN_A_ROW} attempts failed (the last: {row.status}: "
            f"{row.error}), and a harmless question too; at least {done} trials of this run are kept. Mend the "
            "endpoint and run the same command again, which goes on from there"
        )

    async def _answers(self, lane: _Lane, arm: str) -> bool:
        """Whether an arm answers a harmless question, its layers ruling on it."""
        try:
            served = await self.arms[arm].answer(lane.models[arm], replace(_HARMLESS, settings=self.settings))
        except AttemptFailed:
            return False
        except BudgetSpent:
            return True  # the next attempt says so and stops the run
        if served.answer is not None:
            self._count_tokens((served.answer.tokens_in or 0) + (served.answer.tokens_out or 0))
        return served.answer is not None and why_unruled(served.rulings) is None

    # -- what is told

    def _progress(self) -> Progress:
        tally, seconds = self.tally, time.monotonic() - self.tally.started
        return Progress(
            done=tally.finished,
            total=max(tally.finished, tally.total),
            errors=tally.errors,
            tokens=tally.tokens,
            seconds=seconds,
            in_flight=sum(one.level.in_flight for one in self.paced) if self.paced else tally.in_flight,
            cost_usd=self._cost(),
            seconds_left=None if self.budget.seconds is None else max(0.0, self.budget.seconds - seconds),
        )

    def _cost(self) -> float | None:
        return self.purse.usd if self.extras.prices is not None else None

    def _summary(self) -> RunSummary:
        tally = self.tally
        return RunSummary(
            trials=self.keeper.kept,
            skipped=tally.skipped,
            seconds=time.monotonic() - tally.started,
            errors=tally.errors,
            tokens=tally.tokens,
            stopped=tally.stopped,
            cached=tally.cached,
            cost_usd=self._cost(),
            left_out={one.name: tuple(sorted(one.left_out)) for one in self.leaving_out if one.left_out},
        )


async def attempt(
    planned: PlannedTrial, *, model: Model, stack: Stack, settings: Settings, vault: Sealer | None
) -> Attempted:
    """One scenario through one arm once. An attempt that fails is a trial with its status, never an exception.

    Raises:
        BadKey, Unreachable: platform faults, which no retry of this attempt mends.
    """
    request = Request(
        messages=planned.scenario.messages, settings=settings, trace=planned.trial_id, tags=tags_of(planned)
    )
    started = time.perf_counter()
    try:
        served = await stack.answer(model, request)
    except AttemptFailed as fault:
        seconds = time.perf_counter() - started
        error = error_of(fault, domain=planned.scenario.domain)
        return make_trial(planned, None, status=status_of(fault), error=error, seconds=seconds, vault=vault)
    seconds = time.perf_counter() - started - (served.answer.queued_s if served.answer is not None else 0.0)
    return make_trial(planned, served, status="answered", error=None, seconds=seconds, vault=vault)


@contextlib.contextmanager
def _rare_collections() -> Iterator[None]:
    """Look for reference cycles ten times less often.

    A trial makes hundreds of short-lived objects and hardly a cycle, so that at Python's default a sixth of the time
    goes into looking for them. The setting is the whole process's, and is put back.
    """
    before = gc.get_threshold()
    gc.set_threshold(_COLLECT_AFTER, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _again(planned: Iterable[PlannedTrial], times: int) -> tuple[Iterable[PlannedTrial], ...]:
    """The same trials several times; what can be gone through anew is not copied."""
    if times == 1:
        return (planned,)
    if iter(planned) is planned:
        return itertools.tee(planned, times)
    return (planned,) * times


def _first(faults: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first fault of a group, nested groups opened."""
    fault: BaseException = faults
    while isinstance(fault, BaseExceptionGroup):
        fault = fault.exceptions[0]
    return fault
