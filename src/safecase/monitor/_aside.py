"""Accounts whose calls no live rate counts, told by keyed marks: those of seeds, while their list is sealed.

    <folder>/<validation id>.json     {"key": 64 hex digits, "marks": [16 hex digits, ...], "until": "..."}, mode 0600

Whoever reads traffic for people (detectors, watchers of misuse, alerts, the desk) must treat a seed like any call, or
nothing is validated. Rates must not count it, or the report's promises are held against made-up attacks. So the one
watcher that counts gets this set, and nothing else does. It names nobody; who holds the file can try a name against it,
so it lies beside the monitor's own file, which knows the names of all accounts anyway.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from safecase.evidence import write_atomic
from safecase.monitor._errors import MonitorError

_LOOK_EVERY_S = 1.0  # of the events' own time


class Aside:
    """The accounts of every file in a folder. A file that comes while the monitor runs counts from the next second on.

    Raises:
        MonitorError: a file is none of these; counting on without it would be wrong.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._looked = float("-inf")
        self._files: frozenset[str] = frozenset()
        self._sets: list[tuple[bytes, frozenset[str]]] = []

    def __call__(self, account: str, now: float) -> bool:
        """Whether an account counts nowhere.

        Args:
            now: seconds, by the event; it says when the folder is looked at again.
        """
        if now - self._looked >= _LOOK_EVERY_S:
            self._looked = now
            self._look()
        return any(_mark(key, account) in marks for key, marks in self._sets) if account else False

    def _look(self) -> None:
        if not self._folder.is_dir():
            return
        names = frozenset(path.name for path in self._folder.glob("*.json"))
        if names != self._files:
            self._files, self._sets = names, [_read(self._folder / name) for name in sorted(names)]


def set_aside(path: Path, accounts: Iterable[str], *, key: bytes) -> None:
    """Write the marks of some accounts.

    Args:
        key: 32 bytes; the marks of two files cannot be compared.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    said = {"key": key.hex(), "marks": sorted(_mark(key, account) for account in accounts)}
    write_atomic(path, json.dumps(said).encode())
    path.chmod(0o600)


def _mark(key: bytes, account: str) -> str:
    return hashlib.blake2b(account.encode("utf-8", "surrogatepass"), key=key, digest_size=8).hexdigest()


def _read(path: Path) -> tuple[bytes, frozenset[str]]:
    try:
        said = json.loads(path.read_bytes())
        return bytes.fromhex(said["key"]), frozenset(map(str, said["marks"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        line = f"{path}: accounts to be left out cannot be read ({type(error).__name__})"
        raise MonitorError(f"{line}; restore it, or plan the validation anew") from None
