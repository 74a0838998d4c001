"""Normalisation: every disguise comes off, and real text of other scripts stays what it is."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

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
