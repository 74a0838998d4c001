"""The short way through an ordinary body finds what the long way finds, and steps aside for any other body."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from safecase.safeguard import _wire, exchange_of, reply_of
from safecase.safeguard._wire import parts_of

NAMES = st.sampled_from(
    ["model", "user", "stop", "usage", "role", "content", "message", "metadata", "reasoning", "refusal", "index", "x"]
)
TEXTS = st.sampled_from(["", "stub", "user", "tool", '{"a": "b"}', ' ["c"]', '"d"', " plain", "{not json"]) | st.text(
    alphabet='a{["\u2003', max_size=3
)
FLAT = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS
VALUES = st.recursive(
    FLAT, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=8
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=5)
TURNS = st.lists(st.fixed_dictionaries({"role": TEXTS, "content": TEXTS}) | OBJECTS, max_size=4)
CHOICES = st.lists(
    OBJECTS | st.fixed_dictionaries({"index": st.integers(), "message": OBJECTS, "finish_reason": TEXTS}), max_size=3
)


def long_way(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_wire, "_simple_request", lambda *_: None)
    patch.setattr(_wire, "_simple", lambda *_, **__: None)
    patch.setattr(_wire, "_simple_reply", lambda *_: None)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(before=OBJECTS, turns=TURNS, after=OBJECTS)
def test_requests_read_the_same_both_ways(before: dict[str, Any], turns: list[Any], after: dict[str, Any]):
    body = {**before, "messages": turns, **after}

    with pytest.MonkeyPatch.context() as patch:
        long_way(patch)
        expected = exchange_of(body, account="a")
    assert exchange_of(body, account="a") == expected


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(around=OBJECTS, choices=CHOICES)
def test_replies_read_the_same_both_ways(around: dict[str, Any], choices: list[Any]):
    body = {**around, "choices": choices}
    asked = exchange_of({"messages": [{"role": "user", "content": "Hi"}]})

    with pytest.MonkeyPatch.context() as patch:
        long_way(patch)
        expected = reply_of(body, asked=asked), parts_of(body), parts_of(around)
    assert (reply_of(body, asked=asked), parts_of(body), parts_of(around)) == expected


def test_an_ordinary_call_takes_the_short_way(monkeypatch: pytest.MonkeyPatch):
    """Else the tests above compare the long way with itself."""
    monkeypatch.setattr(_wire, "_parts", None)
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    message = {"role": "assistant", "content": "Hello", "refusal": None}
    usage = {"total_tokens": 3, "prompt_tokens_details": {"cached_tokens": 0}}

    asked = exchange_of({"model": "m", "messages": turns, "temperature": 0.7, "max_tokens": 9})
    (replied,) = reply_of(
        {"id": "r1", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage},
        asked=asked,
    )

    assert [part.text for part in asked.parts] == ["m", "system", "user"]
    assert [part.text for part in replied.reply_parts] == ["assistant", "stop", "r1"]
