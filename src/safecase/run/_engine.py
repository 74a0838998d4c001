"""The campaign engine: planned trials through arms, several at a time, into evidence.

A failed *attempt* is data and the run goes on; a failed *platform* (endpoint gone, wrong key, disk full) stops it with
nothing half-written. What was acknowledged (a segment on disk and in the ledger) is never run again.
"""

import asyncio
import datetime as dt
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from safecase.declare import Budget, Generation
from safecase.evidence import Status, Trial, TrialStore, Vault
from safecase.models import EndpointError, EndpointTimeout, Model, Request, Settings, UnparsedAnswer
from safecase.run._errors import NothingAnswered
from safecase.run._plan import PlannedTrial
from safecase.run._trial import make_trial
from safecase.safeguard import Served, Stack

_SEGMENT_ROWS = 256
_SEGMENT_SECONDS = 5.0
_PATIENCE = 12
"""First attempts of an arm that may all fail before the run stops."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a run stands. `total` counts what this call will do; `eta_s` is None before the first answer."""

    done: int
    total: int
    errors: int
    tokens: int
    seconds: float

    @property
    def eta_s(self) -> float | None:
        """Seconds left at the pace so far."""
        return self.seconds / self.done * (self.total - self.done) if self.done else None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """What one call of the engine did. `stopped` says why it ended before the plan did, else None."""

    trials: int
    skipped: int
    seconds: float
    errors: int
    tokens: int
    stopped: str | None

    @property
    def trials_per_s(self) -> float:
        """Trials per second of wall time; 0 when nothing was left to run."""
        return self.trials / self.seconds if self.seconds > 0 else 0.0


@dataclass
class _State:
    """What the workers share."""

    todo: Iterator[PlannedTrial]
    total: int
    started: float
    budget: Budget
    flushed_at: float
    buffer: list[Trial] = field(default_factory=list)
    done: int = 0
    errors: int = 0
    tokens: int = 0
    answered: dict[str, bool] = field(default_factory=dict)
    failures: dict[str, list[str]] = field(default_factory=dict)
    stopped: str | None = None


async def run_trials(
    planned: Iterable[PlannedTrial],
    *,
    model: Model,
    arms: Mapping[str, Stack],
    generation: Generation,
    store: TrialStore,
    vault: Vault | None,
    budget: Budget,
    workers: int,
    now: Callable[[], dt.datetime],
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> RunSummary:
    """Run the trials that have no answer in the store yet; attempts that failed before are tried again.

    Args:
        arms: stack by arm name.
        vault: seals answers of hazardous domains; None is allowed when the plan holds none.
        budget: hard limits; `trials` counts over all arms, those already there included.
        workers: attempts in flight.
        now: the clock of the ledger's entries.

    Raises:
        BadKey, Unreachable: the endpoint cannot be used.
        NothingAnswered: the first attempts all failed.
        DiskFull: what was acknowledged before stays.
    """
    have = store.open(at=now()).ids(answered=True)
    wanted = [trial for trial in _within(planned, budget) if trial.trial_id not in have]
    started = time.monotonic()
    state = _State(todo=iter(wanted), total=len(wanted), started=started, budget=budget, flushed_at=started)
    settings = Settings(
        max_tokens=generation.max_tokens,
        temperature=generation.temperature,
        top_p=generation.top_p,
        seed=generation.seed,
    )

    async def work() -> None:
        for trial in state.todo:
            state.stopped = state.stopped or _spent(state)
            if state.stopped is not None:
                return
            row = await attempt(trial, model=model, stack=arms[trial.arm.name], settings=settings, vault=vault)
            _account(state, row)
            if len(state.buffer) >= _SEGMENT_ROWS or time.monotonic() - state.flushed_at > _SEGMENT_SECONDS:
                _flush(state, store, now)
            on_progress(_progress(state))

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(max(1, min(workers, len(wanted)))):
                group.create_task(work())
    except BaseExceptionGroup as faults:
        raise _first(faults) from None
    finally:
        _flush(state, store, now)
    seconds = time.monotonic() - state.started
    return RunSummary(
        trials=state.done,
        skipped=len(have),
        seconds=seconds,
        errors=state.errors,
        tokens=state.tokens,
        stopped=state.stopped,
    )


async def attempt(
    planned: PlannedTrial, *, model: Model, stack: Stack, settings: Settings, vault: Vault | None
) -> Trial:
    """One scenario through one arm once. An attempt that fails is a trial with its status, never an exception.

    Raises:
        BadKey, Unreachable: platform faults, which no retry of this attempt mends.
    """
    scenario = planned.scenario
    request = Request(
        messages=scenario.messages,
        settings=settings,
        trace=planned.trial_id,
        tags={
            "scenario": scenario.scenario_id,
            "intent": scenario.intent_id,
            "harmful": str(scenario.harmful).lower(),
            "attack": scenario.attack,
            "arm": planned.arm.name,
        },
    )
    started = time.perf_counter()
    served: Served | None = None
    status: Status = "answered"
    error: str | None = None
    try:
        served = await stack.answer(model, request)
    except EndpointTimeout as fault:
        status, error = "timeout", str(fault)
    except UnparsedAnswer as fault:
        status, error = "unparsed", str(fault)
    except EndpointError as fault:
        status, error = "error", str(fault)
    return make_trial(planned, served, status=status, error=error, seconds=time.perf_counter() - started, vault=vault)


def _within(planned: Iterable[PlannedTrial], budget: Budget) -> Iterator[PlannedTrial]:
    for position, trial in enumerate(planned):
        if budget.trials is not None and position >= budget.trials:
            return
        yield trial


def _spent(state: _State) -> str | None:
    if state.budget.tokens is not None and state.tokens >= state.budget.tokens:
        return f"token budget of {state.budget.tokens} is spent"
    if state.budget.seconds is not None and time.monotonic() - state.started >= state.budget.seconds:
        return f"time budget of {state.budget.seconds:g} s is spent"
    return None


def _account(state: _State, row: Trial) -> None:
    state.done += 1
    state.tokens += (row.tokens_in or 0) + (row.tokens_out or 0)
    if row.status in {"answered", "not-stored"}:
        state.answered[row.arm] = True
    else:
        state.errors += 1
        state.failures.setdefault(row.arm, []).append(f"{row.status}: {row.error}")
    state.buffer.append(row)
    failures = state.failures.get(row.arm, [])
    if not state.answered.get(row.arm) and len(failures) >= _PATIENCE:
        state.buffer = [trial for trial in state.buffer if trial.arm != row.arm]
        raise NothingAnswered(
            f"the first {len(failures)} attempts of arm {row.arm!r} on {row.model!r} gave no answer (the last: "
            f"{failures[-1]}); check the endpoint and run the same command again, which repeats them"
        )


def _flush(state: _State, store: TrialStore, now: Callable[[], dt.datetime]) -> None:
    if state.buffer:
        rows, state.buffer = state.buffer, []
        # Sealed answers get segments of their own, so that a case can be handed on without them.
        for part in ([row for row in rows if row.sealed is None], [row for row in rows if row.sealed is not None]):
            if part:
                store.append(part, at=now())
    state.flushed_at = time.monotonic()


def _progress(state: _State) -> Progress:
    return Progress(
        done=state.done,
        total=state.total,
        errors=state.errors,
        tokens=state.tokens,
        seconds=time.monotonic() - state.started,
    )


def _first(faults: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first fault of a group, nested groups opened."""
    fault: BaseException = faults
    while isinstance(fault, BaseExceptionGroup):
        fault = fault.exceptions[0]
    return fault
