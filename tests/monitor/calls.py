"""Calls made up for tests: plain events, a promise, a case-free set of detectors."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from safecase.assess import Promise, Promises
from safecase.evidence import CallEvent, RulingRecord, encode_event, format_utc
from safecase.monitor import Reading, Seen

BEGIN = datetime(2026, 4, 7, 12, tzinfo=UTC)
STACK = "5" * 64
DIGESTS = ("j" * 64, "r" * 64)


def event(number, *, account=None, seconds=None, **fields):
    said = {
        "event_id": f"{number:032x}",
        "at": format_utc(BEGIN + timedelta(seconds=number if seconds is None else seconds)),
        "account": f"account-{number}" if account is None else account,
        "key_id": "k",
        "route": "/v1/chat/completions",
        "permit": "",
        "context": "closed",
        "stack_digest": STACK,
        "model": "m",
        "outcome": "served",
        "status": 200,
    }
    return CallEvent(**{**said, **fields})


def seen(number, *, prompt="hello", reply="hi", reading=None, **fields):
    made = event(number, **fields)
    return Seen(event=made, prompt=prompt, reply=reply, source="test", offset=str(number), reading=reading)


def harmful(number, *, is_unsafe, category="privacy", **fields):
    verdict = "compliance" if is_unsafe else "refusal"
    reading = Reading(harm=0.9, is_harmful=True, category=category, verdict=verdict, is_unsafe=is_unsafe)
    return seen(number, reading=reading, **fields)


def harmless(number, **fields):
    return seen(number, reading=Reading(harm=0.1, is_harmful=False), **fields)


def ruled(*layers, fired=(), erred=()):
    """Rulings of these layers; those that fired withhold, those that erred could not rule."""
    return tuple(
        RulingRecord(
            layer=name,
            stage="input",
            action="withhold" if name in (*fired, *erred) else "allow",
            score=None,
            principle=None,
            latency_ms=0.1,
            error="TimeoutError" if name in erred else None,
        )
        for name in layers
    )


def promise(**fields):
    said = {
        "id": "unsafe/any",
        "outcome": "unsafe",
        "category": "any",
        "p0": 0.05,
        "rate": 0.02,
        "units": 100,
        "alpha": 0.05,
        "arl": 5000.0,
        "judge_digest": DIGESTS[0],
        "reader_digest": DIGESTS[1],
        "stack_digest": STACK,
        "generation": 1,
    }
    return Promise(**{**said, **fields})


def promises(*made):
    return Promises(promises=made or (promise(),), absent=())


def write_events(path, numbers, *, worker="w0", first=0, **fields):
    """A segment of events, `prompt` and `reply` among the fields."""
    lines = [
        encode_event(event(number, **fields), worker=worker, seq=seq) for seq, number in enumerate(numbers, start=first)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(b"".join(line + b"\n" for line in lines))


class EveryTenth:
    """Detectors without weights: every tenth call by its number is harmful, every hundredth answered unsafely."""

    def read(self, batch):
        return [replace(one, reading=self._reading(int(one.event.event_id, 16))) for one in batch]

    def _reading(self, number):
        if number % 10:
            return Reading(harm=0.1, is_harmful=False)
        unsafe = number % 100 == 0
        return Reading(harm=0.9, is_harmful=True, category="privacy", verdict="compliance", is_unsafe=unsafe)


class Counter:
    """A watcher that counts what it saw, and says so at every hundredth call."""

    name = "counter"

    def __init__(self):
        self.total, self.digest = 0, 0

    def saw(self, one):
        from safecase.monitor import Alert, alert_id

        self.total += 1
        self.digest = (self.digest * 31 + int(one.event.event_id, 16)) % (1 << 61)
        if self.total % 100 == 0:
            name = alert_id("hundred", "counter", str(self.total))
            yield Alert(
                alert_id=name, at=one.event.at, kind="hundred", severity="info", series="counter", what=f"{self.total}"
            )

    def state(self):
        return f"{self.total} {self.digest}".encode()

    def restore(self, state):
        self.total, self.digest = map(int, state.split())
