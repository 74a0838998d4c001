"""A target that takes its process with it, once: what a lost worker looks like from inside."""

import os
import signal
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from safecase.evidence import Identity
from safecase.models import Answer, Delta, Model, Request, open_model


@dataclass(frozen=True, slots=True, kw_only=True)
class DyingOnce:
    """Opens targets by name, and kills the process (SIGKILL) in the middle of one's work: the first that gets so far.

    It travels to other processes by value. Give it as `opens` to `run_case_distributed`.

    Attributes:
        marker: a file on a disk that all processes share; made by the one that dies.
        after: requests that it answers before it dies.
    """

    marker: Path
    after: int

    def __call__(self, name: str) -> Model:
        """Open a target."""
        return _Dying(open_model(name), self)


class _Dying:
    def __init__(self, model: Model, plan: DyingOnce) -> None:
        self._model = model
        self._plan = plan
        self._asked = 0

    @property
    def name(self) -> str:
        return self._model.name

    @property
    def concurrency(self) -> int:
        return self._model.concurrency

    async def generate(self, request: Request) -> Answer:
        self._asked += 1
        if self._asked > self._plan.after:
            try:
                self._plan.marker.touch(exist_ok=False)
            except FileExistsError:
                pass
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        return await self._model.generate(request)

    def stream(self, request: Request) -> AsyncGenerator[Delta]:
        return self._model.stream(request)

    async def identity(self) -> Identity:
        return await self._model.identity()

    async def aclose(self) -> None:
        await self._model.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
