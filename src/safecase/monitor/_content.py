"""Content under a key of its data subject: destroy the key, and nobody reads it again, wherever copies of it lie.

    <folder>/<first two digits>/<SHA-256 of the account>.key, mode 0600
        magic (8) | tag (8) | root (32) | slot, slot, ...
        slot = first day (4) | last day (4) | secret (32)            days since 1970

    key of a day's content    HKDF(root, secret)
    blob                      03 | tag (8) | first day (4) | nonce (12) | AES-256-GCM
    associated data           purpose | 00 | header | SHA-256 of the account | event id

A new slot begins every day, so content ages out day by day: zeros over a slot. A deletion request writes zeros over
root and slots in one write, which a `kill -9` finds done or not done; what comes after it (an entry in the ledger, the
file's removal) says so and tidies up, and `finish` does both for a process that died over it. A dead root takes no new
content.

The tag is random. The ledger names it in place of the account, so that the entry, which stays, points at nobody.
"""

import fcntl
import hashlib
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from safecase.assess import Case, home, utc_now
from safecase.evidence import Ledger, digest_bytes, parse_utc, write_atomic
from safecase.monitor._errors import ContentBroken, ContentGone, MonitorError

FORGOTTEN, SWEPT = "content-forgotten", "content-swept"
"""Actions in the ledger: a data subject's key, and keys past their time, were destroyed."""

_MAGIC, _VERSION, _PURPOSE = b"SCSUBJ1\n", b"\x03", b"safecase-subject-v1\x00"
_TAG, _KEY, _NONCE, _DAY = 8, 32, 12, 4
_ROOT_AT = len(_MAGIC) + _TAG
_SLOTS_AT = _ROOT_AT + _KEY
_SLOT = struct.Struct(">II32s")
_DEAD = bytes(_KEY)


class _Slot(NamedTuple):
    number: int
    first: int
    last: int
    secret: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """What a deletion request did. `key`: the tag in the ledger, a receipt; "" where there was no content."""

    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What a sweep destroyed: the keys of so many account days, and accounts of which nothing is left."""

    days: int
    accounts: int


@dataclass(frozen=True, slots=True)
class ContentVault:
    """The keys of data subjects. Safe for several processes at once; the folder lies outside case and events.

    Args:
        folder: made when missing. It is the one thing that no backup may keep for longer than content is kept.
        keep_days: content is readable on the day it came and so many days after, at least 1.
        now: the clock that content ages by.

    Raises:
        ValueError: `keep_days` is under 1.
    """

    folder: Path
    keep_days: int = 30
    now: Callable[[], datetime] = utc_now

    def __post_init__(self) -> None:
        if self.keep_days < 1:
            raise ValueError(f"keep_days is {self.keep_days!r}; content is kept for at least 1 day, or not at all")

    def seal(self, text: str, *, account: str, event_id: str, at: str) -> bytes | None:
        """Encrypt under the account's key of the day.

        Args:
            at: when the call came, ISO 8601, UTC.

        Returns:
            None where it may not be kept: of nobody, past its time already, or a deletion is under way.
        """
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        first = _day(parse_utc(at))
        last = first + self.keep_days
        if not account or last < _day(self.now()):
            return None
        found = self._day_key(account, first, last)
        if found is None:
            return None
        tag, key = found
        header, nonce = _VERSION + tag + first.to_bytes(_DAY, "big"), os.urandom(_NONCE)
        bound = _bound(header, account, event_id)
        return header + nonce + AESGCM(key).encrypt(nonce, text.encode("utf-8", "surrogatepass"), bound)

    def open(self, blob: bytes, *, account: str, event_id: str) -> str:
        """Decrypt. To show it to a person use `look`, which leaves a trace.

        Raises:
            ContentGone: forgotten, or past its time, swept or not.
            ContentBroken: changed bytes, or of another account or event.
        """
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        at = 1 + _TAG + _DAY
        header, nonce, sealed = blob[:at], blob[at : at + _NONCE], blob[at + _NONCE :]
        tag, first = header[1 : 1 + _TAG], int.from_bytes(header[1 + _TAG :], "big")
        key = self._kept_key(account, tag, first)
        if key is None:
            raise ContentGone(f"the content of event {event_id!r} is gone: its key was destroyed, or its time is over")
        try:
            plain = AESGCM(key).decrypt(nonce, sealed, _bound(header, account, event_id))
        except (InvalidTag, ValueError):
            raise ContentBroken(
                f"the content of event {event_id!r} does not open: changed, or of another call"
            ) from None
        return plain.decode("utf-8", "surrogatepass")

    def tag(self, account: str) -> str:
        """The random tag of an account's key; "" where there is none, or it is dead. Another one is another key."""
        try:
            data = self._path(account).read_bytes()[:_SLOTS_AT]
        except FileNotFoundError:
            return ""
        return "" if data[_ROOT_AT:] in (_DEAD, b"") else data[len(_MAGIC) : _ROOT_AT].hex()

    def forget(self, account: str, *, ledger: Ledger, actor: str) -> Forgotten:
        """Destroy an account's key, then say so in the ledger. A repeat does nothing more."""
        with _locked(self._path(account)) as file:
            return Forgotten(key=self._bury(file, self._path(account), ledger, actor) if file is not None else "")

    def finish(self, *, ledger: Ledger, actor: str) -> int:
        """End the deletions over which a process died; how many there were."""
        count = 0
        for path in self._files():
            with _locked(path) as file:
                if file is not None and os.pread(file, _KEY, _ROOT_AT) == _DEAD:
                    self._bury(file, path, ledger, actor)
                    count += 1
        return count

    def sweep(self, *, ledger: Ledger, actor: str) -> Swept:
        """Destroy the keys of content that is past its time. One entry in the ledger, where there were any."""
        self.finish(ledger=ledger, actor=actor)
        today, days, accounts = _day(self.now()), 0, 0
        for path in self._files():
            with _locked(path) as file:
                if file is None:
                    continue
                slots = _slots(file)
                old = [slot for slot in slots if slot.last < today]
                for slot in old:
                    os.pwrite(file, bytes(_SLOT.size), _SLOTS_AT + slot.number * _SLOT.size)
                os.fsync(file)
                days += len(old)
                if len(old) == len(slots):
                    path.unlink()
                    accounts += 1
        if days:
            ledger.append(SWEPT, actor=actor, subject={"days": days, "accounts": accounts}, at=self.now())
        return Swept(days=days, accounts=accounts)

    def _bury(self, file: int, path: Path, ledger: Ledger, actor: str) -> str:
        """The one write that counts, then what it leaves to do. The caller holds the lock."""
        tag = os.pread(file, _TAG, len(_MAGIC)).hex()
        os.pwrite(file, bytes(os.fstat(file).st_size - _ROOT_AT), _ROOT_AT)
        os.fsync(file)
        if not any(entry.action == FORGOTTEN and entry.subject.get("key") == tag for entry in ledger.entries()):
            ledger.append(FORGOTTEN, actor=actor, subject={"key": tag}, at=self.now())
        path.unlink()
        return tag

    def _day_key(self, account: str, first: int, last: int) -> tuple[bytes, bytes] | None:
        path = self._path(account)
        while True:
            with suppress(FileExistsError):
                if not path.exists():
                    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                    new = _MAGIC + os.urandom(_TAG) + os.urandom(_KEY)
                    write_atomic(path, new, mode=0o600, replace=False)
            with _locked(path) as file:
                if file is None:
                    continue  # swept or forgotten between the two: it begins anew
                tag, root = _head(file)
                if root == _DEAD:
                    return None
                return tag, _derived(root, _slot_of(file, first, last).secret)

    def _kept_key(self, account: str, tag: bytes, first: int) -> bytes | None:
        with _locked(self._path(account)) as file:
            if file is None:
                return None
            found, root = _head(file)
            if found != tag or root == _DEAD:
                return None
            today = _day(self.now())
            kept = [slot.secret for slot in _slots(file) if slot.first == first and slot.last >= today]
            return _derived(root, kept[0]) if kept else None

    def _path(self, account: str) -> Path:
        name = digest_bytes(account.encode("utf-8", "surrogatepass"))
        return self.folder / name[:2] / f"{name}.key"

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("??/*.key"))


