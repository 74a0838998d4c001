"""What shows that a file changed without reading it, and digests that are made again only then."""

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from safecase.evidence import digest_file

Stamp = tuple[int, int, int, int] | None
"""Inode, size, and the times of the last change of content and of metadata, in ns; None where there is no file. The
last cannot be set back by whoever merely owns the file."""

_SETTLED_S = 2.0
"""A file changed less long ago than this may change again without a new time: file systems count in coarse ticks."""


def stamp(path: Path) -> Stamp:
    """What changes when a file is written, replaced or removed.

    Raises:
        OSError: it is there and cannot be looked at.
    """
    try:
        seen = os.stat(path)  # noqa: PTH116 - called for every file four times a second
    except (FileNotFoundError, NotADirectoryError):
        return None
    return seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns


def stamps(paths: Iterable[Path]) -> dict[Path, Stamp]:
    """The stamp of every path."""
    return {path: stamp(path) for path in paths}


def are_settled(seen: Iterable[Stamp], *, now_s: float) -> bool:
    """Whether every file was left alone long enough for its stamp to be told from that of another change."""
    return all(one is None or now_s - max(one[2], one[3]) / 1e9 > _SETTLED_S for one in seen)


class FileDigests:
    """SHA-256 of files, read again when their stamp changes or when `reread` says so.

    Args:
        clock: seconds since the epoch.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._known: dict[Path, tuple[Stamp, str]] = {}

    def of(self, path: Path) -> str | None:
        """The digest, None where there is no file.

        Raises:
            OSError: it cannot be read.
        """
        seen = stamp(path)
        known = self._known.get(path)
        if known is not None and known[0] == seen:
            return known[1]
        return self._read(path, seen)

    def reread(self, paths: Iterable[Path]) -> None:
        """Read files again, whatever their stamps say; for a disk that changes under them, and beside other work.

        Raises:
            OSError: one cannot be read.
        """
        for path in paths:
            self._read(path, stamp(path))

    def _read(self, path: Path, seen: Stamp) -> str | None:
        if seen is None:
            self._known.pop(path, None)
            return None
        digest = digest_file(path)
        if are_settled([seen], now_s=self._clock()) and stamp(path) == seen:
            self._known[path] = (seen, digest)
        else:
            self._known.pop(path, None)
        return digest
