"""What a framework's suites need, what of it is here, and what a case asks for."""

from dataclasses import dataclass

from safecase.assess._case import Case
from safecase.assess._suites_plan import suite_of
from safecase.declare import SuiteRun
from safecase.suites import SHIPPED, SuiteMissing, SuiteTask

_OF_TRIALS = frozenset({"refusal-bank", "paired-prompts"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteState:
    """One suite of the framework.

    Attributes:
        gates: that read it.
        state: "ready", or what it would take.
    """

    suite: str
    title: str
    gates: tuple[str, ...]
    measures: tuple[str, ...]
    is_asked: bool
    state: str
    tasks: tuple[SuiteTask, ...]


def list_suites(case: Case) -> tuple[SuiteState, ...]:
    """Every suite of the case's framework that is not of trials, in its order."""
    asked = {one.suite: one for one in case.spec.suites}
    found: list[SuiteState] = []
    for suite in case.framework.suites:
        if suite.id in _OF_TRIALS:
            continue
        state, tasks = _state(case, suite.id, asked.get(suite.id))
        found.append(
            SuiteState(
                suite=suite.id,
                title=suite.title,
                gates=tuple(gate.id for gate in case.framework.gates if gate.suite == suite.id),
                measures=tuple(suite.measures),
                is_asked=suite.id in asked,
                state=state,
                tasks=tasks,
            )
        )
    return tuple(found)


def _state(case: Case, suite_id: str, asked: SuiteRun | None) -> tuple[str, tuple[SuiteTask, ...]]:
    declared = next(suite for suite in case.framework.suites if suite.id == suite_id)
    if asked is not None and asked.source == "log":
        return "imported from a log", ()
    if asked is None and suite_id not in SHIPPED and declared.inspect is None:
        return f"not here: {declared.needs}", ()
    try:
        suite = suite_of(case, asked or SuiteRun(suite=suite_id))
    except SuiteMissing as fault:
        return f"not here: {fault}", ()
    return suite.missing() or "ready", suite.tasks()
