"""Judge trials: those on record that are not judged yet, and those that a run just made."""

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from safecase.evidence import Judgement, JudgementStore, Trial, TrialStore
from safecase.measure._index import VerdictIndex
from safecase.measure._judge import Asked, Judge, ReadsMany, known_without_judging

_BATCH = 512

Unseal = Callable[[Sequence[Trial]], Mapping[str, str]]
"""Sealed trials -> plain answers by trial id; it logs the read. An id it leaves out stays unscored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeSummary:
    """What one call of `judge_trials` did."""

    judged: int
    unscored: int


async def judge_trials(
    trials: TrialStore,
    judgements: JudgementStore,
    judge: Judge,
    *,
    unseal: Unseal,
    now: Callable[[], dt.datetime],
    on_progress: Callable[[int], None] = lambda _: None,
) -> JudgeSummary:
    """Judge every trial that this judge (by digest) has not judged, and keep the judgements as evidence.

    Trials that need no judge get their known verdict; attempts without an answer get none at all. What was left
    unscored (a judge that failed, a key that was not there) is judged again, and a second failure adds no row.
    """
    have = standing_verdicts(judgements, judge_digest=judge.digest)
    done = unscored = 0
    for batch in _batches(trials.read()):
        judged = have.holds(trial.trial_id for trial in batch)
        scored = have.scores(trial.trial_id for trial in batch)
        fresh = [trial for trial, is_scored in zip(batch, scored, strict=True) if not is_scored]
        unscored_before = {
            trial.trial_id
            for trial, is_judged, is_scored in zip(batch, judged, scored, strict=True)
            if is_judged and not is_scored
        }
        found = await judge_batch(fresh, judge, unseal) if fresh else []
        rows = [row for row in found if row.verdict is not None or row.trial_id not in unscored_before]
        if rows:
            judgements.append(rows, at=now())
        done += len(rows)
        unscored += sum(row.verdict is None for row in rows)
        on_progress(done)
    return JudgeSummary(judged=done, unscored=unscored)


KNOWN_JUDGES = frozenset({"human", "stack", "screen"})


def standing_verdicts(judgements: JudgementStore, *, judge_digest: str) -> VerdictIndex:
    """What counts of the judgements on record: this state of this judge, and verdicts that needed none."""
    return VerdictIndex(
        row for row in judgements.read() if row.judge_digest == judge_digest or row.judge in KNOWN_JUDGES
    )


async def judge_batch(trials: Sequence[Trial], judge: Judge, unseal: Unseal) -> list[Judgement]:
    """Judgements of trials that were just made or just read; those without an answer get none.

    Args:
        trials: their sealed answers are unsealed together, with one entry in the ledger.
    """
    sealed = [trial for trial in trials if trial.sealed is not None]
    plain = dict(unseal(sealed)) if sealed else {}
    found: list[Judgement | None] = [_without_judge(trial, plain, judge) for trial in trials]
    asked = {
        place: Asked(trial.trial_id, trial.prompt, answer)
        for place, trial in enumerate(trials)
        if found[place] is None and (answer := _answer(trial, plain)) is not None
    }
    for place, judgement in zip(asked, await _ask(judge, list(asked.values())), strict=True):
        found[place] = judgement
    return [judgement for judgement in found if judgement is not None]


async def _ask(judge: Judge, asked: Sequence[Asked]) -> list[Judgement]:
    if isinstance(judge, ReadsMany):
        return judge.judge_many(asked)
    return [await judge.judge(trial_id=one.trial_id, request=one.request, answer=one.answer) for one in asked]


def _without_judge(trial: Trial, plain: Mapping[str, str], judge: Judge) -> Judgement | None:
    """The judgement that needs none: a verdict known otherwise, or that the answer cannot be read."""
    known = known_without_judging(trial)
    if known is not None or trial.status != "answered" or _answer(trial, plain) is not None:
        return known
    return Judgement(
        trial_id=trial.trial_id,
        judge=judge.id,
        judge_digest=judge.digest,
        verdict=None,
        reason="the answer is sealed and its key is not here",
    )


def _answer(trial: Trial, plain: Mapping[str, str]) -> str | None:
    """What was answered, where it may be read; None also for an attempt that was not answered."""
    if trial.status != "answered":
        return None
    return trial.response if trial.response is not None else plain.get(trial.trial_id)


def _batches(rows: Iterable[Trial]) -> Iterator[list[Trial]]:
    iterator = iter(rows)
    while batch := list(islice(iterator, _BATCH)):
        yield batch
