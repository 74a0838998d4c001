"""Counters and histograms of a gateway, for Prometheus, over all its workers.

Each worker has a file of numbers in shared memory and a list of what they mean beside it. To count is to add to one
number: about 0.1 us, a histogram 0.4 us, where prometheus-client's own multi-process mode takes ten times that. Any
worker reads the files of all. A worker that is started again goes on with the file of its number, so no counter falls;
gauges are shown for living workers only.
"""

import json
import mmap
import os
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from safecase.evidence import CallEvent, ShadowRecord
from safecase.serve._errors import SharedUnusable
from safecase.serve._recorder import RecorderStats
from safecase.serve._worker import WorkerSlot

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_LAYER_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.5)
_NUMBERS = 8192
_SPILL = _NUMBERS - 32
ROUTES = frozenset({"/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/images/generations", "/v1/models"})
"""Paths counted under their own name; any other is "other", since whoever asks chooses it."""


@dataclass(frozen=True, slots=True)
class _Family:
    """A metric: its kind, labels and, of a histogram, the upper bounds of its buckets."""

    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()

    @property
    def width(self) -> int:
        """Numbers per child: a histogram has its buckets, the one beyond them, and the sum."""
        return len(self.bounds) + 2 if self.kind == "histogram" else 1


_FAMILIES: Mapping[str, _Family] = {
    "safecase_calls": _Family("counter", "Calls by what became of them", ("route", "outcome", "reason")),
    "safecase_calls_begun": _Family(
        "counter", "Calls that began; one that is not in safecase_calls has not ended, or ended with its worker"
    ),
    "safecase_call_seconds": _Family("histogram", "Until the last byte", ("route", "outcome"), _SECONDS),
    "safecase_first_content_seconds": _Family("histogram", "Until the first byte of content", ("route",), _SECONDS),
    "safecase_rulings": _Family("counter", "Rulings of layers", ("layer", "stage", "action", "enforced", "error")),
    "safecase_layer_seconds": _Family("histogram", "Time a layer took", ("layer",), _LAYER_SECONDS),
    "safecase_shadow": _Family("counter", "Calls put to the stack that only observes, by what it said", ("found",)),
    "safecase_tokens": _Family("counter", "Tokens as the upstream counted", ("direction",)),
    "safecase_characters": _Family("counter", "Characters asked and released", ("direction",)),
    "safecase_events_taken": _Family("counter", "Events recorded"),
    "safecase_events_delivered": _Family("counter", "Events that reached the sink"),
    "safecase_events_lost": _Family("counter", "Events given up; each is a gap in a worker's numbers"),
    "safecase_series_refused": _Family("counter", "Counts that found no room in a worker's file"),
    "safecase_queue_events": _Family("gauge", "Events in memory", ("worker",)),
    "safecase_spool_bytes": _Family("gauge", "Bytes of events waiting on disk", ("worker",)),
    "safecase_sink_up": _Family("gauge", "1 while the sink takes events", ("worker",)),
    "safecase_recording": _Family("gauge", "1 while what happens can be recorded", ("worker",)),
    "safecase_serving": _Family("gauge", "1 while the permit lets this worker serve", ("worker",)),
    "safecase_breaker_open": _Family("gauge", "1 while the upstream is not asked", ("worker",)),
}
_FORMAT = json.dumps(
    ["safecase-metrics-1", _NUMBERS, [[name, one.labels, one.bounds] for name, one in _FAMILIES.items()]]
)


