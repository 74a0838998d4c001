"""A shard: a part of the plan that any machine can run, from inputs that travel by value.

The same engine runs it; only the sink differs. Intents are dealt out whole, in the order of their digests, so the
split depends on the plan and the number of shards and on nothing else.
"""

import datetime as dt
import functools
import platform
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from safecase.compose import Intent, planned_attacks
from safecase.declare import Budget, CaseSpec, Framework, ModelSpec
from safecase.evidence import PostBox, RemoteSegments, digest_bytes, open_folder
from safecase.models import Model, open_model, run_to_end
from safecase.run._engine import Extras, run_trials
from safecase.run._errors import PlanDiffers
from safecase.run._plan import (
    LEARNED_BANK,
    ArmPlan,
    Plan,
    PlannedTrial,
    case_intents,
    learned_intents,
    make_plan,
    planned_trials,
    stacks,
)
from safecase.safeguard import SHIPPED_STACKS


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedCase:
    """What a worker makes the plan from, by value: no path of the driver's machine means anything there.

    Attributes:
        plan: the bytes of `plan.json`.
        spec, framework, model_spec: JSON.
        files: banks and stack file, by the names that `spec` has for them.
    """

    plan: bytes
    spec: bytes
    framework: bytes
    model_spec: bytes
    files: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardJob:
    """One life of one shard.

    Attributes:
        number: from 0. of: how many shards the plan is split into.
        storage: path or URL that this worker and the driver both reach. run: the run's folder there.
        models: the name of every arm's target, opened by the worker, with keys that it finds on its own machine.
        limit: only trials among the first so many of the plan.
        done: trials that have their answer already. failed: those that were asked and gave none.
        tokens, seconds: this life's share of the budget; None is no limit.
        workers: attempts in flight; the target's own advice by default.
        post_box: seals answers of hazardous domains; None where the plan holds none.
        opens: how a target is opened.
    """

    number: int
    of: int
    storage: str
    run: str
    models: Mapping[str, str]
    limit: int | None
    done: frozenset[str]
    failed: frozenset[str]
    tokens: int | None
    seconds: float | None
    workers: int | None
    post_box: PostBox | None
    opens: Callable[[str], Model] = open_model


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What stopped a shard: the class of the error, its line, and the traceback for a bug."""

    kind: str
    line: str
    trace: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardReport:
    """How one life of a shard ended.

    Attributes:
        segments: names of what it wrote.
        stopped: why it ended before its part was done, else None.
        host: the machine it ran on.
    """

    number: int
    segments: tuple[str, ...]
    stopped: str | None
    fault: Fault | None
    host: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """A shard whose worker died; its segments stay."""

    number: int
    reason: str


def pack_case(spec: CaseSpec, framework: Framework, model_spec: ModelSpec, case_dir: Path, *, plan: Plan) -> PackedCase:
    """Everything that the plan was made from, with files by value under names of their own."""
    files: list[tuple[str, bytes]] = []

    def packed(path: Path, stem: str) -> str:
        name = f"{stem}{path.suffix}"
        files.append((name, (case_dir / path).read_bytes()))
        return name

    banks = tuple(
        bank.model_copy(update={"path": Path(packed(bank.path, f"bank-{i}"))}) for i, bank in enumerate(spec.banks)
    )
    balance = spec.balance
    if balance is not None:
        political = {name: getattr(balance, name) for name in ("pairs_bank", "statements_bank")}
        named = {name: Path(packed(path, name)) for name, path in political.items() if path is not None}
        balance = balance.model_copy(update=named)
    if (case_dir / LEARNED_BANK).exists():
        files.append((LEARNED_BANK, (case_dir / LEARNED_BANK).read_bytes()))
    is_file = spec.safeguards not in SHIPPED_STACKS
    safeguards = packed(Path(spec.safeguards), "stack") if is_file else spec.safeguards
    moved = spec.model_copy(update={"banks": banks, "balance": balance, "safeguards": safeguards})
    return PackedCase(
        plan=plan.to_json(),
        spec=moved.model_dump_json().encode(),
        framework=framework.model_dump_json().encode(),
        model_spec=model_spec.model_dump_json().encode(),
        files=tuple(files),
    )


def shards_of(intents: Iterable[str], shards: int) -> dict[str, int]:
    """The shard of every intent: dealt out in the order of their digests, so that shards differ by one intent at most.

    >>> sorted(shards_of(["a", "b", "c", "d"], 2).values())
    [0, 0, 1, 1]
    """
    ordered = sorted(set(intents), key=lambda intent: digest_bytes(intent.encode()))
    return {intent: position % shards for position, intent in enumerate(ordered)}


def shard_folder(run: str, *, number: int, of: int) -> str:
    """Where a shard writes. The number of shards is part of it: another split is another set of folders."""
    return f"{run}/s{number:05d}of{of:05d}"


def run_shard(case: PackedCase, job: ShardJob) -> ShardReport:
    """Run what is missing of a shard. Never raises: a fault comes back as a report, with what was done kept."""
    started = time.monotonic()
    sink = None
    stopped, fault = None, None
    try:
        folder = open_folder(job.storage)
        sink = RemoteSegments(folder, shard_folder(job.run, number=job.number, of=job.of))
        stopped = run_to_end(_run(case, job, sink))
    except Exception as error:  # noqa: BLE001 - on its way to another process, where it is raised again by its name
        fault = Fault(kind=type(error).__name__, line=str(error), trace=traceback.format_exc())
    return ShardReport(
        number=job.number,
        segments=tuple(sink.written) if sink else (),
        stopped=stopped,
        fault=fault,
        host=platform.node(),
        seconds=time.monotonic() - started,
    )


async def _run(case: PackedCase, job: ShardJob, sink: RemoteSegments) -> str | None:
    inputs = _inputs(case)
    attacker = inputs.spec.sampling.attacker
    async with AsyncExitStack() as stack:
        with _unpacked(case) as directory:  # opened for this life: what a layer asks is closed with it
            arms = stacks(inputs.spec, inputs.model_spec, directory)
        for one in arms.values():
            stack.push_async_callback(one.aclose)
        opened = {name: await stack.enter_async_context(job.opens(name)) for name in dict.fromkeys(job.models.values())}
        targets = {arm.name: opened[job.models[arm.name]] for arm in inputs.plan.arms}
        for arm in inputs.plan.arms:
            await _must_be_the_same(targets[arm.name], arm)
        summary = await run_trials(
            _mine(inputs, job),
            model=targets,
            arms=arms,
            generation=inputs.spec.generation,
            store=sink,
            vault=job.post_box,
            budget=Budget(tokens=job.tokens, seconds=job.seconds),
            workers=job.workers,
            now=lambda: dt.datetime.now(dt.UTC),
            extras=Extras(
                attacks={one.name: one for one in planned_attacks(inputs.spec.sampling)},
                attacker=await stack.enter_async_context(job.opens(attacker)) if attacker else None,
                failed=job.failed,
            ),
        )
    return summary.stopped


@dataclass(frozen=True, slots=True, kw_only=True)
class _Inputs:
    plan: Plan
    spec: CaseSpec
    framework: Framework
    model_spec: ModelSpec
    intents: Sequence[Intent]
    planned_intents: frozenset[str]


@functools.lru_cache(maxsize=1)
def _inputs(case: PackedCase) -> _Inputs:
    """Unpack a case and make its plan again; kept for the next shard that this process runs.

    Raises:
        PlanDiffers: what this worker has makes another plan.
    """
    plan = Plan.model_validate_json(case.plan)
    spec = CaseSpec.model_validate_json(case.spec)
    framework = Framework.model_validate_json(case.framework)
    model_spec = ModelSpec.model_validate_json(case.model_spec)
    with _unpacked(case) as directory:
        intents = (*case_intents(spec, directory), *learned_intents(directory))
        arms = stacks(spec, model_spec, directory)
    made = make_plan(spec, framework, intents, targets=plan.targets, arms=arms, suites=plan.suites)
    if made.to_json() != case.plan:
        mine, theirs = made.model_dump(mode="json"), plan.model_dump(mode="json")
        differ = [name for name in theirs if mine[name] != theirs[name]]
        raise PlanDiffers(
            f"worker {platform.node()!r} makes another plan from the same case ({', '.join(differ)} differ); install "
            "the driver's version of safecase on every machine"
        )
    used = frozenset(trial.scenario.intent_id for trial in planned_trials(plan, framework, intents))
    return _Inputs(
        plan=plan, spec=spec, framework=framework, model_spec=model_spec, intents=intents, planned_intents=used
    )


@contextmanager
def _unpacked(case: PackedCase) -> Iterator[Path]:
    """The case's files in a folder, as `stacks` and `case_intents` read them."""
    with tempfile.TemporaryDirectory(prefix="safecase-shard-") as name:
        directory = Path(name)
        for file, data in case.files:
            (directory / file).parent.mkdir(exist_ok=True)
            (directory / file).write_bytes(data)
        yield directory


async def _must_be_the_same(model: Model, planned: ArmPlan) -> None:
    """A target that this machine can prove must be the driver's; an endpoint's name has it in the address."""
    if model.name != planned.model:
        raise PlanDiffers(f"worker {platform.node()!r} opens {model.name!r}, the plan names {planned.model!r}")
    if planned.identity["kind"] == "weights":
        identity = await model.identity()
        if identity.digest != planned.identity["digest"]:
            raise PlanDiffers(
                f"worker {platform.node()!r} has other weights under the name {model.name!r} (SHA-256 "
                f"{identity.digest}, the plan says {planned.identity['digest']}); copy the driver's file there"
            )


def _mine(inputs: _Inputs, job: ShardJob) -> Iterator[PlannedTrial]:
    planned = planned_trials(inputs.plan, inputs.framework, inputs.intents)
    shard = shards_of(inputs.planned_intents, job.of)
    for position, trial in enumerate(planned):
        if job.limit is not None and position >= job.limit:
            return
        if shard[trial.scenario.intent_id] == job.number and trial.trial_id not in job.done:
            yield trial
