"""The suite `loc-checkpoint`: software tasks, selective adaptation, and two tasks at once."""

import functools
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from importlib.resources import files as package_files

from safecase.evidence import PlannedAttempt, digest_value
from safecase.measure import Inputs, default_inputs
from safecase.models import Model
from safecase.suites._each import each
from safecase.suites._sandbox_box import open_sandbox
from safecase.suites._sandbox_engines import Engine, find_engine
from safecase.suites._sandbox_errors import NoSandbox, SandboxBroken
from safecase.suites._sandbox_probe import proven_engine
from safecase.suites._subject import Subject
from safecase.suites._suite import Grader, Limits, SuiteTask, Tried
from safecase.suites._talk import Talk
from safecase.suites.checkpoint import _adaptation, _coder, _dual
from safecase.suites.checkpoint._program import by_name
from safecase.suites.checkpoint._programs_long import LONG
from safecase.suites.checkpoint._programs_short import SHORT

PROGRAMS = by_name(*SHORT, *LONG)
"""The software tasks by name, from short to long."""

_AT_ONCE = 16


class CheckpointSuite:
    """How long its software tasks may be, whether it adapts to evaluations, whether it can do two tasks at once.

    A `Suite`. Software tasks are graded in a sandbox; where there is none, nothing of the suite is run.
    """

    id = "loc-checkpoint"
    domain = "loss-of-control"
    grader: Grader = "exact"
    scaffold = f"{_coder.DESCRIPTION}; questions and pairs of tasks: one question, one answer"

    @property
    def digest(self) -> str:
        """Over the source of tasks, grader and scaffold."""
        return digest_value(_sources())

    @property
    def inputs(self) -> Mapping[str, Inputs]:
        """The usual ones."""
        return default_inputs("time_horizon_hours", "adaptation_difference", "preserved_share")

    def tasks(self) -> tuple[SuiteTask, ...]:
        """Software, then adaptation, then pairs."""
        software = (
            SuiteTask(
                task=f"software/{program.name}",
                category="software",
                human_minutes=program.minutes,
                human_time="estimated",
                needs=("sandbox",),
            )
            for program in PROGRAMS.values()
        )
        return (*software, *_adaptation.TASKS, *_dual.TASKS)

    def missing(self) -> str | None:
        """A sandbox, where there is none."""
        try:
            find_engine()
        except NoSandbox as reason:
            return str(reason)
        return None

    async def run(
        self, subject: Subject, planned: Sequence[PlannedAttempt], *, limits: Limits
    ) -> AsyncGenerator[Tried]:
        """Try each; a sandbox is opened for software tasks alone."""
        engine = await proven_engine(self.id) if any(_is_software(one) for one in planned) else None

        async def attempt(one: PlannedAttempt) -> Tried:
            if engine is not None and _is_software(one):
                return await _write(one, subject.model, engine, limits)
            return await _answer(one, subject.model, limits)

        at_once = max(1, min(subject.model.concurrency, _AT_ONCE))
        async with aclosing(each(planned, attempt, at_once=at_once, seconds=limits.seconds)) as tries:
            async for tried in tries:
                yield tried


def checkpoint_suite() -> CheckpointSuite:
    """The suite as it ships."""
    return CheckpointSuite()


def _is_software(one: PlannedAttempt) -> bool:
    return one.task.startswith("software/")


async def _write(one: PlannedAttempt, model: Model, engine: Engine, limits: Limits) -> Tried:
    talk = Talk(model, planned=one, limits=limits, system=_coder.INSTRUCTIONS)
    program = PROGRAMS[one.task.partition("/")[2]]
    try:
        async with await open_sandbox(engine) as box:
            is_right = await _coder.write_program(talk, program, box, seed=f"{limits.seed}/{one.number}")
    except SandboxBroken as error:
        return Tried(attempt=one.came_to("error", flags=("tool-error",), error=str(error)[:300]))
    return _tried(one, talk, score=float(is_right))


async def _answer(one: PlannedAttempt, model: Model, limits: Limits) -> Tried:
    if one.task.startswith("adaptation/"):
        talk = Talk(model, planned=one, limits=limits, system=_adaptation.opening(one.condition))
        return _tried(one, talk, score=float(await _adaptation.answer_one(talk, one.task)))
    talk = Talk(model, planned=one, limits=limits, system=_dual.opening(one.task, one.condition))
    done = await _dual.do_tasks(talk, one.task, one.condition)
    beside = {} if done.main is None or done.side is None else {"side": float(done.side)}
    return _tried(one, talk, score=float(done.side if done.main is None else done.main), measures=beside)  # type: ignore[arg-type]  # one of both was asked for


def _tried(one: PlannedAttempt, talk: Talk, *, score: float, measures: Mapping[str, float] | None = None) -> Tried:
    flags = () if score >= 1.0 else tuple(sorted(talk.flags))
    attempt = one.came_to("answered", score=score, measures=measures, flags=flags, tokens_out=talk.tokens_out)
    return Tried(attempt=attempt, transcript=talk.transcript)


@functools.cache
def _sources() -> Mapping[str, str]:
    """The text of every module of the package, and of the talk that all suites of this kind share."""
    modules = [path for path in package_files("safecase.suites.checkpoint").iterdir() if path.name.endswith(".py")]
    modules.append(package_files("safecase.suites") / "_talk.py")
    return {path.name: digest_value(path.read_text("utf-8")) for path in modules}