class Metrics:
    """What one worker counts; `render` shows what all did. Get one from `Metrics.open`.

    Raises:
        SharedUnusable: the worker's file cannot be written.
    """

    def __init__(self, slot: WorkerSlot, cells: "memoryview[float]", keys: Path, known: Iterable[str]) -> None:
        self._slot, self._cells, self._keys = slot, cells, keys
        self._places: dict[str, int] = {}
        self._next = 0
        for line in known:
            self._assign(line)
        self._calls: dict[tuple[str, str, str], tuple[int, int]] = {}
        self._first: dict[str, int] = {}
        self._rulings: dict[tuple[str, str, str, bool, bool], tuple[int, int]] = {}
        self._begun = self._place("calls_begun", ())
        self._totals = {
            name: self._place(name, ())
            for name in ("events_taken", "events_delivered", "events_lost", "series_refused")
        }
        self._tokens = (self._place("tokens", ("in",)), self._place("tokens", ("out",)))
        self._characters = (self._place("characters", ("in",)), self._place("characters", ("out",)))
        worker = (str(slot.index),)
        self._gauges = {
            name: self._place(name, worker)
            for name in ("queue_events", "spool_bytes", "sink_up", "recording", "serving", "breaker_open")
        }
        for place in self._gauges.values():
            cells[place] = 0.0
        self._last = (0, 0, 0)

    @classmethod
    def open(cls, slot: WorkerSlot) -> "Metrics":
        """Go on with `metrics-<number>.bin` in the slot's folder, or begin it."""
        numbers, keys = _files(slot.folder, slot.index)
        try:
            known = _read_keys(keys)
            if known is None or not numbers.exists():
                numbers.unlink(missing_ok=True)
                known = []
            keys.write_text("".join(line + "\n" for line in (_FORMAT, *known)), encoding="utf-8")
            with numbers.open("a+b") as file:
                if os.fstat(file.fileno()).st_size < _NUMBERS * 8:
                    file.write(bytes(_NUMBERS * 8 - os.fstat(file.fileno()).st_size))
                    file.flush()
                cells = memoryview(mmap.mmap(file.fileno(), _NUMBERS * 8)).cast("d")
        except OSError as error:
            line = f"{numbers}: metrics cannot be kept there ({error.strerror})"
            raise SharedUnusable(f"{line}; give a folder that this user may write to") from None
        return cls(slot, cells, keys, known)

    # --- The hot path -------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Count a call that begins; a kill does not take it back."""
        self._cells[self._begun] += 1.0

    def count(self, event: CallEvent) -> None:
        """Count one call, from its event."""
        cells = self._cells
        key = (event.route, event.outcome, event.reason)
        places = self._calls.get(key) or self._call_places(key)
        cells[places[0]] += 1.0
        self._observe(places[1], _SECONDS, event.latency_s)
        if event.first_s is not None:
            self._observe(self._first.get(event.route) or self._first_place(event.route), _SECONDS, event.first_s)
        tokens, characters = self._tokens, self._characters
        if event.tokens_in is not None:
            cells[tokens[0]] += event.tokens_in
        if event.tokens_out is not None:
            cells[tokens[1]] += event.tokens_out
        cells[characters[0]] += event.characters_in
        cells[characters[1]] += event.characters_out
        if event.shadow is not None:
            cells[self._shadow_place(event, event.shadow)] += 1.0
        for ruling in event.rulings:
            ruled = (ruling.layer, ruling.stage, ruling.action, ruling.enforced, ruling.error is not None)
            places = self._rulings.get(ruled) or self._ruling_places(ruled)
            cells[places[0]] += 1.0
            self._observe(places[1], _LAYER_SECONDS, ruling.latency_ms * 0.001)

    def _observe(self, place: int, bounds: tuple[float, ...], value: float) -> None:
        self._cells[place + bisect_left(bounds, value)] += 1.0
        self._cells[place + len(bounds) + 1] += value

    # --- Now and then -------------------------------------------------------------------------------------------------

    def note(self, *, recorder: RecorderStats, is_serving: bool, is_breaker_open: bool) -> None:
        """Set the gauges; once a second and before `render` is often enough."""
        cells, gauges = self._cells, self._gauges
        now = (recorder.taken, recorder.delivered, recorder.lost)
        for name, value, before in zip(("taken", "delivered", "lost"), now, self._last, strict=True):
            cells[self._totals[f"events_{name}"]] += value - before
        self._last = now
        cells[gauges["queue_events"]] = recorder.queued
        cells[gauges["spool_bytes"]] = recorder.spooled_bytes
        cells[gauges["sink_up"]] = recorder.sink_fault is None
        cells[gauges["recording"]] = recorder.fault is None
        cells[gauges["serving"]] = is_serving
        cells[gauges["breaker_open"]] = is_breaker_open

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """What all workers counted, and its content type: Prometheus text, or OpenMetrics where `accept` asks."""
        from prometheus_client import CollectorRegistry
        from prometheus_client.exposition import choose_encoder

        registry = CollectorRegistry()
        registry.register(_Collector(self._families))
        encode, content_type = choose_encoder(accept)
        return encode(registry), content_type

    def _families(self) -> "Iterator[Metric]":
        sums = _summed(self._slot)
        for name, family in _FAMILIES.items():
            yield _exposed(name, family, sums.get(name, {}))

    def _call_places(self, key: tuple[str, str, str]) -> tuple[int, int]:
        route, outcome, reason = key
        route = route if route in ROUTES else "other"
        places = self._place("calls", (route, outcome, reason)), self._place("call_seconds", (route, outcome))
        if key[0] in ROUTES:  # other paths are not remembered: there is no end to them
            self._calls[key] = places
        return places

    def _first_place(self, route: str) -> int:
        place = self._place("first_content_seconds", (route if route in ROUTES else "other",))
        if route in ROUTES:
            self._first[route] = place
        return place

    def _ruling_places(self, key: tuple[str, str, str, bool, bool]) -> tuple[int, int]:
        layer, stage, action, enforced, error = key
        labels = (layer, stage, action, _word(enforced), _word(error))
        places = self._rulings[key] = self._place("rulings", labels), self._place("layer_seconds", (layer,))
        return places

    def _shadow_place(self, event: CallEvent, shadow: ShadowRecord) -> int:
        if shadow.missed is not None:
            return self._place("shadow", ("missed",))
        was, would = event.withheld_by is not None, shadow.withheld_by is not None
        return self._place("shadow", ("same" if was == would else "would-withhold" if would else "would-pass",))

    def _place(self, name: str, labels: tuple[str, ...]) -> int:
        """Where a child's numbers begin; its line is written before anything is counted under it.

        Where no room is left, a place that nobody reads: a call does not fail because it cannot be counted.
        """
        line = json.dumps([f"safecase_{name}", labels])
        if line not in self._places:
            if self._next + _FAMILIES[f"safecase_{name}"].width > _SPILL:
                self._cells[self._totals["series_refused"]] += 1.0
                return _SPILL
            with self._keys.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
            self._assign(line)
        return self._places[line]

    def _assign(self, line: str) -> None:
        self._places[line] = self._next
        self._next += _FAMILIES[json.loads(line)[0]].width


