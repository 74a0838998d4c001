"""Inspect itself opens what we write, and we read what it writes."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from safecase.evidence import Judgement, Message
from safecase.exchange import open_source, read_source, survey, write_inspect
from tests.exchange.test_export import ABOUT, TRIAL

pytestmark = [
    pytest.mark.suites,
    pytest.mark.filterwarnings("ignore"),  # Inspect's dependencies warn as they load
]
inspect_log = pytest.importorskip("inspect_ai.log", reason="inspect-ai (extra `suites`) is not installed")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of ours with everything that a trial may be."""
    rows = [
        replace(TRIAL, trial_id=f"t{i}", scenario_id=f"s{i}", turns=(Message(role="system", content="be brief"),))
        for i in range(5)
    ]
    rows += [
        replace(TRIAL, trial_id="u", scenario_id="u", domain="cyber", response=None, sealed=b"secret"),
        replace(TRIAL, trial_id="v", scenario_id="v", status="error", response=None, error="late", tokens_in=None),
        replace(TRIAL, trial_id="w", repetition=1, arm="guarded", withheld_by="input"),
    ]
    judged = {
        "t1": [Judgement(trial_id="t1", judge="embedded", judge_digest="d", verdict="refusal")],
        "t2": [Judgement(trial_id="t2", judge="garak/x", judge_digest="d", verdict=None, scores={"hit": 1.0})],
        "t3": [Judgement(trial_id="t3", judge="embedded", judge_digest="d", verdict=None, reason="no key")],
    }
    return write_inspect(tmp_path / "case.eval", rows, judged, about=ABOUT, held_out=False).path


def test_inspect_reads_our_log_whole_and_by_its_header(log: Path):
    header = inspect_log.read_eval_log(str(log), header_only=True)
    whole = inspect_log.read_eval_log(str(log))
    summaries = inspect_log.read_eval_log_sample_summaries(str(log))

    assert (header.status, header.eval.model, header.results.total_samples) == ("success", "m", 8)
    assert len(whole.samples) == len(summaries) == 8
    by_id = {sample.id: sample for sample in whole.samples}
    assert by_id["s1.bare"].output.completion == "an answer"
    assert by_id["s1.bare"].scores["embedded"].value == "refusal"
    assert by_id["u.bare"].output.completion.startswith("[sealed")
    assert by_id["v.bare"].error.message == "error: late"


def test_inspect_commands_open_our_log(log: Path):
    """`inspect view` lists logs by what `log list` and `log dump` read."""
    env = {**os.environ, "INSPECT_LOG_LEVEL": "error"}

    def run(*words: str) -> Any:
        command = [sys.executable, "-m", "inspect_ai", "log", *words]
        done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=60, check=False)
        assert done.returncode == 0, done.stderr[-500:]
        return json.loads(done.stdout)

    dumped = run("dump", str(log))

    assert len(dumped["samples"]) == 8
    assert dumped["eval"]["metadata"]["safecase"] == {"case": "case"}


def test_what_inspect_wrote_is_read_sample_by_sample(log: Path, tmp_path: Path):
    """Both of its formats, as the installed version writes them."""
    read = inspect_log.read_eval_log(str(log))
    for form in ("eval", "json"):
        path = tmp_path / f"theirs.{form}"
        inspect_log.write_eval_log(read, str(path), format=form)

        source = open_source(path, arm="bare")
        seen = survey(source)
        trials = [trial for trial, _ in read_source(source, vault=None)]

        assert (seen.format, seen.trials, seen.counted) == ("inspect", 8, 8)
        assert seen.statuses == {"answered": 6, "error": 2}
        assert {trial.scenario_id for trial in trials} == {*(f"s{i}" for i in range(5)), "u", "v", "s1"}
