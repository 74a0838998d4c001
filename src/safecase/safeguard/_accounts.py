"""Rules over what an account did before: how often it asks, and how often it was turned away."""

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from safecase.evidence import digest_value
from safecase.safeguard._errors import StackError
from safecase.safeguard._values import Exchange, Ruling, Stage

_MOST_ACCOUNTS = 100_000


@dataclass(slots=True)
class _Past:
    """Times, oldest first, of what an account asked and of what was withheld from it."""

    asked: deque[float] = field(default_factory=deque)
    withheld: deque[float] = field(default_factory=deque)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountLayer:
    """Withholds from an account that asks too often, or that was turned away too often, within a window of time.

    An exchange without an account is allowed: an assessment has none. What is counted lives in this process only, for
    at most 100,000 accounts, the one heard of last kept longest.

    Attributes:
        most_asked, most_withheld: within `window_s`; None for no limit.
        clock: seconds, never going back.

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
    past: OrderedDict[str, _Past] = field(default_factory=OrderedDict, compare=False, repr=False)
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
        """Withhold when a limit is reached."""
        if not exchange.account:
            return Ruling(action="allow")
        past = self._of(exchange.account)
        over = any(
            most is not None and len(times) >= most
            for times, most in ((past.asked, self.most_asked), (past.withheld, self.most_withheld))
        )
        return Ruling(action="withhold" if over else "allow", principle=self.principle if over else None)

    def note(self, exchange: Exchange, *, withheld: bool) -> None:
        """Count an exchange that was answered or withheld."""
        if exchange.account:
            past, now = self._of(exchange.account), self.clock()
            past.asked.append(now)
            if withheld:
                past.withheld.append(now)

    def _of(self, account: str) -> _Past:
        past = self.past.setdefault(account, _Past())
        self.past.move_to_end(account)
        while len(self.past) > _MOST_ACCOUNTS:
            self.past.popitem(last=False)
        horizon = self.clock() - self.window_s
        for times in (past.asked, past.withheld):
            while times and times[0] <= horizon:
                times.popleft()
        return past
