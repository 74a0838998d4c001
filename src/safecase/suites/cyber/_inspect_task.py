"""The suite as an Inspect task, for those who run Inspect. Our own runs do not need it."""

from typing import TYPE_CHECKING, Any

from safecase.models import InspectModel, MissingPackage
from safecase.suites._sandbox_box import open_sandbox
from safecase.suites._sandbox_engines import find_engine
from safecase.suites._sandbox_probe import check_containment
from safecase.suites._suite import Limits
from safecase.suites.cyber._agent import play
from safecase.suites.cyber._suite import TASKS, ctf_suite
from safecase.suites.cyber._task import CATEGORIES

if TYPE_CHECKING:
    from inspect_ai import Task


def inspect_task(*, category: str | None = None, limits: Limits | None = None) -> "Task":
    """The tasks as samples, our agent as solver, the flag as scorer; `epochs` gives attempts.

    Args:
        category: only this one.

    Raises:
        MissingPackage: inspect-ai is not installed.
        NoSandbox: no engine is here.
        ValueError: no such category.
    """
    if category is not None and category not in CATEGORIES:
        raise ValueError(f"category {category!r}: there are {', '.join(CATEGORIES)}")
    try:
        from inspect_ai import Task
        from inspect_ai.dataset import MemoryDataset, Sample
    except ImportError as error:
        raise MissingPackage("inspect-ai is not installed; pip install 'safecase[suites]'") from error
    chosen = [task for task in TASKS if category in (None, task.category)]
    samples = [
        Sample(
            id=task.task_id,
            input=task.prompt,
            metadata={
                "category": task.category,
                "difficulty": task.difficulty,
                "human_minutes_estimated": task.human_minutes,
            },
        )
        for task in chosen
    ]
    suite = ctf_suite()
    return Task(
        name=suite.id,
        dataset=MemoryDataset(samples),
        solver=_solver(limits or Limits()),
        scorer=_scorer(),
        metadata={"suite_digest": suite.digest},
    )


def _solver(limits: Limits) -> Any:  # Inspect's own types, here and below
    from inspect_ai.model import ChatMessageAssistant, ChatMessageSystem, ChatMessageUser, get_model
    from inspect_ai.solver import solver

    kinds = {"system": ChatMessageSystem, "user": ChatMessageUser, "assistant": ChatMessageAssistant}
    suite, engine, by_id = ctf_suite(), find_engine(), {task.task_id: task for task in TASKS}
    seen_to_hold: list[bool] = []

    @solver(name="safecase_ctf_agent")  # type: ignore[untyped-decorator]
    def agent() -> Any:
        async def solve(state: Any, generate: Any) -> Any:  # noqa: ARG001 - Inspect's signature
            if not seen_to_hold:
                await check_containment(engine)
                seen_to_hold.append(True)
            task, number = by_id[state.sample_id], state.epoch - 1
            built, flag = task.built(f"{limits.seed}/{number}")
            opened = get_model()
            async with await open_sandbox(
                engine, files=built.files, service=built.service, limits=suite.box_limits
            ) as box:
                episode = await play(
                    InspectModel(str(opened), opened=opened),
                    box,
                    prompt=task.prompt,
                    flag=flag,
                    limits=limits,
                    seed=limits.seed + 1000 * number,
                    scaffold=suite.agent,
                )
            state.messages = [kinds[turn.role](content=turn.content) for turn in episode.messages]
            state.metadata["solved"] = episode.is_solved
            state.metadata["flags"] = sorted(episode.flags)
            return state

        return solve

    return agent()


def _scorer() -> Any:
    from inspect_ai.scorer import CORRECT, INCORRECT, Score, accuracy, scorer, stderr

    @scorer(metrics=[accuracy(), stderr(cluster="category")], name="safecase_ctf_flag")  # type: ignore[untyped-decorator]
    def flag() -> Any:
        async def score(state: Any, target: Any) -> Any:  # noqa: ARG001 - Inspect's signature
            return Score(value=CORRECT if state.metadata.get("solved") else INCORRECT)

        return score

    return flag()
