"""Safe completions: what can be helped with, for every principle that ships, and never a quotation."""

from pathlib import Path

import pytest

from safecase.declare import load_model_spec
from safecase.evidence import RulingRecord
from safecase.safeguard import load_stack, safe_completion

SPEC = load_model_spec("default")


def ruling(**changes: object) -> RulingRecord:
    given = {"layer": "words", "stage": "input", "action": "withhold", "score": 1.0, "principle": None}
    return RulingRecord(**{**given, "latency_ms": 1.0, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("principle", [one.id for one in SPEC.principles])
def test_every_principle_has_words_that_offer_something(principle: str):
    text = safe_completion(principle)

    assert text != safe_completion(None)
    assert " can " in text or " glad " in text


def test_a_failure_says_so_and_accuses_nobody():
    assert safe_completion("no-hate", failed=True) == safe_completion(None, failed=True) != safe_completion("no-hate")


def test_a_stack_has_words_by_rule_by_layer_and_by_principle(tmp_path: Path):
    (tmp_path / "s.yaml").write_text(
        "id: s\nversion: '1'\ncompletions: {no-hate: By principle.}\nlayers:\n"
        "  - {name: words, kind: terms, stage: input, terms: [zanziscope]}\n"
        "  - {name: mine, kind: terms, stage: input, terms: [zanziscope], completion: By layer.}\n"
        "  - {name: attempts, kind: accounts, most_asked: 3, window_s: 60}\n"
        "  - {name: hateful, kind: accounts, most_asked: 3, window_s: 60, principle: no-hate}\n"
        "  - {name: t, kind: topics, stage: input, topics: [{id: x, terms: [zanziscope], completion: By rule.}]}\n"
    )
    stack = load_stack("s.yaml", SPEC, beside=tmp_path)
    said = [
        stack.completion(one)
        for one in (
            ruling(principle="no-hate"),
            ruling(layer="mine", principle="no-hate"),
            ruling(layer="t", rule="x"),
            ruling(layer="hateful", principle="no-hate"),
            ruling(principle="no-serious-harm"),
            ruling(layer="mine", error="TimeoutError"),
        )
    ]

    assert said[:4] == ["By principle.", "By layer.", "By rule.", "By principle."]
    assert said[4:] == [safe_completion("no-serious-harm"), safe_completion(None, failed=True)]
    assert "too many requests" in stack.completion(ruling(layer="attempts"))
