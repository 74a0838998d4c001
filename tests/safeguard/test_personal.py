"""Personal data: our own shapes everywhere, Presidio's check digits where it is installed, and which of them ran."""

import random
from pathlib import Path

import pytest

from safecase.declare import load_model_spec
from safecase.detect import find_personal_data
from safecase.safeguard import (
    PersonalDataLayer,
    Piece,
    Ruling,
    Stack,
    StackError,
    StreamGuard,
    exchange_of,
    load_stack,
    reply_of,
)
from safecase.safeguard._personal import _MAY_HOLD

SPEC = load_model_spec("default")
FILE = """
id: s
version: '1'
layers:
  - {name: p, kind: personal-data, kinds: [card, health-number, crypto-wallet]FINDER}
"""
HEALTH = "Your number is 943 476 5919."  # a published test number
WALLET = "Pay 16Yeky6GMjeNkAiNcBY7ZhrLoMSgg1BoyZ, please."
CARD = "Card 4111 1111 1111 1111 it is."


def load(tmp_path: Path, finder: str = "") -> Stack:
    (tmp_path / "s.yaml").write_text(FILE.replace("FINDER", f", finder: {finder}" if finder else ""))
    return load_stack("s.yaml", SPEC, beside=tmp_path)


async def shown(stack: Stack, reply: str, *, said: str = "Hello") -> str:
    asked = exchange_of({"messages": [{"role": "user", "content": said}]})
    (replied,) = reply_of({"choices": [{"message": {"content": reply}}]}, asked=asked)
    return (await stack.rule(replied)).text(reply)


async def test_presidio_finds_what_our_shapes_do_not_know(tmp_path: Path):
    pytest.importorskip("presidio_analyzer")
    stack = load(tmp_path, "presidio")

    assert stack.disabled == ()
    assert await shown(stack, HEALTH) == "Your number is [removed]."
    assert await shown(stack, WALLET) == "Pay [removed], please."
    assert await shown(stack, CARD) == "Card [removed] it is."
    assert await shown(stack, HEALTH.replace("5919", "5918")) == HEALTH.replace("5919", "5918")  # no check digit
    assert await shown(stack, HEALTH, said="I am 943 476 5919") == HEALTH  # theirs to hear again


async def test_without_it_our_own_shapes_stay_and_what_is_not_looked_for_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with_it = load(tmp_path)
    monkeypatch.setattr("safecase.safeguard._build.is_presidio_installed", lambda: False)
    without = load(tmp_path)

    assert without.disabled == ("health-number", "crypto-wallet")
    assert await shown(without, HEALTH) == HEALTH
    assert await shown(without, CARD) == "Card [removed] it is."
    if with_it.disabled == ():
        assert with_it.digest != without.digest
    with pytest.raises(StackError, match="asks for Presidio, which is not installed"):
        load(tmp_path, "presidio")


async def test_patterns_alone_can_be_asked_for(tmp_path: Path):
    stack = load(tmp_path, "patterns")

    assert stack.disabled == ("health-number", "crypto-wallet")
    assert await shown(stack, WALLET) == WALLET


@pytest.mark.parametrize(
    "text", ["ada＠example．org", "ada@example.org", "fe80::1", "call +44 20 7946 0958", "٤١١١ ١١١١ ١١١١ ١١١١"]
)
async def test_the_quick_look_before_misses_nothing(text: str):
    layer = PersonalDataLayer(name="p", stage="output", kinds=("card", "email", "ip", "phone"))
    (replied,) = reply_of({"choices": [{"message": {"content": text}}]}, asked=exchange_of({}))

    assert (await layer.check(replied)) != Ruling(action="allow")


SEEN = ("ada@example.org", "+44 20 7946 0958", "GB82 WEST 1234 5698 7654 32", "4111 1111 1111 1111", "1.2.3.4", "::1")
FURTHER = (
    "(12) 34 56",
    "2001:db8::",
    "call 1 2 3 4 5 6 7",
    "212-555-0123",
    "123-45-6789",
    "ada＠example．org",
    "１．２．３．４",
)


def test_no_text_with_personal_data_is_passed_over_unread():
    """A quick look decides whether the shapes are tried at all; it may not miss what they would find."""
    draw, found = random.Random(7), 0
    for _ in range(6_000):
        letters = list(draw.choice(SEEN + FURTHER))
        for _ in range(draw.randrange(4)):
            letters.insert(draw.randrange(len(letters) + 1), draw.choice("0123456789 .-()/+@:abcXYZ\n１"))
        text = f"and so {''.join(letters)} in the end"
        if find_personal_data(text):
            found += 1
            assert _MAY_HOLD.search(text), text
    assert found > 1_000


HIDDEN = "\u200b\u2060"


@pytest.mark.parametrize("value", ["ada@example.org", "4111 1111 1111 1111", "+44 20 7946 0958", "1.2.3.4"])
async def test_zero_width_letters_hide_nothing_from_the_layer(value: str):
    layer = PersonalDataLayer(name="p", stage="output", kinds=("card", "email", "ip", "phone"))
    text = f"Here: {HIDDEN.join(value)}, so it is."
    asked = exchange_of({"messages": [{"role": "user", "content": f"I am {value}."}]})
    (replied,) = reply_of({"choices": [{"message": {"content": text}}]}, asked=exchange_of({}))
    (echoed,) = reply_of({"choices": [{"message": {"content": text}}]}, asked=asked)

    ruling = await layer.check(replied)

    assert ruling.action == "replace"
    assert [text[start:end] for start, end in ruling.spans] == [HIDDEN.join(value)]
    assert (await layer.check(echoed)).action == "allow"  # theirs to hear again, however it is written


async def test_a_stream_stuffed_with_zero_width_letters_lets_nothing_out():
    """However many are put between two letters: the beginning of a number stays within sight."""
    layer = PersonalDataLayer(name="p", stage="output", kinds=("card", "email"))
    stack = Stack(
        id="s", layers=(layer,), system_prompt=None, timeout_s=2, digest="s", windows=frozenset({"p"}), every=8
    )
    value, stuffing = "ada.lovelace@example.org", HIDDEN * 40
    guard = StreamGuard(stack, exchange_of({"messages": [{"role": "user", "content": "Hello"}]}))
    out = ""
    for piece in [*"Write soon to ", *(letter + stuffing for letter in value), *(" and so on" * 30)]:
        out += "".join(part.text for part in await guard.feed(Piece(text=piece)))
    out += "".join(part.text for part in await guard.finish())

    assert "@" not in out
    assert "[removed]" in out
    assert "ada" not in out.replace("\u200b", "").replace("\u2060", "")


def logprobs(said: str, guessed: str) -> dict[str, object]:
    """A reply of as many tokens as letters, each with one that was not said."""
    tokens = [
        {"token": one, "top_logprobs": [{"token": one, "logprob": -0.1}, {"token": other, "logprob": -2.5}]}
        for one, other in zip(said, guessed, strict=True)
    ]
    return {"choices": [{"message": {"content": "Yes."}, "logprobs": {"content": tokens}}]}


async def test_guesses_of_log_probabilities_are_no_numbers_and_what_was_said_is_one():
    layer = PersonalDataLayer(name="p", stage="output", kinds=("card", "phone"))
    digits, letters = "4111111111111111", "abcdefghijklmnop"
    (guessed,) = reply_of(logprobs(letters, digits), asked=exchange_of({}))
    (said,) = reply_of(logprobs(digits, letters), asked=exchange_of({}))

    assert (await layer.check(guessed)).action == "allow"
    assert (await layer.check(said)).action == "withhold"
