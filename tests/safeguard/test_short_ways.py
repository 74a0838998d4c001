"""What a layer says at a first look is what it says when it has read everything."""

import base64
import binascii
import re
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from safecase.evidence import Message
from safecase.safeguard import Exchange, Part, PersonalDataLayer, TermsLayer
from safecase.safeguard import _personal as personal
from safecase.safeguard import _spelling as spelling

TERMS = ("zanziscope", "quellbarrow paste", "umbrel six", "ivy", "ok")
TERMS_LAYERS = {at: TermsLayer(name="words", stage=at, terms=TERMS) for at in ("input", "output")}
DATA = PersonalDataLayer(name="data", stage="output", kinds=("card", "email", "iban", "ip", "phone", "ssn"))
MORE = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])

DISGUISES = (
    str,
    str.upper,
    "-".join,
    lambda term: " ".join(term[::1]),
    lambda term: term.replace("o", "0").replace("i", "!").replace("s", "$"),
    lambda term: term.translate({ord("a"): "а", ord("o"): "ο", ord("e"): "е"}),
    lambda term: "\u200b".join(term),
    lambda term: "\n".join(term),
    lambda term: "".join(f"\\u{ord(letter):04x}" for letter in term),
    lambda term: "".join(f"%{ord(letter):02x}" for letter in term),
    lambda term: "".join(f"&#{ord(letter)};" for letter in term),
    lambda term: base64.b64encode(f"say {term} now".encode()).decode(),
    lambda term: base64.urlsafe_b64encode(f"{term}ÿÿ~~".encode()).decode().rstrip("="),
)
ODD = (
    "!",
    "|",
    "ǃ",
    "&",
    "&amp;",
    "%",
    "%4",
    "%41",
    "\\u",
    "\\x41",
    "\n",
    " ",
    "\u0301",
    "\ufdfa",
    "é",
    "ﬁ",
    "x",
    "QUJD",
)
WORDS = st.one_of(
    st.tuples(st.sampled_from(TERMS), st.sampled_from(DISGUISES)).map(lambda pair: pair[1](pair[0])),
    st.sampled_from(TERMS).flatmap(lambda term: st.integers(0, len(term)).map(lambda end: term[:end])),
    st.sampled_from(ODD),
    st.text(max_size=6),
    st.text(alphabet="abcdefIVYZ+/_-019", min_size=6, max_size=24),
)
TEXTS = st.lists(WORDS, max_size=5).map("".join) | st.lists(WORDS, max_size=6).map(" ".join)
PARTS = st.lists(
    st.tuples(st.sampled_from(("content", "envelope", "tool-arguments", "reasoning", "other")), TEXTS), max_size=3
).map(lambda found: tuple(Part(channel=channel, role="", where="x", text=text) for channel, text in found))
TURNS = st.lists(st.tuples(st.sampled_from(("system", "user", "assistant", "tool")), TEXTS), max_size=4).map(
    lambda turns: tuple(Message(role=role, content=text) for role, text in turns)
)


def both_ways(layer: TermsLayer | PersonalDataLayer, exchange: Exchange) -> Iterator[object]:
    rule = type(layer).check.now
    yield rule(layer, exchange)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TermsLayer, "_none_in", lambda *_: False)
        patch.setattr(personal, "_may_hold", lambda _: True)
        yield rule(layer, exchange)


@MORE
@given(messages=TURNS, parts=PARTS)
def test_declared_words_in_a_request(messages: tuple[Message, ...], parts: tuple[Part, ...]):
    short, long = both_ways(TERMS_LAYERS["input"], Exchange(messages=messages, parts=parts))

    assert short == long


@MORE
@given(messages=TURNS, parts=PARTS, reply=TEXTS, final=st.booleans(), seen=st.floats(0, 1))
def test_declared_words_in_a_reply(
    messages: tuple[Message, ...], parts: tuple[Part, ...], reply: str, final: bool, seen: float
):
    exchange = Exchange(messages=messages, reply=reply, reply_parts=parts, final=final, seen=int(seen * len(reply)))
    short, long = both_ways(TERMS_LAYERS["output"], exchange)

    assert short == long


@pytest.mark.parametrize("disguise", DISGUISES)
def test_the_words_of_these_tests_are_found_in_every_disguise(disguise):
    """Else the tests above compare two layers that find nothing."""
    exchange = Exchange(messages=(Message(role="user", content=f"so, {disguise('zanziscope')} then"),))

    assert [ruling.action for ruling in both_ways(TERMS_LAYERS["input"], exchange)] == ["withhold", "withhold"]


def test_a_word_between_two_turns_of_the_user_is_found():
    turns = ("zanzi", "no", "scope")
    roles = ("user", "assistant", "user")
    messages = tuple(Message(role=role, content=text) for role, text in zip(roles, turns, strict=True))
    rulings = both_ways(TERMS_LAYERS["input"], Exchange(messages=messages))

    assert [ruling.action for ruling in rulings] == ["withhold", "withhold"]


def test_more_base64_than_is_looked_into_in_one_text_is_looked_into_in_several():
    run = base64.b64encode(b"nothing here at all").decode()
    crowd = " ".join([run] * 64)
    hidden = base64.b64encode(b"the zanziscope is it").decode()
    messages = (Message(role="system", content=crowd), Message(role="user", content=hidden))
    rulings = both_ways(TERMS_LAYERS["input"], Exchange(messages=messages))

    assert [ruling.action for ruling in rulings] == ["withhold", "withhold"]


SHAPES = st.sampled_from(
    [
        "ada@example.org", "+44 20 7946 0958", "4111 1111 1111 1111", "GB82WEST12345698765432", "192.168.17.3",
        "2001:db8::1", "078-05-1120", "12:30", "3.5", "in 2024", "v1.2", "call 555", "a\u200bda@example.org",
        "٣٣٣٣٣٣٣٣", "4111\x001111 1111 1111", "１２", "AB12", ":a:",
        "1 2 3 4 5 6 7 8 9", " ", "\n", "and so on and so on ", "é",
    ]
)  # fmt: skip
REPLIES = st.lists(SHAPES | st.text(max_size=5) | st.text(alphabet="aB0.:@ -", max_size=8), max_size=6).map("".join)


@MORE
@given(messages=TURNS, parts=PARTS, beside=REPLIES, reply=REPLIES, filler=st.integers(0, 60), seen=st.floats(0, 1))
@example((), (), "", "4111 1111 1111 1111", 0, 0.0)
def test_personal_data_in_a_reply(messages, parts, beside, reply, filler, seen):
    told = Part(channel="reasoning", role="assistant", where="x", text=beside)
    reply = "and so on " * filler + reply
    exchange = Exchange(messages=messages, reply=reply, reply_parts=(*parts, told), seen=int(seen * len(reply)))
    short, long = both_ways(DATA, exchange)

    assert short == long


def test_personal_data_is_found_in_what_these_tests_say():
    """Else the test above compares two layers that find nothing."""
    exchange = Exchange(messages=(), reply="Write to ada@example.org.", final=True)

    assert [ruling.action for ruling in both_ways(DATA, exchange)] == ["replace", "replace"]


_RUN = re.compile(r"[A-Za-z0-9+/_-]{8,}")


def decoded_plainly(text: str) -> Iterator[str]:
    for run in _RUN.findall(text):
        plain = run.replace("-", "+").replace("_", "/")
        try:
            yield base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            continue


@MORE
@given(text=TEXTS | st.binary(max_size=40).map(lambda data: base64.b64encode(data).decode()))
def test_base64_decodes_to_what_the_library_says(text: str):
    assert list(spelling.decoded(text)) == list(decoded_plainly(text))
