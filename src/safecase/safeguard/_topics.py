"""Topics that a deployment bars, or answers with words of its own."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from safecase.detect import Head, normalise
from safecase.evidence import digest_value
from safecase.safeguard._errors import StackError
from safecase.safeguard._layers import texts_of
from safecase.safeguard._spelling import readings
from safecase.safeguard._terms import TermsLayer
from safecase.safeguard._values import Exchange, Ground, Ruling, Stage, instant

PATTERN_REACH = 400
"""Characters that one match of a pattern may span. What cannot be longer cannot be made slow either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """One topic, found by any of these.

    Attributes:
        terms: words and phrases, in every spelling of their letters (see `TermsLayer`).
        patterns: regular expressions over normalised (lower-case, plain) text, of bounded length.
        heads: linear heads with the threshold that stands for the topic.

    Raises:
        StackError: it has nothing to be found by, or a pattern is no expression of bounded length.
    """

    id: str
    terms: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    heads: tuple[Head, ...] = ()
    principle: str | None = None

    def __post_init__(self) -> None:
        if not (self.terms or self.patterns or self.heads):
            raise StackError(f"topic {self.id!r} has nothing to be found by; give it terms, patterns or heads")


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicsLayer:
    """Withholds what is about a declared topic; the stack gives the words that the user reads instead.

    Terms are read in every string of the stage, and in a streaming reply as it comes. Patterns and heads read whole
    texts, so a layer that has any holds a stream instead of stopping it.
    """

    name: str
    stage: Stage
    topics: tuple[Topic, ...]
    weights_digest: str | None = None
    words: Mapping[str, TermsLayer] = field(init=False, repr=False, compare=False)
    patterns: Mapping[str, tuple[re.Pattern[str], ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        words = {
            topic.id: TermsLayer(name=f"{self.name}/{topic.id}", stage=self.stage, terms=topic.terms)
            for topic in self.topics
            if topic.terms
        }
        patterns = {
            topic.id: tuple(_compiled(pattern, topic=topic.id, layer=self.name) for pattern in topic.patterns)
            for topic in self.topics
            if topic.patterns
        }
        object.__setattr__(self, "words", words)
        object.__setattr__(self, "patterns", patterns)

    @property
    def is_windowed(self) -> bool:
        """Whether `reach` letters of lookback are enough for it while a reply streams."""
        return not any(topic.patterns or topic.heads for topic in self.topics)

    @property
    def reach(self) -> int:
        """Of the longest term; of whole texts where patterns or heads read them."""
        return max((words.reach for words in self.words.values()), default=0) if self.is_windowed else 8_000

    @property
    def digest(self) -> str:
        """Configuration and weights; how text is read is in the stack's code digest."""
        topics = [
            [one.id, list(one.terms), list(one.patterns), [[h.name, h.threshold] for h in one.heads], one.principle]
            for one in self.topics
        ]
        return digest_value([self.name, self.stage, "topics", topics, self.weights_digest])

    @instant
    def check(self, exchange: Exchange) -> Ruling:
        """Withhold on any topic; every topic that is found is a ground."""
        found = [topic for topic in self.topics if self._is_about(exchange, topic)]
        if not found:
            return Ruling(action="allow", score=0.0)
        grounds = tuple(Ground(rule=topic.id, principle=topic.principle) for topic in found)
        return Ruling(action="withhold", score=1.0, principle=found[0].principle, grounds=grounds)

    def _is_about(self, exchange: Exchange, topic: Topic) -> bool:
        words = self.words.get(topic.id)
        if words is not None and words.stand_in(exchange):
            return True
        patterns = self.patterns.get(topic.id, ())
        if patterns and any(pattern.search(text) for text in _plain(exchange) for pattern in patterns):
            return True
        return any(head.score(text) >= head.threshold for head in topic.heads for text in texts_of(exchange) if text)


def _plain(exchange: Exchange) -> Iterator[str]:
    parts = exchange.asked() if exchange.stage == "input" else exchange.replied()
    return (normalise(reading) for part in parts for reading in readings(part.text))


def _compiled(pattern: str, *, topic: str, layer: str) -> re.Pattern[str]:
    where = f"layer {layer!r}: topic {topic!r} has a pattern that"
    try:
        compiled = re.compile(pattern)
        # The parser of `re` is the only one that knows how much an expression can match; it has no public name.
        longest = re._parser.parse(pattern).getwidth()[1]  # type: ignore[attr-defined]
    except re.error as fault:
        raise StackError(f"{where} is no regular expression ({fault.msg} at {fault.pos}); mend it") from fault
    if longest > PATTERN_REACH:
        raise StackError(
            f"{where} may match more than {PATTERN_REACH} characters; bound its repeats, {{0,40}} instead of *"
        )
    if compiled.search(""):
        raise StackError(f"{where} matches everything; give it letters to look for")
    return compiled
