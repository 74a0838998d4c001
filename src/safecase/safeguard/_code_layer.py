"""Insecure code in a reply: replaced, or the reply withheld."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

from safecase.evidence import digest_value
from safecase.safeguard._code import Code, code_in, open_from
from safecase.safeguard._code_rules import CodeScanner, Finding, Severity
from safecase.safeguard._values import Exchange, Ground, Part, Ruling, Stage

CodeAction = Literal["withhold", "replace", "observe"]
AS_SHIPPED: Mapping[Severity, CodeAction] = {"high": "withhold", "medium": "replace", "low": "observe"}

_SCORE: Mapping[Severity, float] = {"high": 1.0, "medium": 0.6, "low": 0.3}
# Characters. More is read in a thread: the parser holds the interpreter, and others get their turn between pieces.
_IN_PLACE = 4_000
_SOURCES = frozenset("code source script program command cmd python javascript bash shell".split())


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeLayer:
    """Finds insecure constructs in generated code: fenced, bare, or in a tool call's arguments.

    What is found in the reply's text is dealt with line by line. Elsewhere (reasoning, arguments) nothing can be
    replaced, so that what would be replaced withholds. While a reply streams, code is held from its first line on
    until it is complete and looked at; prose before it goes out.

    Attributes:
        do: by severity.
        longest: characters of code in a reply; of more it gives no ruling.
    """

    name: str
    stage: Stage
    scanner: CodeScanner
    do: Mapping[Severity, CodeAction]
    principle: str | None = None
    longest: int = 40_000
    reach: int = 40_000

    @property
    def digest(self) -> str:
        """Configuration, rules and the parser's version."""
        do = sorted(self.do.items())
        return digest_value([self.name, self.stage, "code", self.scanner.digest, do, self.principle, self.longest])

    async def check(self, exchange: Exchange) -> Ruling:
        """Withhold, replace or only note what is found, by its severity."""
        here = tuple(self._in_reply(exchange))
        beside = tuple((code, part.text) for part in exchange.reply_parts for code in _in_part(part))
        size = sum(len(code.text) for code in here) + sum(len(code.text) for code, _ in beside)
        if size > self.longest:
            return Ruling(action="withhold", error=f"more than the {self.longest} characters of code that are read")
        rule = partial(self._rule, exchange, here, beside)
        return rule() if size <= _IN_PLACE else await asyncio.to_thread(rule)

    def _rule(self, exchange: Exchange, codes: tuple[Code, ...], beside: tuple[tuple[Code, str], ...]) -> Ruling:
        try:
            here = tuple(one for code in codes for one in self.scanner.scan(code, within=exchange.reply))
            elsewhere = tuple(one for code, text in beside for one in self.scanner.scan(code, within=text))
        except Exception:
            raise
        except BaseException as fault:
            # What panics in the parser comes as no Exception; it is a failure of this layer and of nothing else.
            if isinstance(fault, KeyboardInterrupt | SystemExit):
                raise
            return Ruling(action="withhold", error=type(fault).__name__)
        hold = None if exchange.final or not exchange.reply else open_from(exchange.reply)
        return self._ruling(here, elsewhere, hold=hold, channel=exchange.channel)

    def _in_reply(self, exchange: Exchange) -> Iterator[Code]:
        """What is complete, and was not looked at before."""
        for code in code_in(exchange.reply, is_final=exchange.final):
            if code.is_closed and (exchange.final or code.start + len(code.text) >= exchange.seen):
                yield code

    def _ruling(
        self, here: tuple[Finding, ...], elsewhere: tuple[Finding, ...], *, hold: int | None, channel: str
    ) -> Ruling:
        found = here + elsewhere
        if not found:
            return Ruling(action="allow", score=0.0, hold=hold)
        score = max(_SCORE[one.severity] for one in found)
        acted = [one for one in found if self.do[one.severity] != "observe"]
        grounds = tuple(Ground(rule=name, principle=self.principle) for name in _names(acted or list(found)))
        if not acted:
            return Ruling(action="allow", score=score, grounds=grounds, hold=hold)
        can_replace = channel == "content" and not any(one in acted for one in elsewhere)
        if can_replace and all(self.do[one.severity] == "replace" for one in acted):
            spans = tuple((one.start, one.end) for one in acted)
            return Ruling(
                action="replace", score=score, principle=self.principle, grounds=grounds, spans=spans, hold=hold
            )
        return Ruling(action="withhold", score=score, principle=self.principle, grounds=grounds, hold=hold)


def _in_part(part: Part) -> tuple[Code, ...]:
    """Code in a string beside the text; what a tool calls its source is that whether or not it looks like it."""
    if part.channel == "envelope":
        return ()
    names = [name for name in part.where.split(".") if not name.startswith("(")]
    if part.channel == "tool-arguments" and names and names[-1].lower() in _SOURCES:
        return (Code(start=0, text=part.text, languages=()),)
    return code_in(part.text)


def _names(found: list[Finding]) -> list[str]:
    return list(dict.fromkeys(one.rule for one in found))
