"""Server-sent events, as endpoints really send them.

Source: WHATWG HTML, section 9.2.6 (parsing an event stream), less `id` and `retry`, which no answer needs.
"""

import codecs
import re
from dataclasses import dataclass

_LINE_END = re.compile(r"\r\n|\n|\r")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event: its type (`message` where it names none) and data."""

    type: str
    data: str


class EventParser:
    """Turn bytes, cut anywhere, into events. Comments are passed over; a last event without its blank line counts.

    >>> parser = EventParser()
    >>> parser.feed(b": ping\\r\\n\\r\\nda"), parser.feed(b"ta: caf\\xc3"), parser.feed(b"\\xa9\\n\\n")
    ([], [], [Event(type='message', data='café')])
    """

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8-sig")(errors="replace")
        self._line_so_far: list[str] = []
        self._held = ""
        self._type = ""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> list[Event]:
        """Take bytes, give the events they complete."""
        return self._lines(self._decode.decode(chunk), is_last=False)

    def close(self) -> list[Event]:
        """Give what was still open when the bytes ended."""
        return self._lines(self._decode.decode(b"", final=True) + "\n\n", is_last=True)

    def _lines(self, text: str, *, is_last: bool) -> list[Event]:
        text = self._held + text
        # A carriage return at the very end may be half of a line end; it waits for its other half.
        self._held = "\r" if text.endswith("\r") and not is_last else ""
        first, *rest = _LINE_END.split(text.removesuffix(self._held))
        self._line_so_far.append(first)
        if not rest:
            return []
        # What came before is not read again: a line may be megabytes, and come in a thousand pieces.
        *lines, last = ("".join(self._line_so_far), *rest)
        self._line_so_far = [last]
        return [event for line in lines if (event := self._line(line)) is not None]

    def _line(self, line: str) -> Event | None:
        if not line:
            event = Event(type=self._type or "message", data="\n".join(self._data)) if self._data else None
            self._type, self._data = "", []
            return event
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._type = value
        return None
