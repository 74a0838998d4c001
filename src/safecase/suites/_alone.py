"""A suite on a model with nothing around it: no case, no plan, nothing kept."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import asdict

from safecase.evidence import digest_value
from safecase.models import Model, PlatformFailed
from safecase.suites._subject import Subject
from safecase.suites._suite import Limits, Suite, Tried, plan_attempts


async def try_suite(
    suite: Suite, model: Model, *, attempts: int = 1, tasks: Sequence[str] = (), limits: Limits | None = None
) -> AsyncGenerator[Tried]:
    """Run a suite, for a look at it; `safecase suites` keeps evidence.

    Args:
        attempts: at every task under every condition.
        tasks: only these; all by default.

    Yields:
        Attempts as they end, with transcripts.

    Raises:
        PlatformFailed: something is missing here, or the model cannot be used.
        ValueError: a task that is not in the suite.
    """
    if unknown := sorted(set(tasks) - {task.task for task in suite.tasks()}):
        raise ValueError(f"suite {suite.id!r} has no task {unknown[0]!r}; `tasks()` lists those it has")
    if missing := suite.missing():
        raise PlatformFailed(f"suite {suite.id!r} cannot run here: {missing}")
    limits, identity = limits or Limits(), await model.identity()
    digest = digest_value(["bare", identity.model, identity.kind, identity.digest, asdict(limits)])
    planned = plan_attempts(suite, arm="bare", arm_digest=digest, model=model.name, attempts=attempts, tasks=tasks)
    async for tried in suite.run(Subject(arm="bare", model=model, digest=digest), tuple(planned), limits=limits):
        yield tried
