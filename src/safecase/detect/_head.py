"""Linear heads over n-gram counts: a file of weights, a card beside it, a probability out.

    CorruptWeights(ValueError)   the weights or the card are not what the card says they are

The weights file holds everything that scoring needs (`.npz`, read without pickle); the card names its SHA-256 and says
what the heads were trained on and how well they do on text they never saw. A card cannot change a score.
"""

import io
import json
import math
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from safecase.evidence import digest_bytes

from ._counts import Counts, count_ngrams
from ._ngrams import Features

_SPEC = "spec"

# A weights file carries every head's score of this text. Weights mean something only together with the code that counts
# n-grams, so a change of that code must not load old weights and score with them silently.
_PROBE = "The quick brown fox jumps over 13 lazy dogs, ré-sumé, привет, 你好 — and h3llo again and again!"
_PROBE_TOLERANCE = 1e-3


class CorruptWeights(ValueError):
    """The weights or the card are missing, damaged, or not the ones the card describes."""


# --- Heads ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Head:
    """One yes-or-no question about a text, answered with a calibrated probability.

    Attributes:
        name: what a high score claims: `harmful-request`, `refusal`.
        weights: float32, (2**features.bits,).
        bias: added to weights . counts: the margin.
        slope, offset: Platt scaling, probability = sigmoid(slope * margin + offset).
        threshold: the score from which `fires` says yes, in (0, 1).
        enabled: False when it did not earn trust on held-out text; it then still scores, and never fires.
    """

    name: str
    features: Features
    weights: NDArray[np.float32]
    bias: float
    slope: float = 1.0
    offset: float = 0.0
    threshold: float = 0.5
    enabled: bool = True

    def score(self, text: str) -> float:
        """Probability in [0, 1] that the claim holds of the text."""
        return self.score_counts(count_ngrams(text, self.features))

    def score_counts(self, counts: Counts) -> float:
        """The same from counts made with this head's `features`, so that heads can share the counting."""
        return self.score_margin(float(self.weights[counts.buckets].dot(counts.values)) + self.bias)

    def score_margin(self, margin: float) -> float:
        """The same from weights . counts + bias."""
        return _sigmoid(self.slope * margin + self.offset)

    def fires(self, text: str) -> bool:
        """Whether the head is enabled and the score reaches its threshold."""
        return self.enabled and self.score(text) >= self.threshold


@lru_cache(maxsize=64)  # texts are at most 2 * reach long
def _scores_once(text: str, heads: tuple[Head, ...]) -> tuple[float, ...]:
    return _scores(heads, text)


def score_by_all(heads: tuple[Head, ...], text: str) -> tuple[float, ...]:
    """Every head's score of a text, in their order.

    What a conversation said before comes again with every turn of it, and a system prompt with every call: the last
    scores are kept.

    >>> score_by_all((), "Hi")
    ()
    """
    longest = max((2 * head.features.reach for head in heads), default=0)
    return _scores_once(text, heads) if len(text) <= longest else _scores(heads, text)


def _scores(heads: tuple[Head, ...], text: str) -> tuple[float, ...]:
    counted: dict[int, Counts] = {}  # heads of one file have one and the same way of counting
    found = []
    for head in heads:
        counts = counted.get(id(head.features))
        if counts is None:
            counts = counted[id(head.features)] = count_ngrams(text, head.features)
        found.append(head.score_counts(counts))
    return tuple(found)


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


# --- The card ---------------------------------------------------------------------------------------------------------


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Measured(_Frozen):
    """A value with its two-sided 95 % interval (percentile bootstrap over groups)."""

    value: float
    low: float
    high: float


class Performance(_Frozen):
    """How a head does on one part of the held-out rows. A figure that needs both classes is None without them.

    `rows` and `positives` count texts; `calibration_error` is the expected calibration error over ten equal-count bins.
    """

    rows: int
    positives: int
    groups: int
    precision: Measured | None
    recall: Measured | None
    false_positive_rate: Measured | None
    auroc: Measured | None
    average_precision: Measured | None
    calibration_error: Measured | None


