"""How call events travel: one JSON line each, numbered by the worker that took it, so that a gap is seen.

    {"worker":"w0-18f...","seq":7,"event":{...}}     what differs from `CallEvent`'s defaults
    {"end":{"worker":"w0-18f...","taken":8}}         the worker is gone; it gave out the numbers 0 to 7

A worker that is killed writes no end itself: whoever finds its counter writes it. Numbers below `taken` that never came
are events that were lost, and `Completeness` says which.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import orjson

from safecase.evidence._errors import EvidenceError
from safecase.evidence._events import CallEvent, ShadowRecord
from safecase.evidence._quick import quick_teller
from safecase.evidence._values import Explanation, RulingRecord

if TYPE_CHECKING:
    from pydantic import TypeAdapter


class EventUnreadable(EvidenceError, ValueError):
    """A line is no event row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """An event and its number, from 0, among those that one worker took."""

    worker: str
    seq: int
    event: CallEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerEnd:
    """A worker is gone; it had given out the numbers 0 to `taken` - 1."""

    worker: str
    taken: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _EndLine:
    end: WorkerEnd


def encode_event(event: CallEvent, *, worker: str, seq: int) -> bytes:
    """One line, without its newline. Half a surrogate pair in any text becomes a question mark.

    >>> encode_end(worker="w0", taken=8)
    b'{"end":{"worker":"w0","taken":8}}'
    """
    try:
        body = orjson.dumps(_told(event))
    except TypeError:  # orjson's error of text that is not Unicode, and of numbers beyond 64 bits
        body = _slowly(event)
    return b'{"worker":"%s","seq":%d,"event":%s}' % (worker.encode(), seq, body)


_event_fields, _ruling_fields = quick_teller(CallEvent), quick_teller(RulingRecord)
_shadow_fields, _explanation_fields = quick_teller(ShadowRecord), quick_teller(Explanation)


def _told(event: CallEvent) -> dict[str, Any]:
    """What differs from the defaults. Pydantic takes six times as long to write it."""
    told = _event_fields(event)
    if event.rulings:
        told["rulings"] = [_ruling_fields(one) for one in event.rulings]
    if event.explanations:
        told["explanations"] = [_explanation_fields(one) for one in event.explanations]
    if event.shadow is not None:
        shadow = told["shadow"] = _shadow_fields(event.shadow)
        if event.shadow.rulings:
            shadow["rulings"] = [_ruling_fields(one) for one in event.shadow.rulings]
    return told


def _slowly(event: CallEvent) -> bytes:
    try:
        return _events().dump_json(event, exclude_defaults=True)
    except ValueError:  # Pydantic's own error of text that is not Unicode
        return _events().dump_json(_without_surrogates(event), exclude_defaults=True)


def encode_end(*, worker: str, taken: int) -> bytes:
    """The line that says how many numbers a worker gave out."""
    return b'{"end":{"worker":"%s","taken":%d}}' % (worker.encode(), taken)


def decode_row(line: bytes) -> EventRow | WorkerEnd:
    """Read one line. Fields that this version does not know are passed over.

    Raises:
        EventUnreadable: it is no event row.
    """
    try:
        if line.startswith(b'{"end"'):
            return _ends().validate_json(line).end
        return _rows().validate_json(line)
    except ValueError as error:
        raise EventUnreadable(f"no event row ({_fault(error)})") from None


@dataclass(slots=True)
class _Seen:
    below: int = 0  # every number under this one came
    beyond: set[int] = field(default_factory=set)
    taken: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Events `first` to `last` of a worker that did not come."""

    worker: str
    first: int
    last: int

    @property
    def count(self) -> int:
        """How many."""
        return self.last - self.first + 1


class Completeness:
    """Which events came, which came twice, which did not. Memory grows with disorder, not with events.

    >>> seen = Completeness()
    >>> seen.note(WorkerEnd(worker="w0", taken=2))
    True
    >>> seen.gaps()
    (Gap(worker='w0', first=0, last=1),)
    """

    def __init__(self) -> None:
        self._workers: dict[str, _Seen] = {}

    def note(self, row: EventRow | WorkerEnd) -> bool:
        """Whether this row is new; False for one that came before."""
        seen = self._workers.setdefault(row.worker, _Seen())
        if isinstance(row, WorkerEnd):
            is_new, seen.taken = seen.taken is None, row.taken
            return is_new
        if row.seq < seen.below or row.seq in seen.beyond:
            return False
        seen.beyond.add(row.seq)
        while seen.below in seen.beyond:
            seen.beyond.remove(seen.below)
            seen.below += 1
        return True

    def gaps(self) -> tuple[Gap, ...]:
        """What is missing before the last number seen or, of a worker that is gone, before the last one given out."""
        return tuple(gap for worker in sorted(self._workers) for gap in _gaps(worker, self._workers[worker]))

    def state(self) -> dict[str, list[object]]:
        """As JSON: worker to the number under which all came, those beyond it, and how many were given out."""
        return {name: [one.below, sorted(one.beyond), one.taken] for name, one in self._workers.items()}

    @classmethod
    def restored(cls, state: Mapping[str, Sequence[Any]]) -> "Completeness":
        """Go on from a `state`."""
        made = cls()
        for name, (below, beyond, taken) in state.items():
            made._workers[name] = _Seen(below=below, beyond=set(beyond), taken=taken)
        return made


def _gaps(worker: str, seen: _Seen) -> Iterator[Gap]:
    expected = seen.below
    for number in sorted(seen.beyond):
        if number > expected:
            yield Gap(worker=worker, first=expected, last=number - 1)
        expected = number + 1
    if seen.taken is not None and seen.taken > expected:
        yield Gap(worker=worker, first=expected, last=seen.taken - 1)


def _fault(error: ValueError) -> str:
    """What is wrong and where, without the text it is wrong in."""
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return type(error).__name__
    first = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'the whole'}: {first['msg']}"


def _without_surrogates(event: CallEvent) -> CallEvent:
    texts = {
        name: value.encode("utf-8", "replace").decode()
        for name in CallEvent.__slots__
        if isinstance(value := getattr(event, name), str)
    }
    return CallEvent(**{name: texts.get(name, getattr(event, name)) for name in CallEvent.__slots__})


@cache
def _events() -> "TypeAdapter[CallEvent]":
    from pydantic import TypeAdapter  # loaded by those who read or write events only

    return TypeAdapter(CallEvent)


@cache
def _rows() -> "TypeAdapter[EventRow]":
    from pydantic import TypeAdapter

    return TypeAdapter(EventRow)


@cache
def _ends() -> "TypeAdapter[_EndLine]":
    from pydantic import TypeAdapter

    return TypeAdapter(_EndLine)
