"""JSON read piece by piece: a file of any size, one member in memory at a time.

The standard decoder does the decoding; this only finds where a value begins and reads on until it is whole. So NaN and
infinity, which logs of scores hold and strict incremental parsers refuse, come through, and no package is needed.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from safecase.exchange._errors import LogError

_CHUNK = 1 << 16
_SPACE = " \t\r\n"


class JsonStream:
    """A cursor over one JSON document.

    Args:
        file: open for reading text.
        name: stands in error messages.
    """

    def __init__(self, file: TextIO, name: str) -> None:
        self._file = file
        self._name = name
        self._buffer = ""
        self._at = 0
        self._line = 1
        self._ended = False

    @property
    def line(self) -> int:
        """The line the cursor stands on, from 1."""
        return self._line + self._buffer.count("\n", 0, self._at)

    def members(self) -> Iterator[str]:
        """The keys of the object here. The caller consumes each value before asking for the next key."""
        self._expect("{")
        if self.next_char() == "}":
            self._at += 1
            return
        while True:
            key = self.value()
            if not isinstance(key, str):
                raise self._broken("a key that is no text")
            self._expect(":")
            yield key
            if self._one_of(",}") == "}":
                return

    def items(self) -> Iterator[Any]:
        """The values of the array here, decoded one at a time."""
        self._expect("[")
        if self.next_char() == "]":
            self._at += 1
            return
        while True:
            yield self.value()
            if self._one_of(",]") == "]":
                return

    def value(self) -> Any:
        """The value here, decoded whole."""
        self.next_char()
        while True:
            try:
                found, end = _DECODER.raw_decode(self._buffer, self._at)
            except json.JSONDecodeError as error:
                unfinished = error.pos >= len(self._buffer) - _CHUNK or error.msg.startswith("Unterminated")
                if not unfinished or not self._more():
                    raise self._broken(error.msg) from error
            except RecursionError as error:
                raise self._broken("nested too deeply") from error
            else:
                if end < len(self._buffer) or not self._more():  # 12 may go on as 123
                    self._at = end
                    return found

    def _expect(self, wanted: str) -> None:
        self._one_of(wanted)

    def _one_of(self, wanted: str) -> str:
        found = self.next_char()
        if found not in wanted:
            raise self._broken(f"{found!r} where one of {' '.join(wanted)} belongs")
        self._at += 1
        return found

    def next_char(self) -> str:
        """The next character that is no space."""
        while True:
            while self._at < len(self._buffer) and self._buffer[self._at] in _SPACE:
                self._at += 1
            if self._at < len(self._buffer):
                return self._buffer[self._at]
            if not self._more():
                raise self._broken("the file ends here")

    def _more(self) -> bool:
        """Read on, at least as much again as is held, so that a large value costs no quadratic time."""
        if self._ended:
            return False
        self._line += self._buffer.count("\n", 0, self._at)
        self._buffer = self._buffer[self._at :]
        self._at = 0
        try:
            fresh = self._file.read(max(_CHUNK, len(self._buffer)))
        except UnicodeDecodeError as error:
            raise self._broken("not UTF-8") from error
        self._ended = not fresh
        self._buffer += fresh
        return bool(fresh)

    def _broken(self, what: str) -> LogError:
        return LogError(f"{self._name}:{self.line}: not JSON ({what}); get the file again, whole")


_DECODER = json.JSONDecoder()


def json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a JSONL file with their line numbers, one in memory at a time; empty lines are passed over.

    Raises:
        LogError: a line is no JSON object.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, _object(line, where=f"{path.name}:{number}")
    except UnicodeDecodeError as error:
        raise LogError(f"{path.name}: not UTF-8 ({error.reason}); save it as UTF-8") from error


def _object(line: str, *, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise LogError(f"{where}: not JSON ({error.msg}); one object a line") from error
    except RecursionError as error:
        raise LogError(f"{where}: nested too deeply; one plain object a line") from error
    if not isinstance(row, dict):
        raise LogError(f"{where}: holds {type(row).__name__}; one object a line")
    return row


def first_keys(text: str) -> list[str]:
    """The keys of the first object in a text that may break off anywhere.

    >>> first_keys('{"a": {"x": 1}, "b": [{"y": 2}], "c')
    ['a', 'b']
    """
    keys: list[str] = []
    depth, position = 0, 0
    while position < len(text):
        char = text[position]
        if char == '"':
            end = _end_of_string(text, position)
            if depth == 1 and text[end : end + 20].lstrip().startswith(":"):
                keys.append(text[position + 1 : end - 1])
            position = end
            continue
        depth += (char in "{[") - (char in "}]")
        if depth == 0 and char in "}]":
            break
        position += 1
    return keys


def _end_of_string(text: str, start: int) -> int:
    position = start + 1
    while position < len(text) and text[position] != '"':
        position += 2 if text[position] == "\\" else 1
    return position + 1