class SourceCard(_Frozen):
    """What a head took from one data set."""

    name: str
    licence: str
    training_rows: int
    training_positives: int
    held_out_rows: int
    label_sources: Mapping[str, int]


class HeadCard(_Frozen):
    """What one head claims, learned from, and is worth."""

    task: str
    positive: str
    negative: str
    enabled: bool
    threshold: float
    threshold_rule: str
    sources: tuple[SourceCard, ...]
    held_out: Performance
    by_length: Mapping[str, Performance]
    by_language: Mapping[str, Performance]
    by_source: Mapping[str, Performance]
    limits: tuple[str, ...]


class WeightsCard(_Frozen):
    """The card beside a weights file.

    Digests of rows and texts are the first 12 hex digits of a SHA-256: enough to compare two cards by, too short to
    pass for evidence. `training_texts` covers, for every row, each of its texts alone (prompt, response) and both
    together, all normalised; so text shared in any role shows.
    """

    weights_sha256: str
    purpose: str
    features: Mapping[str, int]
    heads: Mapping[str, HeadCard]
    training_rows: tuple[str, ...]
    training_texts: tuple[str, ...]
    calibration_rows: tuple[str, ...]
    calibration_texts: tuple[str, ...]
    left_out: Mapping[str, int]
    notes: tuple[str, ...]
    seed: int
    machine: str
    date: str
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedMaterial:
    """What two sets of heads have in common; both empty is what guard and judge must show."""

    rows: tuple[str, ...]
    texts: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.rows or self.texts)


def shared_material(one: WeightsCard, other: WeightsCard) -> SharedMaterial:
    """Rows and texts on both cards, counting what either trained on or is calibrated with."""
    rows = {*one.training_rows, *one.calibration_rows} & {*other.training_rows, *other.calibration_rows}
    texts = {*one.training_texts, *one.calibration_texts} & {*other.training_texts, *other.calibration_texts}
    return SharedMaterial(rows=tuple(sorted(rows)), texts=tuple(sorted(texts)))


# --- A set of heads and its file --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeadSet:
    """Heads that share one way of counting.

    Attributes:
        digest: SHA-256 of the weights file: everything a score depends on, but for this package's code.
        features: their common `Features`; `features.reach` is how much of each end of a text they read.
    """

    heads: Mapping[str, Head]
    features: Features
    digest: str
    card: WeightsCard

    def __getitem__(self, name: str) -> Head:
        if name not in self.heads:
            raise KeyError(f"no head {name!r} in these weights; there are {', '.join(sorted(self.heads))}")
        return self.heads[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.heads)

    def __len__(self) -> int:
        return len(self.heads)

    def scores(self, text: str, *, names: Iterable[str] | None = None) -> dict[str, float]:
        """Every head's score, by name, disabled heads too; the text is normalised and counted once.

        Args:
            names: these heads alone; all by default.

        Raises:
            KeyError: no head of that name.
        """
        counts = count_ngrams(text, self.features)
        return {name: self[name].score_counts(counts) for name in (self.heads if names is None else names)}


def load_heads(path: Path) -> HeadSet:
    """Load the weights at `path` (`.npz`) after checking them against the card beside them (`.json`).

    Raises:
        CorruptWeights: either file is missing, damaged, or they do not belong together.
    """
    return _held_together(path, _read(path.with_suffix(".json")), _read(path))


@lru_cache(maxsize=4)  # every stack, judge and reader of requests opens the same two
def _held_together(path: Path, described: bytes, data: bytes) -> HeadSet:
    card_path = path.with_suffix(".json")
    card = _read_card(described, card_path)
    digest = digest_bytes(data)
    if digest != card.weights_sha256:
        raise CorruptWeights(
            f"{path}: SHA-256 is {digest[:12]}..., but {card_path.name} names {card.weights_sha256[:12]}...; "
            "reinstall safecase, or rebuild both with scripts/train_heads.py"
        )
    heads = _unpack(data, path)
    if heads.keys() != card.heads.keys():
        raise CorruptWeights(
            f"{card_path}: describes {sorted(card.heads)}, but {path.name} holds {sorted(heads)}; "
            "rebuild both with scripts/train_heads.py"
        )
    features = next(iter(heads.values())).features
    return HeadSet(heads=MappingProxyType(heads), features=features, digest=digest, card=card)


