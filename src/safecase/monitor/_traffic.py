"""The watcher of what changes: inputs that drift from what was usual, layers that err, fall silent or give no ruling.

    call  ->  rulings that its stack owes        a layer without any in `missing_after` calls in a row: said at once
          ->  session of its account  ->  one observation of every rate  ->  e-detectors side by side

Rates are of three cohorts: every call (what layers did), calls whose request was read (inputs), calls judged harmful
(whether any layer acted). The last tells a layer that became worse from traffic that became better, as far as the
reader of requests can: it shares its weights with the shipped guard.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import count
from operator import itemgetter

import numpy as np

from safecase.evidence import CallEvent
from safecase.monitor._accounts import Session, Sessions, Unit
from safecase.monitor._changes import Usual
from safecase.monitor._clock import StreamClock
from safecase.monitor._drift import input_hits, input_outcomes
from safecase.monitor._groups import ChangePanel, Group
from safecase.monitor._rates import content_weight
from safecase.monitor._silence import Layer, erred, fired, guarded_stages, lacking_rulings
from safecase.monitor._state import to_json
from safecase.monitor._values import Alert, Seen, alert_id, seconds_of

_EVERY, _READ, _HARMFUL = _COHORTS = ("every", "read", "harmful")
_MOST_STACKS = 100
_UNCOUNTED = frozenset({"refused", "failed"})
_SAY_MISSING_S = 3600.0
MISSING = "layer-missing"
"""Kind of the alert that a layer gave no ruling where it owes one."""
_VERSION = 1


class Changes:
    """The watcher.

    Args:
        layers: of every stack, by its digest (`case_layers`). Of calls under another the inputs alone are watched.
        categories: that the reader of requests tells apart.
        usual: rates by stack, of the controlled phase; what it lacks is described and does not alarm.
        stack: takes the place of a stack digest that events do not name, for their inputs: they have no rulings.
        why_not: why drift cannot be held against `usual`, "" where it can.
        least_p: least chance with which content is seen, as for `Rates`.
        missing_after: calls in a row without the ruling that a layer owes, 1 or more.
        is_collecting: keep the mean of every account, for a baseline.
    """

    name = "changes"

    def __init__(
        self,
        layers: Mapping[str, Sequence[Layer]],
        categories: Sequence[str],
        usual: Mapping[str, Sequence[Usual]],
        *,
        stack: str = "",
        why_not: str = "",
        unit: Unit | None = None,
        least_p: float = 1.0,
        missing_after: int = 20,
        is_collecting: bool = False,
    ) -> None:
        if missing_after < 1:
            raise ValueError(f"missing_after is {missing_after!r}; at least 1 call in a row")
        self._layers = {stack: tuple(some) for stack, some in layers.items()}
        self._categories, self._least_p, self._missing_after = tuple(categories), least_p, missing_after
        self._why_not, self.is_collecting = why_not, is_collecting
        self.unit = unit or Unit(filter_bits=20)
        self._sessions = Sessions(self.unit)
        self._clock = StreamClock()
        self.unknown = 0
        self._missing: dict[str, list[float]] = {}  # "stack/layer" -> calls in a row, when it was said last
        self._stack = stack
        self._usual = {name: [one for one in rates if not self._barred(one.id)] for name, rates in usual.items()}
        self._groups: dict[str, Group] = {}
        for name in dict.fromkeys((*self._layers, *usual)):
            self._open_groups(name)

    def saw(self, seen: Seen) -> Iterator[Alert]:
        """Count one call, and settle the accounts whose while is over."""
        yield from self.saw_all((seen,))

    def saw_all(self, block: Iterable[Seen]) -> Iterator[Alert]:
        """The same for many, one after the other; accounts are settled together, in their order."""
        said: list[tuple[int, Alert]] = []  # with its place among all that was said and settled
        settled: dict[str, list[tuple[int, Session]]] = {}
        place = count()
        for seen in block:
            event = seen.event
            now = self._clock.at(seconds_of(event.at))
            if event.outcome not in _UNCOUNTED:
                layers = self._layers.get(event.stack_digest, ())
                self.unknown += not layers
                stages = guarded_stages(event) if layers else ()
                lacking = lacking_rulings(layers, event, stages)
                said += ((next(place), alert) for alert in self._look_for_missing(lacking, event))
                self._count(seen, lacking, event.stack_digest or self._stack, layers if stages else ())
            if self._sessions.is_due(now):
                for session in self._sessions.settle(now):
                    settled.setdefault(session.cohort, []).append((next(place), session))
        for cohort, sessions in settled.items():
            said += self._settle(cohort, sessions)
        yield from (alert for _, alert in sorted(said, key=itemgetter(0)))

    def panels(self) -> tuple[ChangePanel, ...]:
        """How every rate stands, those that are watched first."""
        made = [panel for group in self._groups.values() for panel in group.panels(self._why_not)]
        return tuple(sorted(made, key=lambda one: (bool(one.why), one.stack_digest, one.id)))

    def missing(self) -> dict[str, int]:
        """Layers that give no ruling now ("stack/layer"), and for how many calls that owe one."""
        return {name: int(row) for name, (row, _) in self._missing.items() if row >= self._missing_after}

    def account_means(self) -> dict[str, dict[str, list[float]]]:
        """Stack to rate to the mean of every settled account, where they are collected."""
        found: dict[str, dict[str, list[float]]] = {}
        for group in self._groups.values():
            columns = np.array(group.means).reshape(len(group.means), len(group.names)).T
            rows = {name: column.tolist() for name, column in zip(group.names, columns, strict=True)}
            found.setdefault(group.stack, {}).update(rows)
        return found

    def state(self) -> bytes:
        """Everything that the next call depends on."""
        head = {
            "version": _VERSION,
            "now": self._clock.now,
            "ahead": self._clock.ahead,
            "unknown": self.unknown,
            "missing": self._missing,
            "groups": {name: group.to_json() for name, group in self._groups.items()},
        }
        return to_json(head) + b"\n" + self._sessions.state()

    def restore(self, state: bytes) -> None:
        """Go on from there. A rate whose bound is another one now begins anew."""
        line, _, sessions = state.partition(b"\n")
        head = json.loads(line)
        if head.get("version") != _VERSION:
            raise ValueError(f"the state of {self.name!r} is of version {head.get('version')!r}, not {_VERSION}")
        self.unknown, self._missing = head["unknown"], head["missing"]
        self._clock = StreamClock(head["now"], head.get("ahead", 0.0))
        self._sessions.restore(sessions)
        for name, kept in head["groups"].items():
            self._open_groups(name.partition("@")[2])
            if name in self._groups and not self._groups[name].take(kept):
                self._sessions = Sessions(self.unit)  # what is open there has other outcomes; a few accounts are lost

    # --- Inside -------------------------------------------------------------------------------------------------------

    def _barred(self, name: str) -> bool:
        return bool(self._why_not) and name.startswith("drift/")

    def _open_groups(self, stack: str) -> None:
        """The groups of a stack, made when it is first seen; beyond `_MOST_STACKS` none are."""
        if f"{_READ}@{stack}" in self._groups or len(self._groups) >= _MOST_STACKS * len(_COHORTS):
            return
        for cohort, names in _names(self._layers.get(stack, ()), self._categories).items():
            self._groups[f"{cohort}@{stack}"] = Group(stack, names, self._usual.get(stack, ()))

    def _count(self, seen: Seen, lacking: Mapping[str, bool], stack: str, layers: Sequence[Layer]) -> None:
        event = seen.event
        self._open_groups(stack)
        add = partial(
            self._sessions.add,
            account=event.account or f"\0{event.event_id}",
            now=self._clock.now,
            at=event.at,
            event_id=event.event_id,
        )
        acted = fired(event)
        if layers:
            failed = erred(event).union(name for name, is_lacking in lacking.items() if is_lacking)
            did = [float(one.name in acted) for one in layers] + [float(one.name in failed) for one in layers]
            add(f"{_EVERY}@{stack}", hits=did)
        weight = content_weight(seen, self._least_p)
        hits = input_hits(seen, self._categories)
        if weight is None or hits is None:
            return
        add(f"{_READ}@{stack}", hits=hits, weight=weight)
        if layers and seen.reading is not None and seen.reading.is_harmful:
            add(f"{_HARMFUL}@{stack}", hits=[float(bool(acted))], weight=weight)

    def _settle(self, cohort: str, settled: Sequence[tuple[int, Session]]) -> Iterator[tuple[int, Alert]]:
        group = self._groups.get(cohort)
        if group is None:
            return  # of one stack too many
        is_even = cohort.startswith(_EVERY) or self._least_p == 1.0
        sessions = [session for _, session in settled]
        if self.is_collecting:
            group.means += ([hit / one.weight for hit in one.hits] for one in sessions if one.is_first)
        divisors = [float(one.calls if is_even else self.unit.cap) for one in sessions]
        for number, alert in group.settle_all(sessions, divisors):
            yield settled[number][0], alert

    def _look_for_missing(self, lacking: Mapping[str, bool], event: CallEvent) -> Iterator[Alert]:
        for name, is_lacking in lacking.items():
            key = f"{event.stack_digest}/{name}"
            if not is_lacking:
                if key in self._missing:
                    self._missing[key][0] = 0
                continue
            row = self._missing.setdefault(key, [0, 0.0])
            row[0] += 1
            if row[0] >= self._missing_after and self._clock.now - row[1] >= _SAY_MISSING_S:
                row[1] = self._clock.now
                yield _missing_alert(name, event, calls=int(row[0]))


def _names(layers: Sequence[Layer], categories: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Rates by cohort, in the order in which calls are counted."""
    return {
        _EVERY: (*(f"silence/{one.name}" for one in layers), *(f"errors/{one.name}" for one in layers)),
        _READ: tuple(f"drift/{name}" for name in input_outcomes(categories)),
        _HARMFUL: ("silence/any-when-harmful",) if layers else (),
    }


def _missing_alert(layer: str, event: CallEvent, *, calls: int) -> Alert:
    return Alert(
        alert_id=alert_id(MISSING, f"{layer}@{event.stack_digest}", event.event_id),
        at=event.at,
        kind=MISSING,
        severity="critical",
        series=f"layer/{layer}",
        what=f"layer {layer} gave no ruling on {calls} calls in a row that owe one, stack {event.stack_digest[:12]}",
        numbers={"calls": float(calls)},
        event_ids=(event.event_id,),
    )
