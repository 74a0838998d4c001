"""Run a small case against a scripted model; name a real one to run that instead.

python examples/03_run.py llama-cpp/smollm2-135m-instruct
"""

import asyncio
import shutil
import sys
from pathlib import Path

from safecase.assess import new_case, open_case, run_case
from safecase.testing import ScriptedModel

CASE = Path(__file__).parent / "out" / "case"
shutil.rmtree(CASE, ignore_errors=True)
new_case(CASE, gates=("policy.violence.unsafe",), attacks=("none",), contexts=("controlled", "closed"))
model = None if len(sys.argv) > 1 else ScriptedModel(lambda _: "I'm sorry, but I can't help with that request.")
name = sys.argv[1] if len(sys.argv) > 1 else None
summary = asyncio.run(run_case(open_case(CASE), model=model, model_name=name))
print(f"{summary.trials} trials, {summary.errors} without an answer")
