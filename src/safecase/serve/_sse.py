"""Server-sent events as bytes: taken apart as they arrive, without decoding what is passed on as JSON.

Source: WHATWG HTML, section 9.2.6 (parsing an event stream), less `event`, `id` and `retry`: only data is passed on,
because only data is checked.
"""

from dataclasses import dataclass

import orjson

from safecase.serve._faults import failed

DONE = b"data: [DONE]\n\n"
_BOM = b"\xef\xbb\xbf"


class Splitter:
    """Turn bytes, cut anywhere, into the data of events.

    Args:
        most_bytes: of one event.

    >>> splitter = Splitter(most_bytes=1_000)
    >>> splitter.feed(b": ping\\n\\nda"), splitter.feed(b"ta: 1\\r\\n\\r"), splitter.feed(b"\\ndata: 2\\n\\n")
    ([], [], [b'1', b'2'])
    """

    __slots__ = ("_is_first", "_most", "_rest")

    def __init__(self, *, most_bytes: int) -> None:
        self._rest = b""
        self._most = most_bytes
        self._is_first = True

    def feed(self, piece: bytes) -> list[bytes]:
        """Take bytes, give the data of the events they complete.

        Raises:
            Fault: an event is larger than may be.
        """
        text = self._rest + piece if self._rest else piece
        if self._is_first:
            text = text.removeprefix(_BOM)
            self._is_first = len(text) == 0
        if text.find(b"\r") >= 0:  # `in` would take bytes for a number first, and make an error of it
            text = self._plain(text)
        *blocks, self._rest = text.split(b"\n\n")
        if len(self._rest) > self._most:
            raise failed(502, "upstream-too-large", f"the upstream sent an event of more than {self._most} bytes")
        return [data for block in blocks if (data := _data(block)) is not None]

    def close(self) -> list[bytes]:
        """Give what was still open when the bytes ended."""
        return self.feed(b"\n\n")

    @staticmethod
    def _plain(text: bytes) -> bytes:
        """Line ends as one byte; a carriage return at the very end may be half of one and stays as it is."""
        held = b"\r" if text.endswith(b"\r") else b""
        return text.removesuffix(held).replace(b"\r\n", b"\n").replace(b"\r", b"\n") + held


def _data(block: bytes) -> bytes | None:
    if block.startswith(b"data: ") and block.find(b"\n") < 0:
        return block[6:]
    lines = [line[5:].removeprefix(b" ") for line in block.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines) if lines else None


@dataclass(frozen=True, slots=True)
class Frame:
    """A chunk that is a piece of text and nothing else, as the bytes around that text, with its quotes.

    Chunks of one reply mostly differ in the text alone. Between the same bytes stands either one string, which is then
    the text, or what is no string, and that is for whoever reads the whole.
    """

    before: bytes
    after: bytes
    choice: int

    def text_of(self, data: bytes) -> str | None:
        """The text of an event that differs from this one in nothing else; None of any other."""
        start, end = len(self.before) - 1, len(data) - len(self.after) + 1
        if end - start < 2 or not data.startswith(self.before) or not data.endswith(self.after):
            return None
        try:
            text: str = orjson.loads(data[start:end])
        except orjson.JSONDecodeError:
            return None
        return text


def frame_of(data: bytes, text: str, *, choice: int) -> Frame | None:
    """The frame of an event, where its text stands in it as it would be written and nowhere else.

    >>> frame = frame_of(b'{"choices":[{"delta":{"content":"tide "}}]}', "tide ", choice=0)
    >>> frame.text_of(b'{"choices":[{"delta":{"content":"ebb "}}]}')
    'ebb '
    >>> frame.text_of(b'{"choices":[{"delta":{"content":"ebb ","x":"y"}}]}')
    """
    try:
        written = orjson.dumps(text)
        at = data.find(written)
        if at < 0 or data.find(written, at + 1) >= 0:
            return None
        before, after = data[: at + 1], data[at + len(written) - 1 :]
        # The same bytes elsewhere may not be the text at all: another text has to come out where it stood.
        was, other = orjson.loads(data), orjson.loads(b"%s%s%s" % (before, _OTHER, after))
        was["choices"][0]["delta"]["content"] = _OTHER.decode()
    except (TypeError, ValueError, LookupError):
        return None
    return Frame(before, after, choice) if was == other else None


_OTHER = b"another text"


def event(value: object) -> bytes:
    """A value as an event."""
    return b"data: " + orjson.dumps(value) + b"\n\n"


def named_event(name: str, value: object) -> bytes:
    """The same with a type."""
    return b"event: " + name.encode() + b"\ndata: " + orjson.dumps(value) + b"\n\n"
