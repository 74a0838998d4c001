"""Personal data: found where its shape and checksum say so, and not in numbers that merely look alike."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safecase.detect import find_personal_data, is_iban, is_luhn, shown

FOUND = [
    ("mail ada.lovelace+x@mail.example.org now", "email", "ada.lovelace+x@mail.example.org"),
    ("card 4111 1111 1111 1111 please", "card", "4111 1111 1111 1111"),
    ("card 3782-822463-10005", "card", "3782-822463-10005"),
    ("pay to DE89 3704 0044 0532 0130 00 today", "iban", "DE89 3704 0044 0532 0130 00"),
    ("gb82west12345698765432", "iban", "gb82west12345698765432"),
    ("SSN 078-05-1120.", "ssn", "078-05-1120"),
    ("host 203.0.113.7 is up", "ip", "203.0.113.7"),
    ("host 2001:db8::ff00:42:8329 is up", "ip", "2001:db8::ff00:42:8329"),
    ("call +44 20 7946 0958", "phone", "+44 20 7946 0958"),
    ("(212) 555-0147 after six", "phone", "(212) 555-0147"),
    ("phone: 555 0147 22", "phone", "555 0147 22"),
    ("４１１１ １１１１ １１１１ １１１１", "card", "４１１１ １１１１ １１１１ １１１１"),  # full-width digits
]

NOT_FOUND = [
    "4111 1111 1111 1112",  # Luhn fails
    "order 9999 9999 9999 9995",  # no scheme issues it
    "DE89 3704 0044 0532 0130 01",  # modulo 97 fails
    "666-12-3456",  # never issued
    "987-65-4321",
    "version 1.2.3.4.5",
    "999.1.1.1",
    "127.0.0.1 and ::1",  # nobody's
    "on 08.21.2016 at 10:30",
    "from 1914 to 1918, 60 million",
    "a @ b, user@localhost",
    "std::vector<int> and 12:30:45",
    "3.14159265358979",
]


@pytest.mark.parametrize(("text", "kind", "value"), FOUND)
def test_personal_data_is_found_where_it_stands(text: str, kind: str, value: str) -> None:
    assert [(span.kind, text[span.start : span.end]) for span in find_personal_data(text)] == [(kind, value)]


@pytest.mark.parametrize("text", NOT_FOUND)
def test_numbers_that_only_look_alike_are_left(text: str) -> None:
    assert find_personal_data(text) == ()


HIDING = ["\u200b", "\u200d", "\u2060\ufeff", "\u00ad", "\U000e0041", "\u0301", "\x01"]


@pytest.mark.parametrize("hidden", HIDING, ids=ascii)
@pytest.mark.parametrize(("text", "kind", "value"), FOUND)
def test_letters_that_are_never_seen_hide_nothing(text: str, kind: str, value: str, hidden: str) -> None:
    """Between any two letters, and the span covers what stands there as it was written."""
    at = text.index(value)
    written = hidden.join(value)

    (span,) = find_personal_data(text[:at] + written + text[at + len(value) :])

    assert (span.kind, span.start, span.end) == (kind, at, at + len(written))


def test_a_hidden_letter_still_parts_what_stands_beside_it() -> None:
    """Without it the number would be the end of a longer word, and none."""
    text = "SSN\u200b078-05-1120"

    assert [text[span.start : span.end] for span in find_personal_data(text)] == ["078-05-1120"]


@given(st.lists(st.sampled_from([*(value for _, _, value in FOUND), *HIDING, " ", "7", "x", ".", "@"]), max_size=12))
def test_what_is_found_is_found_with_hidden_letters_about_it(pieces: list[str]) -> None:
    """Nothing that either reading finds is left uncovered, and spans stay in order and apart."""
    text = "".join(pieces)
    seen = [at for at, letter in enumerate(text) if shown(letter).text]
    spans = find_personal_data(text)
    covered = {at for span in spans for at in range(span.start, span.end)}

    assert all(one.end <= other.start for one, other in pairwise(spans))
    for span in find_personal_data("".join(text[at] for at in seen)):
        assert set(seen[span.start : span.end]) <= covered


@given(st.text(max_size=200))
def test_spans_are_in_order_and_apart(text: str) -> None:
    spans = find_personal_data(text)

    assert all(0 <= span.start < span.end <= len(text) for span in spans)
    assert all(one.end <= other.start for one, other in pairwise(spans))


@given(st.integers(10**11, 10**18))
def test_one_wrong_digit_always_fails_luhn(number: int) -> None:
    body = str(number)
    check = next(digit for digit in "0123456789" if is_luhn(body + digit))

    assert [digit for digit in "0123456789" if is_luhn(body + digit)] == [check]


@given(st.text(alphabet="0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=12, max_size=30), st.integers(0, 99))
def test_one_pair_of_check_digits_fits_an_iban(body: str, other: int) -> None:
    right = f"{98 - int(''.join(str(int(c, 36)) for c in body + 'DE00')) % 97:02}"

    assert is_iban(f"DE{right}{body}")
    assert f"{other:02}" in {right, f"{int(right) - 97:02}", f"{int(right) + 97:02}"} or not is_iban(
        f"DE{other:02}{body}"
    )
