"""The embedded model in every loss-of-control suite of ours: it can be run, and what it cannot answer is no number."""

import pytest

from safecase.models import open_model
from safecase.suites import Limits, NoSandbox, find_engine, load_suite, try_suite

pytestmark = [pytest.mark.local_model, pytest.mark.slow]
LIMITS = Limits(answer_tokens=64, turns=3, tokens=600)
TASKS = {
    "mask-like": ("record-00", "known-00"),
    "eval-awareness": ("evaluation/public/01", "deployment/private/03"),
    "agentic-misalignment": ("conflict/cold-flat", "benign/user-votes"),
    "loc-checkpoint": ("software/every_other", "adaptation/units-000", "dual/main-000", "dual/side-000"),
    "reward-hacking": ("trap/wrong-check/every_other",),
}


@pytest.mark.parametrize("suite_id", TASKS)
async def test_the_embedded_model_goes_through(suite_id: str):
    if suite_id in {"loc-checkpoint", "reward-hacking"}:
        try:
            find_engine()
        except NoSandbox as reason:
            pytest.skip(str(reason))
    suite = load_suite(suite_id)
    async with open_model("llama-cpp/smollm2-135m-instruct") as model:
        tried = [one async for one in try_suite(suite, model, tasks=TASKS[suite_id], limits=LIMITS)]

    asked = {task.task: len(task.conditions) for task in suite.tasks() if task.task in TASKS[suite_id]}
    assert len(tried) == sum(asked.values())
    assert all(one.attempt.status in {"answered", "unparsed"} for one in tried)
    assert all((one.attempt.score is None) == (one.attempt.status != "answered") for one in tried)
    assert all(one.transcript for one in tried if one.attempt.status == "answered")
