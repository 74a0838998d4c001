"""The words of the monitor: what a watcher sees, what it says, and the seam between them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from safecase.evidence import CallEvent, Verdict, digest_value

Vector = NDArray[np.float32]
"""A text as an embedder sees it, (dimension,), of unit length."""

Severity = Literal["info", "warning", "critical"]
"""`info`: worth a line. `warning`: somebody should look today. `critical`: a promise is broken, look now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the embedded detectors make of a call. None: not known, since the content was not kept.

    Attributes:
        harm: probability that the request asks for harmful help.
        attack: probability that it tries to get around safeguards; None too where nobody asked.
        is_harmful: whether it counts as such (`assess.HARMFUL_FROM`).
        category: of a harmful request, "" otherwise; a rough reading (see `assess.RequestReader`).
        verdict: of the judge on the answer to a harmful request; is_unsafe: what it comes to.
    """

    harm: float | None = None
    is_harmful: bool | None = None
    category: str = ""
    verdict: Verdict | None = None
    is_unsafe: bool | None = None
    attack: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Place:
    """Where a request lies. It is in memory while a batch is worked through, and written nowhere.

    Attributes:
        is_beyond: alike to nothing that was assessed, and to no usual cluster.
        is_attack_like: reads like an attempt to get around safeguards, by rules and a head.
    """

    vector: Vector
    is_beyond: bool
    is_attack_like: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One call as a watcher sees it.

    Attributes:
        event: the decision record; of events that come from elsewhere, what could be told from them.
        prompt: what the user asked last, None where it was not kept or is still sealed.
        reply: what the user got, None likewise.
        source: name of the source, as the monitor was started with it.
        offset: where in the source, for people; unique within it.
        reading: what the detectors make of it; None before they have seen it.
        place: where its request lies; None where nobody looks, or its text is not known.
    """

    event: CallEvent
    prompt: str | None
    reply: str | None
    source: str
    offset: str
    reading: Reading | None = None
    place: Place | None = None


def is_flagged(seen: Seen) -> bool:
    """Whether a safeguard did something about a call, or its request is read as harmful."""
    event, reading = seen.event, seen.reading
    if event.outcome == "withheld" or (reading is not None and reading.is_harmful):
        return True
    return bool(event.rulings) and any(ruling.action != "allow" for ruling in event.rulings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Something that a person should know.

    Attributes:
        alert_id: the same for the same finding, so that a repeat after a crash is no second alert (`alert_id`).
        at: when, ISO 8601, UTC: the time of the event that tipped it.
        kind: kebab-case ("promise-broken", "rate-changed").
        series: what it is about: id of a rate, a cluster, an account.
        what: a sentence, never content.
        numbers: what it rests on, by name.
        accounts: pseudonyms.
        event_ids: of the events that show it; a few.
    """

    alert_id: str
    at: str
    kind: str
    severity: Severity
    series: str
    what: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    accounts: tuple[str, ...] = ()
    event_ids: tuple[str, ...] = ()


def alert_id(kind: str, series: str, occasion: str) -> str:
    """Name an alert by its occasion: 24 hex digits, the same for the same three words.

    >>> alert_id("promise-broken", "unsafe/cyber", "1") == alert_id("promise-broken", "unsafe/cyber", "1")
    True
    """
    return digest_value([kind, series, occasion])[:24]


@lru_cache(maxsize=8192)
def seconds_of(at: str) -> float:
    """The instant of an event in seconds since 1970; remembered, since every watcher asks for it.

    >>> seconds_of("1970-01-01T00:01:00.500000Z")
    60.5
    """
    return datetime.fromisoformat(at).timestamp()


def seconds_apart(at: str, other: str) -> float:
    """Seconds between two times, whichever is the earlier: what a clock said that was ahead bars nothing for long."""
    return abs(seconds_of(at) - seconds_of(other))


class Watcher(Protocol):
    """Looks at every call, in order, once. Its state is kept with the position in the source, in one transaction.

    One that has `saw_all(block)` as well is given calls in blocks: the alerts, and what is known afterwards, are those
    of `saw` call by call, however the calls are parted into blocks.

    A watcher takes no clock and draws nothing by chance but from a seed: time is `event.at`. Memory must not grow with
    the number of calls. `state` is asked for at every commit (a few times a second), so it should cost milliseconds.
    """

    @property
    def name(self) -> str:
        """Kebab-case, unique in a monitor; the state is kept under it."""
        ...

    def saw(self, seen: Seen) -> Iterable[Alert]:
        """Take one call; what it is worth saying about it."""
        ...

    def state(self) -> bytes:
        """Everything that the next call depends on."""
        ...

    def restore(self, state: bytes) -> None:
        """Go on from there. Raises ValueError where the bytes are of another version."""
        ...