class _Collector:
    def __init__(self, families: "Callable[[], Iterator[Metric]]") -> None:
        self.collect = families


def _summed(slot: WorkerSlot) -> dict[str, dict[tuple[str, ...], list[float]]]:
    """The numbers of every child, added up over the workers."""
    sums: dict[str, dict[tuple[str, ...], list[float]]] = {}
    for index in range(slot.most):
        with slot.if_dead(index) as is_dead:
            for name, labels, numbers in _children(slot.folder, index):
                if is_dead and _FAMILIES[name].kind == "gauge":
                    continue
                held = sums.setdefault(name, {}).setdefault(labels, [0.0] * len(numbers))
                held[:] = [a + b for a, b in zip(held, numbers, strict=True)]
    return sums


def _children(folder: Path, index: int) -> Iterator[tuple[str, tuple[str, ...], list[float]]]:
    numbers, keys = _files(folder, index)
    known = _read_keys(keys)
    if not known or not numbers.exists():
        return
    cells = memoryview(numbers.read_bytes()).cast("d")
    at = 0
    for line in known:
        name, labels = json.loads(line)
        width = _FAMILIES[name].width
        yield name, tuple(labels), list(cells[at : at + width])
        at += width


def _read_keys(path: Path) -> list[str] | None:
    """The lines of a list of children; None where there is none, or one of another version. A half line is no line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    except FileNotFoundError:
        return None
    whole = [line.rstrip("\n") for line in lines if line.endswith("\n")]
    return whole[1:] if whole and whole[0] == _FORMAT else None


def _exposed(name: str, family: _Family, children: Mapping[tuple[str, ...], list[float]]) -> "Metric":
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    labels = list(family.labels)
    if family.kind == "histogram":
        histogram = HistogramMetricFamily(name, family.help, labels=labels)
        for values, numbers in sorted(children.items()):
            histogram.add_metric(list(values), _buckets(family.bounds, numbers), sum_value=numbers[-1])
        return histogram
    kind: Any = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    exposed: Metric = kind(name, family.help, labels=labels)
    for values, numbers in sorted(children.items()):
        exposed.add_metric(list(values), numbers[0])  # type: ignore[attr-defined]  # both kinds have it
    return exposed


def _buckets(bounds: tuple[float, ...], numbers: list[float]) -> list[tuple[str, float]]:
    total, buckets = 0.0, []
    for bound, number in zip([*map(str, bounds), "+Inf"], numbers, strict=False):
        total += number
        buckets.append((bound, total))
    return buckets


def _files(folder: Path, index: int) -> tuple[Path, Path]:
    return folder / f"metrics-{index}.bin", folder / f"metrics-{index}.keys"


def _word(flag: bool) -> str:
    return "yes" if flag else "no"
