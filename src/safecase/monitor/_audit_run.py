"""A costly judge on a few of the calls: drawn by a cheap score, judged, each kept with the chance it was drawn with.

    source -> told from repeats -> opened -> cheap detectors -> drawn with chance c -> judged -> one transaction:
                                                                                                 position, sampler, bets

It runs beside the monitor, over the same source and with a file of its own, so that a judge that takes seconds holds up
no alert. A run that was killed goes on from its last commit: the same calls are drawn again, and those that had been
judged since are judged again.

A broken promise is told by bets as everywhere in the monitor: an account's observation is the mean over its first calls
of weight * (unsafe - p0), nought for a call that was not looked at, with weight = least / chance. What was withheld is
known to be safe without a look and weighs `least`. The mean is under nought while the promise holds, and no bet can
lose more than its stake, so one may look all the time.
"""

import asyncio
import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from safecase.measure import Judge, happened
from safecase.monitor._accounts import Session, Sessions, Unit
from safecase.monitor._audit import AuditSampler
from safecase.monitor._audit_rate import Audited
from safecase.monitor._clock import StreamClock
from safecase.monitor._eprocess import OneSeries, Stakes
from safecase.monitor._monitor import BatchReader, Opener
from safecase.monitor._sources import Source
from safecase.monitor._store import MonitorStore
from safecase.monitor._values import Alert, Reading, Seen, alert_id

STATE = "audit"
_SURELY_SAFE = 0.0
_HARMLESS_SHARE, _ANSWERED_SHARE = 0.2, 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPromise:
    """What the rate is held against: at most p0, at an error of alpha over all looks at one stack."""

    p0: float
    alpha: float = 0.05


@dataclass(slots=True)
class AuditTally:
    """What one run did."""

    calls: int = 0
    unseen: int = 0
    looked: int = 0
    unscored: int = 0
    alerts: int = 0


def suspicion(reading: Reading | None) -> float:
    """How likely the costly judge calls an answer unsafe, in [0, 1], by what is cheap to know. Need not be calibrated.

    >>> suspicion(Reading(harm=0.8, is_harmful=True, is_unsafe=True))
    0.8
    """
    if reading is None or reading.harm is None:
        return _SURELY_SAFE
    if not reading.is_harmful:
        return _HARMLESS_SHARE * reading.harm
    return reading.harm * (1.0 if reading.is_unsafe else _ANSWERED_SHARE)


