"""From evidence to columns: trials of the plan joined with what judges and people said of them."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from safecase.evidence import VERDICTS, Judgement, Trial, Verdict, digest_bytes
from safecase.measure._calibration import JudgeCard
from safecase.measure._columns import (
    Codes,
    Columns,
    Finder,
    Mask,
    Names,
    Slot,
    as_ids,
    attempt_id,
    chunks,
    encode,
    episode_key,
    join,
    new_book,
)
from safecase.measure._episodes import Verdicts
from safecase.measure._estimate import Allocation, Measurement, measurement
from safecase.measure._judging import KNOWN_JUDGES

HUMAN_PREFIX = "human:"


def gather(
    trials: Iterable[Trial],
    judgements: Iterable[Judgement],
    *,
    judge_digest: str,
    planned: Iterable[Slot],
    card: JudgeCard,
    allocation: Allocation = "plan-order",
) -> Measurement:
    """Join trials of the plan (and imports) with this judge's verdicts and people's labels, each read once.

    Args:
        judge_digest: verdicts of another judge, or of another state of this one, are left aside.
        planned: the places of the plan, in its order, which is the order in which intents bet; trials outside the plan
            count only when imported, and imported intents follow in the order of their digests.
        allocation: what decided the order of the run, as the plan says it.
    """
    collector = Collector(planned)
    for some in chunks(trials):
        collector.add(some)
    rows = collector.rows()
    verdicts = _Verdicts(rows, judge_digest, collector.book["judge"])
    for said in chunks(judgements):
        verdicts.add(said)
    return measurement(
        rows,
        judge=verdicts.judge,
        verdict=verdicts.verdict,
        known=verdicts.known,
        label=verdicts.label,
        rank=collector.rank(),
        planned=collector.planned,
        book=collector.book,
        card=card,
        allocation=allocation,
    )


class Collector:
    """Trials on their way into columns; those that are neither planned nor imported are left out."""

    def __init__(self, planned: Iterable[Slot]) -> None:
        self.book = new_book()
        self.planned = join([encode(some, self.book) for some in chunks(planned)], self.book)
        self._intents = len(self.book["intent_id"])
        self._first = Finder(self.planned.ids)
        self._episode: Finder | None = None  # made when an attempt comes that is not a first one
        self._parts: list[Columns] = []

    def add(self, trials: Sequence[Trial]) -> NDArray[np.bool_]:
        """Take trials, and say which ones count, (trials,)."""
        found = self._first.find(as_ids(trial.trial_id for trial in trials)) >= 0
        counts = [
            is_imported(trial) or (self._follows(trial) if trial.attempt else bool(here))
            for trial, here in zip(trials, found, strict=True)
        ]
        kept = [trial for trial, here in zip(trials, counts, strict=True) if here]
        if kept:
            self._parts.append(encode(kept, self.book))
        return np.array(counts, dtype=np.bool_)

    def rows(self) -> Columns:
        """What was taken so far."""
        self._parts = [join(self._parts, self.book)] if self._parts else []
        return self._parts[0] if self._parts else join([], self.book)

    def rank(self) -> NDArray[np.int64]:
        """Intent code -> place in the order of the bets."""
        names = list(self.book["intent_id"])
        imported = sorted(range(self._intents, len(names)), key=lambda code: digest_bytes(names[code].encode()))
        rank = np.arange(len(names), dtype=np.int64)
        rank[imported] = np.arange(self._intents, len(names))
        return rank

    def _follows(self, trial: Trial) -> bool:
        """Whether a further attempt belongs to a planned place."""
        if self._episode is None:
            self._episode = Finder(self.planned.keys)
        place = int(self._episode.find(as_ids([episode_key(trial)]))[0])
        return place >= 0 and attempt_id(self.planned.ids[place].decode(), trial.attempt) == trial.trial_id


class _Verdicts:
    """What judges and people said of rows; of several judgements the last one stands."""

    def __init__(self, rows: Columns, judge_digest: str, judges: Names) -> None:
        count = len(rows)
        distinct, self._row_of = np.unique(rows.ids, return_inverse=True)
        self._finder = Finder(distinct)
        self._digest = judge_digest
        self._judges = judges
        self._judge = np.full(distinct.size, -1, dtype=np.int32)
        self._verdict = np.full(distinct.size, -1, dtype=np.int8)
        self._known = np.zeros(distinct.size, dtype=np.bool_)
        self._label = np.full(distinct.size, -1, dtype=np.int8)
        assert self._row_of.size == count  # noqa: S101 - one place for every row

    def add(self, judgements: Sequence[Judgement]) -> None:
        """Take judgements."""
        people = [row for row in judgements if row.judge.startswith(HUMAN_PREFIX) and row.verdict is not None]
        self._put(self._label, people, [_place(row.verdict) for row in people])
        mine = [
            row
            for row in judgements
            if not (row.judge.startswith(HUMAN_PREFIX) and row.verdict is not None)
            and (row.judge in KNOWN_JUDGES or row.judge_digest == self._digest)
        ]
        self._put(self._verdict, mine, [_place(row.verdict) for row in mine])
        self._put(self._known, mine, [row.judge in KNOWN_JUDGES for row in mine])
        self._put(self._judge, mine, self._judges.encode([row.judge for row in mine]))

    def _put(self, column: NDArray[Any], judgements: Sequence[Judgement], values: Sequence[Any] | Codes) -> None:
        place = self._finder.find(as_ids(row.trial_id for row in judgements))
        here = place >= 0
        column[place[here]] = np.asarray(values, dtype=column.dtype)[here]

    @property
    def judge(self) -> Codes:
        return np.asarray(self._judge[self._row_of])

    @property
    def verdict(self) -> Verdicts:
        return np.asarray(self._verdict[self._row_of])

    @property
    def known(self) -> Mask:
        return np.asarray(self._known[self._row_of])

    @property
    def label(self) -> Verdicts:
        return np.asarray(self._label[self._row_of])


def _place(verdict: Verdict | None) -> int:
    return -1 if verdict is None else VERDICTS.index(verdict)


def is_imported(trial: Trial) -> bool:
    """Whether a trial came from elsewhere instead of from a plan."""
    return trial.model.startswith("imported/")
