"""Rules over what an account did before: how often it asks, and how often it was turned away.

The window slides in eighths. What is counted are whole eighths of it, and the one that is just running out still counts
whole: an account is thereby held to its limit within any window, at the price of being let in again up to an eighth of
a window late. Counts of eighths are plain sums, so several workers, or several machines, can add to one store without
asking each other; a single time of arrival per account (GCRA) is smaller, and needs a compare-and-swap.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from safecase.evidence import RulingRecord, digest_value
from safecase.safeguard._errors import StackError
from safecase.safeguard._values import Exchange, Ruling, Stage

_EIGHTHS = 8
_ALLOWED = Ruling(action="allow")
_MOST_KEYS = 100_000


class Counts(Protocol):
    """Where account layers count. A store that every worker sees makes a limit hold over all of them.

    Both methods answer at once and may be called from several threads. One that raises makes the layer fail, which
    withholds.
    """

    def add(self, key: str, *, slot: int) -> None:
        """Count one in a slot of time."""
        ...

    def total(self, key: str, *, since: int) -> int:
        """The sum of all slots from `since` on. Earlier slots of this key will not be asked for again."""
        ...


class LocalCounts:
    """Counts of this process, for at most 100,000 keys; the one heard of last is kept longest."""

    def __init__(self) -> None:
        self._slots: OrderedDict[str, dict[int, int]] = OrderedDict()

    def add(self, key: str, *, slot: int) -> None:
        """Count one."""
        slots = self._slots.setdefault(key, {})
        slots[slot] = slots.get(slot, 0) + 1
        self._slots.move_to_end(key)
        while len(self._slots) > _MOST_KEYS:
            self._slots.popitem(last=False)

    def total(self, key: str, *, since: int) -> int:
        """The sum, and what is older is forgotten."""
        slots = self._slots.get(key)
        if slots is None:
            return 0
        for old in [slot for slot in slots if slot < since]:
            del slots[old]
        return sum(slots.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountLayer:
    """Withholds from an account that asks too often, or that was turned away too often, within a window of time.

    An exchange without an account is allowed: an assessment has none. What asks counts when it is let in, so that a
    hundred requests at once are a hundred. What was turned away counts when a layer withheld it on its merits: neither
    a layer's failure nor this layer's own no is an attempt of the account's.

    Attributes:
        most_asked, most_withheld: within `window_s`; None for no limit.
        clock: seconds, never going back. The default is one clock for all processes of a machine; counts shared by
            several machines need `time.time`.
        counts: by default of this process.

    Raises:
        StackError: neither limit is given; the layer would do nothing.
    """

    name: str
    stage: Stage
    most_asked: int | None
    most_withheld: int | None
    window_s: float
    principle: str | None = None
    clock: Callable[[], float] = time.monotonic
    counts: Counts = field(default_factory=LocalCounts, compare=False, repr=False)
    reach: int = 0

    def __post_init__(self) -> None:
        if self.most_asked is None and self.most_withheld is None:
            raise StackError(f"layer {self.name!r} has no limit; give `most_asked`, `most_withheld` or both")

    @property
    def digest(self) -> str:
        """Configuration."""
        limits = [self.most_asked, self.most_withheld, self.window_s, self.principle]
        return digest_value([self.name, self.stage, "accounts", limits])

    async def check(self, exchange: Exchange) -> Ruling:
        """Withhold when a limit is reached; else count the request."""
        if not exchange.account:
            return _ALLOWED
        slot = self._slot()
        limits = ((self.most_asked, "asked"), (self.most_withheld, "withheld"))
        for most, what in limits:
            if most is not None and self._total(exchange.account, what, slot) >= most:
                return Ruling(action="withhold", principle=self.principle)
        if self.most_asked is not None:
            self.counts.add(self._key(exchange.account, "asked"), slot=slot)
        return _ALLOWED

    def note(self, exchange: Exchange, *, withheld: bool, by: RulingRecord | None = None) -> None:
        """Count what another layer withheld."""
        if not exchange.account or not withheld or self.most_withheld is None:
            return
        if by is None or (by.layer != self.name and by.error is None):
            self.counts.add(self._key(exchange.account, "withheld"), slot=self._slot())

    def _total(self, account: str, what: str, slot: int) -> int:
        return self.counts.total(self._key(account, what), since=slot - _EIGHTHS)

    def _slot(self) -> int:
        return int(self.clock() * _EIGHTHS / self.window_s)

    def _key(self, account: str, what: str) -> str:
        return f"{self.name}/{what}/{account}"
