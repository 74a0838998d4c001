"""Every layer that ships has a card, and no card speaks about a layer that is no longer the one it measured."""

import typing
from pathlib import Path

import pytest
import yaml

from safecase.declare import load_model_spec
from safecase.safeguard import (
    LayerCard,
    LayerConfig,
    Safeguard,
    TermsLayer,
    _terms,
    is_current,
    load_cards,
    load_stack,
)
from safecase.safeguard._cards import _closure
from safecase.testing import ScriptedModel

ROOT = Path(__file__).parents[2]
CARDS_THERE = load_cards()
WITHOUT = {"guard-model": "asks a guard model that its owner brings; measure it with --stack and --rows"}
"""Kinds of layers that have no card, and why."""


class Named(ScriptedModel):
    """A model that is asked nothing; its name stands in the digest of a layer."""

    def __init__(self, name: str) -> None:
        super().__init__([])
        self.name = name


def rebuilt(card: LayerCard, folder: Path) -> Safeguard:
    """The layer as the code of today makes it from the card's own words."""
    stack = {"id": "again", "version": "1", "layers": [dict(card.layer)]}
    (folder / "stack.yaml").write_text(yaml.safe_dump(stack))
    (layer,) = load_stack("stack.yaml", load_model_spec("default"), beside=folder, open_as=Named).layers
    return layer


@pytest.mark.parametrize("card", CARDS_THERE.cards, ids=lambda card: card.name)
def test_a_card_speaks_about_the_layer_as_it_is(card: LayerCard, tmp_path: Path):
    layer = rebuilt(card, tmp_path)

    assert is_current(card, layer), (
        f"card {card.name!r} was measured with other code, weights or configuration; run\n    {card.command}"
    )


def test_every_kind_of_layer_has_a_card_or_a_reason():
    union = typing.get_args(LayerConfig)[0]
    kinds = {typing.get_args(config.model_fields["kind"].annotation)[0] for config in typing.get_args(union)}
    have = {card.layer["kind"] for card in CARDS_THERE.cards}

    assert len(kinds) >= 8
    assert kinds - have - WITHOUT.keys() == set(), "add it to scripts/layers.yaml and scripts/_layer_sets.py"


def test_every_enabled_head_that_a_shipped_stack_uses_has_a_card():
    stack = load_stack("default", load_model_spec("default"))
    used = {head.name for layer in stack.layers for head in getattr(layer, "heads", ())}
    have = {head for card in CARDS_THERE.cards for head in card.layer.get("heads", ())}

    assert used
    assert used <= have


@pytest.mark.parametrize("card", CARDS_THERE.cards, ids=lambda card: card.name)
def test_figures_are_there_with_intervals_and_never_a_zero_for_what_was_not_measured(card: LayerCard):
    assert card.latency
    assert all(0 < one.p50_ms <= one.p95_ms for one in card.latency)
    assert card.limits
    assert card.sets or card.layer["kind"] == "accounts"
    for one in card.sets:
        assert (one.recall is None) == (one.positives == 0)
        assert (one.false_positive_rate is None) == (one.negatives == 0)
        for rate in (one.precision, one.recall, one.false_positive_rate, *one.respelled.values()):
            assert rate is None or (rate.low <= rate.value <= rate.high and 1 <= rate.groups <= rate.n)


def test_a_layer_with_weights_is_measured_on_rows_that_they_did_not_learn_from():
    learned = [card for card in CARDS_THERE.cards if card.layer["kind"] == "heads"]

    assert len(learned) >= 4
    for card in learned:
        (first, *_) = card.sets
        assert first.kind == "held-out"
        assert first.left_out["trained on"] > 0
        assert {one.kind for one in card.sets} <= {"held-out", "other-distribution"}


def test_a_changed_layer_makes_its_card_stale(tmp_path: Path):
    card = CARDS_THERE["terms"]
    other = TermsLayer(name="terms", stage="input", terms=("another",), principle="no-serious-harm")

    assert not is_current(card, other)
    assert not is_current(card.model_copy(update={"code_digest": "of older code"}), rebuilt(card, tmp_path))


def test_the_code_digest_covers_what_a_rule_imports_and_not_the_other_layers():
    files = {path.name for path in _closure(Path(_terms.__file__))}

    assert {"_terms.py", "_spelling.py", "_normalise.py"} <= files
    assert not {"_personal.py", "_injection.py", "_stack.py", "_values.py"} & files


def test_the_docs_page_holds_the_tables_of_the_cards():
    from safecase.measure import layer_tables

    page = (ROOT / "docs" / "layers.md").read_text(encoding="utf-8")

    assert "\n".join(layer_tables(CARDS_THERE)) in page
