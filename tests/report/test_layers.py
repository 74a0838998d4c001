"""What each layer did stands in every edition, traced; what was not measured says so."""

from dataclasses import replace
from pathlib import Path

from safecase.report import ReportInput, numbers, render


def test_every_number_of_a_layer_is_traced_to_rulings(given: ReportInput):
    found = numbers(given)

    stopped = found["layer/guarded/input-classifier/stopped"]
    assert stopped.query == {"kind": "layer", "arm": "guarded", "layer": "input-classifier", "field": "stopped"}
    assert stopped.evidence_digest == given.evidence_root
    missed = found["layer/guarded/input-classifier/missed"]
    assert (missed.text, missed.low, missed.high, missed.n) == ("11.2%", 0.0, 0.174, 1_208)
    assert found["layer/guarded/input-classifier/alone_unknown"].value == 12


def test_what_was_not_measured_is_no_number(given: ReportInput):
    found = numbers(given)

    assert "layer/guarded/judge/missed" not in found
    assert found["layer/guarded/judge/median_ms"].text == "not measured"


def test_every_edition_shows_the_table(given: ReportInput, tmp_path: Path):
    page = render(given, tmp_path).paths["html"].read_text()

    assert "What each layer did" in page
    assert "observes only" in page
    assert "layer input-classifier on arm guarded, missed" in page


def test_a_case_without_layers_has_no_table(given: ReportInput):
    assert not [name for name in numbers(replace(given, layers=())) if name.startswith("layer/")]
