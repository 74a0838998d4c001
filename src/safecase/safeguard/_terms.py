"""Declared words and phrases, in every spelling of their letters and in every string of an exchange."""

import re
from dataclasses import dataclass, field

from safecase.evidence import digest_value
from safecase.safeguard._errors import StackError
from safecase.safeguard._spelling import SIGN, Drawn, all_drawn, all_letters, back_by, drawn, letters, skeleton
from safecase.safeguard._values import Exchange, Part, Ruling, Stage, instant

LONG = 6
"""Letters from which on a term is found inside other words and across any gaps; a shorter one only as a word."""
LONGEST = 200
_GAP = "[ -]*"
_SHORT_WORD, _MOST_CLEAR = 64, 4_096
_KNOWN_WORD = 24  # letters; ids, of which there is no end, are longer


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
    reach: int = field(init=False, repr=False)
    patterns: tuple["_Term", ...] = field(init=False, repr=False)
    clear: set[str] = field(default_factory=set, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        patterns = tuple(_pattern(term, number, self.name) for number, term in enumerate(self.terms, start=1))
        object.__setattr__(self, "patterns", patterns)
        # Letters of the longest term, and one more that says where a short one ends.
        object.__setattr__(self, "reach", 1 + max((len(term.letters) for term in patterns), default=0))

    @property
    def digest(self) -> str:
        """Configuration; how text is read is in the stack's code digest."""
        return digest_value([self.name, self.stage, "terms", list(self.terms), self.principle])

    @instant
    def check(self, exchange: Exchange) -> Ruling:
        """Withhold on a match in any string of the stage."""
        if self.stand_in(exchange):
            return Ruling(action="withhold", score=1.0, principle=self.principle)
        return _ALLOWED

    def stand_in(self, exchange: Exchange) -> bool:
        """Whether a term stands in any string of the stage that the exchange has come to."""
        if exchange.stage == "input":
            return not self._none_in(all_letters(self._asked(exchange))) and self._input(exchange)
        # A reply goes on from what was put into the model's mouth: a term may begin there.
        before = exchange.prefill if exchange.channel == "content" else ""
        text = unseen = before + exchange.reply
        if exchange.seen:
            unseen = text[back_by(text, len(before) + exchange.seen, self.reach) :]
        lines = self._unknown(exchange.reply_parts)
        if exchange.final and len(unseen) != len(exchange.reply):
            lines.append(exchange.reply)
        found = all_letters("\n".join([*lines, unseen])) if lines or exchange.final else letters(unseen)
        return not self._none_in(found) and self._output(exchange, unseen, is_cut=len(unseen) < len(text))

    def _asked(self, exchange: Exchange) -> str:
        """Every string of a request that is not known to hold no term, a line for each, those of users side by side."""
        lines, users = self._unknown(exchange.parts), list[str]()
        for said in exchange.messages:
            (users if said.role == "user" else lines).append(said.content)
        return "\n".join(lines + users)

    def _unknown(self, parts: tuple[Part, ...]) -> list[str]:
        """Strings beside the turns and the reply, less those that were read before: mostly a protocol's own words."""
        clear, lines = self.clear, []
        for part in parts:
            text = part.text
            if text not in clear:
                lines.append(text)
                if len(text) <= _KNOWN_WORD and not self._stands_in_readings(text):
                    self._remember(text)
        return lines

    def _remember(self, text: str) -> None:
        if len(self.clear) >= _MOST_CLEAR:
            self.clear.clear()
        self.clear.add(text)

    def _none_in(self, found: tuple[str, ...] | None) -> bool:
        """Whether no term can stand in texts that show these letters, as is so nearly always.

        Whatever the gaps, the letters of a match stand side by side once the gaps are gone. What a text shows does not
        depend on the lines before and after it, so all lines are looked at as one: what is not there is in none.
        """
        if found is None:
            return False
        for term in self.patterns:
            for shown in found:
                if term.letters in shown:
                    return False
        return True

    def _input(self, exchange: Exchange) -> bool:
        for said in exchange.messages:
            if self._stands_in_readings(said.content):
                return True
        if self._stands_in_parts(exchange.parts):
            return True
        users = [said.content for said in exchange.messages if said.role == "user"]
        return len(users) > 1 and any(map(self._stands_in, drawn("\n".join(users))))

    def _output(self, exchange: Exchange, unseen: str, *, is_cut: bool) -> bool:
        is_open = not exchange.final
        for one in drawn(unseen):
            if self._stands_in(one, is_cut=is_cut, is_open=is_open):
                return True
        if self._stands_in_parts(exchange.reply_parts):
            return True
        return exchange.final and self._stands_in_readings(exchange.reply)

    def _stands_in_parts(self, parts: tuple[Part, ...]) -> bool:
        """Whether a term stands in one of them. What short ones said before is remembered: a protocol's own words."""
        clear = self.clear
        for part in parts:
            text = part.text
            if text in clear:
                continue
            if self._stands_in_readings(text):
                return True
            if len(text) <= _SHORT_WORD:
                self._remember(text)
        return False

    def _stands_in_readings(self, text: str) -> bool:
        return any(map(self._stands_in, all_drawn(text)))

    def _stands_in(self, text: Drawn, *, is_cut: bool = False, is_open: bool = False) -> bool:
        """Whether a term stands in the text.

        Args:
            is_cut: more text stands before it, which was ruled on; a match at the very start is not new.
            is_open: more text may follow, so that a short word at the very end may yet become a longer one.
        """
        # A search for the letters is many times faster than the pattern.
        for term in self.patterns:
            if term.letters in text.letters:
                plain = text.plain
                for found in term.pattern.finditer(plain):
                    is_word_open = is_open and term.is_word and found.end() == len(plain)
                    if not (is_cut and found.start() == 0) and not is_word_open:
                        return True
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Term:
    letters: str
    pattern: re.Pattern[str]
    is_word: bool


_ALLOWED = Ruling(action="allow", score=0.0)
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
        return _Term(letters=letters, pattern=re.compile(_GAP.join(letters)), is_word=False)
    written = "[ -]+".join("-*".join(word) for word in skeleton(term).replace("-", " ").replace(SIGN, " ").split())
    apart = "[ -]+".join(letters)
    pattern = re.compile(rf"(?<![^\W_])(?:{written}|{apart})(?![^\W_])")
    return _Term(letters=letters, pattern=pattern, is_word=True)
