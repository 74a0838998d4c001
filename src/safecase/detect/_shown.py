"""What is seen of a text, and where each letter of that stood: so that spans point at what was written."""

import re
from dataclasses import dataclass

from ._normalise import _DECORATIVE_MARKS, _INVISIBLE

# One set, and the set again: an expression that begins with a set is searched for many times as fast as another.
_ANY = f"[{_INVISIBLE.pattern[1:-1]}{_DECORATIVE_MARKS.pattern[1:-1]}]"
_HIDDEN = re.compile(f"{_ANY}{_ANY}*")
_HIDDEN_ASCII = bytes(code for code in range(128) if _HIDDEN.match(chr(code)))


@dataclass(frozen=True, slots=True)
class Shown:
    """What is seen of a text.

    Attributes:
        places: of every letter of `text` in the text as given; None where nothing was hidden.
    """

    text: str
    places: tuple[int, ...] | None

    def span(self, start: int, end: int) -> tuple[int, int]:
        """A stretch of `text`, not empty, as a stretch of the text as given: with what is hidden within it."""
        return (start, end) if self.places is None else (self.places[start], self.places[end - 1] + 1)


def shown(text: str) -> Shown:
    """The text less zero-width letters, controls, tags and decorative marks.

    >>> view = shown("a\\u200bd\\u2060a@example.org")
    >>> view.text, view.span(0, 3)
    ('ada@example.org', (0, 5))
    """
    if text.isascii() and len(text.encode().translate(None, _HIDDEN_ASCII)) == len(text):
        return Shown(text, None)
    pieces: list[str] = []
    places: list[int] = []
    at = 0
    for hidden in _HIDDEN.finditer(text):
        pieces.append(text[at : hidden.start()])
        places += range(at, hidden.start())
        at = hidden.end()
    if not at:
        return Shown(text, None)
    places += range(at, len(text))
    return Shown("".join([*pieces, text[at:]]), tuple(places))
