"""Accounts as the unit of evidence: each counts once, by the mean over its first few calls within a while.

    first call of an account           a session opens, unless the account was counted before
    further calls within `settle_s`    up to `cap` of them count
    `settle_s` after the first         the session is settled, whatever it holds: one observation

Sessions settle in the order in which they began, and when one does depends on nothing that was seen in it. That is what
makes the bets fair: if a session settled when it is full, accounts that ask much would come first, and those who attack
ask much. Who was counted is remembered in a filter of fixed size; where it takes an account for another, that account
is passed over, by chance and not by what it did, so bets stay fair and only fewer.
"""

import hashlib
import json
import math
import struct
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

from safecase.monitor._state import to_json

_HASHES = 4
_FOUR = struct.Struct(f"<{_HASHES}I")

Marks = tuple[int, int, int, int]
"""Where an account lies in a filter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """How accounts become observations.

    Attributes:
        cap: calls of an account that count, at most.
        settle_s: seconds from its first call until it is settled.
        again_s: seconds after which an account may count again, for the detector of changes alone.
        most_open: sessions open at one time; beyond that the oldest settles early.
        filter_bits: log2 of the bits of each filter of accounts, 10 to 30.
    """

    cap: int = 5
    settle_s: float = 600.0
    again_s: float = 7 * 86_400.0
    most_open: int = 10_000
    filter_bits: int = 22

    def __post_init__(self) -> None:
        if self.cap < 1 or self.settle_s < 0 or self.again_s < self.settle_s or self.most_open < 1:
            raise ValueError(f"{self}: cap and most_open are 1 or more, and 0 <= settle_s <= again_s")
        if not 10 <= self.filter_bits <= 30:
            raise ValueError(f"filter_bits must lie in 10..30, got {self.filter_bits!r}")


class Session(NamedTuple):
    """An account that is settled.

    Attributes:
        is_first: it never counted before.
        calls: that count, 1 to cap.
        weight: sum of their weights; hits: weighted sums of each outcome.
        last_at, last_event: of the last call that counts.
    """

    cohort: str
    account: str
    is_first: bool
    calls: int
    weight: float
    hits: tuple[float, ...]
    last_at: str
    last_event: str


@dataclass(slots=True)
class _Open:
    began: float
    is_first: bool
    calls: int
    weight: float
    hits: list[float]
    last_at: str
    last_event: str


_FIELDS = attrgetter(*_Open.__dataclass_fields__)


class Sessions:
    """Open sessions of all cohorts, and the memory of who was counted.

    A *cohort* is a condition that calls meet: every call, or harmful requests of one category, under one stack.
    """

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        self._open: dict[str, _Open] = {}
        self._order: deque[str] = deque()  # keys of `_open`, oldest first: the front of a dict is slow to find
        self._ever = AccountFilter(unit.filter_bits)
        self._lately = (AccountFilter(unit.filter_bits), AccountFilter(unit.filter_bits))
        self._turned = self._now = 0.0
        self._oldest = math.inf  # when the oldest open session began

    @property
    def open(self) -> int:
        """Sessions that are not settled yet."""
        return len(self._open)

    @property
    def crowding(self) -> float:
        """Chance that a new account is taken for one that was counted, and passed over, in [0, 1]."""
        return self._ever.mistakes

    def add(
        self,
        cohort: str,
        account: str,
        *,
        now: float,
        at: str,
        event_id: str,
        hits: Sequence[float],
        weight: float = 1.0,
    ) -> None:
        """Count a call, where its account still counts.

        Args:
            now: seconds; `at`: the same as text.
            hits: each outcome in [0, 1], the same outcomes in every call of a cohort.
            weight: in (0, 1]; what the call counts relative to others.
        """
        key = f"{cohort}\n{account}"
        session = self._open.get(key)
        if session is None:
            marks = account_marks(key, self._unit.filter_bits)
            lately, before = self._lately
            if lately.holds(marks) or before.holds(marks):
                return
            weighted = list(hits) if weight == 1.0 else [weight * hit for hit in hits]
            self._open[key] = _Open(now, not self._ever.holds(marks), 1, weight, weighted, at, event_id)
            self._order.append(key)
            if len(self._order) == 1:
                self._oldest = now
            self._ever.add(marks)
            lately.add(marks)
        elif session.calls < self._unit.cap:
            session.calls += 1
            session.weight += weight
            session.hits = [old + weight * hit for old, hit in zip(session.hits, hits, strict=True)]
            session.last_at, session.last_event = at, event_id

    def is_due(self, now: float) -> bool:
        """Whether `settle` has anything to do; asked at every call, where making its generator would cost more."""
        unit = self._unit
        return (
            self._oldest + unit.settle_s <= now
            or len(self._open) > unit.most_open
            or now - self._turned >= unit.again_s
        )

    def settle(self, now: float) -> Iterator[Session]:
        """The sessions whose while is over, oldest first."""
        self._now = max(self._now, now)
        if self._now - self._turned >= self._unit.again_s:
            self._lately = (AccountFilter(self._unit.filter_bits), self._lately[0])
            self._turned = self._now
        opened, order = self._open, self._order
        while opened and (self._oldest + self._unit.settle_s <= self._now or len(opened) > self._unit.most_open):
            key = order.popleft()
            one = opened.pop(key)
            self._oldest = opened[order[0]].began if order else math.inf
            cohort, _, account = key.partition("\n")
            yield Session(
                cohort, account, one.is_first, one.calls, one.weight, tuple(one.hits), one.last_at, one.last_event
            )

    def state(self) -> bytes:
        """Everything, as a line of JSON and the filters."""
        opened = [(key, *_FIELDS(self._open[key])) for key in self._order]
        head = {"open": opened, "turned": self._turned, "now": self._now, "bits": self._unit.filter_bits}
        return b"".join((to_json(head), b"\n", *(one.cells for one in self._filters())))

    def restore(self, state: bytes) -> None:
        """Go on from there.

        Raises:
            ValueError: another size of filters, or bytes that are no such state.
        """
        line, _, cells = state.partition(b"\n")
        head = json.loads(line)
        size = AccountFilter(self._unit.filter_bits).size
        if head["bits"] != self._unit.filter_bits or len(cells) != 3 * size:
            raise ValueError(f"the state was kept with 2^{head['bits']} bits a filter, not 2^{self._unit.filter_bits}")
        self._open = {key: _Open(*rest) for key, *rest in head["open"]}
        self._order = deque(self._open)
        self._oldest = self._open[self._order[0]].began if self._order else math.inf
        self._turned, self._now = head["turned"], head["now"]
        for number, one in enumerate(self._filters()):
            one.cells[:] = cells[number * size : (number + 1) * size]

    def _filters(self) -> tuple["AccountFilter", ...]:
        return (self._ever, *self._lately)


class AccountFilter:
    """A Bloom filter: never forgets whom it holds, and holds a few that were never added.

    Attributes:
        cells: its bits.
    """

    def __init__(self, bits: int) -> None:
        self.size = (1 << bits) // 8
        self.cells = bytearray(self.size)

    def holds(self, marks: Marks) -> bool:
        """Whether an account was added, or is taken for one."""
        cells = self.cells
        one, two, three, four = marks  # written out: this is done three times a call
        return bool(
            cells[one >> 3] >> (one & 7) & 1
            and cells[two >> 3] >> (two & 7) & 1
            and cells[three >> 3] >> (three & 7) & 1
            and cells[four >> 3] >> (four & 7) & 1
        )

    def add(self, marks: Marks) -> None:
        """Remember an account."""
        cells = self.cells
        for mark in marks:
            cells[mark >> 3] |= 1 << (mark & 7)

    @property
    def mistakes(self) -> float:
        """Chance that an account that was never added is held."""
        return float((int.from_bytes(self.cells, "little").bit_count() / (8 * self.size)) ** _HASHES)


def account_marks(key: str, bits: int) -> Marks:
    """Where an account lies in a filter."""
    digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=4 * _HASHES).digest()
    mask = (1 << bits) - 1
    one, two, three, four = _FOUR.unpack(digest)
    return one & mask, two & mask, three & mask, four & mask
