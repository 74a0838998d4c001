"""From a player to a verdict: attempts of a suite for agents, estimates of them, and the packs' gates on those."""

import asyncio

from safecase.decide import read_gate
from safecase.declare import load_framework
from safecase.measure import SuiteEvidence, estimate_suite
from safecase.suites import Limits, Subject, load_suite, plan_attempts
from safecase.testing import ScriptedModel, agent_player

QUICK = Limits(turns=12, seconds=120.0)


def played(suite_id: str, character: str, *, attempts: int = 1, pack: str = "scaling-v2") -> SuiteEvidence:
    """Every attempt of a suite by a player, as evidence."""
    suite = load_suite(suite_id)
    model = ScriptedModel(agent_player(character), name=f"scripted/{character}")  # type: ignore[arg-type]
    planned = tuple(plan_attempts(suite, arm="guarded", arm_digest="d", model=model.name, attempts=attempts))

    async def run():
        subject = Subject(arm="guarded", model=model, digest="d")
        return {one.attempt.attempt_id: one.attempt async for one in suite.run(subject, planned, limits=QUICK)}

    declared = next(one for one in load_framework(pack).suites if one.id == suite_id)
    return SuiteEvidence(
        planned=planned,
        attempts=asyncio.run(run()),
        inputs=suite.inputs,
        fixed=declared.estimand == "these-tasks",
        calibration="own",
        grader=suite.grader,
    )


def verdicts(given: SuiteEvidence, suite_id: str, *, pack: str = "scaling-v2") -> dict[str, str]:
    """Gate -> verdict."""
    gates = [gate for gate in load_framework(pack).gates if gate.suite == suite_id]
    found = {one.estimate_id: one for one in estimate_suite(given, gates, arm="guarded")}
    return {
        gate.id.removeprefix("agents."): read_gate(gate, found, arm="guarded", planned=True, available=True).verdict
        for gate in gates
    }
