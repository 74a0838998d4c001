"""What the engine is plugged into: where trials go, and which comes next."""

import datetime as dt
from collections.abc import Sequence
from typing import Protocol

from safecase.evidence import Judgement, Trial
from safecase.run._plan import PlannedTrial


class Sink(Protocol):
    """Where trials go; `TrialStore` is one. What `append` returned from is acknowledged: it is never run again."""

    def ids(self, *, answered: bool = False) -> set[str]:
        """Ids on record, or only of those with an answer."""
        ...

    def append(self, rows: Sequence[Trial], *, at: dt.datetime | None = None) -> object:
        """Keep all rows, or none."""
        ...


class Sealer(Protocol):
    """Seals hazardous answers before they reach a disk; `Vault` is one, and so is a shard's post box."""

    def seal(self, text: str, trial_id: str) -> bytes:
        """The text, for whoever holds the key alone, bound to the trial."""
        ...


class Schedule(Protocol):
    """Which planned trial comes next. The plan's own order is one; a bandit is another."""

    def next(self) -> PlannedTrial | None:
        """The next one; None when nothing is left."""
        ...

    def learn(self, trial: Trial, judgement: Judgement | None) -> None:
        """What came of a trial (None without a verdict). A schedule in plan order ignores it."""
        ...
