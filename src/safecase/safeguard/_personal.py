"""Personal data in a reply: replaced, or the reply withheld."""

from dataclasses import dataclass
from typing import Literal

from safecase.detect import PersonalKind, find_personal_data
from safecase.evidence import digest_value
from safecase.safeguard._values import Exchange, Ruling, Stage

_TOKEN = 320  # characters that an unbroken stretch (an address) is followed back


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonalDataLayer:
    """Finds cards, accounts, addresses and numbers by shape and checksum, where the request did not say them first.

    What a person wrote in the conversation is theirs to hear again. Found in the reply's text it is replaced or
    withheld; in reasoning, where nothing is replaced, it withholds. The arguments of a tool call are a program's
    input, often an address on purpose, and are not read. Names and postal addresses have no shape and are not found.
    """

    name: str
    stage: Stage
    kinds: tuple[PersonalKind, ...]
    do: Literal["replace", "withhold"] = "replace"
    principle: str | None = None
    reach: int = 48

    @property
    def digest(self) -> str:
        """Configuration; the shapes are in the stack's code digest."""
        return digest_value([self.name, self.stage, "personal-data", list(self.kinds), self.do, self.principle])

    async def check(self, exchange: Exchange) -> Ruling:
        """Replace or withhold what is found."""
        known = "\n".join(part.text for part in exchange.asked())
        start = _token_start(exchange.reply, max(0, exchange.seen - self.reach * 2)) if exchange.seen else 0
        spans = tuple((at + start, end + start) for at, end in self._found(exchange.reply[start:], known))
        beside = (part.text for part in exchange.reply_parts if part.channel not in ("tool-arguments", "envelope"))
        elsewhere = any(self._found(text, known) for text in beside)
        if not spans and not elsewhere:
            return Ruling(action="allow")
        replace = self.do == "replace" and not elsewhere and exchange.channel == "content"
        return Ruling(
            action="replace" if replace else "withhold", principle=self.principle, spans=spans if replace else ()
        )

    def _found(self, text: str, known: str) -> list[tuple[int, int]]:
        return [
            (span.start, span.end)
            for span in find_personal_data(text)
            if span.kind in self.kinds and text[span.start : span.end] not in known
        ]


def _token_start(text: str, at: int) -> int:
    """The beginning of the unbroken stretch that the place lies in."""
    floor = max(0, at - _TOKEN)
    while at > floor and not text[at - 1].isspace():
        at -= 1
    return at
