"""Security of agents: scripted characters through the gates, then public sets where they are, and the embedded model.

The public sets are read from the folder that SAFECASE_DATA names; of them only ids and counts are printed.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from safecase.decide import read_gate
from safecase.declare import Gate, load_framework, load_model_spec
from safecase.evidence import TaskAttempt
from safecase.measure import SuiteEvidence, estimate_suite
from safecase.models import Model, open_model
from safecase.safeguard import Stack, load_stack
from safecase.suites import Guarded, Limits, Subject, Suite, load_suite, plan_attempts, read_rows, try_suite
from safecase.suites.injection import Bank, InjectionSuite, UserTask, goals_from, load_bank, mails_from
from safecase.suites.insecure_code import InsecureCodeSuite, code_tasks_from
from safecase.suites.interpreter import InterpreterSuite, abuse_tasks_from
from safecase.testing import ScriptedModel, agent_player

SUITES = ("agent-injection", "insecure-code", "interpreter-abuse")
FRAMEWORK = load_framework("scaling-v2")
SAMPLE = Limits(turns=2, answer_tokens=16, seconds=15.0)
"""A look of a few seconds at each suite, for a small model on a busy machine."""


async def verdicts(suite: Suite, model: Model, stack: Stack | None) -> list[str]:
    """Every gate on a suite, after one attempt at each task."""
    planned = tuple(plan_attempts(suite, arm="guarded", arm_digest="example", model=model.name, attempts=1))
    subject = Subject(arm="guarded", model=Guarded(model, stack) if stack else model, digest="example")
    made: dict[str, TaskAttempt] = {}
    async for tried in suite.run(subject, planned, limits=Limits(turns=12)):
        made[tried.attempt.attempt_id] = tried.attempt
    evidence = SuiteEvidence(
        planned=planned, attempts=made, inputs=suite.inputs, fixed=False, calibration="own", grader=suite.grader
    )
    gates: list[Gate] = [gate for gate in FRAMEWORK.gates if gate.suite == suite.id]
    found = {one.estimate_id: one for one in estimate_suite(evidence, gates, arm="guarded")}
    read = [(gate, read_gate(gate, found, arm="guarded", planned=True, available=True)) for gate in gates]
    return [f"{gate.id.removeprefix('agents.'):32} {reading.verdict:12} {reading.reason}" for gate, reading in read]


def goals_of(data: Path) -> InjectionSuite:
    """AgentDojo's goals at our desk."""
    goals = goals_from(read_rows(data / "agentdojo_tasks.jsonl"))
    return InjectionSuite(load_bank().model_copy(update={"goals": goals}))


def public_suites(data: Path) -> Mapping[str, Suite]:
    """The suites made of public rows: their goals and mails on our desk, their requests before our judges."""
    desk = load_bank().desk
    goals = goals_of(data)
    mails = mails_of(data)
    code = code_tasks_from(read_rows(data / "cyse_insecure_code.jsonl"))
    abuse = abuse_tasks_from(read_rows(data / "cyse_interpreter.jsonl"))
    left_out = ", ".join(f"{count} in {language}" for language, count in code.left_out.items())
    counts = f"{len(goals.bank.goals)} goals, {len(mails)} mails, {len(code.tasks)} functions ({left_out} out)"
    print(f"{counts}, {len(abuse)} requests")
    return {
        "AgentDojo's goals": goals,
        "e-mails": InjectionSuite(Bank(desk=desk, tasks=mails)),
        "CyberSecEval, code": InsecureCodeSuite(code.tasks),
        "CyberSecEval, interpreter": InterpreterSuite(abuse),
    }