def content_vault(case: Case, *, keep_days: int = 30) -> ContentVault:
    """The keys of a case's data subjects, outside the case: whoever is handed the case holds none of them."""
    where = digest_bytes(str(case.path.resolve()).encode())[:8]
    return ContentVault(home() / "keys" / "content" / f"{case.spec.id}-{where}", keep_days=keep_days)


@contextmanager
def _locked(path: Path) -> Iterator[int | None]:
    """The open file, held alone; None where it is not there, or was removed while this waited."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        yield None
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file if os.fstat(file).st_nlink else None
    finally:
        os.close(file)


def _head(file: int) -> tuple[bytes, bytes]:
    data = os.pread(file, _SLOTS_AT, 0)
    if len(data) != _SLOTS_AT or not data.startswith(_MAGIC):
        raise MonitorError("a key of a data subject is no such file any more; restore the folder of keys")
    return data[len(_MAGIC) : _ROOT_AT], data[_ROOT_AT:]


def _slots(file: int) -> list[_Slot]:
    """The slots in use; a piece of one, left by a power cut, is none."""
    data = os.pread(file, os.fstat(file).st_size, _SLOTS_AT)
    whole = data[: len(data) - len(data) % _SLOT.size]
    rows = [_Slot(number, *fields) for number, fields in enumerate(_SLOT.iter_unpack(whole))]
    return [row for row in rows if row.secret != _DEAD]


def _slot_of(file: int, first: int, last: int) -> _Slot:
    """The slot of a day, made in the first free place where there is none."""
    slots = _slots(file)
    for slot in slots:
        if slot.first == first:
            return slot
    number = min(set(range(len(slots) + 1)) - {slot.number for slot in slots})
    made = _Slot(number, first, last, os.urandom(_KEY))
    os.pwrite(file, _SLOT.pack(first, last, made.secret), _SLOTS_AT + number * _SLOT.size)
    os.fsync(file)
    return made


def _derived(root: bytes, secret: bytes) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(algorithm=SHA256(), length=_KEY, salt=secret, info=_PURPOSE).derive(root)


def _bound(header: bytes, account: str, event_id: str) -> bytes:
    whose = hashlib.sha256(account.encode("utf-8", "surrogatepass")).digest()
    return _PURPOSE + header + whose + event_id.encode("utf-8", "surrogatepass")


def _day(at: datetime) -> int:
    return int(at.timestamp() // 86400)
