"""A suite of toy tasks that a scripted model solves, sandbags or is caught at on purpose; a check of any suite."""

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import asdict, replace

from safecase.evidence import Message, PlannedAttempt, digest_value
from safecase.measure import Inputs, default_inputs
from safecase.models import Request, Settings
from safecase.suites import Grader, Limits, Subject, Suite, SuiteTask, Tried, each, plan_attempts
from safecase.testing._conformance import Nonconforming
from safecase.testing._models import Reply, ScriptedModel


class ToySuite:
    """A suite whose model is told the task as JSON and answers with the attempt: `{"score": 1, "undetected": 0}`.

    Args:
        suite_id: as packs name it.
        measures: what it gives, with the usual inputs.
        tasks: its tasks.
        needs: what `missing` says, None where it runs.
    """

    scaffold = "one question, one answer in JSON"

    def __init__(
        self,
        suite_id: str,
        *,
        measures: Sequence[str],
        tasks: Sequence[SuiteTask],
        domain: str = "cyber",
        grader: Grader = "exact",
        needs: str | None = None,
    ) -> None:
        self.id, self.domain, self.grader = suite_id, domain, grader
        self.inputs: Mapping[str, Inputs] = default_inputs(*measures)
        self._tasks, self._needs = tuple(tasks), needs
        self.digest = digest_value([suite_id, [asdict(task) for task in tasks]])

    def tasks(self) -> tuple[SuiteTask, ...]:
        """As given."""
        return self._tasks

    def missing(self) -> str | None:
        """As given."""
        return self._needs

    def run(self, subject: Subject, planned: Sequence[PlannedAttempt], *, limits: Limits) -> AsyncIterator[Tried]:
        """Ask once for each."""

        async def attempt(one: PlannedAttempt) -> Tried:
            told = json.dumps({"task": one.task, "condition": one.condition, "side": one.side, "number": one.number})
            asked = Message(role="user", content=told)
            settings = Settings(max_tokens=limits.answer_tokens, temperature=limits.temperature)
            answer = await subject.model.generate(Request(messages=(asked,), settings=settings))
            said = json.loads(answer.text)
            measures = {name: value for name, value in said.items() if name not in {"score", "flags", "tokens"}}
            done = one.came_to(
                "answered",
                score=said.get("score", 0.0),
                measures=measures,
                flags=tuple(said.get("flags", ())),
                tokens_out=said.get("tokens", 100),
            )
            return Tried(attempt=done, transcript=(asked, Message(role="assistant", content=answer.text)))

        return each(planned, attempt, at_once=subject.model.concurrency, seconds=limits.seconds)


def attempting(rule: Callable[[Mapping[str, object]], Mapping[str, object] | Exception]) -> Callable[[Request], Reply]:
    """A script for `ScriptedModel` that answers a `ToySuite` by a rule over task, condition, side and number."""

    def script(request: Request) -> Reply:
        came = rule(json.loads(request.messages[-1].content))
        return came if isinstance(came, Exception) else json.dumps(dict(came))

    return script


async def check_suite(suite: Suite, *, reply: str = "I do not know.", tasks: int = 2) -> None:
    """Hold a suite to the seam: ids, sides, times, measures, and attempts that are those planned, each once.

    Args:
        reply: what the scripted model says, whatever it is asked; an attempt must survive it.
        tasks: how many of its tasks are tried, once under every condition.

    Raises:
        Nonconforming: it breaks a promise; the message says which.
    """
    listed = suite.tasks()
    _must(bool(listed), suite, "has no tasks")
    _must(len({task.task for task in listed}) == len(listed), suite, "names a task twice")
    _must(all(task.category and task.conditions for task in listed), suite, "has a task without category or condition")
    timed = all((task.human_minutes is None) == (task.human_time == "") for task in listed)
    _must(timed, suite, "has a time without saying whether it was measured, or the reverse")
    _must(suite.digest == suite.digest and len(suite.digest) == 64, suite, "has no stable SHA-256 as digest")
    _must(bool(suite.inputs) and bool(suite.scaffold), suite, "gives no measure, or does not describe its scaffold")
    if suite.missing() is not None:
        return
    chosen = [task.task for task in listed[:tasks]]
    planned = list(plan_attempts(suite, arm="bare", arm_digest="0", model="scripted/fake", attempts=1, tasks=chosen))
    model = ScriptedModel(lambda _: reply)
    subject = Subject(arm="bare", model=model, digest="0")
    limits = replace(Limits(), tokens=400, turns=2, answer_tokens=100, seconds=60.0)
    seen = [tried.attempt.attempt_id async for tried in suite.run(subject, planned, limits=limits)]
    _must(sorted(seen) == sorted(one.attempt_id for one in planned), suite, "did not give each planned attempt once")


def _must(holds: bool, suite: Suite, what: str) -> None:
    if not holds:
        raise Nonconforming(f"suite {suite.id!r} {what}")
