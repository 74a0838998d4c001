"""Live rates held against what the case promised of them.

    call -> cohort (condition and stack) -> session of its account -> one observation -> e-process and e-detector

A *series* is one promise under one stack: another stack digest opens others, with a share of their own of the budget.
Calls whose content was kept because they were flagged are no fair sample of all: they count only where an audit sample
stands for the rest, each with the chance that it was seen with.
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from safecase.assess import Baseline, Promise, Promises, RateOutcome
from safecase.evidence import CallEvent
from safecase.monitor._accounts import Session, Sessions, Unit
from safecase.monitor._clock import StreamClock
from safecase.monitor._eprocess import OneSeries, Stakes
from safecase.monitor._state import to_json
from safecase.monitor._values import Alert, Seen, alert_id, seconds_apart, seconds_of

_EVERY, _READ = "every", "read"
_HIT, _MISS = (1.0,), (0.0,)
_UNCOUNTED = frozenset({"refused", "failed"})
_FLAGS = {_EVERY: "flag/withheld", _READ: "flag/harmful"}
_SAY_AGAIN_S = 86_400.0  # a change that lasts is said once a day; every detection is counted
_MOST_STACKS = 100  # of which the first call is remembered


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """How one series stands.

    Attributes:
        id: of the promise; "flag/withheld" and so on. stack_digest: under which stack.
        p0: promised rate; None where nothing is promised, and then the rest of the figures only describe.
        promised_rate: what was measured when it was promised, None likewise.
        calls, accounts: that counted so far.
        rate: mean over accounts, None before the first is settled.
        e_value: evidence against the promise now; `goal` is where it counts as broken.
        broken_at: when it was, "" while it is kept.
        change: the detector's statistic; `change_goal` is where it says so; changes: how often it did.
        detectable: the least multiple of p0 that would most likely have been found by now; None while none would.
        needed: accounts that a doubling needs, about.
        why: why nothing is promised, "" otherwise.
    """

    id: str
    stack_digest: str
    p0: float | None
    promised_rate: float | None
    calls: int
    accounts: int
    rate: float | None
    e_value: float
    goal: float
    broken_at: str
    change: float
    change_goal: float
    changes: int
    detectable: float | None
    needed: float | None
    why: str = ""

    @property
    def sentence(self) -> str:
        """For people."""
        if self.p0 is None:
            return f"{self.id}: nothing is promised ({self.why}); {_share(self.rate)} of {self.accounts} accounts"
        state = f"BROKEN since {self.broken_at}" if self.broken_at else "kept"
        said = (
            f"{self.id}: promised at most {self.p0:.3%}, seen {_share(self.rate)} of {self.accounts} accounts: {state}"
        )
        if self.detectable is None:
            return f"{said}; nothing could be detected by now, a doubling needs about {_count(self.needed)} accounts"
        more = f"; {self.detectable:.3g} times as much would show by now"
        return f"{said}{more}, a doubling needs about {_count(self.needed)} accounts"


def _share(rate: float | None) -> str:
    return "nothing" if rate is None else f"{rate:.3%}"


def _count(number: float | None) -> str:
    return "no number of" if number is None else f"{math.ceil(number):,}"


@dataclass
class _Series:
    """One promise under way, or a rate of which nothing is promised."""

    id: str
    stack_digest: str
    promise: Promise | None
    why: str = ""
    calls: int = 0
    accounts: int = 0
    weight: float = 0.0
    hits: float = 0.0
    broken_at: str = ""
    changes: int = 0
    change_said: str = ""
    means: list[float] | None = None

    def __post_init__(self) -> None:
        if self.promise is not None:
            self.stakes = Stakes(self.promise.p0)
            self.bets = OneSeries(self.stakes, goal=-math.log(self.promise.alpha), change_goal=self.promise.arl)

    def settle(self, session: Session, hit: float, divisor: float) -> Sequence[Alert]:
        if session.is_first:
            self.calls += session.calls
            self.accounts += 1
            self.weight += session.weight / divisor
            self.hits += hit / divisor
            if self.means is not None:
                self.means.append(hit / session.weight)
        if self.promise is None:
            return ()
        gain = (hit - self.promise.p0 * session.weight) / divisor
        alerts: list[Alert] = []
        if session.is_first and self.bets.bet(gain) and not self.broken_at:
            self.broken_at = session.last_at
            alerts.append(self._alert("promise-broken", session, "1"))
        if self.bets.bet_on_change(gain):
            self.changes += 1
            self.bets.start_again()
            if not self.change_said or seconds_apart(session.last_at, self.change_said) >= _SAY_AGAIN_S:
                self.change_said = session.last_at
                alerts.append(self._alert("rate-changed", session, str(self.changes)))
        return alerts

    def _alert(self, kind: str, session: Session, occasion: str) -> Alert:
        assert self.promise is not None  # noqa: S101 - only promises alarm
        panel = self.panel()
        said = {
            "promise-broken": f"the rate {self.id} is over the promised {self.promise.p0:.3%}",
            "rate-changed": f"the rate {self.id} has risen over the promised {self.promise.p0:.3%} lately",
        }[kind]
        return Alert(
            alert_id=alert_id(kind, f"{self.id}@{self.stack_digest}", f"{self.promise.p0}/{occasion}"),
            at=session.last_at,
            kind=kind,
            severity="critical" if kind == "promise-broken" else "warning",
            series=self.id,
            what=f"{said}: {_share(panel.rate)} of {panel.accounts} accounts, stack {self.stack_digest[:12]}",
            numbers={
                "p0": self.promise.p0,
                "rate": panel.rate or 0.0,
                "accounts": panel.accounts,
                "calls": panel.calls,
                "e_value": panel.e_value,
                "change": panel.change,
                "alpha": self.promise.alpha,
                "arl": self.promise.arl,
            },
            accounts=(session.account,),
            event_ids=(session.last_event,),
        )

    def panel(self) -> Panel:
        described = {
            "id": self.id,
            "stack_digest": self.stack_digest,
            "calls": self.calls,
            "accounts": self.accounts,
            "rate": self.hits / self.weight if self.weight else None,
            "why": self.why,
        }
        if self.promise is None:
            nothing = dict.fromkeys(("p0", "promised_rate", "detectable", "needed"))
            zeros = dict.fromkeys(("e_value", "goal", "change", "change_goal", "changes"), 0)
            return Panel(**described, **nothing, **zeros, broken_at="")  # type: ignore[arg-type]  # fields by name
        goal = 1.0 / self.promise.alpha
        return Panel(
            **described,  # type: ignore[arg-type]  # fields by name
            p0=self.promise.p0,
            promised_rate=self.promise.rate,
            e_value=math.exp(min(700.0, self.bets.total)),
            goal=goal,
            broken_at=self.broken_at,
            change=self.bets.change,
            change_goal=self.promise.arl,
            changes=self.changes,
            detectable=self.stakes.detectable(self.accounts, goal=goal),
            needed=self.stakes.needed(2.0, goal=goal),
        )

    def to_json(self) -> dict[str, Any]:
        kept: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("calls", "accounts", "weight", "hits", "broken_at", "changes", "change_said", "means", "why")
        }
        if self.promise is not None:
            kept["p0"] = self.promise.p0
            kept |= {"log_wealth": [self.bets.log_wealth], "peak": [self.bets.peak], "detector": [self.bets.values]}
        return kept

    def take(self, kept: Mapping[str, Any]) -> None:
        for name in ("calls", "accounts", "weight", "hits", "broken_at", "changes", "change_said", "means", "why"):
            setattr(self, name, kept[name])
        if self.promise is not None and kept.get("p0") == self.promise.p0:
            (self.bets.log_wealth,), (self.bets.peak,), (self.bets.values,) = (
                kept[name] for name in ("log_wealth", "peak", "detector")
            )


@dataclass
class Rates:
    """The watcher of rates.

    Args:
        promises: of the case.
        digests: of the judge and of the request reader that run here; promises by others are not comparable.
        unit: how accounts become observations.
        least_p: least chance with which content is seen; 1 where everything is, as in-process or from full logs.
        stack: takes the place of a stack digest that events do not name.
        aside: whether an account counts nowhere, by name and time; such a call is as if it had not come.
        is_collecting: keep the mean of every account, for a baseline.
    """

    promises: Promises
    digests: tuple[str, str]
    unit: Unit = field(default_factory=Unit)
    least_p: float = 1.0
    stack: str = ""
    is_collecting: bool = False
    aside: Callable[[str, float], bool] | None = None

    def __post_init__(self) -> None:
        if not 0.0 < self.least_p <= 1.0:
            raise ValueError(f"least_p is a chance in (0, 1], got {self.least_p!r}")
        self._promised = {(one.stack_digest, one.id): one for one in self.promises.promises}
        self._absent = {(one.stack_digest, one.id): one.why for one in self.promises.absent}
        self._sessions = Sessions(self.unit)
        self._series: dict[tuple[str, str], _Series] = {}
        self._of_cohort: dict[str, tuple[_Series, float | None]] = {}  # series, and what divides; None: the calls
        self._stacks: list[str] = []
        self._clock = StreamClock()
        self.unread = 0  # calls of which no content could be judged fairly

    @property
    def name(self) -> str:
        """`rates`."""
        return "rates"

    def saw(self, seen: Seen) -> Iterator[Alert]:
        """Count one call, and settle the accounts whose while is over."""
        return self.saw_all((seen,))

    def saw_all(self, block: Iterable[Seen]) -> Iterator[Alert]:
        """The same for many, one after the other."""
        sessions = self._sessions
        for seen in block:
            event = seen.event
            now = seconds_of(event.at)
            if self.aside is not None and self.aside(event.account, now):
                continue
            now = self._clock.at(now)
            stack = event.stack_digest or self.stack
            if stack not in self._stacks:
                yield from self._new_stack(event, stack)
            if event.outcome not in _UNCOUNTED:
                self._count(seen, stack, now)
            if sessions.is_due(now):
                for session in sessions.settle(now):
                    yield from self._settle(session)

    def panels(self) -> tuple[Panel, ...]:
        """How every series stands, promised ones first."""
        made = [series.panel() for series in self._series.values()]
        return tuple(sorted(made, key=lambda panel: (panel.p0 is None, panel.stack_digest, panel.id)))

    def account_means(self) -> dict[tuple[str, str], tuple[float, ...]]:
        """(stack, series) to the mean of every settled account, where they are collected."""
        return {key: tuple(series.means or ()) for key, series in self._series.items()}

    @property
    def crowding(self) -> float:
        """Chance that a new account is passed over since the memory of accounts is full, in [0, 1]."""
        return self._sessions.crowding

    def state(self) -> bytes:
        """Everything that the next call depends on."""
        head = {
            "version": 1,
            "series": [[*key, series.to_json()] for key, series in self._series.items()],
            "stacks": self._stacks,
            "now": self._clock.now,
            "ahead": self._clock.ahead,
            "unread": self.unread,
        }
        return to_json(head) + b"\n" + self._sessions.state()

    def restore(self, state: bytes) -> None:
        """Go on from there."""
        line, _, sessions = state.partition(b"\n")
        head = json.loads(line)
        if head.get("version") != 1:
            raise ValueError(f"the state of {self.name!r} is of version {head.get('version')!r}, not 1")
        self._stacks, self.unread = head["stacks"], head["unread"]
        self._clock = StreamClock(head["now"], head.get("ahead", 0.0))
        for stack, name, kept in head["series"]:
            self._get(stack, name).take(kept)
        self._sessions.restore(sessions)

    # --- Inside -------------------------------------------------------------------------------------------------------

    def _count(self, seen: Seen, stack: str, now: float) -> None:
        event, reading = seen.event, seen.reading
        add = partial(
            self._sessions.add,
            account=event.account or f"\0{event.event_id}",  # nobody was recognised: each call is a unit of its own
            now=now,
            at=event.at,
            event_id=event.event_id,
        )
        add(f"{_EVERY}@{stack}", hits=_HIT if event.outcome == "withheld" else _MISS)
        weight = content_weight(seen, self.least_p)
        if weight is None or reading is None or reading.is_harmful is None:
            self.unread += 1
            return
        add(f"{_READ}@{stack}", hits=_HIT if reading.is_harmful else _MISS, weight=weight)
        if reading.is_harmful and reading.is_unsafe is not None:
            for category in dict.fromkeys(("any", reading.category or "any")):
                add(f"{category}@{stack}", hits=_HIT if reading.is_unsafe else _MISS, weight=weight)

    def _settle(self, session: Session) -> Sequence[Alert]:
        found = self._of_cohort.get(session.cohort)
        if found is None:
            condition, _, stack = session.cohort.partition("@")
            is_even = condition == _EVERY or self.least_p == 1.0
            found = self._get(stack, _FLAGS.get(condition) or f"unsafe/{condition}"), None if is_even else self.unit.cap
            self._of_cohort[session.cohort] = found
        series, divisor = found
        return series.settle(session, session.hits[0], session.calls if divisor is None else divisor)

    def _get(self, stack: str, name: str) -> _Series:
        key = (stack, name)
        if key not in self._series:
            promise, why = self._promised.get(key), self._absent.get(key, "no such promise for this stack")
            if promise is not None and (promise.judge_digest, promise.reader_digest) != self.digests:
                promise, why = None, "promised with another state of the judge or the request reader; decide again"
            self._series[key] = _Series(name, stack, promise, "" if promise else why)
            self._series[key].means = [] if self.is_collecting else None
        return self._series[key]

    def _new_stack(self, event: CallEvent, stack: str) -> Iterable[Alert]:
        if event.outcome == "refused":
            return
        self._stacks = [*self._stacks, stack][-_MOST_STACKS:]
        if any(known == stack for known, _ in self._promised):
            return
        yield Alert(
            alert_id=alert_id("stack-without-promise", stack, "1"),
            at=event.at,
            kind="stack-without-promise",
            severity="warning",
            series="stack",
            what=f"traffic under stack {stack[:12] or 'unknown'}, of which the case promises nothing",
            event_ids=(event.event_id,),
        )


def content_weight(seen: Seen, least_p: float) -> float | None:
    """What a call's content counts; None where it was not seen by a chance that is known.

    Args:
        least_p: least chance with which content is seen; 1 where everything is.
    """
    event = seen.event
    if event.kept is None:
        return 1.0 if least_p == 1.0 else None
    if least_p == 1.0:
        return None
    chance = event.sample_p if event.kept == "audit-sample" else 1.0
    return None if chance is None or chance < least_p else least_p / chance


def panel_json(panel: Panel) -> dict[str, object]:
    """A panel as JSON, with its sentence."""
    return {**asdict(panel), "sentence": panel.sentence}


def baselines(rates: Rates, *, unsafe: bool = False) -> tuple[Baseline, ...]:
    """What was seen of each flag rate (and, if asked for, of each rate of unsafe answers), for `write_baselines`."""
    found = []
    for (stack, name), values in rates.account_means().items():
        kind, _, what = name.partition("/")
        if kind == "flag":
            outcome: RateOutcome = "withheld" if what == "withheld" else "harmful"
            found.append(Baseline(id=name, outcome=outcome, category="", stack_digest=stack, values=values))
        elif unsafe:
            found.append(Baseline(id=name, outcome="unsafe", category=what, stack_digest=stack, values=values))
    return tuple(found)
