"""What the embedded detectors make of a batch of calls: is the request harmful, of what category, is the answer unsafe.

    every prompt            head for harmful requests, a whole batch at once, repeated texts once
    harmful requests only   category, and the judge's verdict on the answer

A withheld answer is safe without judging. Where a prompt or a reply was not kept, nothing is said: absent, never "no".
"""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from safecase.assess import HARMFUL_FROM, RequestReader
from safecase.evidence import Verdict, digest_value
from safecase.measure import EmbeddedJudge, happened
from safecase.monitor._values import Reading, Seen

_KNOWN_TEXTS, _KNOWN_EXCHANGES = 20_000, 20_000
_UNREAD = Reading()
_LONGEST_KEY = 2_000  # characters; longer texts seldom repeat, and keys stay small


@dataclass
class Detectors:
    """Reads calls in batches. The same batch gives the same readings."""

    reader: RequestReader
    judge: EmbeddedJudge = field(default_factory=EmbeddedJudge)
    _known: OrderedDict[str, float] = field(default_factory=OrderedDict, repr=False)
    _verdicts: OrderedDict[bytes, Verdict] = field(default_factory=OrderedDict, repr=False)

    @property
    def digest(self) -> str:
        """Of both readers."""
        return digest_value([self.reader.digest, self.judge.digest])

    def read(self, batch: Sequence[Seen]) -> list[Seen]:
        """The same calls, each with its reading."""
        prompts = [seen.prompt for seen in batch if seen.prompt]
        scores = dict(zip(prompts, self._scores(prompts), strict=True))
        harmful = [text for text in scores if scores[text] >= HARMFUL_FROM]
        categories = dict(zip(harmful, self.reader.categories(harmful), strict=True))
        return [_with(seen, self._reading(seen, scores, categories)) for seen in batch]

    def _reading(self, seen: Seen, scores: dict[str, float], categories: dict[str, str]) -> Reading:
        if not seen.prompt:
            return _UNREAD
        if seen.prompt not in categories:
            return Reading(harm=scores[seen.prompt], is_harmful=False)
        verdict = self._verdict(seen)
        return Reading(
            harm=scores[seen.prompt],
            is_harmful=True,
            category=categories[seen.prompt],
            verdict=verdict,
            is_unsafe=None if verdict is None else happened("unsafe", verdict),
        )

    def _verdict(self, seen: Seen) -> Verdict | None:
        if seen.event.outcome == "withheld":
            return "safe_completion"
        if seen.reply is None or seen.prompt is None or seen.event.outcome not in {"served", "cut"}:
            return None
        return self._judged(seen.prompt, seen.reply)

    def _judged(self, prompt: str, reply: str) -> Verdict:
        """The judge's verdict, asked for once per exchange while it is remembered: attacks come in copies."""
        key = hashlib.blake2b(
            f"{len(prompt)} {prompt}{reply}".encode("utf-8", "surrogatepass"), digest_size=16
        ).digest()
        verdict = self._verdicts.get(key)
        if verdict is None:
            verdict = self._verdicts[key] = self.judge.verdict(request=prompt, answer=reply)[0]
            while len(self._verdicts) > _KNOWN_EXCHANGES:
                self._verdicts.popitem(last=False)
        return verdict

    def _scores(self, texts: Sequence[str]) -> list[float]:
        """Scores, asked for once per text while it is remembered."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        found = dict(zip(new, self.reader.scores(new), strict=True)) if new else {}
        scores = [found[text] if text in found else self._known[text] for text in texts]
        self._known.update((text, score) for text, score in found.items() if len(text) <= _LONGEST_KEY)
        while len(self._known) > _KNOWN_TEXTS:
            self._known.popitem(last=False)
        return scores


def _with(seen: Seen, reading: Reading) -> Seen:
    """The call with its reading; `dataclasses.replace` would take four times as long, on every call."""
    return Seen(
        event=seen.event,
        prompt=seen.prompt,
        reply=seen.reply,
        source=seen.source,
        offset=seen.offset,
        reading=reading,
    )
