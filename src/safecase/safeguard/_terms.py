"""Declared words and phrases, in every spelling of their letters and in every string of an exchange."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from safecase.evidence import digest_value
from safecase.safeguard._errors import StackError
from safecase.safeguard._spelling import SIGN, back_by, readings, skeleton
from safecase.safeguard._values import Exchange, Ruling, Stage

LONG = 6
"""Letters from which on a term is found inside other words and across any gaps; a shorter one only as a word."""
LONGEST = 200
_GAP = "[ -]*"


@dataclass(frozen=True, slots=True, kw_only=True)
class TermsLayer:
    """Withholds where a declared term stands, however it is spelled.

    Look-alike letters, full-width and invisible characters, leetspeak and letters set apart are read through.
    Misspelling, doubled letters, synonyms and ciphers are not. A term under six letters is found as a word of its own
    only.

    Raises:
        StackError: a term has fewer than two letters, or more than 200.
    """

    name: str
    stage: Stage
    terms: tuple[str, ...]
    principle: str | None = None
    patterns: tuple["_Term", ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        patterns = tuple(_pattern(term, number, self.name) for number, term in enumerate(self.terms, start=1))
        object.__setattr__(self, "patterns", patterns)

    @property
    def reach(self) -> int:
        """Letters of the longest term, and one more that says where a short one ends."""
        return 1 + max((len(_letters(term)) for term in self.terms), default=0)

    @property
    def digest(self) -> str:
        """Configuration; how text is read is in the stack's code digest."""
        return digest_value([self.name, self.stage, "terms", list(self.terms), self.principle])

    async def check(self, exchange: Exchange) -> Ruling:
        """Withhold on a match in any string of the stage."""
        found = (
            any(map(self._stands_in, self._input(exchange))) if exchange.stage == "input" else self._output(exchange)
        )
        if found:
            return Ruling(action="withhold", score=1.0, principle=self.principle)
        return Ruling(action="allow", score=0.0)

    def _input(self, exchange: Exchange) -> Iterator[str]:
        yield from (reading for part in exchange.asked() for reading in readings(part.text))
        users = [said.content for said in exchange.messages if said.role == "user"]
        if len(users) > 1:
            yield "\n".join(users)

    def _output(self, exchange: Exchange) -> bool:
        # A reply goes on from what was put into the model's mouth: a term may begin there.
        before = exchange.prefill if exchange.channel == "content" else ""
        text = before + exchange.reply
        seen = len(before) + exchange.seen if exchange.seen else 0
        start = back_by(text, seen, self.reach) if seen else 0
        if self._stands_in(text[start:], is_cut=start > 0, is_open=not exchange.final):
            return True
        others = [part.text for part in exchange.reply_parts]
        if exchange.final:
            others.append(exchange.reply)
        return any(self._stands_in(reading) for other in others for reading in readings(other))

    def _stands_in(self, text: str, *, is_cut: bool = False, is_open: bool = False) -> bool:
        """Whether a term stands in the text.

        Args:
            is_cut: more text stands before it, which was ruled on; a match at the very start is not new.
            is_open: more text may follow, so that a short word at the very end may yet become a longer one.
        """
        drawn = skeleton(text)
        return any(
            not (is_cut and found.start() == 0) and not (is_open and term.is_word and found.end() == len(plain))
            for plain in {drawn.replace(SIGN, "-"), drawn.replace(SIGN, "i")}
            for term in self.patterns
            for found in term.pattern.finditer(plain)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Term:
    pattern: re.Pattern[str]
    is_word: bool


_PARTED = str.maketrans("", "", f" -{SIGN}")


def _letters(term: str) -> str:
    return skeleton(term).translate(_PARTED)


def _pattern(term: str, number: int, layer: str) -> _Term:
    letters = _letters(term)
    if not 2 <= len(letters) <= LONGEST:
        raise StackError(
            f"layer {layer!r}: term {number} has {len(letters)} letters; give 2 to {LONGEST}, or leave it out"
        )
    if len(letters) >= LONG:
        return _Term(pattern=re.compile(_GAP.join(letters)), is_word=False)
    written = "[ -]+".join("-*".join(word) for word in skeleton(term).replace("-", " ").replace(SIGN, " ").split())
    apart = "[ -]+".join(letters)
    return _Term(pattern=re.compile(rf"(?<![^\W_])(?:{written}|{apart})(?![^\W_])"), is_word=True)
