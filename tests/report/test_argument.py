"""The argument as a figure: one per outcome of interest, the same bytes each time, readable without seeing it."""

import re
from xml.etree import ElementTree

import pytest

from safecase.decide import Concern
from safecase.report import draw_argument
from tests.decide.test_argument import argue, estimates

SVG = "{http://www.w3.org/2000/svg}"
SANDBAGS = {"loss-of-control.checkpoint-adaptation": 0.9}


def texts(svg: str) -> str:
    return " ".join("".join(found.itertext()) for found in ElementTree.fromstring(svg).iter(f"{SVG}text"))


def test_an_honest_weak_model_and_one_that_sandbags_are_drawn_apart():
    honest = draw_argument(argue(estimates()), part="cyber-1").svg
    hiding = draw_argument(argue(estimates(SANDBAGS)), part="cyber-1").svg

    assert "confidence high" in texts(honest)
    assert "Sandbagging, open" not in texts(honest)
    assert "Sandbagging, open" in texts(hiding)
    assert "not supported yet" in texts(hiding)


def test_the_same_argument_gives_the_same_bytes_and_is_told_to_who_cannot_see_it():
    first, second = (draw_argument(argue(estimates()), is_overview=True) for _ in range(2))
    root = ElementTree.fromstring(first.svg)

    assert first.svg == second.svg
    assert root.get("role") == "img"
    assert [root.find(f"{SVG}{tag}").text for tag in ("title", "desc")] == [first.title, first.description]
    assert not re.search(r"\d", first.description)


def test_every_row_lies_inside_the_drawing_and_no_text_runs_out_of_its_box():
    concern = Concern(concern_id="a", kind="incident", what="a long word " * 40, touches=("cyber",))
    root = ElementTree.fromstring(draw_argument(argue(estimates(), concerns=[concern])).svg)
    height = float(root.get("height", "0"))
    found = list(root.iter(f"{SVG}text"))

    assert len(found) > 100
    for text in found:
        assert 0 < float(text.get("y", "0")) < height
        assert float(text.get("x", "0")) + 5.4 * len(text.text or "") < 765, text.text


def test_a_part_that_is_not_there_is_refused():
    with pytest.raises(KeyError):
        draw_argument(argue(estimates()), part="cyber-9")
