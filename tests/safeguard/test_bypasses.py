"""The bypass suite against the layer that ships, and against layers with the holes that the field's gateways have."""

import pytest

from safecase.declare import load_model_spec
from safecase.safeguard import Exchange, Ruling, Stack, load_stack
from safecase.testing import Nonconforming, check_bypasses

WORD = "zanziscope"
FILE = f"""
id: terms
version: "1"
layers:
  - {{name: words-in, kind: terms, stage: input, terms: [{WORD}], principle: no-serious-harm}}
  - {{name: words-out, kind: terms, stage: output, terms: [{WORD}]}}
"""


class Naive:
    """Reads what many filters read: the plain text of turns and reply."""

    digest, reach = "n", len(WORD)

    def __init__(self, name: str, stage: str) -> None:
        self.name, self.stage = name, stage

    async def check(self, exchange: Exchange) -> Ruling:
        text = exchange.reply or "".join(said.content for said in exchange.messages)
        return Ruling(action="withhold" if WORD in text.lower() else "allow")


async def test_nothing_passes_the_terms_of_a_stack_file(tmp_path):
    (tmp_path / "s.yaml").write_text(FILE)
    stack = load_stack("s.yaml", load_model_spec("default"), beside=tmp_path)

    assert await check_bypasses(stack, WORD) > 1_000


async def test_the_suite_finds_the_holes_of_a_filter_that_reads_plain_text():
    naive = Stack(
        id="naive",
        layers=(Naive("in", "input"), Naive("out", "output")),  # type: ignore[arg-type]
        system_prompt=None,
        timeout_s=1,
        digest="x",
    )

    with pytest.raises(Nonconforming, match=r"in a tool's description lets the word pass.*and \d+ more"):
        await check_bypasses(naive, WORD)


async def test_the_suite_finds_a_stack_that_stops_everything(tmp_path):
    (tmp_path / "s.yaml").write_text(FILE)
    stack = load_stack("s.yaml", load_model_spec("default"), beside=tmp_path)

    with pytest.raises(Nonconforming, match="stops a harmless word"):
        await check_bypasses(stack, WORD, harmless=WORD)


async def test_a_word_that_cannot_be_tried_fairly_is_refused(tmp_path):
    (tmp_path / "s.yaml").write_text(FILE)
    stack = load_stack("s.yaml", load_model_spec("default"), beside=tmp_path)

    with pytest.raises(ValueError, match="six Latin letters"):
        await check_bypasses(stack, "bad")
