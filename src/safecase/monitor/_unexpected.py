"""What testing missed, for a case: its reference, its clusters and its changes, put together once.

controlled phase  ->  Acquaintance  ->  what was usual  ->  file beside the monitor's, named in the ledger
live              ->  Places, Clusters, Changes         held against it
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from safecase.assess import Case
from safecase.detect import Embedder, HashedEmbedder
from safecase.evidence import digest_file, digest_value, parse_utc
from safecase.monitor._accounts import Unit
from safecase.monitor._changes import usual_rates
from safecase.monitor._clusters import MIN_ACCOUNTS, Cluster, Clusters
from safecase.monitor._content import ContentVault
from safecase.monitor._errors import MonitorError
from safecase.monitor._groups import direction_of
from safecase.monitor._places import Places, Reference, make_reference, reference_texts
from safecase.monitor._rates import content_weight
from safecase.monitor._readings import Detectors
from safecase.monitor._silence import Layer, case_layers
from safecase.monitor._traffic import Changes
from safecase.monitor._usual import UsualTraffic, read_usual
from safecase.monitor._values import Alert, Seen, Vector, Watcher

_BEYOND = "drift/beyond"
_MOST_HELD = 5000
_CODE = ("_places.py", "_drift.py", "_unexpected.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Looking:
    """How the monitor looks for what testing missed.

    Attributes:
        embedder: of requests.
        min_accounts: under which a cluster is shown to nobody, 2 or more.
        share: of the distinct requests that are embedded, in (0, 1].
        missing_after: calls in a row without the ruling that a layer owes.
        unit, least_p, stack: as for `Rates`.
    """

    embedder: Embedder = field(default_factory=HashedEmbedder)
    min_accounts: int = MIN_ACCOUNTS
    share: float = 1.0
    missing_after: int = 20
    unit: Unit = field(default_factory=lambda: Unit(filter_bits=20))
    least_p: float = 1.0
    stack: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Unexpected:
    """The watch for what testing missed.

    Attributes:
        places: reads calls, in the place of the detectors that it asks first; those themselves where there is no
            reference.
        clusters: None where there is none. changes: always there.
        notes: what cannot be watched, and why; for people.
    """

    places: Places | Detectors
    reference: Reference | None
    clusters: Clusters | None
    changes: Changes
    notes: tuple[str, ...]

    @property
    def watchers(self) -> tuple[Watcher, ...]:
        """For a monitor."""
        return (self.changes,) if self.clusters is None else (self.clusters, self.changes)

    def shown(self) -> tuple[Cluster, ...]:
        """The clusters that may be shown."""
        if self.clusters is None or self.reference is None:
            return ()
        return self.clusters.clusters(nearest=self.reference.nearest, attack=self.reference.attack_near)


def open_unexpected(
    case: Case,
    detectors: Detectors,
    *,
    usual_path: Path,
    looking: Looking | None = None,
    contents: ContentVault | None = None,
) -> Unexpected:
    """Make the watch of a case. What it lacks is in `notes` and bars nothing else: promises are watched beside it.

    Args:
        usual_path: file of what was usual. One that the ledger does not name is not used.
        contents: keys of content; a young cluster goes with the key of any of its accounts.
    """
    looking = looking or Looking()
    usual, lost = _usual(case, usual_path)
    reference, notes = _reference(case, looking.embedder)
    notes += lost
    source, why_not = _source(reference, detectors), ""
    if usual is not None and usual.source != source:
        why_not = "recorded with another assessment or other detectors; record it anew"
        notes.append(f"what was usual of requests was {why_not} with `safecase monitor baseline`")
    layers, unknown = _layers(case)
    notes += unknown
    changes = Changes(
        layers,
        detectors.reader.known_categories,
        {} if usual is None else usual.rates,
        stack=looking.stack,
        why_not=why_not,
        unit=looking.unit,
        least_p=looking.least_p,
        missing_after=looking.missing_after,
    )
    if usual is None and not lost:
        notes.append("nothing is known as usual, so all that is new is shown; see `safecase monitor baseline`")
    if reference is None:
        return Unexpected(places=detectors, reference=None, clusters=None, changes=changes, notes=tuple(notes))
    middles = None if usual is None or why_not else usual.middles
    places = Places(_with_attacks(detectors), reference, detectors.reader.heads, usual=middles, share=looking.share)
    clusters = _clusters(places, reference, looking, contents, digest_value([source, _digest(middles)]))
    return Unexpected(places=places, reference=reference, clusters=clusters, changes=changes, notes=tuple(notes))


def _usual(case: Case, path: Path) -> tuple[UsualTraffic | None, list[str]]:
    try:
        return read_usual(case, path), []
    except MonitorError as error:
        return None, [f"WHAT WAS USUAL IS LOST, no rate is watched: {error}"]


def _reference(case: Case, embedder: Embedder) -> tuple[Reference | None, list[str]]:
    try:
        return make_reference(reference_texts(case), embedder), []
    except MonitorError as error:
        return None, [f"no clusters and no drift: {error}"]


def _layers(case: Case) -> tuple[Mapping[str, tuple[Layer, ...]], list[str]]:
    try:
        return case_layers(case), []
    except MonitorError as error:
        return {}, [f"no layer is watched: {error}"]


def _with_attacks(detectors: Detectors) -> Detectors:
    """The same with a memory of their own, so that n-grams are counted once for both heads."""
    return Detectors(detectors.reader, detectors.judge, reads_attacks=True)


def _source(reference: Reference | None, detectors: Detectors) -> str:
    here = Path(__file__).parent
    code = [digest_file(here / name) for name in _CODE]
    return digest_value([reference.digest if reference else "", detectors.digest, code])


def _digest(middles: NDArray[np.float32] | None) -> str:
    return "" if middles is None else hashlib.sha256(middles.tobytes()).hexdigest()


def _clusters(
    places: Places, reference: Reference, looking: Looking, contents: ContentVault | None, source: str
) -> Clusters:
    return Clusters(
        radius=reference.radius,
        dimensions=reference.embedder.dimensions,
        secret=os.urandom(32),
        is_beyond=places.is_beyond,
        source=source,
        key_tag=contents.tag if contents else None,
        min_accounts=looking.min_accounts,
    )


# --- The controlled phase ---------------------------------------------------------------------------------------------


class Acquaintance:
    """Learns what is usual, as a watcher of the controlled phase. It alarms nobody and is not kept.

    Half of the accounts make clusters; of the other half the requests are held, as vectors and in memory alone, until
    it is known how many of them lie beyond those clusters.
    """

    name = "acquaintance"

    def __init__(self, case: Case, detectors: Detectors, *, looking: Looking | None = None) -> None:
        looking = looking or Looking()
        self._looking = looking
        reference, notes = _reference(case, looking.embedder)
        layers, unknown = _layers(case)
        self.notes = (*notes, *unknown)
        self.places: Places | Detectors = detectors
        self._clusters: Clusters | None = None
        if reference is not None:
            self.places = Places(_with_attacks(detectors), reference, detectors.reader.heads, share=looking.share)
            self._clusters = _clusters(self.places, reference, looking, None, "baseline")
        self._changes = Changes(
            layers,
            detectors.reader.known_categories,
            {},
            stack=looking.stack,
            unit=looking.unit,
            least_p=looking.least_p,
            is_collecting=True,
        )
        self._source = _source(reference, detectors)
        self._held: dict[tuple[str, str], _Held] = {}

    def saw(self, seen: Seen) -> Iterator[Alert]:
        """Take one call."""
        yield from ()
        list(self._changes.saw(seen))
        if self._clusters is None or seen.place is None:
            return
        if _makes_clusters(seen.event.account):
            list(self._clusters.saw(seen))
        elif seen.event.outcome not in {"refused", "failed"}:
            self._hold(seen)

    def usual(self) -> UsualTraffic:
        """What was usual, with bounds that hold together for each stack."""
        middles = np.zeros((0, self._looking.embedder.dimensions), np.float32)
        if self._clusters is not None:
            middles = self._clusters.usual().astype(np.float16).astype(np.float32)
        rates = {}
        for stack, by_rate in self._changes.account_means().items():
            if _BEYOND in by_rate:
                by_rate[_BEYOND] = self._beyond(stack, middles)
            rates[stack] = usual_rates([(name, direction_of(name), values) for name, values in by_rate.items()])
        return UsualTraffic(source=self._source, rates=rates, middles=middles)

    def state(self) -> bytes:
        """Nothing: a baseline is made in one go."""
        return b""

    def restore(self, state: bytes) -> None:
        """Nothing to take up."""

    def _hold(self, seen: Seen) -> None:
        assert seen.place is not None  # noqa: S101 - the caller looked
        weight = content_weight(seen, self._looking.least_p)
        if weight is None:
            return
        event = seen.event
        at = parse_utc(event.at).timestamp()
        key = (event.stack_digest or self._looking.stack, event.account or f"\0{event.event_id}")
        if key not in self._held:
            if len(self._held) >= _MOST_HELD:
                return
            self._held[key] = _Held(at)
        held = self._held[key]
        if len(held.calls) < self._looking.unit.cap and at < held.began + self._looking.unit.settle_s:
            held.calls.append((seen.place.vector if seen.place.is_beyond else None, weight))

    def _beyond(self, stack: str, middles: NDArray[np.float32]) -> list[float]:
        """The mean of every held account, in the order in which they came."""
        made = []
        for (of, _), held in self._held.items():
            if of != stack or not held.calls:
                continue
            near = [vector is None or self._is_usual(vector, middles) for vector, _ in held.calls]
            weights = [weight for _, weight in held.calls]
            far = sum(weight for is_near, weight in zip(near, weights, strict=True) if not is_near)
            made.append(far / sum(weights))
        return made

    def _is_usual(self, vector: Vector, middles: NDArray[np.float32]) -> bool:
        radius = self._clusters.radius if self._clusters else 0.0
        return bool(len(middles)) and 1.0 - float((middles @ vector).max()) <= radius


@dataclass
class _Held:
    began: float
    calls: list[tuple[Vector | None, float]] = field(default_factory=list)


def _makes_clusters(account: str) -> bool:
    return hashlib.sha256(account.encode("utf-8", "surrogatepass")).digest()[0] % 2 == 0
