"""Patterns of misuse, by pseudonymous account: what one call does not show, and many do.

    attempts       requests that are judged harmful or were flagged, as a share of what the account asks
    breadth        in several categories
    pace           many more in the last hour than in the hours before
    probing        small edits of a request that was withheld
    passed         ... one of which was then served
    shared         the same flagged body from several accounts

Each is a strength in [0, 1]. Risk is 1 - product(1 - weight * strength), so that reasons add up and none is decisive
alone. From certain risks on an action is proposed; a person takes it or not, nothing here acts.

Memory is bounded: an account is remembered from its first suspicious call on, counts are halved every day, and where
there are too many accounts those of the least risk are forgotten. Of withheld requests a sketch is kept (min-hashes of
character 5-grams; Broder, 1997), never the text.
"""

import hashlib
import json
import zlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Literal

from safecase.monitor._clock import StreamClock
from safecase.monitor._state import to_json
from safecase.monitor._values import Alert, Seen, Severity, alert_id, is_flagged, seconds_of

Action = Literal["warn", "limit", "suspend", "refer"]
_FROM: tuple[tuple[float, Action, Severity], ...] = (
    (0.80, "refer", "critical"),
    (0.60, "suspend", "warning"),
    (0.40, "limit", "warning"),
    (0.25, "warn", "info"),
)
"""Risk from which on an action is proposed. Chosen, not measured: a person decides."""

_CALM: tuple[float, Action, Severity] = (0.0, "warn", "info")
MISUSE, LINKED = "misuse", "linked-accounts"
_WEIGHTS = {"attempts": 0.4, "breadth": 0.3, "pace": 0.2, "probing": 0.4, "passed": 0.4, "shared": 0.4}
_HOUR, _DAY = 3600.0, 86400.0
_MANY_ATTEMPTS, _USUAL_SHARE, _MANY_PROBES, _MANY_CATEGORIES, _MANY_ACCOUNTS = 10.0, 0.25, 4.0, 4, 4
_HASHES, _GRAM, _ALIKE, _WITHHELD = 32, 5, 0.4, 3
_MIXERS = tuple((2 * zlib.crc32(b"a%d" % i) + 1, zlib.crc32(b"b%d" % i)) for i in range(_HASHES))
_LONGEST = 1000  # characters that a sketch reads
_VERSION = 1


@dataclass(slots=True)
class _Account:
    """What is remembered of one. Counts are halved every day, those of the hour every hour."""

    at: float
    calls: float = 0.0
    attempts: float = 0.0
    hour: float = 0.0
    categories: dict[str, float] = field(default_factory=dict)
    probes: float = 0.0
    passed: float = 0.0
    shared: int = 1
    proposed: float = 0.0  # the line that was reached last
    withheld: list[tuple[str, list[int]]] = field(default_factory=list)

    def row(self) -> tuple[object, ...]:
        """Its fields in their order; `asdict` copies every sketch, which would cost most of a commit."""
        return _FIELDS(self)

    def age(self, at: float) -> None:
        """Let time pass."""
        day, hour = 0.5 ** (max(0.0, at - self.at) / _DAY), 0.5 ** (max(0.0, at - self.at) / _HOUR)
        self.calls, self.attempts, self.hour = self.calls * day, self.attempts * day, self.hour * hour
        self.probes, self.passed = self.probes * day, self.passed * day
        self.categories = {name: count * day for name, count in self.categories.items() if count * day >= 0.1}
        self.at = max(self.at, at)

    def strengths(self) -> dict[str, float]:
        """Each reason, in [0, 1]."""
        often = min(1.0, self.attempts / _MANY_ATTEMPTS)
        share = min(1.0, self.attempts / max(self.calls, 1e-9) / _USUAL_SHARE)
        broad = sum(count >= 0.5 for count in self.categories.values())
        before = (self.attempts - self.hour) / 23.0
        return {
            "attempts": often * share,
            "breadth": share * min(1.0, max(0, broad - 1) / (_MANY_CATEGORIES - 1)),
            "pace": share * min(1.0, self.hour / _MANY_ATTEMPTS) if self.hour > 3.0 * before else 0.0,
            "probing": min(1.0, self.probes / _MANY_PROBES),
            "passed": min(1.0, self.passed),
            "shared": min(1.0, (self.shared - 1) / (_MANY_ACCOUNTS - 1)),
        }

    def risk(self) -> float:
        """In [0, 1)."""
        calm = 1.0
        for name, strength in self.strengths().items():
            calm *= 1.0 - _WEIGHTS[name] * strength
        return 1.0 - calm


_FIELDS = attrgetter(*_Account.__dataclass_fields__)


