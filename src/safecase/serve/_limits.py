"""What accounts may ask for: requests and tokens a minute, calls at one time, over all workers."""

import math
import time
from collections.abc import Callable

from safecase.serve._rows import TableFull
from safecase.serve._shared import AccountTable
from safecase.serve._values import Account, Allowance, Refusal
from safecase.serve._worker import WorkerSlot

_REQUESTS, _TOKENS = 0, 1
_MINUTE_S = 60.0
_OF_REQUESTS = (b"x-ratelimit-limit-requests", b"x-ratelimit-remaining-requests", b"x-ratelimit-reset-requests")
_OF_TOKENS = (b"x-ratelimit-limit-tokens", b"x-ratelimit-remaining-tokens", b"x-ratelimit-reset-tokens")
_AGAIN_S = 1.0  # a place may be given back any moment


class SharedLimiter:
    """Counts what accounts use in a table that all workers share; its module says how exact that is.

    A limit of n a minute is a bucket of n that refills evenly: an account that rested may send n at once, and then
    n/60 a second. Tokens are known only when a call is over, so a call is let in while any are left, and the account
    then waits until the bucket has paid for it.
    """

    def __init__(self, table: AccountTable) -> None:
        self._table = table

    @classmethod
    def open(
        cls, slot: WorkerSlot, *, accounts: int = 65_536, clock: Callable[[], float] = time.monotonic
    ) -> "SharedLimiter":
        """Share `limits.bin` in the slot's folder with the other workers.

        Args:
            accounts: rows of the table, for accounts that are not idle at one time. 0.4 KiB each with 16 workers.

        Raises:
            SharedUnusable: the file cannot be used.
        """
        path = slot.folder / "limits.bin"
        return cls(AccountTable.open(path, slot, meters=2, rows=accounts, clock=clock))

    def enter(self, account: Account) -> Refusal | None:
        """Take one request; None where it may go on, and `leave` is then called exactly once with the same account."""
        allowance, table = account.allowance, self._table
        if _is_unlimited(allowance):
            return None
        try:
            row = table.row(account.id)
        except TableFull:
            return Refusal(
                status=503,
                reason="limits-full",
                message="The gateway cannot count this account's calls now, so it takes none.",
                retry_after_s=_AGAIN_S,
            )
        return self._over_tokens(row, allowance) or self._over_concurrent(row, allowance) or self._ask(row, allowance)

    def leave(self, account: Account, *, tokens: int) -> None:
        """Give the place back and count the tokens that the call used."""
        allowance, table = account.allowance, self._table
        if _is_unlimited(allowance):
            return
        row = table.row(account.id)  # it has a call in flight, so its row is its own
        table.give(row)
        if allowance.tokens_per_minute is not None and tokens > 0:
            table.spend(row, _TOKENS, tokens * _MINUTE_S / allowance.tokens_per_minute)

    def headers(self, account: Account) -> list[tuple[bytes, bytes]]:
        """`x-ratelimit-*` as OpenAI's API sends them; none for what is not limited."""
        allowance = account.allowance
        if allowance.requests_per_minute is None and allowance.tokens_per_minute is None:
            return []
        try:
            row = self._table.row(account.id)
        except TableFull:
            return []
        now = self._table.clock()
        headers: list[tuple[bytes, bytes]] = []
        if (limit := allowance.requests_per_minute) is not None:
            headers += self._headers(_OF_REQUESTS, self._table.empty_at(row, _REQUESTS) - now, limit)
        if (limit := allowance.tokens_per_minute) is not None:
            headers += self._headers(_OF_TOKENS, self._table.empty_at(row, _TOKENS) - now, limit)
        return headers

    def _over_tokens(self, row: int, allowance: Allowance) -> Refusal | None:
        limit = allowance.tokens_per_minute
        if limit is None:
            return None
        wait = self._table.empty_at(row, _TOKENS) - self._table.clock() - _MINUTE_S
        return None if wait < 0.0 else _over("tokens", f"{limit:g} tokens a minute are used up", wait)

    def _over_concurrent(self, row: int, allowance: Allowance) -> Refusal | None:
        """Take a place; where that is one too many, give it back and refuse."""
        table, limit = self._table, allowance.concurrent
        in_flight = table.take(row)
        if limit is None or in_flight <= limit:
            return None
        table.give(row)
        if table.give_back_of_the_dead(row):
            return self._over_concurrent(row, allowance)
        return _over("concurrent", f"{limit} calls at one time are in flight", _AGAIN_S)

    def _ask(self, row: int, allowance: Allowance) -> Refusal | None:
        """Spend one request; where the bucket would run over, take it and the place back and refuse."""
        table, limit = self._table, allowance.requests_per_minute
        if limit is None:
            return None
        each = _MINUTE_S / limit
        wait = table.spend(row, _REQUESTS, each) - table.clock() - max(_MINUTE_S, each)
        if wait <= 1e-6:
            return None
        table.refund(row, _REQUESTS, each)
        table.give(row)
        return _over("requests", f"{limit:g} requests a minute are used up", wait)

    @staticmethod
    def _headers(names: tuple[bytes, bytes, bytes], until_full: float, limit: float) -> tuple[tuple[bytes, bytes], ...]:
        if until_full < 0.0:
            until_full = 0.0
        most, left = int(limit), math.floor((_MINUTE_S - until_full) * limit / _MINUTE_S + 1e-6)
        return (
            (names[0], b"%d" % (most if most > 1 else 1)),
            (names[1], b"%d" % (left if left > 0 else 0)),
            (names[2], _duration(until_full)),
        )


def _is_unlimited(allowance: Allowance) -> bool:
    return (
        allowance.requests_per_minute is None and allowance.concurrent is None and allowance.tokens_per_minute is None
    )


def _over(what: str, sentence: str, wait_s: float) -> Refusal:
    return Refusal(
        status=429,
        reason=f"over-limit-{what}",
        message=f"The account's limit is reached: {sentence}. Try again later.",
        retry_after_s=max(wait_s, 0.001),
    )


def _duration(seconds: float) -> bytes:
    """As Go writes a duration, which is how these headers do: b"6m0s", b"1.5s", b"12ms"."""
    if seconds < 1.0:
        return b"%dms" % math.ceil(seconds * 1e3)
    minutes, rest = divmod(math.ceil(seconds * 10) / 10, 60.0)
    text = f"{rest:.1f}".removesuffix(".0") + "s"
    return (f"{int(minutes)}m{text}" if minutes else text).encode()
