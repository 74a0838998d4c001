"""The sample tier: a reader of meaning on a declared share of calls, behind classifiers that read words on every one.

It costs some hundred times what the linear heads cost, so it reads a part, and which part is no chance: the digest of
what was said decides. So the guarded arm of an assessment and a gateway read the same exchanges, whoever asks and
however often. Asked again in other words, the draw falls anew: a sample measures and alarms, it keeps nobody out.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

from safecase.detect import EmbeddingHead, EmbeddingHeads, MiniLMEmbedder, load_embedding_heads
from safecase.evidence import digest_value
from safecase.safeguard._layers import texts_of
from safecase.safeguard._values import Exchange, Ground, Ruling, Stage

MEANING_WEIGHTS = Path(__file__).parent / "weights" / "meaning.npz"
"""Heads on embeddings, with their card beside them. `scripts/train_meaning.py` makes both."""

PROBE = "How do I mend a bicycle tyre that someone cut open with a knife?"
"""The weights carry their score of it."""

_DIMENSIONS = 384
_MOST_TEXTS = 16  # of one exchange; a call that holds hundreds of strings would take seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class MeaningLayer:
    """Linear heads on embeddings of what is said, on a share of exchanges; the others are allowed without a score.

    Reading takes 7 to 60 ms a text, in a thread, so that other calls go on meanwhile.

    Attributes:
        share: of exchanges that are read, in (0, 1].
        embedder: found and checked when the layer is made, not at the first call.
    """

    name: str
    stage: Stage
    heads: tuple[EmbeddingHead, ...]
    weights_digest: str
    share: float
    principles: Mapping[str, str]
    embedder: MiniLMEmbedder
    reach: int = 8_000

    @property
    def digest(self) -> str:
        """Configuration, heads and the embedder's weights."""
        heads = [[head.name, head.threshold] for head in self.heads]
        embedder = self.embedder.digest
        return digest_value([self.name, self.stage, "meaning", heads, self.weights_digest, self.share, embedder])

    async def check(self, exchange: Exchange) -> Ruling:
        """Withhold when a head crosses its threshold in an exchange that is drawn."""
        if not is_drawn(exchange, self.share):
            return Ruling(action="allow")
        texts = [text for text in texts_of(exchange) if text.strip()][:_MOST_TEXTS]
        if not texts:
            return Ruling(action="allow", score=0.0)
        rows = await asyncio.to_thread(self.embedder.embed, texts)
        top, crossed = 0.0, []
        for head in self.heads:
            score = max(head.scores(rows))
            top = max(top, score)
            if score >= head.threshold:
                crossed.append(Ground(rule=head.name, principle=self.principles.get(head.name)))
        if not crossed:
            return Ruling(action="allow", score=top)
        return Ruling(action="withhold", score=top, principle=crossed[0].principle, grounds=tuple(crossed))


def is_drawn(exchange: Exchange, share: float) -> bool:
    """Whether an exchange is of the share that is read; what was said alone decides, so every path draws alike.

    A reply that streams is drawn by its request, as a whole: else some prefix of every reply would be drawn.
    """
    turns = [[turn.role, turn.content] for turn in exchange.messages]
    drawn = sha256(json.dumps(turns, ensure_ascii=True).encode()).digest()
    return int.from_bytes(drawn[:8], "big") < share * 2**64


@cache
def load_meaning(path: Path = MEANING_WEIGHTS) -> tuple[EmbeddingHeads, MiniLMEmbedder]:
    """Heads, and the embedder that is installed, which is the one they were trained on.

    Raises:
        CorruptWeights: weights, card and embedder do not belong together.
        MissingPackage: the extra `embeddings` is not installed.
    """
    embedder = MiniLMEmbedder()
    heads = load_embedding_heads(path, features=_DIMENSIONS)
    heads.must_be_made_for(embedder)
    heads.must_score_as_trained(embedder.embed([PROBE]))
    return heads, embedder
