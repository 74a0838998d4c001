"""Find personal data by shape and checksum, on the raw text, so that spans point at what was written.

A number is only called a card or an account when its checksum holds; the price is that a mistyped one is not found.
Names and postal addresses have no shape and are out of reach here.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from ._shown import Shown, shown

PersonalKind = Literal["card", "email", "iban", "ip", "phone", "ssn"]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Span:
    """A stretch of text: `text[start:end]`, and what it is."""

    start: int
    end: int
    kind: PersonalKind


def find_personal_data(text: str) -> tuple[Span, ...]:
    """Find e-mail addresses, phone, card, account and US social-security numbers, and IP addresses.

    Spans come in order and do not overlap; where two kinds claim a stretch, the one with the stronger check keeps it.
    Full-width and other Unicode digits count as digits. Letters that are never seen (zero width, controls, decorative
    marks) hide nothing: the text is read with them, as parting what stands beside them, and without.

    Returns:
        Offsets into `text` as given.

    >>> text = "Write to ada@example.org or call +44 20 7946 0958."
    >>> [(span.kind, text[span.start : span.end]) for span in find_personal_data(text)]
    [('email', 'ada@example.org'), ('phone', '+44 20 7946 0958')]
    """
    view, spans = shown(text), _spans(text)
    if view.places is None:
        return tuple(spans)
    within = [_placed(one, view) for one in _spans(view.text)]
    return tuple(_united([*within, *spans]))


def _placed(span: Span, view: Shown) -> Span:
    start, end = view.span(span.start, span.end)
    return Span(start=start, end=end, kind=span.kind)


def _spans(text: str) -> list[Span]:
    plain = text if text.isascii() else "".join(map(_same_length, text))
    taken: list[Span] = []
    for span in _candidates(plain):
        if all(span.end <= other.start or other.end <= span.start for other in taken):
            taken.append(span)
    return sorted(taken)


def _united(spans: list[Span]) -> list[Span]:
    """Both readings: what overlaps is one stretch, of the kind of the one that begins first."""
    united: list[Span] = []
    for span in sorted(spans):
        if united and span.start < united[-1].end:
            last = united.pop()
            span = Span(start=last.start, end=max(last.end, span.end), kind=last.kind)
        united.append(span)
    return united


_SPACES, _DASHES = "\u00a0\u2007\u2009\u202f", "\u2010\u2011\u2013"


def _same_length(letter: str) -> str:
    """A digit in any script as ASCII, full-width signs likewise; one character for one, so offsets hold."""
    if letter.isdecimal():
        return str(int(letter))
    if "\uff01" <= letter <= "\uff5e":
        return chr(ord(letter) - 0xFEE0)
    return " " if letter in _SPACES else "-" if letter in _DASHES else letter


# --- Shapes, strongest check first ------------------------------------------------------------------------------------

_EMAIL = re.compile(r"(?<![\w.+-])[\w.+%-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}(?![\w-])")
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]{2,4}){2,8}(?![A-Za-z0-9])", re.IGNORECASE)
_CARD = re.compile(r"(?<![\d.-])\d(?:[ -]?\d){11,18}(?![\d-]|\.\d)")
_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)")
_IPV6 = re.compile(
    r"(?<![\w:.])(?:[0-9a-f]{0,4}:){2,7}(?:[0-9a-f]{1,4}|(?:\d{1,3}\.){3}\d{1,3})?(?![\w:])", re.IGNORECASE
)
_SSN = re.compile(r"(?<![\w-])(\d{3})([- ])(\d{2})\2(\d{4})(?![\w-])")
# A phone number shows itself by a leading + or 00, by an area code in brackets, or by the North American 3-3-4 shape.
_PHONE = re.compile(
    r"(?<![\w.+-])(?<!\d )(?:"
    r"(?:\+|00)[1-9](?:[ .()/-]{0,2}\d){6,13}"
    r"|(?:1[ .-])?\(\d{2,5}\)[ .-]?\d{2,4}(?:[ .-]?\d{2,5}){1,3}"
    r"|(?:1[ .-])?[2-9]\d{2}([ .-])[2-9]\d{2}\1\d{4}"
    r"|0\d{1,4}(?:[ .]\d{2,4}){2,4}|0\d{2,4}[-/ ]\d{5,8}"
    r")(?:[ ]?(?:x|ext\.?)[ ]?\d{1,5})?(?![\w-]|\.\d)"
)
# Digits in any grouping, where the words before them say what they are.
_CALLED_PHONE = re.compile(
    r"\b(?:(?:tele)?phone|tel|mobile|cell|whatsapp|fax|call|ring|text)(?:[ ](?:number|no|me|us|him|her|them|is|at|on"
    r"|to))*"
    r"[ .:=#]{0,3}(?P<value>[+(]?\d(?:[ .()/-]{0,2}\d){6,13})(?![\w-]|\.\d)",
    re.IGNORECASE,
)


def _candidates(text: str) -> Iterator[Span]:
    shapes: tuple[tuple[PersonalKind, re.Pattern[str], Callable[[str], bool]], ...] = (
        ("email", _EMAIL, _is_email),
        ("iban", _IBAN, _is_iban),
        ("card", _CARD, _is_card),
        ("ip", _IPV6, _is_ip),
        ("ip", _IPV4, _is_ip),
        ("ssn", _SSN, _is_ssn),
        ("phone", _PHONE, _is_phone),
        ("phone", _CALLED_PHONE, _is_called_phone),
    )
    for kind, shape, holds in shapes:
        group = "value" if "value" in shape.groupindex else 0
        for match in shape.finditer(text):
            value, start = match.group(group), match.start(group)
            length = _last_holding(value, holds) if kind == "iban" else len(value) * holds(value)
            if length:
                yield Span(start=start, end=start + length, kind=kind)


def _last_holding(text: str, holds: Callable[[str], bool]) -> int:
    """The longest part, cut at spaces from the right, that holds: an IBAN may run into the next word. 0 for none."""
    while text and not holds(text):
        text = text.rpartition(" ")[0]
    return len(text)


def _is_email(text: str) -> bool:
    local = text.partition("@")[0]
    return not (local.startswith(".") or local.endswith(".") or ".." in local)


def is_luhn(digits: str) -> bool:
    """Whether a string of digits passes the Luhn check. Source: ISO/IEC 7812-1, annex B.

    >>> is_luhn("4111111111111111"), is_luhn("4111111111111112")
    (True, False)
    """
    doubled = (int(d) * (1 + i % 2) for i, d in enumerate(reversed(digits)))
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0


def is_iban(text: str) -> bool:
    """Whether a string without spaces passes the IBAN check, number modulo 97. Source: ISO 13616-1, 6.

    >>> is_iban("GB82WEST12345698765432"), is_iban("GB82WEST12345698765433")
    (True, False)
    """
    if not 15 <= len(text) <= 34 or not (text.isascii() and text.isalnum()):
        return False
    return int("".join(str(int(letter, 36)) for letter in text[4:] + text[:4])) % 97 == 1


def _is_iban(text: str) -> bool:
    return is_iban(re.sub("[ -]", "", text))


# Length and first digits of the schemes in use: Visa, Mastercard, American Express, Diners, JCB, Discover and UnionPay,
# Maestro. Source: ISO/IEC 7812 issuer ranges as the schemes publish them.
_ISSUED = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2[2-7]\d{14}|3[47]\d{13}|3[0689]\d{12}|35\d{14}|(?:2131|1800)\d{11}"
    r"|6\d{15,18}|(?:50|5[6-9])\d{10,17}"
)


def _is_card(text: str) -> bool:
    digits = re.sub("[ -]", "", text)
    return _ISSUED.fullmatch(digits) is not None and is_luhn(digits)


def _is_ip(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not (address.is_loopback or address.is_unspecified)


def _is_ssn(text: str) -> bool:
    """Numbers that were never issued are not one. Source: SSA, "Social Security Number Randomization" (2011)."""
    area, group, serial = text[:3], text[4:6], text[7:]
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"


def _is_phone(text: str) -> bool:
    """7 to 15 digits (ITU-T E.164), and 9 where neither + nor brackets tell it from a date or a tally."""
    digits = _digits(text)
    return (7 if text[0] in "+(" or text.startswith("00") else 9) <= digits <= 15


def _is_called_phone(text: str) -> bool:
    return 7 <= _digits(text) <= 15


def _digits(text: str) -> int:
    return sum(letter.isdigit() for letter in re.split("x|ext", text)[0])
