"""A statistical mark in generated text, where the sampler is ours.

Before each token the vocabulary is split by a keyed hash of the tokens before it; the green share gets a little more
weight. Who has the key counts green tokens. (Kirchenbauer et al., ICML 2023; with `context=0` the split never changes,
Zhao et al., ICLR 2024, which fits a server that takes one fixed `logit_bias`.)

For text that knows nothing of the key every *distinct* (context, token) pair is green with the same chance,
independently, so the count is binomial and the p-value exact at every length. Repeats say nothing new and count once.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

_MASK = (1 << 64) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenMark:
    """How tokens are marked; the detector needs the same.

    Attributes:
        key: secret, at least 16 bytes.
        context: tokens before that decide the split; 0 is one split for all. More context hides the mark better and
            loses more of it to an edit.
        share: share of the vocabulary that is green, between 0 and 1.
        bias: added to the logits of green tokens, above 0. Around 2 is hard to notice.
    """

    key: bytes = field(repr=False)
    context: int = 1
    share: float = 0.5
    bias: float = 2.0

    def __post_init__(self) -> None:
        if len(self.key) < 16 or self.context < 0 or not 0 < self.share < 1 or not self.bias > 0:
            raise ValueError("key needs 16 bytes, context 0 or more, share between 0 and 1, bias above 0")

    def green(self, before: Sequence[int], tokens: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Which of these tokens are green after `before`.

        Args:
            before: at least `context` token ids; the last ones count.
            tokens: token ids, any shape.
        """
        seen = tuple(before[len(before) - self.context :]) if self.context else ()
        if len(seen) < self.context:
            raise ValueError(f"{self.context} tokens must stand before, got {len(before)}")
        data = b"".join(token.to_bytes(8, signed=True) for token in seen)
        hashed = hashlib.blake2b(b"safecase tokens 1" + data, key=self.key[:64], digest_size=16).digest()
        first, second = (np.uint64(int.from_bytes(part)) for part in (hashed[:8], hashed[8:]))
        limit = np.uint64(min(int(self.share * 2.0**64), _MASK))
        with np.errstate(over="ignore"):  # the mixing is arithmetic modulo 2^64
            return np.asarray(_mixed(np.asarray(tokens).astype(np.uint64), first, second) < limit)


def bias_logits(logits: npt.NDArray[np.floating], before: Sequence[int], mark: TokenMark) -> npt.NDArray[np.floating]:
    """The callback for a sampler: logits of the next token, green ones raised.

    Args:
        logits: (vocabulary,).
        before: every token so far. While there are too few of them, nothing is raised.
    """
    if len(before) < mark.context:
        return logits
    return np.where(mark.green(before, np.arange(len(logits))), logits + mark.bias, logits)


def fixed_bias(mark: TokenMark, *, vocabulary: int) -> dict[int, float]:
    """The bias by token for a server that takes one `logit_bias` for a whole answer.

    Raises:
        ValueError: the mark's split changes with the context.
    """
    if mark.context:
        raise ValueError(f"a fixed bias needs context=0, got {mark.context}")
    return {int(token): mark.bias for token in np.flatnonzero(mark.green((), np.arange(vocabulary)))}


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenEvidence:
    """What counting gave.

    Attributes:
        green: green ones among the `counted` distinct pairs.
        counted: pairs; None of them means that the text is too short to say anything.
        z: standard deviations above what an unmarked text has; None without a pair.
        p_value: chance of at least so many green ones in a text that knows nothing of the key; None without a pair.
    """

    green: int
    counted: int
    z: float | None
    p_value: float | None


def count_green(tokens: Sequence[int], mark: TokenMark) -> TokenEvidence:
    """Count green tokens, each distinct (context, token) pair once.

    Args:
        tokens: ids of the generated text only; a prompt was not marked.
    """
    from scipy.stats import binom  # a second to load, and a gateway that only adds headers never counts

    width = mark.context
    pairs = {tuple(tokens[at - width : at + 1]) for at in range(width, len(tokens))}
    green = sum(bool(mark.green(pair[:-1], pair[-1])) for pair in pairs)
    counted = len(pairs)
    if counted == 0:
        return TokenEvidence(green=0, counted=0, z=None, p_value=None)
    spread = (counted * mark.share * (1 - mark.share)) ** 0.5
    p_value = float(binom.sf(green - 1, counted, mark.share))
    return TokenEvidence(green=green, counted=counted, z=(green - counted * mark.share) / spread, p_value=p_value)


def green_needed(counted: int, *, share: float = 0.5, error: float = 1e-6) -> int | None:
    """Least number of green pairs that says "marked" with at most this error; None where no number does.

    >>> [green_needed(counted) for counted in (10, 25, 50, 100, 200, 400)]
    [None, 24, 42, 74, 134, 248]
    """
    from scipy.stats import binom

    needed = int(binom.isf(error, counted, share)) + 1
    return needed if needed <= counted else None


def _mixed(values: npt.NDArray[np.uint64], first: np.uint64, second: np.uint64) -> npt.NDArray[np.uint64]:
    """64 bits for each value under two words of key: splitmix64's mixing, twice (Steele et al., OOPSLA 2014)."""
    mixed = values ^ first
    for word in (second, first):
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed = (mixed ^ (mixed >> np.uint64(31))) + word
    return np.asarray((mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9))
