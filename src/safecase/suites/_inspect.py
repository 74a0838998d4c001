"""Any Inspect task as a suite, by a line in the pack; asked through the arm's safeguards."""

import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from safecase.declare import InspectTask
from safecase.declare import Suite as DeclaredSuite
from safecase.evidence import PlannedAttempt, digest_file, digest_value
from safecase.measure import DEFAULT_INPUTS, Inputs
from safecase.models import Settings
from safecase.suites._errors import SuiteMissing
from safecase.suites._inspect_sample import task_of_sample, tried_of_sample
from safecase.suites._subject import Subject
from safecase.suites._suite import Grader, Limits, SuiteTask, Tried

_AT_ONCE = 32


class InspectSuite:
    """A suite whose tasks are the samples of an Inspect task.

    The task is loaded with its data set, which some tasks download; what comes of loading is not asked twice.

    Args:
        declared: the pack's entry, with its `inspect:` line.

    Raises:
        SuiteMissing: Inspect, the task's package, or what it loads is not here; the message says what to do.
    """

    def __init__(self, declared: DeclaredSuite) -> None:
        if declared.inspect is None:
            raise ValueError(f"suite {declared.id!r} has no `inspect:` line")
        self.id, self._line = declared.id, declared.inspect
        self.domain = declared.inspect.domain or "none"
        self.takes_native_tools = True
        self.grader: Grader = "judged" if declared.inspect.judged else "exact"
        self.scaffold = f"Inspect task {declared.inspect.task} with its own solver"
        self.inputs: Mapping[str, Inputs] = inputs_of(declared)
        self._task = _load(declared.inspect)

    @cached_property
    def digest(self) -> str:
        """Over the samples, the task's name and arguments, and the versions of what makes and grades it."""
        made = [[str(one.id), _plain(one.input), _plain(one.target), _plain(one.metadata)] for one in self._samples]
        return digest_value(
            [self._line.model_dump(mode="json"), _source(self._line.task), _version("inspect_ai"), made]
        )

    def tasks(self) -> tuple[SuiteTask, ...]:
        """A task per sample."""
        return tuple(task_of_sample({"id": one.id, "metadata": one.metadata}, self._line) for one in self._samples)

    def missing(self) -> str | None:
        """Nothing: what could not be loaded has no suite."""
        return None

    async def run(self, subject: Subject, planned: Sequence[PlannedAttempt], *, limits: Limits) -> AsyncIterator[Tried]:
        """Evaluate in blocks of samples, one attempt number at a time; a block is kept when it is done."""
        for number, block in _blocks(planned):
            by_task = {one.task: one for one in block}
            for sample in await self._evaluate(subject, list(by_task), number=number, limits=limits):
                yield tried_of_sample(sample, by_task[str(sample["id"])], self._line)

    async def _evaluate(
        self, subject: Subject, tasks: list[str], *, number: int, limits: Limits
    ) -> list[dict[str, Any]]:
        from inspect_ai import eval_async
        from inspect_ai._util.platform import platform_init
        from inspect_ai.util import TokenLimit
        from inspect_ai.util._display import init_display_type

        from safecase.suites._inspect_model import as_inspect_model

        platform_init()
        init_display_type("none")
        seed = limits.seed + number
        settings = Settings(max_tokens=limits.answer_tokens, temperature=limits.temperature, seed=seed)
        model = as_inspect_model(subject.model, settings=settings, is_native=limits.tools == "native")
        ids = {str(one.id): one.id for one in self._samples}
        with tempfile.TemporaryDirectory(prefix="safecase-inspect-") as folder:
            (log,) = await eval_async(
                self._task,
                model=model,
                sandbox=self._line.sandbox,
                sample_id=[ids[task] for task in tasks],
                epochs=1,
                fail_on_error=False,
                score_display=False,
                log_dir=folder,
                log_images=False,
                message_limit=2 * limits.turns + 2,
                token_limit=TokenLimit(tokens=limits.tokens, type="output"),
                time_limit=max(1, round(limits.seconds)),
                max_samples=min(subject.model.concurrency, _AT_ONCE),
            )
            if model.api.fault is not None:
                raise model.api.fault
            return [
                sample.model_dump(mode="json") for sample in log.samples or ()
            ]  # read from the folder when asked for

    @cached_property
    def _samples(self) -> list[Any]:
        """The data set, every sample with an id; Inspect numbers those that have none from 1."""
        found = list(self._task.dataset)
        for place, sample in enumerate(found, start=1):
            if sample.id is None:
                sample.id = place
        return found


def inputs_of(declared: DeclaredSuite) -> dict[str, Inputs]:
    """What the suite's measures read: their usual number where the pack's line gives it, else the score."""
    gives = declared.inspect.gives if declared.inspect else {}
    found: dict[str, Inputs] = {}
    for measure in declared.measures:
        usual = DEFAULT_INPUTS.get(measure)
        if usual is not None and usual.other is None:
            found[measure] = usual if usual.value in gives else Inputs()
    return found


def _load(line: InspectTask) -> Any:
    try:
        from inspect_ai._eval.loader import load_tasks
    except ImportError as fault:
        raise SuiteMissing("inspect-ai is not installed; pip install 'safecase[suites]'") from fault
    try:
        tasks = load_tasks([line.task], dict(line.args))
    except Exception as fault:  # a task is anyone's code, and whatever it lacks, it cannot run
        words = " ".join(str(fault).split())[:200]
        raise SuiteMissing(f"Inspect task {line.task!r} cannot be loaded ({type(fault).__name__}: {words})") from fault
    if len(tasks) != 1:
        raise SuiteMissing(
            f"Inspect task {line.task!r} names {len(tasks)} tasks; name one, as `package/task` or `file.py@task`"
        )
    return tasks[0]


def _blocks(planned: Sequence[PlannedAttempt]) -> Iterator[tuple[int, list[PlannedAttempt]]]:
    numbers: dict[int, list[PlannedAttempt]] = {}
    for one in planned:
        numbers.setdefault(one.number, []).append(one)
    for number, mine in sorted(numbers.items()):
        for start in range(0, len(mine), _AT_ONCE):
            yield number, mine[start : start + _AT_ONCE]


def _plain(value: Any) -> Any:
    """Inspect's values as JSON values."""
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in sorted(value.items(), key=lambda item: str(item[0]))}
    if hasattr(value, "model_dump"):
        return _plain({k: v for k, v in value.model_dump(mode="json", exclude_none=True).items() if k != "id"})
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)


def _source(task: str) -> str:
    """What made and graded the samples: a file's bytes, or a package's version."""
    file, at, _ = task.partition("@")
    return digest_file(Path(file)) if at else _version(task.partition("/")[0])


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
