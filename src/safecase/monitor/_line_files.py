"""Logs and spans in files of JSON lines, followed where they are rotated.

    place   file name -> byte, and a digest of the bytes before it

A place holds while the bytes before it are what was read. Where they are not, the log was rotated: they are looked for
in the files beside it that bear its name and a number or a date (`calls.jsonl.1`, `calls-20260407.jsonl`), the rest of
that one is read first, then those that came after it, then the new one from its beginning. One that is compressed
cannot be read on; what was not read of it is lost, and that is said where it can be known.
"""

import json
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from safecase.evidence import digest_bytes
from safecase.monitor._errors import SourceTrouble
from safecase.monitor._values import Seen

_LOG = logging.getLogger("safecase.monitor")
_MARK = 1024  # bytes before a place by which it is known again
_NUMBER = r"[.-]\d[\dT:.-]*"


class _Place(NamedTuple):
    at: int = 0
    mark: str = ""  # digest of the bytes before; "" where none was kept


class LineFiles:
    """A file of JSON lines, or a folder of them, in a shape that `parse` knows.

    Args:
        parse: one decoded line to calls; the text names file and byte.
    """

    def __init__(self, path: Path, *, kind: str, parse: Callable[[Any, str], Iterator[Seen]]) -> None:
        self._path, self._parse = path, parse
        self.name = f"{kind}:{path.resolve()}"
        self._places: dict[str, _Place] = {}
        self._held: dict[str, tuple[_Place, int, int, int]] = {}  # place, inode, size and time of change
        self.unreadable = 0

    async def open(self, position: str | None) -> None:
        """Go on from there."""
        kept = json.loads(position) if position else {"positions": {}}
        marks = kept.get("marks", {})
        self._places = {name: _Place(at, marks.get(name, "")) for name, at in kept["positions"].items()}

    async def read(self, most: int) -> list[Seen]:
        """The calls of the next lines."""
        found: list[Seen] = []
        try:
            for file in self._files():
                found += self._read_file(file, most - len(found))
                if len(found) >= most:
                    break
        except OSError as error:
            raise SourceTrouble(f"{self._path}: {error.strerror or error}") from None
        return found

    def _files(self) -> list[Path]:
        """What is to be read: rotated files that are not at their end, then those of the name that was given."""
        is_folder = self._path.is_dir()
        folder = self._path if is_folder else self._path.parent
        self._follow(folder)
        named = sorted(folder.glob("*.jsonl")) if is_folder else [self._path] if self._path.is_file() else []
        rotated = [file for name in self._places if (file := folder / name) not in named]
        return [*rotated, *named]

    def _follow(self, folder: Path) -> None:
        """Take each place that its file does not hold any more to the file that does."""
        lost = {name: place for name, place in self._places.items() if not self._holds(folder / name, place)}
        self._places = {name: place for name, place in self._places.items() if name not in lost}
        for name, place in lost.items():
            others = [file for file in _rotated(folder, name) if file.name not in self._places]
            found = next((number for number, file in enumerate(others) if self._holds(file, place)), None)
            if found is not None:
                self._places[others[found].name] = place
                self._places |= {file.name: _Place() for file in others[found + 1 :] if file.name != name}
            elif (folder / name).is_file():
                line = "was replaced, and no file beside it holds what was read of it up to byte"
                _LOG.warning("%s: %s %d: calls at its end may be missing", folder / name, line, place.at)

    def _holds(self, file: Path, place: _Place) -> bool:
        try:
            stat = file.stat()
        except FileNotFoundError:
            return False
        seen = (place, stat.st_ino, stat.st_size, stat.st_mtime_ns)
        if self._held.get(file.name) == seen:
            return True
        if stat.st_size < place.at or (place.mark and _mark(file, place.at) != place.mark):
            return False
        self._held[file.name] = seen
        return True

    def _read_file(self, file: Path, most: int) -> list[Seen]:
        at = begin = self._places.get(file.name, _Place()).at
        found: list[Seen] = []
        with file.open("rb") as opened:
            opened.seek(at)
            for line in opened:
                if not line.endswith(b"\n") or len(found) >= most:
                    break  # what is being written is left alone
                found += self._calls(line, f"{file.name}:{at}")
                at += len(line)
        if at != begin:
            self._places[file.name] = _Place(at, _mark(file, at))
        return found

    def _calls(self, line: bytes, where: str) -> list[Seen]:
        try:
            return list(self._parse(json.loads(line), where)) if line.strip() else []
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            self.unreadable += 1
            return []

    def position(self) -> str:
        """File name to byte, and to the mark by which it is known again."""
        positions = {name: place.at for name, place in self._places.items()}
        return json.dumps({"positions": positions, "marks": {name: one.mark for name, one in self._places.items()}})

    async def confirm(self) -> None:
        """Nothing to do: the position says it."""

    async def close(self) -> None:
        """Nothing is held open."""

    def missing(self) -> int:
        """Lines that are none."""
        return self.unreadable


def _rotated(folder: Path, name: str) -> list[Path]:
    """The files of a log, whichever of them is named, the one that was written to last at the end."""
    stem, suffix = re.sub(rf"{_NUMBER}$", "", name), ""
    if stem.endswith(".jsonl"):
        stem, suffix = re.sub(rf"{_NUMBER}$", "", stem.removesuffix(".jsonl")), ".jsonl"
    known = re.compile(rf"{re.escape(stem)}(({_NUMBER})?{re.escape(suffix)}|{re.escape(suffix)}{_NUMBER})")
    found = [file for file in folder.iterdir() if known.fullmatch(file.name) and file.is_file()]
    return sorted(found, key=lambda file: file.stat().st_mtime_ns)


def _mark(file: Path, at: int) -> str:
    with file.open("rb") as opened:
        opened.seek(max(0, at - _MARK))
        return digest_bytes(opened.read(min(at, _MARK)))
