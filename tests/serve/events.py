"""Events for tests."""

from typing import Any

from safecase.evidence import CallEvent, RulingRecord


def event(number: int = 0, **fields: Any) -> CallEvent:
    """A served call; the number makes its id and its account."""
    plain: dict[str, Any] = {
        "event_id": f"{number:032x}",
        "at": "2026-11-21T10:00:00.000000Z",
        "account": f"acct-{number % 7}",
        "key_id": "abcdefgh2345",
        "route": "/v1/chat/completions",
        "permit": "a" * 64,
        "context": "controlled",
        "stack_digest": "b" * 64,
        "model": "small",
        "outcome": "served",
        "status": 200,
    }
    return CallEvent(**(plain | fields))


def ruling(action: str = "withhold", **fields: Any) -> RulingRecord:
    """What one layer did."""
    plain: dict[str, Any] = {
        "layer": "input-classifier",
        "stage": "input",
        "score": 0.9,
        "principle": "no-serious-harm",
        "latency_ms": 0.2,
    }
    return RulingRecord(action=action, **(plain | fields))