class Misuse:
    """The watcher. Without content it sees attempts that safeguards flagged, pace and shared bodies; not probing.

    Args:
        most_accounts: remembered at once.
        most_payloads: flagged bodies remembered at once.
    """

    name = "misuse"

    def __init__(self, *, most_accounts: int = 5000, most_payloads: int = 5000) -> None:
        self._most_accounts, self._most_payloads = most_accounts, most_payloads
        self._accounts: dict[str, _Account] = {}
        self._payloads: OrderedDict[str, list[str]] = OrderedDict()
        self._clock = StreamClock()

    def __len__(self) -> int:
        """Accounts that are remembered."""
        return len(self._accounts)

    def saw_all(self, block: Iterable[Seen]) -> Iterator[Alert]:
        """Take many calls, one after the other."""
        for seen in block:  # nearly all calls end here, before anything is reckoned
            if seen.event.account in self._accounts or is_flagged(seen):
                yield from self.saw(seen)

    def saw(self, seen: Seen) -> Iterable[Alert]:
        """Take one call."""
        event, name = seen.event, seen.event.account
        if not name or event.outcome == "refused":
            return
        is_suspicious, account = is_flagged(seen), self._accounts.get(name)
        if account is None and not is_suspicious:
            return
        at = self._clock.at(seconds_of(event.at))
        if account is None:
            account = self._accounts[name] = _Account(at)
            self._make_room(name)
        account.age(at)
        account.calls += 1.0
        self._probe(account, seen)
        if is_suspicious:
            account.attempts += 1.0
            account.hour += 1.0
            if seen.reading is not None and seen.reading.category:
                category = seen.reading.category
                account.categories[category] = account.categories.get(category, 0.0) + 1.0
            yield from self._link(seen)
        yield from _proposal(name, account, seen)

    def state(self) -> bytes:
        """Accounts and payloads."""
        kept = {name: account.row() for name, account in self._accounts.items()}
        clock = {"now": self._clock.now, "ahead": self._clock.ahead}
        return to_json({"version": _VERSION, **clock, "accounts": kept, "payloads": list(self._payloads.items())})

    def restore(self, state: bytes) -> None:
        """Go on from there."""
        kept = json.loads(state)
        if kept["version"] != _VERSION:
            raise ValueError(f"the state of {self.name!r} is of version {kept['version']}, not {_VERSION}")
        self._accounts = {name: _Account(*row) for name, row in kept["accounts"].items()}
        self._payloads = OrderedDict(kept["payloads"])
        self._clock = StreamClock(kept.get("now", 0.0), kept.get("ahead", 0.0))

    def _make_room(self, newest: str) -> None:
        """Forget the quarter of least risk, never the one that has just come."""
        if len(self._accounts) <= self._most_accounts:
            return
        by_risk = sorted((one for one in self._accounts if one != newest), key=lambda one: self._accounts[one].risk())
        for name in by_risk[: max(1, len(by_risk) // 4)]:
            del self._accounts[name]

    def _probe(self, account: _Account, seen: Seen) -> None:
        """Hold a prompt against those that were withheld before."""
        is_withheld = seen.event.outcome == "withheld"
        if not seen.prompt or not (account.withheld or is_withheld):
            return
        digest, sketch = _digest(seen.prompt), _sketch(seen.prompt)
        if any(digest != other and _alikeness(sketch, known) >= _ALIKE for other, known in account.withheld):
            account.probes += 1.0
            if seen.event.outcome == "served":
                account.passed += 1.0
        if is_withheld and all(digest != other for other, _ in account.withheld):
            account.withheld = [*account.withheld, (digest, sketch)][-_WITHHELD:]

    def _link(self, seen: Seen) -> Iterator[Alert]:
        """Accounts that send the same flagged body."""
        body, name = seen.event.request_sha256, seen.event.account
        if not body:
            return
        accounts = self._payloads.setdefault(body, [])
        self._payloads.move_to_end(body)
        while len(self._payloads) > self._most_payloads:
            self._payloads.popitem(last=False)
        if name in accounts or len(accounts) >= 2 * _MANY_ACCOUNTS:
            return
        accounts.append(name)
        for one in accounts:
            if (known := self._accounts.get(one)) is not None:
                known.shared = max(known.shared, len(accounts))
        if len(accounts) == _MANY_ACCOUNTS:
            yield Alert(
                alert_id=alert_id(LINKED, body, str(len(accounts))),
                at=seen.event.at,
                kind=LINKED,
                severity="warning",
                series=f"body/{body[:16]}",
                what=f"{len(accounts)} accounts sent the same flagged request",
                numbers={"accounts": float(len(accounts))},
                accounts=tuple(accounts),
                event_ids=(seen.event.event_id,),
            )


def proposed_action(risk: float) -> Action | None:
    """What a risk calls for.

    >>> proposed_action(0.1), proposed_action(0.65)
    (None, 'suspend')
    """
    return next((action for least, action, _ in _FROM if risk >= least), None)


def _proposal(name: str, account: _Account, seen: Seen) -> Iterator[Alert]:
    """An alert where the risk reaches a line that it was under."""
    risk = account.risk()
    if risk < account.proposed / 2.0:
        account.proposed = 0.0  # it has calmed down, so that another rise is news
    least, action, severity = next((line for line in _FROM if risk >= line[0]), _CALM)
    if least <= account.proposed:
        return
    account.proposed = least
    reasons = {reason: round(strength, 3) for reason, strength in account.strengths().items() if strength > 0.0}
    why = ", ".join(sorted(reasons, key=lambda one: -reasons[one] * _WEIGHTS[one]))
    yield Alert(
        alert_id=alert_id(MISUSE, name, f"{action}/{seen.event.event_id}"),
        at=seen.event.at,
        kind=MISUSE,
        severity=severity,
        series="accounts",  # which goes into ledgers; the pseudonym does not
        what=f"risk {risk:.2f} ({why}): proposed is to {action} the account; a person decides",
        numbers={"risk": round(risk, 3), **reasons},
        accounts=(name,),
        event_ids=(seen.event.event_id,),
    )


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _sketch(text: str) -> list[int]:
    """Min-hashes of the character 5-grams, case and space folded."""
    plain = " ".join(text[:_LONGEST].lower().split())
    grams = {plain[at : at + _GRAM] for at in range(max(1, len(plain) - _GRAM + 1))}
    codes = [zlib.crc32(gram.encode("utf-8", "surrogatepass")) for gram in grams]
    return [min((code * a + b) & 0xFFFFFFFF for code in codes) for a, b in _MIXERS]


def _alikeness(one: list[int], other: list[int]) -> float:
    """Estimate of the Jaccard index of the two sets of grams, in [0, 1]."""
    return sum(a == b for a, b in zip(one, other, strict=True)) / _HASHES
