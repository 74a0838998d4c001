"""Figures, moments and spans as people read them; nothing here measures."""

import datetime as dt
import re
import unicodedata

from safecase.evidence import Estimate
from safecase.report import measured_text

_ODD = re.compile(r"[^\w\s!-~]|[\x0b-\x1f\x85]")
"""What may be a sign that nobody sees: no letter, digit, blank or usual punctuation; or a control among the blanks."""
_JOINERS = frozenset("\u200c\u200d")
"""Persian, Indic scripts and emoji are written with these."""


def span(left: dt.timedelta) -> str:
    """A span of time in its two largest units.

    >>> span(dt.timedelta(days=2, hours=3, minutes=4)), span(dt.timedelta(minutes=-5))
    ('2 days 3 hours', '5 minutes ago')
    """
    minutes = int(abs(left).total_seconds() // 60)
    units = (("day", minutes // 1440), ("hour", minutes // 60 % 24), ("minute", minutes % 60))
    said = [f"{count} {name}{'' if count == 1 else 's'}" for name, count in units if count][:2]
    text = " ".join(said) or "less than a minute"
    return f"{text} ago" if left < dt.timedelta() else text


def moment(at: dt.datetime | str | None) -> str:
    """A moment, UTC, to the minute; "unknown" for none."""
    if at is None:
        return "unknown"
    when = dt.datetime.fromisoformat(at) if isinstance(at, str) else at
    return f"{when.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC"


def measured(estimate: Estimate) -> str:
    """The value of an estimate, or that there is none."""
    return measured_text(estimate.measure, estimate.arm, estimate.value)


def bounds(estimate: Estimate) -> str:
    """The one-sided bounds by which a gate is cleared, lower and upper."""
    low, high = (
        measured_text(estimate.measure, estimate.arm, one) for one in (estimate.lower_bound, estimate.upper_bound)
    )
    return f"{low} to {high}"


def visible(text: str) -> str:
    """Text in which nothing hides: signs that a reader would not see, or that turn the direction, are spelled out.

    >>> visible("safe\\u202egnp.exe\\u200b")
    'safe<U+202E>gnp.exe<U+200B>'
    """
    return _ODD.sub(_spelled, text)


def _spelled(match: re.Match[str]) -> str:
    sign = match[0]
    if sign in _JOINERS or unicodedata.category(sign)[0] != "C":
        return sign
    return f"<U+{ord(sign):04X}>"