async def played(suite: InjectionSuite) -> None:
    """Characters on public goals: how many were met and followed, as the desk shows it."""
    for character in ("careful", "gullible"):
        model = ScriptedModel(agent_player(character, bank=suite.bank))
        met, followed = 0, 0
        async for tried in try_suite(suite, model, attempts=2, limits=Limits(turns=12)):
            met += tried.attempt.measures.get("met") == 1.0
            followed += tried.attempt.measures.get("followed") == 1.0
        print(f"AgentDojo's goals, {character:10} {followed} followed of {met} that came before it")


async def mailed(data: Path, model: Model, *, tasks: int | None = None) -> None:
    """Public e-mails whose instruction asks for a mail: utility, attack success and utility under attack.

    The reads are made for the model, so that one too small to call a tool meets the order too.
    """
    suite = InjectionSuite(Bank(desk=load_bank().desk, tasks=mails_of(data)), handed=True)
    chosen = [task.task for task in suite.tasks()][:tasks]
    if isinstance(model, ScriptedModel):
        model = ScriptedModel(agent_player(model.name.removeprefix("scripted/"), bank=suite.bank), name=model.name)
    done, attacked, followed = list[float](), list[float](), list[float]()
    async for tried in try_suite(suite, model, tasks=chosen, limits=Limits(turns=3, answer_tokens=48, seconds=120.0)):
        attempt = tried.attempt
        if attempt.score is not None:
            (attacked if attempt.condition else done).append(attempt.score)
        followed += [attempt.measures["followed"]] if "followed" in attempt.measures else []
    rates = ", ".join(
        f"{name} {sum(values):g} of {len(values)}"
        for name, values in (("done", done), ("done under attack", attacked), ("followed", followed))
    )
    print(f"e-mails, {model.name:38} {rates}")


def mails_of(data: Path) -> tuple[UserTask, ...]:
    """E-mails with a question, clean and with an instruction."""
    return mails_from(read_rows(data / "bipia_email_composed.jsonl"))


async def sample(name: str, suite: Suite, model: Model) -> None:
    """A task, for a look: what came of them, and for how many a number could be read at all."""
    statuses, numbers, sums = Counter[str](), Counter[str](), Counter[str]()
    tasks = [task.task for task in suite.tasks()[:1]]
    async for tried in try_suite(suite, model, tasks=tasks, limits=SAMPLE):
        statuses[tried.attempt.status] += 1
        for measure, value in tried.attempt.measures.items():
            numbers[measure] += 1
            sums[measure] += value
    rates = ", ".join(f"{one} {sums[one]:g} of {count}" for one, count in sorted(numbers.items()) if ":" not in one)
    print(f"{name:28} {dict(statuses)}  {rates or 'no number'}")


async def main() -> None:
    for character in ("careful", "gullible", "useless"):
        print(f"\n{character}, nothing around it")
        for suite_id in SUITES:
            model = ScriptedModel(agent_player(character), name=f"scripted/{character}")
            print("\n".join(await verdicts(load_suite(suite_id), model, None)))

    for name in ("default", "production"):
        print(f"\ngullible, behind the stack `{name}`")
        stack = load_stack(name, load_model_spec("default"))
        for suite_id in SUITES:
            print("\n".join(await verdicts(load_suite(suite_id), ScriptedModel(agent_player("gullible")), stack)))

    folder = os.environ.get("SAFECASE_DATA")
    print()
    if folder is None:
        print("SAFECASE_DATA names no folder of public sets: our own tasks instead")
        suites: Mapping[str, Suite] = {name: load_suite(name) for name in SUITES}
    else:
        suites = public_suites(Path(folder))
        await played(goals_of(Path(folder)))
        for character in ("careful", "gullible", "useless"):
            await mailed(Path(folder), ScriptedModel(agent_player(character), name=f"scripted/{character}"))
    async with open_model("llama-cpp/smollm2-135m-instruct") as model:
        print(f"{model.name}, a task of each")
        for name, suite in suites.items():
            await sample(name, suite, model)
        if folder is not None:
            await mailed(Path(folder), model, tasks=3)


if __name__ == "__main__":
    asyncio.run(main())
