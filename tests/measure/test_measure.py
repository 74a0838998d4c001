"""Judging what is on record: each answer once, and again only while nobody could say what it is."""

import datetime as dt
from pathlib import Path

from safecase.evidence import Judgement, JudgementStore, TrialStore
from safecase.measure import EmbeddedJudge, judge_trials
from tests.measure.worlds import slots, trial


def now() -> dt.datetime:
    return dt.datetime(2026, 11, 21, tzinfo=dt.UTC)


class Unsure:
    """Goes by the name of the embedded judge, and can say nothing."""

    id, digest = EmbeddedJudge().id, EmbeddedJudge().digest

    async def judge(self, *, trial_id: str, request: str, answer: str) -> Judgement:
        return Judgement(trial_id=trial_id, judge=self.id, judge_digest=self.digest, verdict=None, reason="it is down")


async def test_an_unscored_answer_is_judged_again_and_a_scored_one_is_not(tmp_path: Path):
    trials, judgements = TrialStore(tmp_path), JudgementStore(tmp_path)
    trials.append([trial(slot) for slot in slots(intents=2)[:5]], at=now())

    counts = []
    for judge in (Unsure(), Unsure(), EmbeddedJudge(), EmbeddedJudge()):
        done = await judge_trials(trials, judgements, judge, unseal=lambda _: {}, now=now)
        counts.append((done.judged, done.unscored))

    assert counts == [(5, 5), (0, 0), (5, 0), (0, 0)]
    assert all(row.verdict is not None for row in judgements.read())
