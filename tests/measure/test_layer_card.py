"""A layer measured on labelled texts: counts are right, intervals are over groups, and absence is no number."""

import asyncio
from dataclasses import dataclass

import pytest

from safecase.measure import LabelledSet, LabelledText, exchange_with, layer_tables, measure_latency, measure_set
from safecase.safeguard import Exchange, Ruling, SetFigures, load_cards


@dataclass
class Says:
    """Withholds texts that hold `bad`, breaks on `crash`, fails on `slow`."""

    name: str = "says"
    stage: str = "input"
    digest: str = "says"
    reach: int = 0

    async def check(self, exchange: Exchange) -> Ruling:
        text = "\n".join(part.text for part in (*exchange.asked(), *exchange.replied()))
        if "crash" in text:
            raise RuntimeError
        if "slow" in text:
            return Ruling(action="withhold", error="slow")
        return Ruling(action="withhold" if "bad" in text else "allow")


def measured(*texts: tuple[str, bool, str], place: str = "request", **more: object) -> SetFigures:
    rows = [LabelledText(text=text, positive=label, group=group, source="s") for text, label, group in texts]
    labelled = LabelledSet(
        name="set",
        kind="public",
        place=place,  # type: ignore[arg-type]  # one of the three
        texts=rows,
        sources={"s": "MIT"},
        label_sources=("human",),
        positive="p",
        negative="n",
    )
    return asyncio.run(measure_set(Says(), labelled, **more))  # type: ignore[arg-type]  # a test's safeguard


def test_rates_are_counted_and_bounded_over_groups():
    found = measured(*[("bad", True, "g1")] * 30, ("fine", True, "g2"), ("bad", False, "g3"), ("fine", False, "g4"))

    assert found.recall is not None
    assert found.precision is not None
    assert found.false_positive_rate is not None
    assert (found.recall.value, found.recall.n, found.recall.groups) == (0.9677, 31, 2)
    assert found.recall.low < 0.4
    assert (found.precision.value, found.false_positive_rate.value) == (0.9677, 0.5)
    assert (found.positives, found.negatives, found.failed) == (31, 2, 0)


def test_a_set_without_rows_of_a_kind_has_no_rate_for_it():
    found = measured(("fine", False, "g"))

    assert (found.recall, found.precision) == (None, None)
    assert found.false_positive_rate is not None


@pytest.mark.parametrize("text", ["crash", "slow"])
def test_a_layer_that_gives_no_ruling_stops_and_is_counted(text: str):
    found = measured((text, False, "g"))

    assert found.failed == 1
    assert found.false_positive_rate is not None
    assert found.false_positive_rate.value == 1.0


def test_recall_is_measured_again_on_the_same_texts_written_otherwise():
    found = measured(("bad", True, "g"), ("bad", True, "h"), spellings={"upper": str.upper})

    assert {way: rate.value for way, rate in found.respelled.items()} == {"as written": 1.0, "upper": 0.0}


@pytest.mark.parametrize("place", ["request", "reply", "tool-result"])
def test_a_text_stands_where_the_layer_looks(place: str):
    exchange = exchange_with("the text", place)  # type: ignore[arg-type]  # one of the three

    where = {"request": "content", "reply": "content", "tool-result": "tool-result"}[place]
    parts = exchange.replied() if place == "reply" else exchange.asked()
    assert [part.text for part in parts if part.channel == where][-1] == "the text"
    assert (exchange.stage == "output") == (place == "reply")


def test_every_call_is_timed_on_a_text_of_its_own():
    asked: list[tuple[int, int]] = []

    def text_of(characters: int, number: int) -> str:
        asked.append((characters, number))
        return "x" * characters

    found = asyncio.run(measure_latency(Says(), "request", text_of=text_of, calls=5, lengths=(10, 20)))  # type: ignore[arg-type]

    assert [(one.characters, one.calls) for one in found] == [(10, 5), (20, 5)]
    assert len(set(asked)) == 10


def test_the_tables_say_not_measured_where_there_is_no_figure():
    lines = layer_tables(load_cards())

    (screen,) = [line for line in lines if line.startswith("| child-abuse-screen | ordinary")]
    assert screen.count("not measured") == 2
