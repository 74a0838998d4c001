"""Take what shards wrote into the case: each row checked, each answer once, by the one process that holds the case."""

import datetime as dt
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from safecase.evidence import Folder, PostKey, StorageTrouble, Trial, TrialStore, read_remote, segment_number
from safecase.run._plan import PlannedTrial
from safecase.run._shards import shards_of

_SHARD = re.compile(r"s(?P<number>\d{5})of(?P<of>\d{5})")
_ANSWERED = {"answered", "not-stored"}
_Failure = tuple[str, str | None, float | None]


@dataclass
class Tally:
    """What was collected from shards. `doubled`: answers that another life of a shard had given before."""

    trials: int = 0
    errors: int = 0
    tokens: int = 0
    doubled: int = 0
    tokens_of: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Slot:
    """What a planned trial says of its row."""

    scenario_id: str
    intent_id: str
    arm: str
    model: str
    repetition: int


class Collector:
    """Reads a run's folder and appends what is new to the case's store. One per case at a time.

    It may be made anew over the same folder and store at any time: what is on record is passed over.

    Args:
        run: the run's folder.
        planned: every trial of the plan.
        post: opens the post box that answers of hazardous domains were put into.
    """

    def __init__(
        self,
        folder: Folder,
        *,
        run: str,
        planned: Iterable[PlannedTrial],
        store: TrialStore,
        post: PostKey | None,
        now: Callable[[], dt.datetime],
    ) -> None:
        self._folder = folder
        self._run = run
        self._store = store
        self._post = post
        self._now = now
        self._slots = {trial.trial_id: _slot(trial) for trial in planned}
        self._episodes = set(self._slots.values())
        self._shards: dict[int, dict[str, int]] = {}
        self._seen: set[str] = set()
        self.answered = store.open(at=now()).ids(answered=True)
        failed = store.read({"status": ("error", "timeout", "unparsed")}, every_attempt=True)
        self._failures: set[_Failure] = {_failure(row) for row in failed}
        self.damaged: set[str] = set()
        self.tally = Tally()

    def collect(self) -> int:
        """Take every segment that was not read before.

        Returns:
            How many trials were appended.

        Raises:
            StorageTrouble: the folder cannot be read, or a segment is whole and does not belong to this run.
            SealBroken: an answer was sealed for another run or key.
            DiskFull: what was appended before stays; the same command takes the rest.
        """
        before = self.tally.trials
        for name in self._folder.names(self._run):
            shard = _SHARD.fullmatch(name.removeprefix(f"{self._run}/").partition("/")[0])
            if name in self._seen or shard is None or segment_number(name) is None:
                continue
            rows = read_remote(self._folder, name)
            if rows is None:
                self.damaged.add(name)  # looked at again: another process may still be writing it
                continue
            number = int(shard["number"])
            self._must_belong(rows, name, number=number, of=int(shard["of"]))
            self._take(rows, number)
            self._seen.add(name)
            self.damaged.discard(name)
        return self.tally.trials - before

    @property
    def failed(self) -> frozenset[str]:
        """Trials that were asked and have no answer on record."""
        return frozenset(trial_id for trial_id, _, _ in self._failures if trial_id not in self.answered)

    def has(self, names: Sequence[str]) -> bool:
        """Whether every one of these segments was collected."""
        return self._seen.issuperset(names)

    def _take(self, rows: Sequence[Trial], number: int) -> None:
        fresh: list[Trial] = []
        # Attempts of one episode answer one another: of two lives' episodes one stands whole, never some of each.
        elsewhere = {_said(row) for row in rows if row.attempt == 0 and row.trial_id in self.answered}
        for row in rows:
            if row.trial_id in self.answered or _said(row) in elsewhere:
                self.tally.doubled += row.status in _ANSWERED
            elif row.status in _ANSWERED or _failure(row) not in self._failures:
                fresh.append(row)
        if not fresh:
            return
        self._store.append([self._resealed(row) for row in fresh], at=self._now())
        for row in fresh:
            spent = (row.tokens_in or 0) + (row.tokens_out or 0)
            self.tally.trials += 1
            self.tally.tokens += spent
            self.tally.tokens_of[number] = self.tally.tokens_of.get(number, 0) + spent
            if row.status in _ANSWERED:
                self.answered.add(row.trial_id)
            else:
                self.tally.errors += 1
                self._failures.add(_failure(row))

    def _resealed(self, row: Trial) -> Trial:
        if row.sealed is None:
            return row
        if self._post is None:
            raise StorageTrouble(f"trial {row.trial_id!r} came sealed, and the plan holds no hazardous domain")
        return replace(row, sealed=self._post.take_over(row.sealed, row.trial_id))

    def _must_belong(self, rows: Sequence[Trial], name: str, *, number: int, of: int) -> None:
        seen: set[str] = set()
        for row in rows:
            said = _said(row)
            # A later attempt of an episode has an id of its own; the episode itself must be planned.
            is_planned = self._slots.get(row.trial_id) == said if row.attempt == 0 else said in self._episodes
            if not is_planned or self._shard_of(row.intent_id, of) != number or row.trial_id in seen:
                raise StorageTrouble(
                    f"{name}: trial {row.trial_id!r} does not belong there (another plan, arm or shard, or twice); "
                    "nothing of it was taken. Find out who wrote it, remove it and run again"
                )
            seen.add(row.trial_id)

    def _shard_of(self, intent: str, of: int) -> int:
        if of not in self._shards:
            self._shards[of] = shards_of((slot.intent_id for slot in self._slots.values()), of)
        return self._shards[of][intent]


def _slot(planned: PlannedTrial) -> _Slot:
    return _Slot(
        scenario_id=planned.scenario.scenario_id,
        intent_id=planned.scenario.intent_id,
        arm=planned.arm.name,
        model=planned.arm.model,
        repetition=planned.repetition,
    )


def _said(row: Trial) -> _Slot:
    return _Slot(
        scenario_id=row.scenario_id,
        intent_id=row.intent_id,
        arm=row.arm,
        model=row.model,
        repetition=row.repetition,
    )


def _failure(row: Trial) -> _Failure:
    return row.trial_id, row.error, row.latency_s
