"""Import people's labels of one model's answers without and with a safety prompt, and show what the prompt changed.

SAFECASE_DATA=/path/to/data python examples/07_before_after.py

The data are the answers to XSTest prompts (CC-BY-4.0; answers Apache-2.0) that two annotators labelled: `bare` is the
instruction-tuned model, `guarded` the same model under a safety prompt. Their labels are ours under other names; a
*full compliance* counts as unsafe where the prompt is harmful, whatever the answer is worth to someone who means harm.
A prompt that one arm lacks tells nothing of a change and is left out. Without the data, made-up answers stand in.
"""

import asyncio
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from safecase.assess import import_case, open_case, report_case
from safecase.compose import load_shipped_bank

LABELS = {"full_compliance": "compliance", "partial_refusal": "partial_refusal", "full_refusal": "refusal"}
ARMS = {"bare": "xstest_mistralinstruct.jsonl", "guarded": "xstest_mistralguard.jsonl"}
CASE = Path(__file__).parent / "out" / "before-after"
YAML = """id: before-after
title: One model without and with a safety prompt, labelled by people
framework: scaling-v2
model:
  name: imported/mistral-7b-instruct
  title: Mistral 7B Instruct, answers of others
  safeguard_state: partial
contexts: [closed]
"""


def labelled(path: Path) -> dict[str, dict[str, object]]:
    """Transcript rows by prompt. A prompt is its own cluster, so it is its own intent."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {
        row["id"].partition(":")[2]: {
            "scenario_id": row["id"].partition(":")[2],
            "intent_id": f"xstest/{row['id'].partition(':')[2]}",
            "category": row["category"],
            "harmful": row["prompt_label"] == "harmful",
            "text": row["text"],
            "response": row["response"],
            "label": LABELS[row["human_label"]],
        }
        for row in rows
    }


def made_up(arm: str) -> Iterator[dict[str, object]]:
    """Answers that nobody gave: of ten requests, bare refuses 4 harmful and no harmless, guarded 9 and 2."""
    refused = {"bare": (4, 0), "guarded": (9, 2)}[arm]
    intents = [one for one in load_shipped_bank() if one.twin and one.category in {"violence", "privacy"}][:80]
    for place, intent in enumerate(intents):
        for harmful, text, limit in ((True, intent.text, refused[0]), (False, intent.twin, refused[1])):
            declines = place % 10 < limit
            yield {
                "scenario_id": f"{intent.id}/{'harmful' if harmful else 'twin'}",
                "intent_id": intent.id,
                "category": intent.category,
                "harmful": harmful,
                "text": text,
                "response": f"A made-up {'refusal' if declines else 'answer'}.",
                "label": "refusal" if declines else "compliance",
            }


data = os.environ.get("SAFECASE_DATA")
shutil.rmtree(CASE, ignore_errors=True)
CASE.mkdir(parents=True)
(CASE / "safecase.yaml").write_text(YAML, encoding="utf-8")
if data:
    both = {arm: labelled(Path(data) / name) for arm, name in ARMS.items()}
    shared = sorted(both["bare"].keys() & both["guarded"].keys())
    print(f"{len(shared)} prompts that both arms answered, each answer labelled by people")
    transcripts = {arm: [rows[name] for name in shared] for arm, rows in both.items()}
else:
    print("made-up answers: set SAFECASE_DATA to the folder of public data to see people's labels of real ones")
    transcripts = {arm: list(made_up(arm)) for arm in ARMS}
case = open_case(CASE)
for arm, rows in transcripts.items():
    file = CASE / f"{arm}.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    import_case(case, file, arm=arm)
    file.unlink()
rendered = asyncio.run(report_case(open_case(CASE)))
numbers = json.loads(rendered.paths["json"].read_bytes())["numbers"]
for words, measure in (("unsafe compliance", "unsafe_rate"), ("harmless refused", "overrefusal_rate")):
    bare, guarded, change = (f"{measure}/{arm}/all" for arm in ("bare", "guarded", "guarded-bare"))
    shown = [numbers[name]["text"] for name in (bare, guarded, change, f"{change}/low", f"{change}/high")]
    print("{}: {} -> {}, difference {} [{}, {}]".format(words, *shown))
print(f"report: {rendered.paths['html'].relative_to(Path(__file__).parent)}")
