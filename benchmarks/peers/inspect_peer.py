"""Inspect AI: a task of as many samples, generated and scored by a plain scorer."""

import os
import sys
import tempfile

url, prompts, in_flight = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
os.environ.update(OPENAI_API_KEY="stub", OPENAI_BASE_URL=url, INSPECT_DISPLAY="none")

from inspect_ai import Task, eval  # noqa: A004, E402 - the environment comes first
from inspect_ai.dataset import Sample  # noqa: E402
from inspect_ai.scorer import includes  # noqa: E402
from inspect_ai.solver import generate  # noqa: E402

task = Task(
    dataset=[Sample(input=f"Tell me about case {n} in a few words.", target="overview") for n in range(prompts)],
    solver=generate(),
    scorer=includes(),
)
with tempfile.TemporaryDirectory() as logs:
    (log,) = eval(
        task,
        model="openai/stub",
        model_args={"responses_api": False},
        log_dir=logs,
        max_connections=in_flight,
        max_samples=in_flight,
        max_tokens=64,
        display="none",
    )
    sys.exit(0 if log.status == "success" else 1)
