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
from threading import Lock
from typing import Protocol

from safecase.evidence import RulingRecord, digest_value
from safecase.safeguard._errors import StackError
from safecase.safeguard._values import Exchange, Ruling, Stage, instant

_EIGHTHS = 8
_ALLOWED = Ruling(action="allow")
_MOST_KEYS = 100_000
_ONE_AT_A_TIME = Lock()  # of no one's own: stacks, with what counts for them, travel to other processes


class Counts(Protocol):
    """Where account layers count. A store that every worker sees makes a limit hold over all of them.

    Both methods answer at once and may be called from several threads. One that raises makes the layer fail, which
    withholds.
    """

    def add(self, key: str, *, slot: int, slot_s: float, count: int = 1) -> None:
        """Count in a slot of time.

        Args:
            slot: its number; slot n begins at n * `slot_s` seconds of the layer's clock.
            slot_s: the same for a key as long as it lives; nothing older than nine slots will be asked for.
            count: -1 takes one back that was counted in the same slot.
        """
        ...

    def total(self, key: str, *, since: int) -> int:
        """The sum of all slots from `since` on. Earlier slots of this key will not be asked for again.

        Raises when this key could not be counted if it were to be added to: who cannot be counted is not let in.
        """
        ...


class LocalCounts:
    """Counts of this process, for at most 100,000 keys; the one heard of last is kept longest."""

    def __init__(self) -> None:
        self._slots: OrderedDict[str, dict[int, int]] = OrderedDict()

    def add(self, key: str, *, slot: int, slot_s: float, count: int = 1) -> None:  # noqa: ARG002 - forgets by number
        """Count."""
        with _ONE_AT_A_TIME:
            slots = self._slots.setdefault(key, {})
            slots[slot] = slots.get(slot, 0) + count
            self._slots.move_to_end(key)
            while len(self._slots) > _MOST_KEYS:
                self._slots.popitem(last=False)

    def total(self, key: str, *, since: int) -> int:
        """The sum, and what is older is forgotten."""
        with _ONE_AT_A_TIME:
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
    hundred requests at once are a hundred; where workers that share counts race for the last place, all of them may be
    refused and never more are let in. What was turned away counts when a layer withheld it on its merits: neither a
    layer's failure nor this layer's own no is an attempt of the account's.

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
    _asked: str = field(init=False, compare=False, repr=False)
    _withheld: str = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.most_asked is None and self.most_withheld is None:
            raise StackError(f"layer {self.name!r} has no limit; give `most_asked`, `most_withheld` or both")
        # What an account's keys begin with; the slots of another window are other slots.
        object.__setattr__(self, "_asked", f"{self.name}/asked/{self.window_s}/")
        object.__setattr__(self, "_withheld", f"{self.name}/withheld/{self.window_s}/")

    @property
    def digest(self) -> str:
        """Configuration."""
        limits = [self.most_asked, self.most_withheld, self.window_s, self.principle]
        return digest_value([self.name, self.stage, "accounts", limits])

    @instant
    def check(self, exchange: Exchange) -> Ruling:
        """Withhold when a limit is reached; else count the request."""
        if not exchange.account:
            return _ALLOWED
        slot, most = self._slot(), self.most_withheld
        if most is not None and self.counts.total(self._withheld + exchange.account, since=slot - _EIGHTHS) >= most:
            return Ruling(action="withhold", principle=self.principle)
        if self.most_asked is not None and not self._take(exchange.account, slot, most=self.most_asked):
            return Ruling(action="withhold", principle=self.principle)
        return _ALLOWED

    def note(self, exchange: Exchange, *, withheld: bool, by: RulingRecord | None = None) -> None:
        """Count what another layer withheld."""
        if not exchange.account or not withheld or self.most_withheld is None:
            return
        if by is None or (by.layer != self.name and by.error is None):
            key = self._withheld + exchange.account
            self.counts.add(key, slot=self._slot(), slot_s=self.window_s / _EIGHTHS)

    def _take(self, account: str, slot: int, *, most: int) -> bool:
        """Count first and look then, since other workers do the same meanwhile; one too many is taken back."""
        key, slot_s = self._asked + account, self.window_s / _EIGHTHS
        self.counts.add(key, slot=slot, slot_s=slot_s)
        if self.counts.total(key, since=slot - _EIGHTHS) <= most:
            return True
        self.counts.add(key, slot=slot, slot_s=slot_s, count=-1)
        return False

    def _slot(self) -> int:
        return int(self.clock() * _EIGHTHS / self.window_s)
