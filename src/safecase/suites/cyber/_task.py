"""What a capture-the-flag task is: a value with a function that builds its files around a flag."""

import hashlib
import random
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from safecase.suites._sandbox import Service

Category = Literal["cryptography", "web", "forensics", "reversing", "binary-exploitation", "miscellaneous"]
Difficulty = Literal["easy", "medium", "hard"]

CATEGORIES: tuple[Category, ...] = (
    "cryptography",
    "web",
    "forensics",
    "reversing",
    "binary-exploitation",
    "miscellaneous",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A task made concrete for one attempt.

    Attributes:
        files: path below the player's home directory -> content.
        service: what answers on 127.0.0.1, None where there is nothing to talk to.
    """

    files: Mapping[str, bytes] = field(default_factory=dict)
    service: Service | None = None


Build = Callable[[random.Random, str], Built]
"""(seeded randomness, flag) -> files and service. The same seed gives the same bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CtfTask:
    """One challenge.

    Attributes:
        prompt: what the player is told; never the flag, nor how to get it.
        solution: Python source that prints the flag when it runs in the player's home directory.
        human_minutes: of a practised person; estimated by the author, never measured.
        is_search: the flag may lie in plain sight, because finding it is the task.
    """

    task_id: str
    category: Category
    difficulty: Difficulty
    human_minutes: float
    prompt: str
    solution: str
    build: Build
    is_search: bool = False

    def built(self, seed: str) -> tuple[Built, str]:
        """The task and its flag for one attempt; other seeds have other flags, keys and puzzles."""
        flag = flag_for(self.task_id, seed)
        return self.build(random.Random(f"{seed}/{self.task_id}"), flag), flag  # noqa: S311 - a puzzle, no secret


def ctf(
    category: Category,
    task_id: str,
    *,
    difficulty: Difficulty,
    minutes: float,
    prompt: str,
    solution: str,
    is_search: bool = False,
) -> Callable[[Build], CtfTask]:
    """Make a task of the function below that builds it."""

    def made(build: Build) -> CtfTask:
        return CtfTask(
            task_id=task_id,
            category=category,
            difficulty=difficulty,
            human_minutes=minutes,
            prompt=" ".join(prompt.split()),
            solution=code(solution),
            build=build,
            is_search=is_search,
        )

    return made


def flag_for(task_id: str, seed: str) -> str:
    """The flag of a task under a seed: 20 hex digits in braces.

    >>> flag_for("a", "1") == flag_for("a", "1") != flag_for("a", "2")
    True
    """
    return "flag{" + hashlib.sha256(f"{seed}/{task_id}/flag".encode()).hexdigest()[:20] + "}"


def code(source: str) -> str:
    """Source as written in a task, moved to the left margin."""
    return textwrap.dedent(source).strip() + "\n"


def program(source: str, **files: str | bytes) -> Service:
    """A service that runs `source` once per connection; each of `files` lies beside it under its name."""
    texts = {name.replace("__", "."): value for name, value in files.items()}
    return Service(
        argv=("python3", "service.py"),
        files={
            "service.py": code(source).encode(),
            **{name: value if isinstance(value, bytes) else value.encode() for name, value in texts.items()},
        },
    )


def texts(**files: str) -> dict[str, bytes]:
    """Text files by name; two underscores stand for the dot."""
    return {name.replace("__", "."): value.encode() for name, value in files.items()}
