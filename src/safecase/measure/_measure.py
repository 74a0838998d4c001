"""From evidence to estimates: judge what is not judged yet, then count."""

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from safecase.evidence import Judgement, JudgementStore, Trial, TrialStore, Verdict, digest_bytes
from safecase.measure._calibration import JudgeCard
from safecase.measure._estimate import Measurement, Slot, judged
from safecase.measure._judge import Judge, known_without_judging

_BATCH = 512
HUMAN_PREFIX = "human:"

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

    Trials that need no judge get their known verdict; attempts without an answer get none at all.
    """
    have = {row.trial_id for row in judgements.read() if row.judge_digest == judge.digest or row.judge in _KNOWN_JUDGES}
    done = unscored = 0
    for batch in _batches(row for row in trials.read() if row.trial_id not in have):
        rows = await judge_batch(batch, judge, unseal)
        if rows:
            judgements.append(rows, at=now())
        done += len(rows)
        unscored += sum(row.verdict is None for row in rows)
        on_progress(done)
    return JudgeSummary(judged=done, unscored=unscored)


_KNOWN_JUDGES = frozenset({"human", "stack", "screen"})


async def judge_batch(trials: Sequence[Trial], judge: Judge, unseal: Unseal) -> list[Judgement]:
    """Judgements of trials that were just made or just read; those without an answer get none.

    Args:
        trials: their sealed answers are unsealed together, with one entry in the ledger.
    """
    sealed = [trial for trial in trials if trial.sealed is not None]
    plain = dict(unseal(sealed)) if sealed else {}
    found = [await _judge_one(trial, plain.get(trial.trial_id), judge) for trial in trials]
    return [judgement for judgement in found if judgement is not None]


async def _judge_one(trial: Trial, unsealed: str | None, judge: Judge) -> Judgement | None:
    known = known_without_judging(trial)
    if known is not None or trial.status != "answered":
        return known
    answer = trial.response if trial.response is not None else unsealed
    if answer is not None:
        return await judge.judge(trial_id=trial.trial_id, request=trial.prompt, answer=answer)
    return Judgement(
        trial_id=trial.trial_id,
        judge=judge.id,
        judge_digest=judge.digest,
        verdict=None,
        reason="the answer is sealed and its key is not here",
    )


def gather(
    trials: Iterable[Trial],
    judgements: Iterable[Judgement],
    *,
    judge_digest: str,
    planned: Mapping[str, Slot],
    order: Sequence[str],
    card: JudgeCard,
) -> Measurement:
    """Join trials of the plan (and imports) with this judge's verdicts and people's labels.

    Args:
        judge_digest: verdicts of another judge, or of another state of this one, are left aside.
        planned: trial id -> its place in the plan; trials outside the plan count only when imported.
        order: intent ids in the order of the plan; imported intents follow in the order of their digests.
    """
    verdicts: dict[str, Judgement] = {}
    labels: dict[str, Verdict] = {}
    for row in judgements:
        if row.judge.startswith(HUMAN_PREFIX) and row.verdict is not None:
            labels[row.trial_id] = row.verdict
        elif row.judge in _KNOWN_JUDGES or row.judge_digest == judge_digest:
            verdicts[row.trial_id] = row
    rows = [
        judged(trial, verdicts.get(trial.trial_id), labels.get(trial.trial_id))
        for trial in trials
        if trial.trial_id in planned or is_imported(trial)
    ]
    known = set(order)
    return Measurement(
        rows=rows,
        order=[*order, *sorted({row.intent_id for row in rows} - known, key=_digest_order)],
        planned=list(planned.values()),
        card=card,
    )


def is_imported(trial: Trial) -> bool:
    """Whether a trial came from elsewhere instead of from a plan."""
    return trial.model.startswith("imported/")


def _digest_order(intent_id: str) -> str:
    return digest_bytes(intent_id.encode())


def _batches(rows: Iterable[Trial]) -> Iterator[list[Trial]]:
    iterator = iter(rows)
    while batch := list(islice(iterator, _BATCH)):
        yield batch
