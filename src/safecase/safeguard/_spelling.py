"""Spellings of a text: the letters that a reader would see in it, and what its encodings hold.

`detect.normalise` undoes a disguise only where the text around it shows that it is one, so that honest text survives
for a classifier. A declared word needs no such care: text and word go through the same table, letter by letter and
without looking around, so cutting the text anywhere changes nothing.
"""

import base64
import binascii
import html
import re
import unicodedata
from collections.abc import Iterator
from urllib.parse import unquote

from safecase.detect import normalise

SIGN = "!"
"""Stands in a skeleton for what may be an `i` as well as the end of a sentence."""
_SIGN_FORMS = frozenset("!|¡ǃ")
_SIGNS = str.maketrans({"1": "i", "l": "i", "8": "b", "6": "g", "9": "g", "2": "z"})
# Look-alikes outside the scripts that `detect` reads: Armenian, Cherokee, palochka, letter-like signs.
_ALIKE = str.maketrans(
    dict(zip("օոսհցզԁӏƅᴀꓮꓐꓒꓓꓰꓖꓧꓲꓙꓗꓡꓟꓠꓳꓑꓣꓢꓔꓴꓦꓪꓫꓬꓜ", "onuhgqdlbaabpdeghijklmnoprstuvwxyz", strict=True))
    | dict(zip("ᎪᏴᏟᎠᎬᏀᎻᏆᎫᏦᏞᎷᎾᏢᎡᏚᎢᏙᎳᎩᏃ", "abcdeghijklmnprstvwyz", strict=True))
)
_NOTHING = frozenset({"Cs", "Co", "Cn", "Cf", "Mn", "Me"})


def letters_of(character: str) -> str:
    """The plain letters of one character: none for what is not seen, a space or a dash for what parts them.

    >>> [letters_of(c) for c in ("Ｆ", "о", "4", "\\u200b", "\\u0301", ".", "ﬁ")]
    ['f', 'o', 'a', '', '', '-', 'fi']
    """
    if unicodedata.normalize("NFKC", character) in _SIGN_FORMS:
        return SIGN
    if character.isascii() and character.isalpha():
        return character.lower().translate(_SIGNS)
    if not 0xE0000 <= ord(character) <= 0xE007F and unicodedata.category(character) in _NOTHING:
        return ""
    if unicodedata.category(character) == "Cc":
        return " " if character.isspace() else ""
    # Between two Latin letters every look-alike and every sign of leetspeak is read as what it looks like.
    read = normalise(f"x{character.translate(_ALIKE)}x")[1:-1].translate(_SIGNS)
    return "".join(letter if letter.isalnum() else " " if letter.isspace() else "-" for letter in read)


class _Letters(dict[int, str]):
    """The table, filled as characters come: `str.translate` then reads text at its own speed."""

    def __missing__(self, code: int) -> str:
        letters = letters_of(chr(code))
        if len(self) < _MOST_KNOWN:
            self[code] = letters
        return letters


_MOST_KNOWN = 8_192
_LETTERS = _Letters()


def skeleton(text: str) -> str:
    """The text as plain letters, spaces and dashes; the same for every way of writing a word, chunk by chunk or whole.

    >>> skeleton("Ｆо\\u200br-b1dd3n")
    'for-bidden'
    """
    return text.translate(_LETTERS)


def back_by(text: str, end: int, letters: int) -> int:
    """The place before `end` after which stand so many characters that show a letter; 0 where there are fewer."""
    while end > 0 and letters > 0:
        end -= 1
        letters -= any(letter not in " -!" for letter in skeleton(text[end]))
    return end


_ESCAPE = re.compile(r"\\(?:u\{([0-9A-Fa-f]{1,6})\}|u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2}))")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{8,}={0,2}")
_MOST_BASE64 = 64


def readings(text: str) -> Iterator[str]:
    """The text itself, and what its escapes, entities, percent signs and base64 stand for."""
    yield text
    if "\\" in text:
        yield _ESCAPE.sub(_unescaped, text)
    if "&" in text:
        yield html.unescape(text)
    if "%" in text:
        yield unquote(text, errors="replace")
    yield from decoded(text)


def decoded(text: str) -> Iterator[str]:
    """What runs of base64 in a text decode to, where that is text."""
    for found, _ in zip(_BASE64.finditer(text), range(_MOST_BASE64), strict=False):
        run = found.group().rstrip("=").translate(_URLSAFE)
        try:
            yield base64.b64decode(run + "=" * (-len(run) % 4), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            continue


_URLSAFE = str.maketrans("-_", "+/")


def _unescaped(found: re.Match[str]) -> str:
    code = int(next(group for group in found.groups() if group), 16)
    return chr(code) if code < 0x110000 else ""
