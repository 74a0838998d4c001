"""Bodies made to take long to read are read whole, in bounded time; what is found is called by its name."""

import json
import time

import pytest

from safecase.safeguard import TermsLayer, exchange_of, reply_of

WORD = "zanziscope"


def nested(depth: int, items: list[str]) -> str:
    return "[" * depth + json.dumps(items)[1:-1] + "]" * depth


@pytest.mark.parametrize("cut", [False, True], ids=["whole", "letter by letter"])
@pytest.mark.parametrize("inside", [False, True], ids=["in a field", "as JSON in a turn"])
async def test_a_word_behind_very_many_deep_strings_is_found(inside: bool, cut: bool):
    items = ["a", "b"] * 15_000 + (list(WORD) if cut else [WORD])
    text = nested(500, items)
    turn = {"role": "user", "content": text if inside else "Hi"}
    body = {"messages": [turn], "x": [] if inside else json.loads(text)}
    layer = TermsLayer(name="words", stage="input", terms=(WORD,))

    began = time.process_time()
    exchange = exchange_of(body)
    took = time.process_time() - began

    assert (await layer.check(exchange)).action == "withhold"
    assert took < 10
    assert max(len(part.where) for part in exchange.parts) < 200


def test_what_a_custom_tool_is_given_is_its_arguments():
    """It is acted on like any call's: the rules for code read it as such, and an address in it is there on purpose."""
    asked = exchange_of({"messages": [{"role": "user", "content": "Hi"}]})
    call = {"id": "c", "type": "custom", "custom": {"name": "run", "input": "print(1)"}}
    (reply,) = reply_of({"choices": [{"message": {"content": None, "tool_calls": [call]}}]}, asked=asked)

    assert [part.channel for part in reply.reply_parts if part.text == "print(1)"] == ["tool-arguments"]