def pack_heads(heads: Iterable[Head]) -> bytes:
    """The bytes of a weights file: float16 weights, and the rest as JSON. The same heads always give the same bytes.

    Raises:
        ValueError: no heads, two with one name, or heads that count differently.
    """
    by_name = {head.name: head for head in sorted(heads, key=lambda head: head.name)}
    kinds = {head.features for head in by_name.values()}
    if len(kinds) != 1:
        raise ValueError(f"the heads of one file share one way of counting, got {len(kinds)} for {sorted(by_name)}")
    arrays: dict[str, Any] = {f"weights/{name}": head.weights.astype(np.float16) for name, head in by_name.items()}
    spec = {
        "features": asdict(kinds.pop()),
        "heads": {name: _numbers(head) for name, head in by_name.items()},
        "probe": {
            name: replace(head, weights=arrays[f"weights/{name}"].astype(np.float32)).score(_PROBE)
            for name, head in by_name.items()
        },
    }
    arrays[_SPEC] = np.frombuffer(json.dumps(spec, sort_keys=True, allow_nan=False).encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _numbers(head: Head) -> dict[str, float | bool]:
    return {
        "bias": head.bias,
        "slope": head.slope,
        "offset": head.offset,
        "threshold": head.threshold,
        "enabled": head.enabled,
    }


def _unpack(data: bytes, path: Path) -> dict[str, Head]:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            spec = json.loads(arrays[_SPEC].tobytes())
            features = _read_features(spec["features"])
            probe = {name: float(score) for name, score in spec["probe"].items()}
            heads = {
                name: Head(
                    name=name, features=features, weights=arrays[f"weights/{name}"].astype(np.float32), **numbers
                )
                for name, numbers in spec["heads"].items()
            }
    except (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise CorruptWeights(f"{path}: not a weights file ({error}); rebuild it with scripts/train_heads.py") from error
    for head in heads.values():
        if head.weights.shape != (1 << features.bits,) or not np.isfinite(head.weights).all():
            raise CorruptWeights(
                f"{path}: head {head.name!r} has weights of shape {head.weights.shape} or some that are not finite, "
                f"expected ({1 << features.bits},); rebuild it with scripts/train_heads.py"
            )
        if not abs(head.score(_PROBE) - probe.get(head.name, math.nan)) <= _PROBE_TOLERANCE:
            raise CorruptWeights(
                f"{path}: head {head.name!r} scores {head.score(_PROBE):.4f} on the probe text, "
                f"{probe.get(head.name)} when it was trained: it counts differently now; "
                "rebuild it with scripts/train_heads.py"
            )
    if not heads:
        raise CorruptWeights(f"{path}: holds no heads; rebuild it with scripts/train_heads.py")
    return heads


def _read_features(spec: Mapping[str, int]) -> Features:
    """Every field must be there: a default would make old weights mean something else."""
    expected = {field.name for field in fields(Features)}
    if spec.keys() != expected:
        raise ValueError(f"features are {sorted(spec)}, expected {sorted(expected)}")
    return Features(**spec)


def _read_card(data: bytes, path: Path) -> WeightsCard:
    try:
        return WeightsCard.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole file"
        raise CorruptWeights(
            f"{path}: not a card ({where}: {first['msg']}); reinstall safecase, or rebuild it with "
            f"scripts/train_heads.py"
        ) from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CorruptWeights(
            f"{path}: cannot be read ({error.strerror}); reinstall safecase, or rebuild it with scripts/train_heads.py"
        ) from error
