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
import struct
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_HASHES = 4
_FOUR = struct.Struct(f"<{_HASHES}I")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
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


class Sessions:
    """Open sessions of all cohorts, and the memory of who was counted.

    A *cohort* is a condition that calls meet: every call, or harmful requests of one category, under one stack.
    """

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        self._open: OrderedDict[str, _Open] = OrderedDict()
        self._ever = AccountFilter(unit.filter_bits)
        self._lately = (AccountFilter(unit.filter_bits), AccountFilter(unit.filter_bits))
        self._turned = self._now = 0.0

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
            if self._lately[0].holds(marks) or self._lately[1].holds(marks):
                return
            weighted = [weight * hit for hit in hits]
            self._open[key] = _Open(now, not self._ever.holds(marks), 1, weight, weighted, at, event_id)
            self._ever.add(marks)
            self._lately[0].add(marks)
        elif session.calls < self._unit.cap:
            session.calls += 1
            session.weight += weight
            session.hits = [old + weight * hit for old, hit in zip(session.hits, hits, strict=True)]
            session.last_at, session.last_event = at, event_id

    def is_due(self, now: float) -> bool:
        """Whether `settle` has anything to do; asked at every call, where making its generator would cost more."""
        if now - self._turned >= self._unit.again_s or len(self._open) > self._unit.most_open:
            return True
        return bool(self._open) and next(iter(self._open.values())).began + self._unit.settle_s <= now

    def settle(self, now: float) -> Iterator[Session]:
        """The sessions whose while is over, oldest first."""
        self._now = max(self._now, now)
        if self._now - self._turned >= self._unit.again_s:
            self._lately = (AccountFilter(self._unit.filter_bits), self._lately[0])
            self._turned = self._now
        while self._open:
            key, session = next(iter(self._open.items()))
            if session.began + self._unit.settle_s > self._now and len(self._open) <= self._unit.most_open:
                return
            del self._open[key]
            cohort, _, account = key.partition("\n")
            yield Session(
                cohort=cohort,
                account=account,
                is_first=session.is_first,
                calls=session.calls,
                weight=session.weight,
                hits=tuple(session.hits),
                last_at=session.last_at,
                last_event=session.last_event,
            )

    def state(self) -> bytes:
        """Everything, as a line of JSON and the filters."""
        opened = [
            (key, one.began, one.is_first, one.calls, one.weight, one.hits, one.last_at, one.last_event)
            for key, one in self._open.items()
        ]
        head = {"open": opened, "turned": self._turned, "now": self._now, "bits": self._unit.filter_bits}
        return b"".join((json.dumps(head).encode(), b"\n", *(bytes(one.cells) for one in self._filters())))

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
        self._open = OrderedDict((key, _Open(*rest)) for key, *rest in head["open"])
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

    def holds(self, marks: Sequence[int]) -> bool:
        """Whether an account was added, or is taken for one."""
        cells = self.cells
        for mark in marks:  # noqa: SIM110 - a generator would take twice the time, on every call
            if not cells[mark >> 3] & (1 << (mark & 7)):
                return False
        return True

    def add(self, marks: Sequence[int]) -> None:
        """Remember an account."""
        for mark in marks:
            self.cells[mark >> 3] |= 1 << (mark & 7)

    @property
    def mistakes(self) -> float:
        """Chance that an account that was never added is held."""
        return float((int.from_bytes(self.cells, "little").bit_count() / (8 * self.size)) ** _HASHES)


def account_marks(key: str, bits: int) -> tuple[int, ...]:
    """Where an account lies in a filter."""
    digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=4 * _HASHES).digest()
    mask = (1 << bits) - 1
    one, two, three, four = _FOUR.unpack(digest)
    return one & mask, two & mask, three & mask, four & mask
