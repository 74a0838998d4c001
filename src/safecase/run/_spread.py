"""Run the shards of a plan wherever an executor takes them, and collect what they write."""

import asyncio
import datetime as dt
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from safecase.declare import Budget
from safecase.evidence import PostKey, StorageTrouble, TrialStore, open_folder
from safecase.models import BadKey, MissingPackage, Model, UnknownModel, Unreachable, open_model
from safecase.run._collect import Collector, Tally
from safecase.run._errors import EndpointGone, NothingAnswered, PlanDiffers, ShardFailed, ShardLost
from safecase.run._plan import PlannedTrial
from safecase.run._progress import Progress, RunSummary
from safecase.run._shards import Fault, Lost, PackedCase, ShardJob, ShardReport, shards_of

_SHARDS_PER_SLOT = 4
_GRACE_S = 10.0
"""How long after the time budget a shard may take to notice, before its worker is ended."""

_RAISED: Mapping[str, type[Exception]] = {
    kind.__name__: kind
    for kind in (BadKey, EndpointGone, MissingPackage, NothingAnswered, PlanDiffers, Unreachable, UnknownModel)
}
"""Faults of a worker that are raised by their own class here; each takes one line."""


class Executor(Protocol):
    """Where shards run.

    Attributes:
        slots: shards that run at once; may change while they do.
    """

    @property
    def slots(self) -> int: ...
    def start(self, case: PackedCase) -> None:
        """Make ready; called once, before the first job."""
        ...

    def submit(self, job: ShardJob) -> None:
        """Begin one life of a shard. Returns at once."""
        ...

    def poll(self) -> list[ShardReport | Lost]:
        """What ended since the last call. Never blocks."""
        ...

    def close(self) -> None:
        """End every worker within seconds, with time to write what it has; doing it twice does no harm."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How a plan is spread over workers.

    Attributes:
        storage: path or URL that this process and every worker reach.
        run: the run's folder there.
        shards: how many; four for each slot by default, so that a lost one costs little.
        lives: how often the workers of one shard may die.
        poll_s: between looks at the executor. collect_s: between looks at the storage.
    """

    storage: str
    run: str
    shards: int | None = None
    lives: int = 4
    poll_s: float = 0.1
    collect_s: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardSummary:
    """What a spread run did.

    Attributes:
        run: its seconds count from the moment the executor was ready until the last shard ended.
        startup_s: until then.
        lost: workers that died.
        doubled: answers left aside because another life of the shard had given one before.
        damaged: segments left aside because their bytes are not what their names say; their trials were asked again.
    """

    run: RunSummary
    shards: int
    startup_s: float
    lost: int
    doubled: int
    damaged: tuple[str, ...]


async def run_shards(
    case: PackedCase,
    planned: Sequence[PlannedTrial],
    *,
    executor: Executor,
    spread: Spread,
    models: Mapping[str, str],
    store: TrialStore,
    post: PostKey | None,
    budget: Budget,
    workers: int | None,
    now: Callable[[], dt.datetime],
    on_progress: Callable[[Progress], None] = lambda _: None,
    say: Callable[[str], None] = lambda _: None,
    opens: Callable[[str], Model] = open_model,
) -> ShardSummary:
    """Run the trials that have no answer yet, in shards; the store then holds what `run_trials` would have put there.

    What an earlier call left on the storage is collected first. A shard whose worker dies begins again with what it
    had not acknowledged. A fault that no retry mends stops all shards, and what was done is collected.

    Args:
        models: the name of every arm's target, opened by each worker.
        post: the private half of the post box; None when the plan holds no hazardous domain.
        budget: `trials` are split exactly. `tokens` are shared out by trials left, and watched over all shards as they
            are collected. `seconds` count from now; a shard that overstays by ten seconds is ended.
        workers: attempts in flight in each shard.
        say: told in a line when a worker is lost.

    Raises:
        BadKey, Unreachable, NothingAnswered, ...: as one process would; `ShardFailed` for what has no such name.
        ShardLost: a shard's workers died too often.
        StorageTrouble: what shards wrote cannot be read here, or is not of this run.
    """
    collector = Collector(open_folder(spread.storage), run=spread.run, planned=planned, store=store, post=post, now=now)
    collector.collect()
    collector.tally = Tally()  # what an earlier call asked is no cost of this one
    drive = _Drive(
        planned=planned,
        executor=executor,
        collector=collector,
        spread=spread,
        models=models,
        post=post,
        budget=budget,
        workers=workers,
        on_progress=on_progress,
        say=say,
        opens=opens,
    )
    return await drive.run(case)


