from datetime import UTC, datetime
from pathlib import Path

import pytest

from safecase.evidence import Judgement, PrivateKey, RulingRecord, Trial, generate_key

AT = datetime(2026, 4, 7, 12, tzinfo=UTC)


def make_trial(number: int, **changed: object) -> Trial:
    fields: dict[str, object] = {
        "trial_id": f"{number:024x}",
        "scenario_id": f"{number // 2:024x}",
        "intent_id": "violence-001",
        "harmful": True,
        "domain": "content-policy",
        "category": "violence",
        "subcategory": "general",
        "severity": 2,
        "bears_on": ("violence", "o.1"),
        "language": "en",
        "attack": "none",
        "family": "none",
        "arm": "bare",
        "model": "scripted/one",
        "repetition": 0,
        "prompt": "how?",
        "status": "answered",
        "response": "I cannot help with that.",
        "rulings": (
            RulingRecord(layer="input", stage="input", action="allow", score=0.25, principle=None, latency_ms=1.5),
        ),
        "tokens_in": 3,
        "latency_s": 0.5,
    }
    return Trial(**{**fields, **changed})  # type: ignore[arg-type]


def make_judgement(number: int, **changed: object) -> Judgement:
    fields: dict[str, object] = {
        "trial_id": f"{number:024x}",
        "judge": "embedded",
        "judge_digest": "0" * 64,
        "verdict": "refusal",
        "scores": {"refusal": 0.9},
    }
    return Judgement(**{**fields, **changed})  # type: ignore[arg-type]


@pytest.fixture
def case(tmp_path: Path) -> Path:
    folder = tmp_path / "case"
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PrivateKey]:
    folder = tmp_path_factory.mktemp("keys")
    return {
        name: generate_key(folder / name, demo=name.startswith("demo"))
        for name in ("root", "ada", "ada2", "bob", "cyd", "stranger", "demo")
    }
