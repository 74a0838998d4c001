"""The argument as a figure: one per outcome of interest, the same bytes each time, readable without seeing it."""

from xml.etree import ElementTree

import pytest

from safecase.decide import Concern
from safecase.report import argument_overview, argument_parts, draw_argument
from tests.decide.test_argument import FRAMEWORK, argue, estimates

SVG = "{http://www.w3.org/2000/svg}"
SANDBAGS = {"loss-of-control.checkpoint-adaptation": 0.9}


def texts(svg: str) -> str:
    return " ".join("".join(found.itertext()) for found in ElementTree.fromstring(svg).iter(f"{SVG}text"))


def test_an_honest_weak_model_and_one_that_sandbags_are_drawn_apart():
    honest = draw_argument(argue(estimates()), part="cyber-1").svg
    hiding = draw_argument(argue(estimates(SANDBAGS)), part="cyber-1").svg

    assert "confidence high" in texts(honest)
    assert "Sandbagging, open" not in texts(honest)
    assert "Answered: sandbagging (no adaptation was found" in texts(honest)
    assert "Sandbagging, open" in texts(hiding)
    assert "not supported yet" in texts(hiding)


def test_the_same_argument_gives_the_same_bytes_and_is_told_to_who_cannot_see_it():
    first, second = (argument_overview(argue(estimates()))[0] for _ in range(2))
    root = ElementTree.fromstring(first.svg)

    assert first.svg == second.svg
    assert root.get("role") == "img"
    assert [root.find(f"{SVG}{tag}").text for tag in ("title", "desc")] == [first.title, first.description]
    assert "Over every domain that gates: supported, confidence high." in first.description


@pytest.mark.parametrize("found", [estimates(), estimates(SANDBAGS), []], ids=["honest", "hiding", "unmeasured"])
def test_sheets_hold_the_whole_argument_and_each_fits_a_page(found):
    """At the width of an A4 page's text (166 mm) a sheet of 950 units is 232 mm high, and its letters 8 points."""
    argument = argue(found)
    parts = argument_parts(argument, FRAMEWORK)
    sheets = [sheet for part in parts for sheet in part.sheets]
    said = " ".join(texts(sheet.svg) for sheet in sheets)

    assert {part.about for part in parts} >= {"cyber-1", "chem-bio-3", "loss-of-control-2", "content-policy"}
    assert len({sheet.name for sheet in sheets}) == len(sheets)
    assert all(float(ElementTree.fromstring(sheet.svg).get("height", "0")) < 950 for sheet in sheets)
    below = {link.source for link in argument.links} & {f"gate:{gate.id}" for gate in FRAMEWORK.gates}
    assert bool(below) == bool(found)
    assert said.count("upper bound") + said.count("lower bound") >= len(below)
    for node in argument.nodes:
        if node.kind == "goal" and node.about in {gate.id for gate in FRAMEWORK.gates}:
            assert node.text[:30] in said, node.text
    for doubt in argument.defeaters:
        assert doubt.kind.replace("-", " ") in said.lower()


def test_a_sheet_that_goes_on_says_what_it_stands_under():
    (part,) = (one for one in argument_parts(argue(estimates()), FRAMEWORK) if one.about == "loss-of-control-1")

    assert len(part.sheets) > 1
    for sheet in part.sheets[1:]:
        assert sheet.title.endswith(", continued")
        assert "Continued: Not brought within reach" in texts(sheet.svg)
        assert "Continued: Not enabled" in texts(sheet.svg) or "Not enabled" in sheet.description


def test_every_row_lies_inside_the_drawing_and_no_text_runs_out_of_its_box():
    concern = Concern(concern_id="a", kind="incident", what="a long word " * 40, touches=("cyber",))
    root = ElementTree.fromstring(draw_argument(argue(estimates(), concerns=[concern])).svg)
    height = float(root.get("height", "0"))
    found = list(root.iter(f"{SVG}text"))

    assert len(found) > 100
    for text in found:
        assert 0 < float(text.get("y", "0")) < height
        assert float(text.get("x", "0")) + 5.4 * len(text.text or "") < 685, text.text


def test_a_part_that_is_not_there_is_refused():
    with pytest.raises(KeyError):
        draw_argument(argue(estimates()), part="cyber-9")


def test_links_are_drawn_where_they_are_asked_for_and_change_nothing_else():
    argument = argue(estimates(SANDBAGS))
    plain = draw_argument(argument, part="cyber-1").svg
    linked = draw_argument(argument, part="cyber-1", link=lambda name: f'#"{name}').svg
    root = ElementTree.fromstring(linked)
    links = [one.get("href", "") for one in root.iter(f"{SVG}a")]
    known = {node.node_id for node in argument.nodes} | {one.defeater_id for one in argument.defeaters}

    assert "<a " not in plain
    assert texts(linked) == texts(plain)
    assert len(links) > 10
    assert {link.removeprefix('#"') for link in links} <= known
    assert [root.get("role"), ElementTree.fromstring(plain).get("role")] == ["group", "img"]
