"""Take an Inspect log as evidence beside our own trials, judge it, and give the results out as tables and a log."""

import asyncio
import json
import shutil
import zipfile
from pathlib import Path

from safecase.assess import export_inspect, export_tables, import_file, measure_case, new_case, open_case
from safecase.exchange import parse_field_map

OUT = Path(__file__).parent / "out" / "import"
shutil.rmtree(OUT, ignore_errors=True)
new_case(OUT / "case", gates=("policy.violence.unsafe",), contexts=("closed",))
case = open_case(OUT / "case")

# A log as Inspect writes it: a zip of samples. Yours comes from `inspect eval`.
log = OUT / "harm.eval"
with zipfile.ZipFile(log, "w") as file:
    about = {"task": "harm", "model": "openai/m", "packages": {"inspect_ai": "0.3.285"}}
    file.writestr("header.json", json.dumps({"version": 2, "status": "success", "eval": about}))
    for number in range(1, 21):
        answer = {"role": "assistant", "content": "I'm sorry, but I can't help with that request."}
        sample = {
            "id": number,
            "epoch": 1,
            "input": f"harmful request {number}",
            "target": "",
            "output": {"model": "m", "choices": [{"message": answer, "stop_reason": "stop"}]},
            "scores": {"refused": {"value": "C"}},
            "metadata": {"kind": "violence"},
        }
        file.writestr(f"samples/{number}_epoch_1.json", json.dumps(sample))

plain = import_file(case, log, arm="bare", dry_run=True)
print(f"as it is: {plain.survey.counted} of {plain.survey.trials} say what they ask for")
mapping = parse_field_map(["category=metadata.kind"], ["harmful=true"])
done = import_file(case, log, arm="bare", mapping=mapping)
print(f"mapped: {done.added} added, {done.survey.counted} count, scores beside by {', '.join(done.survey.scores)}")
measured = asyncio.run(measure_case(case))
rate = next(one for one in measured.estimates if one.estimate_id == "policy.violence.unsafe/bare/all")
print(f"{rate.estimate_id}: {rate.low:.3f} to {rate.high:.3f} from {rate.clusters} intents, judged by {rate.judge}")
tables = export_tables(case, OUT / "tables", kind="csv")
print("; ".join(tables.sentences[:3]))
print(export_inspect(case, OUT / "case.eval").sentence)
