"""Inspect tasks of these tests."""

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.scorer import includes
from inspect_ai.solver import generate, use_tools
from inspect_ai.tool import tool


@tool
def lookup():
    async def execute(key: str):
        """Look a key up.

        Args:
            key: what to look up.
        """
        return f"the value of {key} is 42"

    return execute


@task
def questions(count: int = 6):
    samples = [
        Sample(id=f"q{n}", input=f"question {n}", target="yes", metadata={"kind": ("even", "odd")[n % 2], "minutes": 5})
        for n in range(count)
    ]
    return Task(dataset=MemoryDataset(samples), solver=generate(), scorer=includes())


@task
def with_tool():
    samples = [Sample(id="x", input="what is the value of x?", target="42")]
    return Task(dataset=MemoryDataset(samples), solver=[use_tools(lookup()), generate()], scorer=includes())
