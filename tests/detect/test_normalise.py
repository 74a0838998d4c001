"""Normalisation: every disguise comes off, and real text of other scripts stays what it is."""

import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from safecase.detect import _normalise as inner
from safecase.detect import normalise

DISGUISES = [
    ("Ｈｅｌｌｏ", "hello"),  # full width
    ("𝐡𝐞𝐥𝐥𝐨 𝓱𝓮𝓵𝓵𝓸", "hello hello"),  # mathematical alphabets
    ("ᴋɪɴᴅ 🅺🅸🅽🅳", "kind kind"),  # small capitals, enclosed letters
    ("he\u200bll\u00ado\u2060", "hello"),  # zero width, soft hyphen, word joiner
    ("\u202eolleh\u202c", "olleh"),  # bidi override: the characters stay in their stored order
    ("\U000e0068\U000e0069", "hi"),  # tag characters, invisible to people and read by models
    ("z̴a̶l̷g̸o", "zalgo"),
    ("hеllо", "hello"),  # Cyrillic ie and o among Latin letters
    ("ΗELLO", "hello"),  # capital Greek eta, resolved before case is folded
    ("how to set а расе", "how to set a pace"),  # words wholly of look-alikes beside Latin ones
    ("h3ll0 w0rld", "hello world"),
    ("p@ssw0rd", "password"),
    ("he1p k1nd", "help kind"),  # 1 is l after a vowel, else i
    ("h e l l o there", "hello there"),
    ("h.e.l.l.o", "hello"),
    ("h e l l o   w o r l d", "hello world"),  # wider gaps part words
    ("h 3 l l 0", "hello"),  # apart and in digits
    ("café naïve Straße", "cafe naive strasse"),
    ("I can’t – “no”", 'i can\'t - "no"'),
    ("a\t b\r\n\n c", "a b c"),
]

HONEST = [
    "привет, как дела? google и apple",
    "я живу в сша и работаю в ibm",
    "ελλάδα και πόλη",
    "हिन्दी में लिखा हुआ",
    "สวัสดีครับ",
    "السلام عليكم",
    "你好，世界".replace("，", ","),
    "u.s.a. and e.g. this",
    "mp3 covid19 4th 10am b2b x86 i18n utf8",
    "write to ada3b@mail.example or see https://example.org/a1b2c",
    "1 2 3 4 5",
    "a, b, c, d",
    "- a - b - c",
    "x = y[i] + 3",
]


@pytest.mark.parametrize(("disguised", "plain"), DISGUISES)
def test_a_disguise_comes_off(disguised: str, plain: str) -> None:
    assert normalise(disguised) == plain


@pytest.mark.parametrize("text", HONEST)
def test_honest_text_stays_as_it_is(text: str) -> None:
    assert normalise(text) == text


_TRICKY = st.text(
    alphabet=st.sampled_from(list("aeiоасеHЕнl1l30!@$ .-_*\u200b\u0301éİßﬁ①ǅΣς🅰\U000e0061\t\n")), max_size=40
)


@given(st.text() | _TRICKY)
@example("a  b  c  d  e f")  # joining makes a new run
@example("İ")
def test_normalising_twice_changes_nothing(text: str) -> None:
    once = normalise(text)

    assert normalise(once) == once


@given(st.text() | _TRICKY)
def test_the_result_is_lower_case_without_stray_space(text: str) -> None:
    plain = normalise(text)

    assert plain == plain.casefold()
    assert plain == " ".join(plain.split())


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz", min_size=2, max_size=8), st.integers(0, 7), st.data())
def test_an_invisible_character_anywhere_changes_nothing(word: str, at: int, data: st.DataObject) -> None:
    invisible = data.draw(st.sampled_from("\u200b\u200d\u2060\u00ad\ufeff\u202e\u0301\ufe0f"))

    assert normalise(word[:at] + invisible + word[at:]) == normalise(word) or not word[:at]


def in_every_step(text: str) -> str:
    """The plain form with no step left out, until nothing changes."""
    before = None
    while text != before:
        before = text
        text = inner._INVISIBLE.sub("", text.translate(inner._TAGS))
        text = inner._DECORATIVE_MARKS.sub("", unicodedata.normalize("NFKC", text))
        text = inner._latinise(text.translate(str.maketrans(inner._LETTERS)))
        text = inner._INVISIBLE.sub("", unicodedata.normalize("NFKC", text.casefold()))
        text = " ".join(inner._SPACED.sub(inner._join, text.replace("\r\n", "\n").casefold()).split())
        text = inner._LEET_TOKEN.sub(inner._unleet, text)
    return text


_TYPED = st.text(alphabet=st.sampled_from(list("abHe Ll10$-.,'\n\t\r\x00\x1c\xa0’“—…éĞøﬁŉẚ″\u0301ıß")), max_size=60)
_SET_APART = st.lists(st.sampled_from([*"abc14 -.\n", "  ", "word", "’", "é", "а"]), max_size=30).map("".join)


@settings(max_examples=600, deadline=None)
@given(st.text() | _TRICKY | _TYPED | _SET_APART)
@example("a\nb\nc\nd")  # apart once the lines are joined
@example("e\x00\u0301")
@example("\u2033")  # two primes, before it is a quote
def test_the_short_ways_give_what_every_step_gives(text: str) -> None:
    assert normalise(text) == in_every_step(text)


def test_no_letter_is_read_as_one_that_is_read_as_another() -> None:
    """So letters of the table can be replaced in any order."""
    assert not [letter for letter, plain in inner._LETTERS.items() if inner._LETTERED.intersection(plain)]


def test_all_foreign_letters_have_no_company_to_pass_in() -> None:
    """Without a Latin letter in the text, look-alikes stay."""
    assert normalise("сосна росла ор") == "сосна росла ор"
    assert normalise("like а расе") == "like a pace"
