"""Cards: how good each layer that ships is, measured, and bound to the code and weights it was measured with.

A card that outlives a change of its layer would praise something that no longer runs. So it holds the layer's own
digest (configuration and weights) and the digest of the code that its rule is written in; `is_current` says whether
both still hold.
"""

import ast
import inspect
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from safecase.evidence import digest_bytes, digest_file
from safecase.safeguard._values import Safeguard

CARDS = Path(__file__).parent / "cards.json"
"""The cards of the layers that ship; `scripts/measure_layers.py` writes it."""

_HERE = Path(__file__).parent
_ROOMS = {"safecase.safeguard": _HERE, "safecase.detect": _HERE.parent / "detect"}
_WORDS = frozenset({_HERE / "_values.py", _HERE / "_errors.py"})
"""The words of the room, which rule on nothing."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Rate(_Record):
    """A share of labelled rows, in [0, 1], with its two-sided 95 % interval.

    Attributes:
        n: rows it is a share of. groups: those that belong together counted once; the interval is Wilson's over them.
    """

    value: float
    low: float
    high: float
    n: int
    groups: int


class SetFigures(_Record):
    """One layer on one labelled set. A rate is None where the set holds no row that could speak about it.

    Attributes:
        kind: `held-out`: of the data sets that the weights learned from, rows they did not; `other-distribution`: a set
            that they learned nothing from; `public`: a set for a layer that learns nothing; `synthetic`: written by
            our own generator, so it shows that the rule does what it says and not how it fares on people's texts.
        positives, negatives: rows that should be stopped, and that should pass.
        left_out: rows of the data sets that were not used, by reason.
        precision: at this set's share of positives; in traffic with fewer it is lower.
        recall, false_positive_rate: whatever the layer does other than allow counts as stopped, failures too.
        failed: rows on which the layer gave no ruling; where it is required they are withheld.
        respelled: way of spelling -> recall on the same positives spelled so, `as written` among the ways.
        by: part (`source x`, `over 1000 characters`) -> recall and false-positive rate there.
    """

    name: str
    kind: str
    place: str
    sources: Mapping[str, str]
    label_sources: tuple[str, ...]
    positive: str
    negative: str
    positives: int
    negatives: int
    left_out: Mapping[str, int]
    precision: Rate | None
    recall: Rate | None
    false_positive_rate: Rate | None
    failed: int
    respelled: Mapping[str, Rate]
    by: Mapping[str, Mapping[str, Rate | None]]
    notes: tuple[str, ...] = ()


class Latency(_Record):
    """Milliseconds of one call on texts of one length, nearest-rank quantiles."""

    characters: int
    calls: int
    p50_ms: float
    p95_ms: float


class LayerCard(_Record):
    """One layer, measured.

    Attributes:
        layer: its entry of a stack file, from which it can be built again.
        layer_digest: of its configuration and weights. code_digest: see `layer_code_digest`.
        load: the machine's load average while it was measured; times taken on a busy machine are too long.
    """

    name: str
    layer: Mapping[str, Any]  # as in a stack file
    layer_digest: str
    code_digest: str
    sets: tuple[SetFigures, ...]
    latency: tuple[Latency, ...]
    limits: tuple[str, ...]
    date: str
    machine: str
    load: float
    command: str


class Cards(_Record):
    """What a file of cards holds."""

    cards: tuple[LayerCard, ...]

    def __getitem__(self, name: str) -> LayerCard:
        return next(card for card in self.cards if card.name == name)


def load_cards(path: Path = CARDS) -> Cards:
    """Read a file of cards."""
    return Cards.model_validate_json(path.read_bytes())


def is_current(card: LayerCard, layer: Safeguard) -> bool:
    """Whether a card speaks about this layer: the same configuration, weights and code."""
    return (card.layer_digest, card.code_digest) == (layer.digest, layer_code_digest(layer))


def layer_code_digest(layer: Safeguard) -> str:
    """Digest of the module that a layer's rule is written in and of all it imports from `safeguard` and `detect`."""
    source = inspect.getsourcefile(type(layer))
    files = sorted(_closure(Path(source))) if source else []
    return digest_bytes("".join(digest_file(path) for path in files).encode())


def _closure(start: Path) -> frozenset[Path]:
    found, waiting = {start}, [start]
    while waiting:
        for path in _imports(waiting.pop()):
            if path not in found and path not in _WORDS:
                found.add(path)
                waiting.append(path)
    return frozenset(found)


@cache
def _imports(path: Path) -> tuple[Path, ...]:
    return tuple(_imported(path))


def _imported(path: Path) -> Iterator[Path]:
    """The modules of the two rooms from which a file takes names."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom) or node.module is None:
            continue
        room, _, module = node.module.rpartition(".") if node.level == 0 else ("", "", node.module)
        if node.level:
            yield path.parent / f"{module}.py"
        elif room in _ROOMS:
            yield _ROOMS[room] / f"{module}.py"
        elif node.module in _ROOMS:
            face = _face(_ROOMS[node.module])
            yield from (face[alias.name] for alias in node.names if alias.name in face)


@cache
def _face(room: Path) -> Mapping[str, Path]:
    """Public name of a room -> the module that defines it."""
    tree = ast.parse((room / "__init__.py").read_text(encoding="utf-8"))
    return {
        alias.name: room / f"{node.module.rpartition('.')[2]}.py"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
