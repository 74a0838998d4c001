"""Write a file whole or not at all."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safecase.evidence._digest import canonical_json
from safecase.evidence._errors import DiskFull

TMP_SUFFIX = ".tmp"
"""Ends the name of a file being written (it also begins with a dot). Never evidence; a crash may leave one behind."""

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # the last: over what one file may hold (`ulimit -f`)


def write_atomic(path: Path, data: bytes, *, mode: int = 0o666, replace: bool = True) -> None:
    """Write bytes so that a reader, a crash or a full disk sees the old file or the new one, never a mixture.

    Args:
        path: the file; its folder is made when missing.
        data: the whole content.
        mode: permission bits, before the process's umask.
        replace: False refuses, without a race, to touch a file that is there.

    Raises:
        DiskFull: no space left; the old file stands and nothing else remains.
        FileExistsError: `replace` is False and the file is there.
        OSError: the folder cannot be written; or, after a replacement, not synced: the whole new file stands then, and
            a power cut may bring back the old one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    tmp = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}{TMP_SUFFIX}")
    with disk_full_names(path):
        try:
            _write_synced(tmp, data, mode)
            if replace:
                tmp.replace(path)
            else:
                _add_new(tmp, path)
        finally:
            tmp.unlink(missing_ok=True)
    if replace:
        sync_folder(path.parent)


def write_json_atomic(path: Path, value: Any) -> None:
    """Write a JSON value in canonical form with a final newline, as `write_atomic` does.

    Raises:
        DiskFull: no space left.
        ValueError: the value holds NaN or infinity.
    """
    write_atomic(path, canonical_json(value) + b"\n")


@contextlib.contextmanager
def disk_full_names(path: Path) -> Iterator[None]:
    """Turn "no space" and "no quota" into `DiskFull` naming the file."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise DiskFull(path) from error
        raise


def sync_folder(folder: Path) -> None:
    """Make a rename or a new name in the folder outlast a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _add_new(tmp: Path, path: Path) -> None:
    """Give the file its name, or leave no trace of it. Unlike a rename, a link fails where a file is."""
    path.hardlink_to(tmp)
    try:
        sync_folder(path.parent)
    except OSError:
        path.unlink()
        raise


def _write_synced(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
