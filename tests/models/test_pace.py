"""How long to wait."""

import email.utils
import random

import pytest

from safecase.models._pace import Pace, asked_wait_s, parse_duration, used_up_s

_NOW = 1_790_000_000.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1", 1), ("0.25", 0.25), ("1s", 1), ("6m0s", 360), ("1h30m", 5400), ("120ms", 0.12), ("1d", 86400)],
)
def test_durations_are_read_as_endpoints_spell_them(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "soon", "-1", "1x", "nan", "inf", "1e9"])
def test_what_is_no_duration_is_none_and_not_zero(text: str) -> None:
    assert parse_duration(text) is None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "3"}, 3),
        ({"Retry-After": email.utils.formatdate(_NOW + 30, usegmt=True)}, 30),
        ({"Retry-After": email.utils.formatdate(_NOW - 30, usegmt=True)}, 0),
        ({"Retry-After": "whenever"}, None),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "2s"}, 2),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "4s"}, 4),
        ({"x-ratelimit-remaining-tokens": "12", "x-ratelimit-reset-tokens": "6m0s"}, None),  # not used up
    ],
)
def test_what_an_endpoint_asks_for_is_honoured(headers: dict[str, str], seconds: float | None) -> None:
    assert asked_wait_s(headers, now=_NOW) == (None if seconds is None else pytest.approx(seconds))


def test_a_used_up_limit_is_known_before_it_is_hit() -> None:
    headers = {
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "3s",
    }

    assert used_up_s(headers) == 3


def test_backoff_grows_within_bounds_and_has_full_jitter() -> None:
    pace = Pace(longest_wait_s=60, jitter=random.Random(1))

    bounds = [max(pace.backoff_s(attempt) for _ in range(200)) for attempt in range(12)]
    least = min(pace.backoff_s(5) for _ in range(200))

    assert bounds[0] <= 0.5 < bounds[2] <= 2.0
    assert bounds[11] <= 20.0
    assert least < 0.5