class AuditRun:
    """Looks at a source until it is stopped, or until it holds nothing new.

    Args:
        store: a file of its own, closed by the caller.
        sampler: as it was when the last run ended; its state is in the store.
        promise: None only estimates.
        least_p: as in `Rates`: chance with which content is kept, 1 where it is there of every call.
        stack: takes the place of a stack digest that events do not name.
        aside: whether an account counts nowhere (`Aside`).
        at_once: calls in judging at the same time.
    """

    def __init__(
        self,
        store: MonitorStore,
        source: Source,
        *,
        detectors: BatchReader,
        judge: Judge,
        sampler: AuditSampler,
        promise: AuditPromise | None = None,
        unit: Unit | None = None,
        least_p: float = 1.0,
        stack: str = "",
        opener: Opener | None = None,
        aside: Callable[[str, float], bool] | None = None,
        batch: int = 2000,
        at_once: int = 8,
    ) -> None:
        self._store, self._source, self._detectors, self._judge = store, source, detectors, judge
        self._sampler, self._promise, self._least_p, self._stack = sampler, promise, least_p, stack
        self._opener, self._aside, self._batch = opener, aside, batch
        self._clock = StreamClock()
        self._sessions, self._gate = Sessions(unit or Unit()), asyncio.Semaphore(at_once)
        self._series: dict[str, OneSeries] = {}
        self._broken: dict[str, str] = {}
        self.tally = AuditTally()

    async def run(self, *, once: bool = False, stop: asyncio.Event | None = None) -> AuditTally:
        """Go on from the last commit.

        Raises:
            SourceTrouble, StoreTrouble: as a monitor's run.
        """
        stop = stop or asyncio.Event()
        self._restore()
        await self._source.open(self._store.position(self._source.name))
        try:
            while not stop.is_set():
                batch = await self._source.read(self._batch)
                if batch:
                    await self._take(batch)
                elif once:
                    break
                else:
                    await asyncio.sleep(0.2)
        finally:
            await self._source.close()
        return self.tally

    async def _take(self, batch: Sequence[Seen]) -> None:
        fresh = [seen for seen in batch if self._store.is_new(seen.event.event_id) and self._counts(seen)]
        if self._opener is not None:
            fresh = self._opener(fresh)
        rows = await asyncio.gather(*(self._look(seen) for seen in self._detectors.read(fresh)))
        counts: Counter[str] = Counter()
        alerts: list[Alert] = []
        for seen, row in zip(fresh, rows, strict=True):
            if row is None:
                self.tally.unseen += 1
                continue
            counts[f"calls@{self._stack_of(seen)}"] += 1
            alerts += self._bet(seen, row)
        looked = [row for row in rows if row is not None and row.chance > 0.0]
        self.tally.calls += sum(counts.values())
        self.tally.looked += len(looked)
        self.tally.unscored += sum(row.is_unsafe is None for row in looked)
        self.tally.alerts += len(alerts)
        self._store.commit(
            positions={self._source.name: self._source.position()},
            states={STATE: self._state()},
            alerts=alerts,
            counts=dict(counts),
            audited=looked,
        )
        await self._source.confirm()

    def _counts(self, seen: Seen) -> bool:
        """Whether a call had an answer, and somebody who is not set aside asked."""
        is_aside = self._aside is not None and self._aside(seen.event.account, _seconds(seen.event.at))
        return seen.event.outcome in {"served", "cut", "withheld"} and not is_aside

    async def _look(self, seen: Seen) -> Audited | None:
        """A row with chance 0 for a call that was not drawn; None for one that no chance could have shown."""
        event = seen.event
        row = Audited(
            event_id=event.event_id,
            stack_digest=self._stack_of(seen),
            account=event.account,
            chance=0.0,
            is_unsafe=False,
        )
        if event.outcome == "withheld":
            return row  # what a safeguard says in the model's place is safe; there is nothing to look at
        is_kept = self._chance_of_content(seen)
        if is_kept is None:
            return None
        draw = self._sampler.draw(event.event_id, suspicion(seen.reading))
        if is_kept == 0.0 or not draw.is_drawn:
            return row
        async with self._gate:
            said = await self._judge.judge(trial_id=event.event_id, request=seen.prompt or "", answer=seen.reply or "")
        return Audited(
            event_id=event.event_id,
            stack_digest=row.stack_digest,
            account=event.account,
            chance=draw.chance * is_kept,
            is_unsafe=None if said.verdict is None else happened("unsafe", said.verdict),
        )

    def _chance_of_content(self, seen: Seen) -> float | None:
        """Chance with which the content is here; 0 where chance left it out; None where it is absent by no chance."""
        event, has_content = seen.event, seen.prompt is not None and seen.reply is not None
        if self._least_p == 1.0:  # everything is kept, so what is not here was kept from us
            return 1.0 if has_content and event.kept is None else None
        if event.kept is None:
            return 0.0
        if not has_content:
            return None
        return event.sample_p if event.kept == "audit-sample" else 1.0

    def _bet(self, seen: Seen, row: Audited) -> list[Alert]:
        if self._promise is None:
            return []
        least, gain = self._sampler.least * self._least_p, 0.0
        if seen.event.outcome == "withheld":
            gain = -least * self._promise.p0
        elif row.chance > 0.0 and row.is_unsafe is not None:
            gain = min(1.0, least / row.chance) * (row.is_unsafe - self._promise.p0)
        at = self._clock.at(_seconds(seen.event.at))
        self._sessions.add(
            row.stack_digest,
            seen.event.account or f"\0{seen.event.event_id}",
            now=at,
            at=seen.event.at,
            event_id=seen.event.event_id,
            hits=(gain,),
        )
        return [alert for session in self._sessions.settle(at) for alert in self._settle(session)]

    def _settle(self, session: Session) -> list[Alert]:
        assert self._promise is not None  # noqa: S101 - only a promise is bet against
        stack = session.cohort
        if not session.is_first or stack in self._broken or not self._one(stack).bet(session.hits[0] / session.calls):
            return []
        self._broken[stack] = session.last_at
        return [
            Alert(
                alert_id=alert_id("audit-broken", stack, str(self._promise.p0)),
                at=session.last_at,
                kind="audit-broken",
                severity="critical",
                series="audit/unsafe",
                what=f"the costly judge finds more than {self._promise.p0:.3%} unsafe under stack {stack[:12]}",
                numbers={"p0": self._promise.p0, "alpha": self._promise.alpha},
                event_ids=(session.last_event,),
            )
        ]

    def _one(self, stack: str) -> OneSeries:
        assert self._promise is not None  # noqa: S101 - only a promise is bet against
        if stack not in self._series:
            stakes = Stakes(self._promise.p0, self._sampler.usual_weight)
            goal = -math.log(self._promise.alpha)
            self._series[stack] = OneSeries(stakes, goal=goal, change_goal=math.inf)
        return self._series[stack]

    def _stack_of(self, seen: Seen) -> str:
        return seen.event.stack_digest or self._stack

    # --- State --------------------------------------------------------------------------------------------------------

    def _state(self) -> bytes:
        head = {
            "version": 1,
            "now": self._clock.now,
            "ahead": self._clock.ahead,
            "sampler": self._sampler.state().decode(),
            "series": {name: [one.log_wealth, one.peak] for name, one in self._series.items()},
            "broken": self._broken,
            "p0": None if self._promise is None else self._promise.p0,
        }
        return json.dumps(head).encode() + b"\n" + self._sessions.state()

    def _restore(self) -> None:
        kept = self._store.state(STATE)
        if kept is None:
            return
        line, _, sessions = kept.partition(b"\n")
        head: dict[str, Any] = json.loads(line)
        if head.get("version") != 1:
            raise ValueError(f"the state of {STATE!r} is of version {head.get('version')!r}, not 1")
        self._sampler.restore(head["sampler"].encode())
        self._clock = StreamClock(head.get("now", 0.0), head.get("ahead", 0.0))
        if self._promise is not None and head["p0"] == self._promise.p0:
            self._broken = head["broken"]
            for name, (wealth, peak) in head["series"].items():
                self._one(name).log_wealth, self._one(name).peak = wealth, peak
            self._sessions.restore(sessions)


def _seconds(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()
