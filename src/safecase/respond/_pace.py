"""How fast reports may come: by sender and in all. Senders are remembered for a minute, in memory, as hashes."""

import ipaddress
import secrets
from collections import OrderedDict, deque
from collections.abc import Callable
from hashlib import blake2b

from safecase.respond._desk import IntakeLimits
from safecase.web import Refused

_MINUTE_S = 60.0
_MOST_SENDERS = 20_000


class Pace:
    """Counts the last minute's reports. An address is hashed under a key that dies with the process.

    Args:
        monotonic: a clock in seconds.
    """

    def __init__(self, limits: IntakeLimits, *, monotonic: Callable[[], float]) -> None:
        self._limits, self._monotonic = limits, monotonic
        self._key = secrets.token_bytes(32)
        self._all: deque[float] = deque()
        self._by_sender: OrderedDict[bytes, deque[float]] = OrderedDict()

    def count(self, address: str | None) -> None:
        """Count one report.

        Raises:
            Refused: this sender, or all together, came too fast; with the time to wait.
        """
        now = self._monotonic()
        mine = self._of(address)
        _take(mine, now, most=self._limits.per_minute, who="you sent")
        try:
            _take(self._all, now, most=self._limits.per_minute_all, who="there were")
        except Refused:
            mine.pop()
            raise

    def _of(self, address: str | None) -> deque[float]:
        name = blake2b(_network(address).encode(), key=self._key, digest_size=16).digest()
        found = self._by_sender.setdefault(name, deque())
        self._by_sender.move_to_end(name)
        while len(self._by_sender) > _MOST_SENDERS:
            self._by_sender.popitem(last=False)
        return found


def _take(times: deque[float], now: float, *, most: int, who: str) -> None:
    while times and now - times[0] >= _MINUTE_S:
        times.popleft()
    if len(times) >= most:
        wait = _MINUTE_S - (now - times[0])
        raise Refused(429, "too-fast", f"{who} {most} within a minute; wait {wait:.0f} s", retry_after_s=wait)
    times.append(now)


def _network(address: str | None) -> str:
    """The sender: an IPv4 address, or the /64 that one subscriber has of IPv6. A port, as proxies add, is left off.

    A listener on both writes IPv4 addresses as IPv6 ones, which all lie in one /64: they are taken as what they are,
    or one sender could use up everybody's share.

    >>> _network("::ffff:192.0.2.7"), _network("192.0.2.7:4411"), _network("[2001:db8::5]:80"), _network("2001:db8::6")
    ('192.0.2.7', '192.0.2.7', '2001:db8::/64', '2001:db8::/64')
    """
    try:
        found = ipaddress.ip_address(_without_port(address or ""))
    except ValueError:
        return "unknown"
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)


def _without_port(address: str) -> str:
    if address.startswith("["):
        return address[1:].partition("]")[0]
    host, _, _ = address.partition(":")
    return host if address.count(":") == 1 else address
