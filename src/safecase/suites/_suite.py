"""The seam: what a suite is, and what it gives."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from safecase.evidence import Message, PlannedAttempt, TaskAttempt, task_attempt_id
from safecase.measure import Inputs
from safecase.suites._subject import Subject

Grader = Literal["exact", "judged"]
"""`exact`: a rule (a flag, hidden tests, a call on record) grades. `judged`: a model or a heuristic does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteTask:
    """One task of a suite, as the plan, the catalogue and the report know it.

    Attributes:
        task: id within the suite; the cluster of every estimate.
        category: what gates group by ("cryptography"); "all" where there is only one.
        conditions: how it is asked, each `attempts` times; "" is the plain way.
        side: which set of a comparison it is in, "" where there is none.
        human_minutes: time of a skilled person, None where nobody knows.
        human_time: "measured" on people, "estimated", "" without a time.
        needs: what it takes besides a model ("sandbox").
    """

    task: str
    category: str
    conditions: tuple[str, ...] = ("",)
    side: str = ""
    human_minutes: float | None = None
    human_time: Literal["", "estimated", "measured"] = ""
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one attempt may use. Part of what is planned: other limits are other attempts.

    Attributes:
        tokens: output tokens of one attempt, over all its turns; a suite reads a model's count, or estimates one.
        turns: answers of the model.
        seconds: wall time of one attempt.
        answer_tokens: output tokens of one answer.
        temperature: over 0, or attempts at one task would all be the same.
        seed: base; attempt `number` samples with `seed + number`.
        tools: how a suite that hands out tools says so: `words` in a system turn, calls read from the answer's text, or
            `native`, declared to the endpoint in its own form and called in it. Nothing is guessed from the model.
    """

    tokens: int = 20_000
    turns: int = 30
    seconds: float = 900.0
    answer_tokens: int = 1024
    temperature: float = 0.7
    seed: int = 7
    tools: Literal["words", "native"] = "words"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """An attempt with what was said. The runner seals the transcript where the suite's domain is hazardous.

    Attributes:
        is_flagged: the suite looked for a refusal and for silence itself, and the runner does not.
    """

    attempt: TaskAttempt
    transcript: tuple[Message, ...] = ()
    is_flagged: bool = False


@runtime_checkable
class Suite(Protocol):
    """Tasks that yield measures.

    Attributes:
        id: as packs name it.
        digest: SHA-256 over tasks, grader and scaffold; a change of any makes another suite.
        domain: risk domain ("cyber"); transcripts of hazardous domains are sealed.
        grader: how scores come about; a gate that asks for calibration believes `exact` only.
        scaffold: one sentence on the agent around the model, quoted by the report.
        inputs: per measure it gives, which attempts and which number enter; `measure.default_inputs` has the usual.
    """

    @property
    def id(self) -> str: ...
    @property
    def digest(self) -> str: ...
    @property
    def domain(self) -> str: ...
    @property
    def grader(self) -> Grader: ...
    @property
    def scaffold(self) -> str: ...
    @property
    def inputs(self) -> Mapping[str, Inputs]: ...
    def tasks(self) -> tuple[SuiteTask, ...]:
        """Every task, in a fixed order."""
        ...

    def missing(self) -> str | None:
        """What it would take to run here ("bubblewrap: apt install bubblewrap"), None when all is there."""
        ...

    def run(self, subject: Subject, planned: Sequence[PlannedAttempt], *, limits: Limits) -> AsyncIterator[Tried]:
        """Try what is planned, in any order, each once; what is on record already is not among it.

        A failed attempt is data (`status`); `each` turns a model's `AttemptFailed` into one.

        Raises:
            PlatformFailed: no attempt can succeed; what was yielded before is kept.
        """
        ...


def takes_native_tools(suite: Suite) -> bool:
    """Whether a suite knows what `tools: native` asks of it; it then says so by an attribute of that name."""
    return bool(getattr(suite, "takes_native_tools", False))


def plan_attempts(
    suite: Suite, *, arm: str, arm_digest: str, model: str, attempts: int, tasks: Sequence[str] = ()
) -> Iterator[PlannedAttempt]:
    """Every attempt that a plan asks for: number by number over all tasks, so that a stopped run is spread evenly.

    Args:
        arm_digest: over arm, model identity, stack and limits.
        tasks: only these; all by default.
    """
    chosen = [task for task in suite.tasks() if not tasks or task.task in tasks]
    return attempts_at(
        chosen, suite=suite.id, digest=suite.digest, arm=arm, arm_digest=arm_digest, model=model, attempts=attempts
    )


def attempts_at(
    tasks: Sequence[SuiteTask], *, suite: str, digest: str, arm: str, arm_digest: str, model: str, attempts: int
) -> Iterator[PlannedAttempt]:
    """The same from the tasks as a plan lists them, for whoever has no suite at hand; `digest` is the suite's."""
    for number in range(attempts):
        for task in tasks:
            for condition in task.conditions:
                yield PlannedAttempt(
                    attempt_id=task_attempt_id(
                        suite_digest=digest,
                        task=task.task,
                        condition=condition,
                        arm_digest=arm_digest,
                        number=number,
                    ),
                    suite=suite,
                    suite_digest=digest,
                    task=task.task,
                    category=task.category,
                    arm=arm,
                    model=model,
                    number=number,
                    condition=condition,
                    side=task.side,
                    human_minutes=task.human_minutes,
                    human_time=task.human_time,
                )
