"""One text form for instants: ISO 8601, UTC, microseconds, a final Z."""

from datetime import UTC, datetime


def format_utc(at: datetime) -> str:
    """Write an instant in UTC.

    Raises:
        ValueError: `at` has no time zone.

    >>> format_utc(datetime(2026, 4, 7, 12, tzinfo=UTC))
    '2026-04-07T12:00:00.000000Z'
    """
    if at.tzinfo is None:
        raise ValueError(f"{at!r} has no time zone; give an aware datetime, such as datetime.now(UTC)")
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def parse_utc(text: str) -> datetime:
    """Read an instant that `format_utc` wrote; any other spelling is refused, so that one instant has one text.

    Raises:
        ValueError: `text` is not in that form.

    >>> parse_utc("2026-04-07T12:00:00.000000Z").hour
    12
    """
    at = datetime.fromisoformat(text)
    if at.tzinfo is None or format_utc(at) != text:
        raise ValueError(f"{text!r} is not an instant in the form 2026-04-07T12:00:00.000000Z")
    return at