class _Drive:
    """The loop of one call: keep the executor's slots full, collect, begin lost shards again, stop when told."""

    def __init__(
        self,
        *,
        planned: Sequence[PlannedTrial],
        executor: Executor,
        collector: Collector,
        spread: Spread,
        models: Mapping[str, str],
        post: PostKey | None,
        budget: Budget,
        workers: int | None,
        on_progress: Callable[[Progress], None],
        say: Callable[[str], None],
        opens: Callable[[str], Model],
    ) -> None:
        self._executor = executor
        self._collector = collector
        self._spread = spread
        self._models = models
        self._post = post
        self._budget = budget
        self._workers = workers
        self._on_progress = on_progress
        self._say = say
        self._opens = opens
        self._skipped = len(collector.answered)
        self._within = [(trial.trial_id, trial.scenario.intent_id) for trial in planned[: budget.trials]]
        self._all_intents = {trial.scenario.intent_id for trial in planned}
        self._deaths: Counter[int] = Counter()
        self._queue: deque[int] = deque()
        self._running: set[int] = set()
        self._shards = self._left = 0
        self._shard: dict[str, int] = {}
        self._left_of: Counter[int] = Counter()
        self._stopped: str | None = None
        self._short: list[str] = []
        self._started = self._ended = self._collected_at = time.monotonic()

    async def run(self, case: PackedCase) -> ShardSummary:
        left = sum(trial_id not in self._collector.answered for trial_id, _ in self._within)
        if left == 0:
            return self._summary(shards=0, startup_s=0.0)
        began = time.monotonic()
        try:
            self._executor.start(case)
            self._started = time.monotonic()
            self._split(left)
            while self._queue or self._running:
                self._fill()
                for ended in self._executor.poll():
                    self._end(ended)
                self._look()
                if self._stopped is not None:
                    break
                await asyncio.sleep(self._spread.poll_s)
        finally:
            self._ended = time.monotonic()
            self._executor.close()
            self._collector.collect()
            self._report()
        return self._summary(shards=self._shards, startup_s=self._started - began)

    def _split(self, left: int) -> None:
        wanted = self._spread.shards or _SHARDS_PER_SLOT * self._executor.slots
        self._shards = max(1, min(wanted, len(self._all_intents)))
        self._shard = shards_of(self._all_intents, self._shards)
        self._left = left
        self._left_of = Counter(
            self._shard[intent] for trial_id, intent in self._within if trial_id not in self._collector.answered
        )
        self._queue.extend(sorted(self._left_of))

    def _fill(self) -> None:
        while self._queue and len(self._running) < self._executor.slots:
            number = self._queue.popleft()
            tokens, seconds = self._tokens_of(number), self._seconds()
            if (tokens is not None and tokens < 1) or (seconds is not None and seconds <= 0):
                self._short.append("budget is spent")
                continue
            self._running.add(number)
            self._executor.submit(self._job(number, tokens=tokens, seconds=seconds))

    def _job(self, number: int, *, tokens: int | None, seconds: float | None) -> ShardJob:
        mine = [trial_id for trial_id, intent in self._within if self._shard[intent] == number]
        return ShardJob(
            number=number,
            of=self._shards,
            storage=self._spread.storage,
            run=self._spread.run,
            models=self._models,
            limit=self._budget.trials,
            done=frozenset(self._collector.answered.intersection(mine)),
            failed=self._collector.failed.intersection(mine),
            tokens=tokens,
            seconds=seconds,
            workers=self._workers,
            post_box=self._post.box if self._post else None,
            opens=self._opens,
        )

    def _tokens_of(self, number: int) -> int | None:
        """A shard's share of the token budget, by trials left, less what its earlier lives spent."""
        if self._budget.tokens is None:
            return None
        share = max(1, self._budget.tokens * self._left_of[number] // self._left)
        return share - self._collector.tally.tokens_of.get(number, 0)

    def _seconds(self) -> float | None:
        return None if self._budget.seconds is None else self._budget.seconds - (time.monotonic() - self._started)

    def _end(self, ended: ShardReport | Lost) -> None:
        self._running.discard(ended.number)
        self._collector.collect()
        if isinstance(ended, Lost):
            self._lose(ended)
            return
        if not self._collector.has(ended.segments):
            raise StorageTrouble(
                f"shard {ended.number} on {ended.host!r} wrote {len(ended.segments)} segments to "
                f"{self._spread.storage!r} which cannot be read here; name a place that every machine reaches"
            )
        if ended.fault is not None:
            raise _raised(ended.fault, ended)
        if ended.stopped is not None:
            self._short.append(ended.stopped)

    def _lose(self, lost: Lost) -> None:
        self._deaths[lost.number] += 1
        if self._deaths[lost.number] >= self._spread.lives:
            raise ShardLost(
                f"the workers of shard {lost.number} died {self._deaths[lost.number]} times (the last: {lost.reason}); "
                "what was finished is kept. Look at memory and at the target on those machines, then run again"
            )
        self._say(f"shard {lost.number} lost its worker ({lost.reason}); what it had not written runs again")
        self._queue.appendleft(lost.number)

    def _look(self) -> None:
        """Collect now and then, show progress, and hold the whole to its budget."""
        if time.monotonic() - self._collected_at >= self._spread.collect_s:
            self._collector.collect()
            self._collected_at = time.monotonic()
            self._report()
        seconds = self._seconds()
        if self._budget.tokens is not None and self._collector.tally.tokens >= self._budget.tokens:
            self._stopped = f"token budget of {self._budget.tokens} is spent"
        elif seconds is not None and seconds < -_GRACE_S:
            self._stopped = f"time budget of {self._budget.seconds:g} s is spent"

    def _report(self) -> None:
        tally = self._collector.tally
        self._on_progress(
            Progress(
                done=tally.trials,
                total=max(self._left, tally.trials),
                errors=tally.errors,
                tokens=tally.tokens,
                seconds=time.monotonic() - self._started,
            )
        )

    def _summary(self, *, shards: int, startup_s: float) -> ShardSummary:
        tally, stopped = self._collector.tally, self._stopped
        if stopped is None and self._short:
            stopped = f"{self._short[0]} in {len(self._short)} of {shards} shards, each having its share"
        return ShardSummary(
            run=RunSummary(
                trials=tally.trials,
                skipped=self._skipped,
                seconds=self._ended - self._started,
                errors=tally.errors,
                tokens=tally.tokens,
                stopped=stopped,
            ),
            shards=shards,
            startup_s=startup_s,
            lost=self._deaths.total(),
            doubled=tally.doubled,
            damaged=tuple(sorted(self._collector.damaged)),
        )


def _raised(fault: Fault, report: ShardReport) -> Exception:
    """A worker's fault as one process would have raised it; the worker's traceback goes along for a bug."""
    if kind := _RAISED.get(fault.kind):
        return kind(fault.line)
    failed = ShardFailed(f"shard {report.number} on {report.host!r}: {fault.kind}: {fault.line}")
    failed.add_note(fault.trace)
    return failed
