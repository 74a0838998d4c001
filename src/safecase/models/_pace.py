"""When to try again: backoff with full jitter, and what an endpoint asks for."""

import asyncio
import email.utils
import random
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

_BACKOFF_S = 0.5
_LONGEST_BACKOFF_S = 20.0
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass
class Pace:
    """The pace of one endpoint, shared by every attempt in flight: one `Retry-After` slows them all.

    Attributes:
        longest_wait_s: no attempt is held back longer.
        jitter: where the randomness comes from.
    """

    longest_wait_s: float
    jitter: random.Random = field(default_factory=random.Random)
    _not_before: float = 0.0

    async def wait(self) -> None:
        """Wait until the endpoint may be asked again; those who waited together do not start together."""
        while (left := self._not_before - time.monotonic()) > 0:  # noqa: ASYNC110 - the time may be put off while we sleep
            await asyncio.sleep(left + self.jitter.uniform(0, min(1.0, left)))

    def hold(self, seconds: float) -> None:
        """Let nobody ask for so long."""
        self._not_before = max(self._not_before, time.monotonic() + min(seconds, self.longest_wait_s))

    def backoff_s(self, attempt: int) -> float:
        """Full jitter: anything from nothing to the bound, which doubles with each attempt.

        Source: Brooker, Exponential Backoff and Jitter, AWS Architecture Blog (2015).
        """
        return self.jitter.uniform(0, min(_LONGEST_BACKOFF_S, _BACKOFF_S * 2**attempt))


def asked_wait_s(headers: Mapping[str, str], *, now: float) -> float | None:
    """Seconds an endpoint asks to wait before the next attempt, None where it does not say.

    `Retry-After` in seconds or as a date comes first, then `retry-after-ms`, then the reset of a rate limit that is
    used up (`x-ratelimit-remaining-*` is 0).

    Args:
        now: seconds since the epoch.
    """
    after = _retry_after(headers, now)
    return used_up_s(headers) if after is None else after


def used_up_s(headers: Mapping[str, str]) -> float | None:
    """Seconds until every rate limit that is used up is reset, None where none is."""
    resets = [
        parse_duration(headers.get(f"x-ratelimit-reset-{what}", ""))
        for what in ("requests", "tokens")
        if headers.get(f"x-ratelimit-remaining-{what}", "").strip() == "0"
    ]
    return max((reset for reset in resets if reset is not None), default=None)


def requests_left(headers: Mapping[str, str]) -> int | None:
    """Requests that an endpoint says it still takes before its limit is reset, None where it does not say."""
    left = headers.get("x-ratelimit-remaining-requests", "").strip()
    return int(left) if left.isascii() and left.isdigit() else None


def parse_duration(text: str) -> float | None:
    """Seconds, as rate-limit headers spell them.

    >>> parse_duration("6m0.5s"), parse_duration("120ms"), parse_duration("3"), parse_duration("soon")
    (360.5, 0.12, 3.0, None)
    """
    text = text.strip()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    if not text or not re.fullmatch(rf"(?:{_PART.pattern})+", text):
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))


def _retry_after(headers: Mapping[str, str], now: float) -> float | None:
    value = headers.get("Retry-After", "")
    if (seconds := parse_duration(value)) is not None:
        return seconds
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, OverflowError):
        pass
    milliseconds = parse_duration(headers.get("retry-after-ms", ""))
    return None if milliseconds is None else milliseconds / 1000
