"""Spellings of a text: the letters that a reader would see in it, and what its encodings hold.

`detect.normalise` undoes a disguise only where the text around it shows that it is one, so that honest text survives
for a classifier. A declared word needs no such care: text and word go through the same table, letter by letter and
without looking around, so cutting the text anywhere changes nothing.
"""

import binascii
import html
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import islice
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


@dataclass(slots=True)
class Drawn:
    """A reading of a text as letters, without the gaps between them.

    Attributes:
        text: as given; sign: what a sign is read as.
    """

    letters: str
    text: str
    sign: str

    @property
    def plain(self) -> str:
        """With its gaps. Made when asked for, which is where the letters of a term were found."""
        return skeleton(self.text).replace(SIGN, self.sign)


def drawn(text: str) -> tuple[Drawn, ...]:
    """A text as letters; twice where it holds a sign that may be an `i` or the end of a sentence."""
    return _drawn_short(text) if len(text) <= _SHORT else _drawn(text)


def all_drawn(text: str) -> tuple[Drawn, ...]:
    """The same of every reading of a text."""
    return _all_drawn_short(text) if len(text) <= _SHORT else _all_drawn(text)


_GAPS = str.maketrans("", "", " -")


def _drawn(text: str) -> tuple[Drawn, ...]:
    found = letters(text)
    if len(found) == 1:
        return (Drawn(found[0], text, ""),)
    return tuple(Drawn(shown, text, sign) for shown, sign in zip(found, "-i", strict=True))


def letters(text: str) -> tuple[str, ...]:
    """The letters of `drawn`."""
    found = text.encode().translate(*_ascii()).decode() if text.isascii() else skeleton(text).translate(_GAPS)
    return (found,) if SIGN not in found else (found.replace(SIGN, ""), found.replace(SIGN, "i"))


def all_letters(lines: str) -> tuple[str, ...] | None:
    """The letters of `all_drawn`, for many texts at once, one to a line: what stands in a reading of any of them stands
    in one of these.

    Returns:
        None where the lines together hold more base64 than is looked into.
    """
    found = letters(lines)
    if "\\" in lines:
        found += letters(_ESCAPE.sub(_unescaped, lines))
    if "&" in lines:
        found += letters(html.unescape(lines))
    if "%" in lines:
        found += letters(unquote(lines, errors="replace"))
    runs = list(filter(_BEGINS_TEXT.match, _runs(lines)))
    if not runs:
        return found
    if len(runs) > _MOST_BASE64:
        return None
    return found + tuple([shown for run in runs for shown in letters(_text_of(run))])


@cache
def _ascii() -> tuple[bytes, bytes]:
    """For `bytes.translate`: the letter of each ASCII character, and the characters that show none."""
    shown = [letters_of(chr(code)).translate(_GAPS) for code in range(128)]
    return "".join(letter or " " for letter in shown).encode() + bytes(128), bytes(
        code for code, letter in enumerate(shown) if not letter
    )


def _all_drawn(text: str) -> tuple[Drawn, ...]:
    found = drawn(text)
    for reading in _further(text):
        found += _drawn(reading)
    return found


# Several layers read the same text one after the other. Few are kept: memory that is used again at once is still in the
# processor's cache, and texts of calls long gone are not asked for again.
_SHORT = 8_000
_drawn_short, _all_drawn_short = lru_cache(maxsize=8)(_drawn), lru_cache(maxsize=8)(_all_drawn)


def back_by(text: str, end: int, letters: int) -> int:
    """The place before `end` after which stand so many characters that show a letter; 0 where there are fewer."""
    start = max(0, end - 2 * letters)
    near = text[start:end]
    if letters > 0 and near.isascii():  # of which every other shows one, if it is prose
        before = near.encode().translate(_shows_ascii()).rsplit(b"x", letters)
        if len(before) > letters:
            return start + len(before[0])
    while end > 0 and letters > 0:
        end -= 1
        letters -= _SHOWS[text[end]]
    return end


