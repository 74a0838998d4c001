"""The rates of one cohort of calls under one stack, held against what was usual: their detectors, alerts and panels."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from safecase.monitor._accounts import Session
from safecase.monitor._changes import Direction, SideBySide, Usual
from safecase.monitor._eprocess import Floats
from safecase.monitor._values import Alert, Severity, alert_id, seconds_apart

_KINDS = {"silence": "layer-silent", "errors": "layer-errors", "drift": "inputs-drifted"}
_DIRECTIONS: dict[str, Direction] = {"silence": "falling", "errors": "rising", "drift": "rising"}
_RISES = (1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0)
_FALLS = (0.25, 0.5, 0.75, 0.9, 1.0)
_ASKED: dict[Direction, float] = {"rising": 2.0, "falling": 1.0}
_SAY_AGAIN_S = 86_400.0
_FEW = 8  # sessions under which numpy does not pay


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePanel:
    """How one rate stands against what was usual.

    Attributes:
        bound, usual: None where nothing is known as usual.
        accounts: settled since the watch began. rate: mean over them, None before the first.
        statistic: of the e-detector; it says so at `goal`. changes: how often it did.
        detectable: least multiple of the bound (rising), or share of itself that is lost (falling), that would most
            likely have shown by now; None where none would.
        needed: accounts until a doubling (rising), or the end (falling), would show; None where it never would.
        why: why it is not watched, "" where it is.
    """

    id: str
    stack_digest: str
    direction: Direction
    bound: float | None
    usual: float | None
    accounts: int
    rate: float | None
    statistic: float
    goal: float
    changes: int
    detectable: float | None
    needed: float | None
    why: str = ""

    @property
    def sentence(self) -> str:
        """For people."""
        seen = "nothing" if self.rate is None else f"{self.rate:.2%}"
        said = f"{self.id}: {seen} of {self.accounts} accounts"
        if self.bound is None or self.usual is None or self.why:
            return f"{said}; not watched: {self.why}"
        side = "at most" if self.direction == "rising" else "at least"
        said = f"{said}, usually {side} {self.bound:.2%}: {'CHANGED' if self.changes else 'as usual'}"
        what = "a doubling" if self.direction == "rising" else "its end"
        needed = f"{what} needs about {self.needed:,.0f} accounts" if self.needed is not None else f"{what} cannot show"
        return f"{said}; {self._by_now}, {needed}"

    @property
    def _by_now(self) -> str:
        if self.detectable is None:
            return "nothing could be told by now"
        if self.direction == "rising":
            return f"{self.detectable:.3g} times as much would show by now"
        return f"a fall by {self.detectable:.0%} would show by now"


class Group:
    """The rates of one cohort under one stack."""

    def __init__(self, stack: str, names: Sequence[str], usual: Sequence[Usual]) -> None:
        self.stack, self.names = stack, tuple(names)
        self.usual = {one.id: one for one in usual if one.id in self.names}
        watched = [self.usual[name] for name in self.names if name in self.usual and not self.usual[name].why_not]
        self.detectors = SideBySide(watched, of=max(1, len(usual)))
        self._columns = np.array([self.names.index(one.id) for one in watched], np.intp)
        self.accounts, self.sums = 0, np.zeros(len(self.names))
        self.changes = dict.fromkeys(self.names, 0)
        self.said: dict[str, str] = {}
        self.means: list[list[float]] = []

    def settle(self, session: Session, divisor: float) -> Iterator[Alert]:
        hits: Floats = np.array(session.hits)
        self.accounts += 1
        self.sums += hits / session.weight
        if not len(self._columns):
            return
        over = self.detectors.bet(hits[self._columns], session.weight, divisor)
        yield from self._alerts(over, session, accounts=self.accounts)

    def settle_all(self, sessions: Sequence[Session], divisors: Sequence[float]) -> Iterator[tuple[int, Alert]]:
        """The same for many, in their order: each alert with the number of its session."""
        if len(sessions) < _FEW:
            for number, session in enumerate(sessions):
                yield from ((number, alert) for alert in self.settle(session, divisors[number]))
            return
        hits: Floats = np.array([one.hits for one in sessions])
        weights: Floats = np.array([one.weight for one in sessions])
        before = self.accounts
        self.accounts += len(sessions)
        self.sums = np.concatenate((self.sums[None], hits / weights[:, None])).cumsum(axis=0)[-1]
        if not len(self._columns):
            return
        for number, over in self.detectors.bet_all(hits[:, self._columns], weights, np.array(divisors)):
            for alert in self._alerts(over, sessions[number], accounts=before + number + 1):
                yield number, alert

    def _alerts(self, over: NDArray[np.intp], session: Session, *, accounts: int) -> Iterator[Alert]:
        for number in over:
            found = self.detectors.rates[number]
            self.changes[found.id] += 1
            before = self.said.get(found.id)
            if before is None or seconds_apart(before, session.last_at) >= _SAY_AGAIN_S:
                self.said[found.id] = session.last_at
                yield self._alert(found, session, accounts)

    def _alert(self, found: Usual, session: Session, accounts: int) -> Alert:
        kind = _KINDS[found.id.partition("/")[0]]
        times = self.changes[found.id]
        severity: Severity = "warning"
        way = "risen over" if found.direction == "rising" else "fallen under"
        return Alert(
            alert_id=alert_id(kind, f"{found.id}@{self.stack}", f"{found.bound}/{times}"),
            at=session.last_at,
            kind=kind,
            severity=severity,
            series=found.id,
            what=f"the rate {found.id} has {way} {found.bound:.2%}, what was usual, stack {self.stack[:12]}",
            numbers={
                "bound": found.bound,
                "usual": found.rate,
                "accounts": float(accounts),
                "arl": self.detectors.goal,
            },
            event_ids=(session.last_event,),
        )

    def panels(self, why_not: str) -> Iterator[ChangePanel]:
        goal = self.detectors.goal
        now = dict(zip((one.id for one in self.detectors.rates), self.detectors.now.tolist(), strict=True))
        for name, total in zip(self.names, self.sums.tolist(), strict=True):
            found = self.usual.get(name)
            why = found.why_not if found else "no baseline; run `safecase monitor baseline`"
            if found is None and why_not and name.startswith("drift/"):
                why = why_not
            yield ChangePanel(
                id=name,
                stack_digest=self.stack,
                direction=_DIRECTIONS[name.partition("/")[0]],
                bound=found.bound if found else None,
                usual=found.rate if found else None,
                accounts=self.accounts,
                rate=total / self.accounts if self.accounts else None,
                statistic=now.get(name, 0.0),
                goal=goal,
                changes=self.changes[name],
                detectable=None if found is None or why else _detectable(found, self.accounts, goal),
                needed=None if found is None or why else found.needed(_ASKED[found.direction], goal=goal),
                why=why,
            )

    def to_json(self) -> dict[str, Any]:
        return {
            "accounts": self.accounts,
            "sums": dict(zip(self.names, self.sums.tolist(), strict=True)),
            "changes": self.changes,
            "said": self.said,
            "means": self.means,
            "values": {
                one.id: [one.bound, row]
                for one, row in zip(self.detectors.rates, self.detectors.values.tolist(), strict=True)
            },
        }

    def take(self, kept: Mapping[str, Any]) -> bool:
        """Go on from there; whether the outcomes are the same ones."""
        self.accounts, self.means = kept["accounts"], kept["means"]
        self.sums = np.array([kept["sums"].get(name, 0.0) for name in self.names])
        self.changes.update({name: times for name, times in kept["changes"].items() if name in self.changes})
        self.said = dict(kept["said"])
        for number, one in enumerate(self.detectors.rates):
            bound, row = kept["values"].get(one.id, (None, None))
            if bound == one.bound and len(row) == self.detectors.values.shape[1]:
                self.detectors.values[number] = row
        return tuple(kept["sums"]) == self.names


def direction_of(name: str) -> Direction:
    """Which way a rate is watched."""
    return _DIRECTIONS[name.partition("/")[0]]


def _detectable(found: Usual, accounts: int, goal: float) -> float | None:
    steps = ((one, found.needed(one, goal=goal)) for one in (_RISES if found.direction == "rising" else _FALLS))
    return next((one for one, needed in steps if needed is not None and needed <= accounts), None)


def change_json(panel: ChangePanel) -> dict[str, object]:
    """A panel as JSON, with its sentence."""
    return {**asdict(panel), "sentence": panel.sentence}
