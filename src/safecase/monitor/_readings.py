"""What the embedded detectors make of a batch of calls: is the request harmful, of what category, is the answer unsafe.

    every prompt            head for harmful requests, a whole batch at once, repeated texts once
    harmful requests only   category, and the judge's verdict on the answer

A withheld answer is safe without judging. Where a prompt or a reply was not kept, nothing is said: absent, never "no".
"""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from safecase.assess import HARMFUL_FROM, RequestReader
from safecase.detect import scores_many
from safecase.evidence import Verdict, digest_value
from safecase.measure import EmbeddedJudge, happened
from safecase.monitor._values import Reading, Seen

_KNOWN_TEXTS, _KNOWN_EXCHANGES = 20_000, 20_000
_UNREAD = Reading()
HARM_HEAD, ATTACK_HEAD = "harmful-request", "jailbreak-prompt"
_LONGEST_KEY = 2_000  # characters; longer texts seldom repeat, and keys stay small


@dataclass
class Detectors:
    """Reads calls in batches. The same batch gives the same readings.

    Attributes:
        reads_attacks: also whether a request tries to get around safeguards, which then costs little.
    """

    reader: RequestReader
    judge: EmbeddedJudge = field(default_factory=EmbeddedJudge)
    reads_attacks: bool = False
    _known: OrderedDict[str, Reading] = field(default_factory=OrderedDict, repr=False)
    _verdicts: OrderedDict[bytes, Verdict] = field(default_factory=OrderedDict, repr=False)

    @property
    def digest(self) -> str:
        """Of both readers."""
        return digest_value([self.reader.digest, self.judge.digest])

    def read(self, batch: Sequence[Seen]) -> list[Seen]:
        """The same calls, each with its reading."""
        requests = self._requests(list(dict.fromkeys(seen.prompt for seen in batch if seen.prompt)))
        return [_with(seen, self._reading(seen, requests)) for seen in batch]

    def _reading(self, seen: Seen, requests: Mapping[str, Reading]) -> Reading:
        if not seen.prompt:
            return _UNREAD
        request = requests[seen.prompt]
        if not request.is_harmful or (verdict := self._verdict(seen)) is None:
            return request
        return Reading(
            harm=request.harm,
            is_harmful=True,
            category=request.category,
            verdict=verdict,
            is_unsafe=happened("unsafe", verdict),
            attack=request.attack,
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

    def _requests(self, texts: Sequence[str]) -> dict[str, Reading]:
        """What is read of each text without its answer, asked for once while it is remembered."""
        known = self._known
        new = [text for text in texts if text not in known]
        made = self._made(new) if new else {}
        found = {text: made[text] if text in made else known[text] for text in texts}
        known.update((text, reading) for text, reading in made.items() if len(text) <= _LONGEST_KEY)
        while len(known) > _KNOWN_TEXTS:
            known.popitem(last=False)
        return found

    def _made(self, texts: Sequence[str]) -> dict[str, Reading]:
        attacks: Sequence[float | None] = [None] * len(texts)
        if self.reads_attacks:  # the n-grams are counted once for both
            found = scores_many(self.reader.heads, texts, names=[HARM_HEAD, ATTACK_HEAD])
            scores, attacks = dict(zip(texts, found[HARM_HEAD], strict=True)), found[ATTACK_HEAD]
        else:
            scores = dict(zip(texts, self.reader.scores(texts), strict=True))
        harmful = [text for text, score in scores.items() if score >= HARMFUL_FROM]
        categories = dict(zip(harmful, self.reader.categories(harmful), strict=True))
        return {
            text: Reading(harm=score, is_harmful=text in categories, category=categories.get(text, ""), attack=attack)
            for (text, score), attack in zip(scores.items(), attacks, strict=True)
        }


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