class _Shows(dict[str, bool]):
    """Whether a character shows a letter; filled as characters come."""

    def __missing__(self, character: str) -> bool:
        shows = any(letter not in " -!" for letter in skeleton(character))
        if len(self) < _MOST_KNOWN:
            self[character] = shows
        return shows


_SHOWS = _Shows()


@cache
def _shows_ascii() -> bytes:
    """For `bytes.translate`: ASCII characters that show a letter, as `x`."""
    return bytes(ord("x" if _SHOWS[chr(code)] else " ") for code in range(128)) + bytes(128)


_ESCAPE = re.compile(r"\\(?:u\{([0-9A-Fa-f]{1,6})\}|u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2}))")
_SHORTEST_BASE64 = 8
_BASE64 = re.compile(rf"[A-Za-z0-9+/_-]{{{_SHORTEST_BASE64},}}")
# Which bytes are of a run, as ones: a search for eight of them is ten times as fast as the expression, which tries at
# every letter of every word of prose.
_OF_RUN = bytes(_BASE64.fullmatch(chr(code) * _SHORTEST_BASE64) is not None for code in range(256))
_NO_RUN = bytes([0])
_RUN = bytes([1]) * _SHORTEST_BASE64 + _NO_RUN  # its end: told sooner than its beginning
# Most long words of prose decode to what is no UTF-8, and finding that out by decoding costs more than all other
# reading. The first letters of a run tell: what they stand for has to begin with ASCII, or with a lead byte and what
# may follow.
_BEGINS_TEXT = re.compile(
    r"[A-Za-f](?:[A-HQ-Xg-nw-z0-3][ABDEFHIJLMNPQRTUVXYZbcdfghjklnoprstvwxz01345789/_]|[M-Pc-fstuv89+/_-])"
    r"|[w-z0-9][4-7I-LYZabo-r]"
)
_MOST_BASE64 = 64


def readings(text: str) -> Iterator[str]:
    """The text itself, and what its escapes, entities, percent signs and base64 stand for."""
    yield text
    yield from _further(text)


def _further(text: str) -> Iterator[str]:
    if "\\" in text:
        yield _ESCAPE.sub(_unescaped, text)
    if "&" in text:
        yield html.unescape(text)
    if "%" in text:
        yield unquote(text, errors="replace")
    if len(text) >= _SHORTEST_BASE64:
        yield from decoded(text)


def decoded(text: str) -> Iterator[str]:
    """What runs of base64 in a text decode to, where that is text."""
    for run in islice(filter(_BEGINS_TEXT.match, _runs(text)), _MOST_BASE64):
        if inner := _text_of(run):
            yield inner


def _text_of(run: str) -> str:
    """What a run of base64 stands for; "" where that is no text."""
    if len(run) % 4 == 1:
        return ""
    inner = binascii.a2b_base64(run.translate(_URLSAFE) + "=" * (-len(run) % 4))
    # Asked without an error, which nearly every long word would raise.
    text = inner.decode(errors="ignore")
    return text if text.encode() == inner else ""


def may_hold_run(text: str, least: int) -> bool:
    """Whether so many letters of base64 may stand side by side in a text, as they do in no word of prose."""
    return not text.isascii() or text.encode().translate(_OF_RUN).find(b"\1" * least) >= 0


def _runs(text: str) -> list[str]:
    """Runs of letters of base64, less their padding."""
    if not text.isascii():
        return _BASE64.findall(text)
    marked, runs, end = text.encode().translate(_OF_RUN) + _NO_RUN, [], 0
    while (at := marked.find(_RUN, end)) >= 0:
        end = at + _SHORTEST_BASE64
        runs.append(text[marked.rfind(_NO_RUN, 0, at) + 1 : end])
    return runs


_URLSAFE = str.maketrans("-_", "+/")


def _unescaped(found: re.Match[str]) -> str:
    code = int(next(group for group in found.groups() if group), 16)
    return chr(code) if code < 0x110000 else ""
