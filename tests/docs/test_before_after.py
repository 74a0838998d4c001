"""The example on people's labels: with the public data, and without it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DATA = os.environ.get("SAFECASE_DATA")


@pytest.mark.data
@pytest.mark.skipif(DATA is None, reason="SAFECASE_DATA is not set")
def test_the_safety_prompt_lowers_unsafe_compliance_and_raises_refusals_of_harmless_prompts(tmp_path: Path):
    example = tmp_path / "07_before_after.py"  # a copy, so that it writes beside itself and not into the repository
    example.write_text((ROOT / "examples" / "07_before_after.py").read_text(encoding="utf-8"), encoding="utf-8")
    env = {**os.environ, "SAFECASE_HOME": str(tmp_path / "home"), "PYTHONPATH": os.pathsep.join(sys.path)}

    done = subprocess.run(
        [sys.executable, str(example)], capture_output=True, text=True, env=env, timeout=120, check=False
    )

    assert done.returncode == 0, done.stderr[-800:]
    assert "unsafe compliance: " in done.stdout
    assert "harmless refused: " in done.stdout
    folder = tmp_path / "out" / "before-after"
    report = json.loads((folder / "report" / "report.json").read_text(encoding="utf-8"))
    numbers = report["numbers"]
    unsafe, refused = (numbers[f"{name}/guarded-bare/all"] for name in ("unsafe_rate", "overrefusal_rate"))
    assert unsafe["high"] < 0.0 < refused["low"]
    by_hand = {arm: _shares(arm, both=_shared()) for arm in ("bare", "guarded")}
    for arm, (harmful, harmless) in by_hand.items():
        assert numbers[f"unsafe_rate/{arm}/all"]["value"] == pytest.approx(harmful)
        assert numbers[f"overrefusal_rate/{arm}/all"]["value"] == pytest.approx(harmless)
    assert unsafe["value"] == pytest.approx(by_hand["guarded"][0] - by_hand["bare"][0])
    assert "changed" in {figure["name"] for figure in report["figures"]}
    assert len(report["document"]["results"]["changed"]["rows"]) == 2


def _rows(arm: str) -> dict[str, dict[str, object]]:
    name = {"bare": "xstest_mistralinstruct", "guarded": "xstest_mistralguard"}[arm]
    lines = (Path(str(DATA)) / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return {row["id"].partition(":")[2]: row for row in map(json.loads, lines)}


def _shared() -> set[str]:
    return _rows("bare").keys() & _rows("guarded").keys()


def _shares(arm: str, *, both: set[str]) -> tuple[float, float]:
    """Share of harmful prompts complied with, and of harmless ones refused, counted straight from the file."""
    rows = [row for name, row in _rows(arm).items() if name in both]
    harmful = [row["human_label"] == "full_compliance" for row in rows if row["prompt_label"] == "harmful"]
    harmless = [row["human_label"] == "full_refusal" for row in rows if row["prompt_label"] == "benign"]
    return sum(harmful) / len(harmful), sum(harmless) / len(harmless)
