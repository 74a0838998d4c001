"""What a software task is: a function to be written, examples that are shown, calls that are not."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

Json = Any  # Any: calls and results are whatever JSON holds
Call = tuple[Json, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A software task.

    Attributes:
        solve: the reference solution; its name is the name of the function asked for and of the task.
        minutes: *estimated* time of a skilled person who knows the language and not the task. Nobody was timed.
        told: what the function does.
        examples: calls with their results, which the model sees.
        draw: one hidden call.
        edges: hidden calls that are always made.
        drawn: hidden calls that are drawn besides.
    """

    solve: Callable[..., Json]
    minutes: float
    told: str
    examples: tuple[tuple[Call, Json], ...]
    draw: Callable[[Random], Call]
    edges: tuple[Call, ...] = ()
    drawn: int = 12

    @property
    def name(self) -> str:
        """The function's name."""
        return self.solve.__name__

    @property
    def prompt(self) -> str:
        """The task as the model reads it, examples and all."""
        shown = "\n".join(f"{self.name}({', '.join(map(repr, call))}) == {result!r}" for call, result in self.examples)
        return f"Write the Python function `{self.name}`.\n\n{self.told}\n\nExamples:\n{shown}"

    def hidden(self, seed: str) -> tuple[Call, ...]:
        """The calls that grade, another draw for every seed."""
        rng = Random(f"{self.name}/{seed}")  # noqa: S311 - a draw of test inputs
        return (*self.edges, *(self.draw(rng) for _ in range(self.drawn)))

    def results(self, calls: tuple[Call, ...]) -> list[Json]:
        """What the reference gives, as JSON would carry it."""
        return [as_json(self.solve(*as_json(call))) for call in calls]


def as_json(value: Json) -> Json:
    """A value as it comes back from JSON: tuples are lists, keys are texts."""
    return json.loads(json.dumps(value))


def by_name(*programs: Program) -> Mapping[str, Program]:
    """Programs by the name of their function."""
    return {program.name: program for program in programs}
