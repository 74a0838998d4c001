"""Measure one safeguard layer on labelled texts: how much it stops, how much it stops wrongly, and how long it takes.

Any layer and any texts: a text is put where the layer looks (a request, a reply, a tool's result), through the reader
that a gateway uses, and the layer's ruling is counted. Labels of rows that belong together (translations, a pair, one
template) are one piece of evidence, so intervals are Wilson's over groups and not over rows.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil, sqrt
from typing import Literal

from safecase.safeguard import Exchange, Latency, Rate, Safeguard, SetFigures, exchange_of, reply_of

Place = Literal["request", "reply", "tool-result"]
"""Where a text stands in the exchange."""

AS_WRITTEN = "as written"
LENGTHS = (200, 1_000, 4_000, 16_000)
_Z = 1.959964
_ASKED = "Please help me with this."


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledText:
    """A text that should be stopped, or should pass.

    Attributes:
        group: what belongs together. source: the data set it is from.
        request: what a reply answers, where the set says it.
    """

    text: str
    positive: bool
    group: str
    source: str
    language: str = "en"
    request: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledSet:
    """Labelled texts with what a card says of them; the words are those of `SetFigures`."""

    name: str
    kind: Literal["held-out", "other-distribution", "public", "synthetic"]
    place: Place
    texts: Sequence[LabelledText]
    sources: Mapping[str, str]
    label_sources: tuple[str, ...]
    positive: str
    negative: str
    left_out: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Ruled:
    text: LabelledText
    stopped: bool
    failed: bool


def exchange_with(text: str, place: Place, *, request: str | None = None) -> Exchange:
    """An exchange in which the text stands in its place.

    >>> exchange_with("Hello", "reply").reply
    'Hello'
    """
    if place == "request":
        return exchange_of({"messages": [{"role": "user", "content": text}]})
    if place == "tool-result":
        result = {"role": "tool", "tool_call_id": "1", "content": text}
        return exchange_of({"messages": [{"role": "user", "content": _ASKED}, result]})
    asked = exchange_of({"messages": [{"role": "user", "content": request or _ASKED}]})
    return reply_of({"choices": [{"message": {"content": text}}]}, asked=asked)[0]


async def measure_set(
    layer: Safeguard,
    labelled: LabelledSet,
    *,
    spellings: Mapping[str, Callable[[str], str]] | None = None,
    most_respelled: int = 300,
) -> SetFigures:
    """Ask a layer about every text of a set.

    Args:
        spellings: name -> a way of writing the same text; recall is measured again on positives so written, and on the
            very same ones as they are.
        most_respelled: positives that are respelled, the first ones of each group in turn.
    """
    ruled = [await _ask(layer, text, labelled.place) for text in labelled.texts]
    stopped = [one for one in ruled if one.stopped]
    up, down = _part(ruled, positive=True), _part(ruled, positive=False)
    some = _spread([one.text for one in up], most_respelled)
    respelled = {}
    ways: dict[str, Callable[[str], str]] = {AS_WRITTEN: str, **spellings} if up and spellings else {}
    for name, spell in ways.items():
        again = [await _ask(layer, replace(text, text=spell(text.text)), labelled.place) for text in some]
        respelled[name] = _share(again, lambda one: one.stopped)
    return SetFigures(
        name=labelled.name,
        kind=labelled.kind,
        place=labelled.place,
        sources=dict(labelled.sources),
        label_sources=labelled.label_sources,
        positive=labelled.positive,
        negative=labelled.negative,
        positives=len(up),
        negatives=len(down),
        left_out=dict(labelled.left_out),
        precision=_share(stopped, lambda one: one.text.positive) if up and down else None,
        recall=_share(up, lambda one: one.stopped),
        false_positive_rate=_share(down, lambda one: one.stopped),
        failed=sum(one.failed for one in ruled),
        respelled={name: rate for name, rate in respelled.items() if rate},
        by=_by_part(ruled),
        notes=labelled.notes,
    )


async def measure_latency(
    layer: Safeguard,
    place: Place,
    *,
    text_of: Callable[[int, int], str],
    calls: int = 200,
    lengths: Sequence[int] = LENGTHS,
) -> tuple[Latency, ...]:
    """Time calls on texts of several lengths, every call on a text of its own, so that nothing is remembered.

    Args:
        text_of: (characters, number) -> text.
        calls: of each length. lengths: in characters.
    """
    found = []
    for characters in lengths:
        exchanges = [exchange_with(text_of(characters, number), place) for number in range(calls)]
        times = sorted([await _time(layer, exchange) for exchange in exchanges])
        p50, p95 = (round(times[ceil(share * calls) - 1], 4) for share in (0.5, 0.95))
        found.append(Latency(characters=characters, calls=calls, p50_ms=p50, p95_ms=p95))
    return tuple(found)


async def _time(layer: Safeguard, exchange: Exchange) -> float:
    started = time.perf_counter()
    await layer.check(exchange)
    return (time.perf_counter() - started) * 1_000


async def _ask(layer: Safeguard, text: LabelledText, place: Place) -> _Ruled:
    """What the combiner would make of it: a layer that breaks withholds."""
    try:
        ruling = await layer.check(exchange_with(text.text, place, request=text.request))
    except Exception:  # noqa: BLE001 - as in the combiner: whatever breaks is a failure, and withholds
        return _Ruled(text, stopped=True, failed=True)
    return _Ruled(text, stopped=ruling.action != "allow", failed=ruling.error is not None)


def _part(ruled: Iterable[_Ruled], *, positive: bool) -> list[_Ruled]:
    return [one for one in ruled if one.text.positive is positive]


def _by_part(ruled: Sequence[_Ruled]) -> dict[str, dict[str, Rate | None]]:
    """Figures by source, language and length band, where a part has ten rows; nothing where there is one part only."""
    keys: tuple[Callable[[_Ruled], str], ...] = (
        lambda one: f"source {one.text.source}",
        lambda one: f"language {one.text.language}",
        lambda one: band(one.text.text),
    )
    found: dict[str, dict[str, Rate | None]] = {}
    for key in keys:
        sizes = Counter(map(key, ruled))
        for part in sorted(sizes) if len(sizes) > 1 else ():
            mine = [one for one in ruled if key(one) == part]
            if len(mine) >= 10:
                up, down = _part(mine, positive=True), _part(mine, positive=False)
                found[part] = {
                    "recall": _share(up, lambda one: one.stopped),
                    "false_positive_rate": _share(down, lambda one: one.stopped),
                }
    return found


def band(text: str) -> str:
    """The length band of a text, in characters."""
    size = "under 200" if len(text) < 200 else "200 to 1000" if len(text) <= 1_000 else "over 1000"
    return f"{size} characters"


def _spread(texts: Sequence[LabelledText], most: int) -> list[LabelledText]:
    """At most so many texts, one of each group before a second of any."""
    rank: Counter[str] = Counter()
    placed = []
    for text in texts:
        placed.append((rank[text.group], text))
        rank[text.group] += 1
    return [text for _, text in sorted(placed, key=lambda pair: pair[0])[:most]]


def _share(ruled: Sequence[_Ruled], holds: Callable[[_Ruled], bool]) -> Rate | None:
    """A share of rows, bounded over their groups; None without rows."""
    if not ruled:
        return None
    value, groups = sum(map(holds, ruled)) / len(ruled), len({one.text.group for one in ruled})
    low, high = _wilson(value, groups)
    return Rate(value=round(value, 4), low=round(low, 4), high=round(high, 4), n=len(ruled), groups=groups)


def _wilson(share: float, trials: int) -> tuple[float, float]:
    """Two-sided 95 % bounds. Source: Wilson, JASA 22:209 (1927)."""
    centre = share + _Z**2 / (2 * trials)
    spread = _Z * sqrt(share * (1 - share) / trials + _Z**2 / (4 * trials**2))
    scale = 1 + _Z**2 / trials
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)
