"""Turn texts into vectors whose angles say how alike the texts are.

Two ways, by an explicit list of names: `hashed`, always there, by the words that texts share; `minilm`, a small
language model that also knows words of like meaning, an extra and some hundred times dearer. Neither is a head: a
vector means nothing by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from safecase.evidence import digest_file, digest_value

from ._many import count_many
from ._minilm import MiniLMEmbedder
from ._ngrams import Features

Embeddings = NDArray[np.float32]
EmbedderName = Literal["hashed", "minilm"]

_HERE = Path(__file__).parent
_SPREAD = np.uint32(0x9E3779B1)  # 2**32 / golden ratio


class Embedder(Protocol):
    """Texts -> vectors. Two embedders with one digest give the same vectors, up to the rounding of sums.

    Attributes:
        digest: SHA-256 over weights, settings and code; vectors of different digests must not be compared.
        dimensions: numbers a text.
    """

    @property
    def digest(self) -> str: ...
    @property
    def dimensions(self) -> int: ...
    def embed(self, texts: Sequence[str]) -> Embeddings:
        """float32, (text, dimension): rows of unit length, so `a @ b` is a cosine. A row depends on its text alone."""
        ...


@dataclass(frozen=True)
class HashedEmbedder:
    """Hashed n-grams added up in few dimensions, each with a sign of its own, so that what collides cancels on average.

    A text without words has nothing to share: all such texts get one vector, at right angles to every other.

    Args:
        dimensions: 2 or more; of them one is kept for texts without words.

    Source of signed hashing: Weinberger et al., Feature Hashing for Large Scale Multitask Learning, ICML 2009.

    >>> first, same, other = HashedEmbedder().embed(["How do I bake bread?", "how do i bake BREAD", "Is it raining?"])
    >>> float(first @ same) > 0.9 > 0.5 > float(first @ other)
    True
    """

    dimensions: int = 256
    features: Features = field(default=Features(reach=2000))

    def __post_init__(self) -> None:
        if self.dimensions < 2:
            raise ValueError(f"an embedding needs 2 dimensions or more, got {self.dimensions!r}")

    @cached_property
    def digest(self) -> str:
        """Settings, and the code that counts n-grams."""
        code = [digest_file(_HERE / name) for name in ("_embedding.py", "_many.py", "_ngrams.py", "_normalise.py")]
        return digest_value(["hashed", self.dimensions, repr(self.features), code])

    def embed(self, texts: Sequence[str]) -> Embeddings:
        """float32, (text, dimension), rows of unit length; about 0.05 ms a text of 200 characters."""
        parts = [self._rows(*counted) for counted in count_many(texts, self.features)]
        return np.concatenate(parts) if parts else np.zeros((0, self.dimensions), np.float32)

    def _rows(self, buckets: NDArray[np.intp], values: Embeddings, ends: Sequence[int]) -> Embeddings:
        """The rows of some texts, their n-grams end to end; every sum runs over one text alone, in its order."""
        hashes = (buckets.astype(np.uint32) + np.uint32(1)) * _SPREAD
        hashes ^= hashes >> np.uint32(15)
        signs = np.where(hashes & np.uint32(1), np.float32(1), np.float32(-1))
        places = 1 + (hashes >> np.uint32(1)) % np.uint32(self.dimensions - 1)
        count = len(ends) - 1
        cells = np.repeat(np.arange(count), np.diff(ends)) * self.dimensions + places
        sums = np.bincount(cells, signs * values, count * self.dimensions).reshape(count, self.dimensions)
        lengths = np.sqrt((sums * sums).sum(axis=1))
        sums[lengths == 0, 0] = 1.0
        lengths[lengths == 0] = 1.0
        return np.asarray(sums / lengths[:, None], np.float32)


def open_embedder(name: EmbedderName) -> Embedder:
    """The embedder of that name: `hashed` or `minilm`. The latter reads its weights on first use.

    Raises:
        ValueError: no embedder of that name.
    """
    match name:
        case "hashed":
            return HashedEmbedder()
        case "minilm":
            return MiniLMEmbedder()
    raise ValueError(f"no embedder {name!r}; the known ones are {', '.join(get_args(EmbedderName))}")
