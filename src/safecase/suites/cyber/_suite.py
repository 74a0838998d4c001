"""The suite `ctf-simple`: every task through the agent, as attempts."""

import functools
import os
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, field
from importlib.resources import files as package_files
from typing import ClassVar

from safecase.evidence import PlannedAttempt, digest_value
from safecase.measure import EmbeddedJudge, Inputs, default_inputs
from safecase.models import Model
from safecase.suites._each import each
from safecase.suites._flags import with_flags
from safecase.suites._sandbox import SandboxLimits
from safecase.suites._sandbox_box import open_sandbox
from safecase.suites._sandbox_engines import Engine, find_engine
from safecase.suites._sandbox_errors import NoSandbox, SandboxBroken
from safecase.suites._sandbox_probe import proven_engine
from safecase.suites._subject import Subject
from safecase.suites._suite import Grader, Limits, SuiteTask, Tried, plan_attempts
from safecase.suites.cyber import _cryptography, _exploitation, _forensics, _miscellaneous, _reversing, _web
from safecase.suites.cyber._agent import DESCRIPTION, Scaffold, play
from safecase.suites.cyber._task import CtfTask

TASKS: tuple[CtfTask, ...] = (
    *_cryptography.TASKS,
    *_web.TASKS,
    *_forensics.TASKS,
    *_reversing.TASKS,
    *_exploitation.TASKS,
    *_miscellaneous.TASKS,
)
"""All of them, in a fixed order."""

_BY_ID = {task.task_id: task for task in TASKS}
_BOXES_PER_CORE = 4  # a sandbox waits for its model most of the time


@dataclass(frozen=True, slots=True, kw_only=True)
class CtfSuite:
    """Capture the flag, simple and unguided: 72 tasks, 12 in each of six categories. A `Suite`."""

    box_limits: SandboxLimits = field(default_factory=SandboxLimits)
    agent: Scaffold = field(default_factory=Scaffold)
    takes_native_tools: ClassVar[bool] = True

    @property
    def id(self) -> str:
        return "ctf-simple"

    @property
    def digest(self) -> str:
        return digest_value([_sources(), asdict(self.box_limits), asdict(self.agent)])

    @property
    def domain(self) -> str:
        return "cyber"

    @property
    def grader(self) -> Grader:
        return "exact"

    @property
    def scaffold(self) -> str:
        return DESCRIPTION

    @property
    def inputs(self) -> Mapping[str, Inputs]:
        return default_inputs("pass_at_10")

    def tasks(self) -> tuple[SuiteTask, ...]:
        return tuple(
            SuiteTask(
                task=task.task_id,
                category=task.category,
                human_minutes=task.human_minutes,
                human_time="estimated",
                needs=("sandbox",),
            )
            for task in TASKS
        )

    def missing(self) -> str | None:
        try:
            find_engine()
        except NoSandbox as reason:
            return str(reason)
        return None

    async def run(
        self, subject: Subject, planned: Sequence[PlannedAttempt], *, limits: Limits
    ) -> AsyncGenerator[Tried]:
        engine = await proven_engine(self.id)

        async def attempt(one: PlannedAttempt) -> Tried:
            return await self._attempt(one, subject.model, engine, limits)

        at_once = max(1, min(subject.model.concurrency, _BOXES_PER_CORE * (os.cpu_count() or 1)))
        async with aclosing(each(planned, attempt, at_once=at_once, seconds=limits.seconds)) as tries:
            async for tried in tries:
                yield tried

    async def _attempt(self, one: PlannedAttempt, model: Model, engine: Engine, limits: Limits) -> Tried:
        task = _BY_ID[one.task]
        built, flag = task.built(f"{limits.seed}/{one.number}")
        try:
            async with await open_sandbox(
                engine, files=built.files, service=built.service, limits=self.box_limits
            ) as box:
                episode = await play(
                    model,
                    box,
                    prompt=task.prompt,
                    flag=flag,
                    limits=limits,
                    seed=limits.seed + 1000 * one.number,
                    scaffold=self.agent,
                    tags={"task": one.task, "number": str(one.number)},
                )
        except SandboxBroken as error:
            return Tried(attempt=one.came_to("error", flags=("tool-error",), error=str(error)[:300]))
        flags = () if episode.is_solved else tuple(sorted(episode.flags))
        came_to = one.came_to("answered", score=float(episode.is_solved), flags=flags, tokens_out=episode.tokens_out)
        return Tried(attempt=came_to, transcript=tuple(episode.messages))


def ctf_suite() -> CtfSuite:
    """The suite as it ships."""
    return CtfSuite()


async def run_cyber(
    model: Model,
    *,
    arm: str = "bare",
    attempts: int = 20,
    tasks: Sequence[str] = (),
    limits: Limits | None = None,
    done: Iterable[str] = (),
) -> AsyncGenerator[Tried]:
    """Run the suite on a model with nothing around it: no case, no plan file.

    Args:
        attempts: at every task; each has its own flag, files and sampling seed.
        tasks: only these; all by default.
        done: ids of attempts that are on record already and not made again.

    Yields:
        Attempts as they end, with transcripts.

    Raises:
        PlatformFailed: no sandbox holds here, or the model cannot be used.
        ValueError: a task that is not in the suite.
    """
    if unknown := sorted(set(tasks) - _BY_ID.keys()):
        raise ValueError(f"no task {unknown[0]!r} in ctf-simple; those there are: {', '.join(_BY_ID)}")
    suite, limits = ctf_suite(), limits or Limits()
    identity = await model.identity()
    digest = digest_value([arm, identity.model, identity.kind, identity.digest, asdict(limits)])
    recorded = frozenset(done)
    planned = [
        one
        for one in plan_attempts(suite, arm=arm, arm_digest=digest, model=model.name, attempts=attempts, tasks=tasks)
        if one.attempt_id not in recorded
    ]
    judge = EmbeddedJudge()
    async with aclosing(suite.run(Subject(arm=arm, model=model, digest=digest), planned, limits=limits)) as tries:
        async for tried in tries:
            yield with_flags(tried, judge)


_RUNNERS = package_files("safecase.suites") / "_runners.py"


@functools.cache
def _sources() -> Mapping[str, str]:
    """The text of every module of the package: tasks, grader and scaffold are all in it."""
    modules = (path for path in package_files("safecase.suites.cyber").iterdir() if path.name.endswith(".py"))
    return {path.name: digest_value(path.read_text("utf-8")) for path in (*modules, _RUNNERS)}
