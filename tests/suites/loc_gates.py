"""From a player to a verdict: attempts of a suite, estimates of them, and the pack's gates on those."""

import asyncio
from collections.abc import Mapping, Sequence

from safecase.decide import read_gate
from safecase.declare import Gate, load_framework
from safecase.evidence import Estimate, TaskAttempt
from safecase.measure import SuiteEvidence, estimate_suite
from safecase.suites import Limits, Subject, Suite, load_suite, plan_attempts
from safecase.testing import ScriptedModel, loc_player

QUICK = Limits(turns=6, seconds=120.0)


def gates_of(suite_id: str) -> list[Gate]:
    return [gate for gate in load_framework("scaling-v2").gates if gate.suite == suite_id]


def play(
    suite: Suite, character: str, *, attempts: int = 1, tasks: Sequence[str] = (), limits: Limits = QUICK
) -> SuiteEvidence:
    """Every attempt of a suite by a player, as evidence."""
    model = ScriptedModel(loc_player(character), name=f"scripted/{character}")  # type: ignore[arg-type]
    planned = tuple(plan_attempts(suite, arm="bare", arm_digest="d", model=model.name, attempts=attempts, tasks=tasks))

    async def run() -> Mapping[str, TaskAttempt]:
        tried = suite.run(Subject(arm="bare", model=model, digest="d"), planned, limits=limits)
        return {one.attempt.attempt_id: one.attempt async for one in tried}

    declared = next(one for one in load_framework("scaling-v2").suites if one.id == suite.id)
    return SuiteEvidence(
        planned=planned,
        attempts=asyncio.run(run()),
        inputs=suite.inputs,
        fixed=declared.estimand == "these-tasks",
        calibration="own",
        grader=suite.grader,
    )


def estimates(given: SuiteEvidence, suite_id: str) -> dict[str, Estimate]:
    return {one.estimate_id: one for one in estimate_suite(given, gates_of(suite_id), arm="bare")}


def verdicts(given: SuiteEvidence, suite_id: str) -> dict[str, str]:
    found = estimates(given, suite_id)
    return {
        gate.id.partition(".")[2]: read_gate(gate, found, arm="bare", planned=True, available=True).verdict
        for gate in gates_of(suite_id)
    }


def played(suite_id: str, character: str, **options: object) -> SuiteEvidence:
    return play(load_suite(suite_id), character, **options)  # type: ignore[arg-type]
