"""API keys: a file of hashed secrets, who holds them, and what people granted them.

    sk-sc-<key id, 12 characters>-<secret, 43 characters>-<checksum, 8 hex digits>

The key id finds the entry; the secret's HMAC-SHA-256 is compared in constant time; the checksum (CRC-32 of what stands
before it) lets a typing error, or a scanner that looks for leaked keys, be answered without the file.

A secret is 256 random bits. A slow hash (scrypt, Argon2) makes guessing a *chosen* password dear; nobody guesses one of
2^256, so here it would only cost time on every call and give whoever sends wrong keys a lever. A *pepper* (32 bytes
kept outside the file) is worth having where somebody else may write the file: without it they could add a hash of
their own.
"""

import contextlib
import fcntl
import hmac
import json
import os
import re
import secrets
import stat
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, ValidationError

from safecase.declare import Record
from safecase.evidence import format_utc, parse_utc, read_secret, write_atomic
from safecase.serve._clock import never_back
from safecase.serve._errors import KeysUnusable
from safecase.serve._values import Account, Allowance

SCOPES = frozenset({"chat", "embeddings", "images", "metrics", "models", "responses"})
"""What a key may be allowed to do."""
CALLER_SCOPES = frozenset({"chat", "models", "responses"})
"""What a key may do where nothing else is said."""

_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_TOKEN = re.compile(r"sk-sc-([a-z2-7]{12})-([A-Za-z0-9_-]{43})-([0-9a-f]{8})")
_HASHED = b"safecase-api-key-v1\x00"
_NO_PEPPER = b"safecase-api-key-without-pepper"
_NOBODY = "0" * 64

AccountId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,127}$")]
Word = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Text = Annotated[str, Field(min_length=1, max_length=500)]
RecordT = TypeVar("RecordT", bound=Record)


class Granted(Record):
    """What a person granted or verified: a tier, or the value of an attribute."""

    value: Text
    by: Text
    at: str
    why: Text


class AllowanceRecord(Record):
    """`Allowance`, as the file holds it."""

    requests_per_minute: float | None = Field(default=None, gt=0)
    tokens_per_minute: float | None = Field(default=None, gt=0)
    concurrent: int | None = Field(default=None, gt=0)


class AccountRecord(Record):
    """One account; its keys come and go."""

    id: AccountId
    created: str
    tiers: tuple[Granted, ...] = ()
    attributes: dict[Word, Granted] = Field(default_factory=dict)
    allowance: AllowanceRecord = AllowanceRecord()


class Revoked(Record):
    """Who made a key invalid."""

    by: Text
    at: str
    why: Text


class KeyRecord(Record):
    """One key. `hash` is 64 hex digits; of the secret nothing else is kept."""

    key_id: Annotated[str, Field(pattern=r"^[a-z2-7]{12}$")]
    account: AccountId
    hash: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    scopes: tuple[str, ...]
    label: str = ""
    created: str
    expires: str | None = None
    revoked: Revoked | None = None


class KeyFile(Record):
    """The whole file. `peppered` says that hashes rest on a pepper kept elsewhere."""

    format: str = "safecase-api-keys-1"
    peppered: bool = False
    accounts: tuple[AccountRecord, ...] = ()
    keys: tuple[KeyRecord, ...] = ()

    def account(self, account_id: str) -> AccountRecord | None:
        """An account by its id."""
        return next((one for one in self.accounts if one.id == account_id), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedKey:
    """A new key, the only time its token is seen."""

    key_id: str
    account: str
    token: str


# --- Looking keys up --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    hash: str
    account: Account
    expires: float


class FileKeyBook:
    """Finds the account of a token. Looks at the file again when it changed, so that a revocation takes effect.

    Where the file cannot be read or trusted, no key is accepted until it can: a revocation may stand in it.

    Args:
        path: the file; mode 0600.
        pepper: as `keys add` was given it.
        look_every_s: how often the file's stamp is looked at; the longest that a revoked key lives on.
        clock: seconds since the epoch.

    Attributes:
        fault: why no key is accepted; None when all is well.

    Raises:
        KeysUnusable: at the start, where the file is missing, open to others, not of this form, or needs a pepper.
    """

    def __init__(
        self, path: Path, *, pepper: bytes = b"", look_every_s: float = 1.0, clock: Callable[[], float] = time.time
    ) -> None:
        self._path, self._pepper, self._look_every_s, self._clock = path, pepper, look_every_s, never_back(clock)
        self._entries: dict[str, _Entry] = {}
        self._found: dict[bytes, _Entry] = {}
        self._stamp: tuple[int, int, int] | None = None
        self._look_at = float("-inf")
        self.fault: str | None = None
        self._load()

    def find(self, token: str) -> Account | None:
        """Whose key this is; None for an unknown, mistyped, expired or revoked one."""
        now = self._clock()
        if now >= self._look_at:
            self._look(now)
        # By digest, so that no key lies here in the clear; one hash in place of a pattern, a checksum and two more.
        digest = sha256(token.encode()).digest()
        known = self._found.get(digest)
        if known is not None:
            return known.account if now < known.expires else None
        match = _TOKEN.fullmatch(token)
        if match is None or not _is_checked(token):
            return None
        key_id, secret, _ = match.groups()
        entry = self._entries.get(key_id)
        # Compared also where the id is unknown, so that the time taken does not tell which ids exist.
        fits = hmac.compare_digest(_hash(key_id, secret, self._pepper), entry.hash if entry else _NOBODY)
        if entry is None or not fits:
            return None
        self._found[digest] = entry
        return entry.account if now < entry.expires else None

    def _look(self, now: float) -> None:
        self._look_at = now + self._look_every_s
        try:
            if self.fault is not None or _stamp(self._path) != self._stamp:
                self._load()
            self.fault = None
        except (KeysUnusable, OSError) as error:
            self._entries, self._found, self.fault = {}, {}, str(error)

    def _load(self) -> None:
        stamp = _stamp(self._path)
        file = read_keys(self._path)
        if file.peppered != bool(self._pepper):
            wants = "needs the pepper it was made with" if file.peppered else "was made without a pepper"
            raise KeysUnusable(f"{self._path}: {wants}; give the same --pepper-file as to `safecase serve keys add`")
        accounts = {account.id: account for account in file.accounts}
        self._entries = {key.key_id: _entry(key, accounts[key.account]) for key in file.keys if key.revoked is None}
        self._found = {}  # one of them may have been revoked
        self._stamp = stamp


def _entry(key: KeyRecord, account: AccountRecord) -> _Entry:
    who = Account(
        id=account.id,
        key_id=key.key_id,
        scopes=frozenset(key.scopes),
        tiers=frozenset(tier.value for tier in account.tiers),
        attributes={name: fact.value for name, fact in account.attributes.items()},
        allowance=Allowance(**account.allowance.model_dump()),
    )
    expires = float("inf") if key.expires is None else parse_utc(key.expires).timestamp()
    return _Entry(hash=key.hash, account=who, expires=expires)


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        seen = path.stat()
    except FileNotFoundError:
        raise KeysUnusable(_missing(path)) from None
    return seen.st_mtime_ns, seen.st_size, seen.st_ino


def _hash(key_id: str, secret: str, pepper: bytes) -> str:
    return hmac.digest(pepper or _NO_PEPPER, _HASHED + f"{key_id}-{secret}".encode(), "sha256").hex()


def _checksum(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"


def _is_checked(token: str) -> bool:
    return _checksum(token[:-9]) == token[-8:]


# --- The file ---------------------------------------------------------------------------------------------------------


def read_keys(path: Path) -> KeyFile:
    """Read the file of API keys.

    Raises:
        KeysUnusable: missing, open to others, not of this form, or at odds with itself.
    """
    try:
        with path.open("rb") as opened:
            mode = stat.S_IMODE(os.fstat(opened.fileno()).st_mode)
            data = opened.read()
    except FileNotFoundError:
        raise KeysUnusable(_missing(path)) from None
    except OSError as error:
        raise KeysUnusable(f"{path}: cannot be read ({error.strerror}); run as the user who owns it") from None
    if mode & 0o077:
        raise KeysUnusable(f"{path}: mode {mode:04o} lets others at the keys; run `chmod 600 {path}`")
    return _parsed(path, data)


def _parsed(path: Path, data: bytes) -> KeyFile:
    try:
        file = KeyFile.model_validate_json(data)
        for key in file.keys:
            if key.expires is not None:
                parse_utc(key.expires)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        line = f"{path}: not a file of API keys ({where or 'the whole'}: {first['msg']})"
        raise KeysUnusable(f"{line}; restore it, or make a new one with `safecase serve keys add`") from None
    except ValueError as error:
        raise KeysUnusable(f"{path}: {error}; change `expires` with `safecase serve keys`, not by hand") from None
    if stray := sorted({key.account for key in file.keys} - {account.id for account in file.accounts}):
        raise KeysUnusable(f"{path}: a key names account {stray[0]!r}, which is not in the file; restore the file")
    return file


def add_key(
    path: Path,
    *,
    account: str | None = None,
    scopes: frozenset[str] = CALLER_SCOPES,
    label: str = "",
    expires: datetime | None = None,
    allowance: Allowance | None = None,
    pepper: bytes = b"",
    at: datetime,
) -> IssuedKey:
    """Make a key, and the account where there is none; the file too, mode 0600.

    Args:
        account: pseudonymous id; None makes a new one.
        allowance: of the account, over all its keys; a limit that is None leaves what is in force, for a new one none.
        scopes: of `SCOPES`.
        pepper: at least 16 bytes kept outside the file, or none; the same for every key of a file.
        at: now; aware.

    Raises:
        KeysUnusable: the file cannot be read or written, an unknown scope, or another pepper.
    """
    if unknown := sorted(scopes - SCOPES):
        raise KeysUnusable(f"no scope {unknown[0]!r}; use some of {', '.join(sorted(SCOPES))}")
    if expires is not None and expires <= at:
        raise KeysUnusable(f"expiry {format_utc(expires)} has passed; give a later one")
    key_id, secret = "".join(secrets.choice(_ALPHABET) for _ in range(12)), secrets.token_urlsafe(32)
    who = account or "acct-" + "".join(secrets.choice(_ALPHABET) for _ in range(10))
    token = f"sk-sc-{key_id}-{secret}"
    with _changing(path, create=True, pepper=pepper) as change:
        holder = change.file.account(who) or _valid(path, AccountRecord, id=who, created=format_utc(at))
        given = (
            {} if allowance is None else {name: most for name, most in _fields(allowance).items() if most is not None}
        )
        limits = _valid(path, AllowanceRecord, **{**holder.allowance.model_dump(), **given})
        change.put(holder.model_copy(update={"allowance": limits}))
        made = _valid(
            path,
            KeyRecord,
            key_id=key_id,
            account=who,
            hash=_hash(key_id, secret, pepper),
            scopes=tuple(sorted(scopes)),
            label=label,
            created=format_utc(at),
            expires=None if expires is None else format_utc(expires),
        )
        change.file = change.file.model_copy(update={"keys": (*change.file.keys, made)})
    return IssuedKey(key_id=key_id, account=who, token=f"{token}-{_checksum(token)}")


def revoke_key(path: Path, key_id: str, *, by: str, why: str, at: datetime) -> KeyRecord:
    """Make a key invalid for good; who did it stays in the file. Revoking twice keeps the first.

    Raises:
        KeysUnusable: no such key, or the file cannot be read or written.
    """
    with _changing(path) as change:
        found = next((key for key in change.file.keys if key.key_id == key_id), None)
        if found is None:
            raise KeysUnusable(f"{path}: no key {key_id!r}; `safecase serve keys list {path}` shows the ids")
        if found.revoked is not None:
            return found
        gone = found.model_copy(update={"revoked": _valid(path, Revoked, by=by, at=format_utc(at), why=why)})
        change.file = change.file.model_copy(
            update={"keys": tuple(gone if key.key_id == key_id else key for key in change.file.keys)}
        )
    return gone


def grant(
    path: Path,
    account: str,
    *,
    tiers: frozenset[str] = frozenset(),
    withdrawn: frozenset[str] = frozenset(),
    attributes: Mapping[str, str] | None = None,
    allowance: Allowance | None = None,
    by: str,
    why: str,
    at: datetime,
) -> AccountRecord:
    """Grant tiers to an account or withdraw them, record verified attributes, set what it may ask for.

    Args:
        withdrawn: tiers to take away again.
        attributes: name to verified value; an empty value takes the attribute away.
        allowance: replaces the one in force; None leaves it.
        by: the person who decided; why: their reason. Both are kept with each tier and attribute.

    Raises:
        KeysUnusable: no such account, a name or value of the wrong form, or the file cannot be read or written.
    """
    with _changing(path) as change:
        found = change.file.account(account)
        if found is None:
            raise KeysUnusable(f"{path}: no account {account!r}; `safecase serve keys list {path}` shows them")
        said = {"by": by, "at": format_utc(at), "why": why}
        kept = [tier for tier in found.tiers if tier.value not in tiers | withdrawn]
        added = [_valid(path, Granted, value=tier, **said) for tier in sorted(tiers - withdrawn)]
        facts = {name: fact for name, fact in found.attributes.items() if name not in (attributes or {})}
        facts |= {
            name: _valid(path, Granted, value=value, **said) for name, value in (attributes or {}).items() if value
        }
        limits = found.allowance if allowance is None else _valid(path, AllowanceRecord, **_fields(allowance))
        fields = {"tiers": (*kept, *added), "attributes": facts, "allowance": limits}
        new = _valid(path, AccountRecord, id=found.id, created=found.created, **fields)
        change.put(new)
    return new


def _fields(allowance: Allowance) -> dict[str, float | int | None]:
    return {
        "requests_per_minute": allowance.requests_per_minute,
        "tokens_per_minute": allowance.tokens_per_minute,
        "concurrent": allowance.concurrent,
    }


def _valid(path: Path, kind: type[RecordT], **fields: Any) -> RecordT:
    try:
        return kind(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        line = f"{path}: {'.'.join(map(str, first['loc']))} is {first['input']!r}"
        raise KeysUnusable(f"{line}: {first['msg']}; nothing was changed") from None


class _Change:
    def __init__(self, file: KeyFile) -> None:
        self.file = file

    def put(self, account: AccountRecord) -> None:
        """Add an account, or put it in the place of the one with its id."""
        others = (one for one in self.file.accounts if one.id != account.id)
        self.file = self.file.model_copy(update={"accounts": (*others, account)})


@contextlib.contextmanager
def _changing(path: Path, *, create: bool = False, pepper: bytes | None = None) -> Iterator[_Change]:
    """Read, change and write back under a lock, so that two who change the file at once both count."""
    if pepper is not None and 0 < len(pepper) < 16:
        raise KeysUnusable(f"the pepper has {len(pepper)} bytes; give at least 16 random ones")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise KeysUnusable(f"{path}: cannot be changed ({error.strerror}); run as the user who owns it") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        is_new = create and not path.exists()
        before = KeyFile(peppered=bool(pepper)) if is_new else read_keys(path)
        if pepper is not None and before.peppered != bool(pepper):
            raise KeysUnusable(f"{path}: its keys were made {'with' if before.peppered else 'without'} a pepper")
        change = _Change(before)
        yield change
        if change.file != before or is_new:
            _write(path, change.file)
    finally:
        os.close(lock)


def _write(path: Path, file: KeyFile) -> None:
    text = json.dumps(file.model_dump(mode="json"), indent=1, ensure_ascii=False)
    try:
        write_atomic(path, text.encode() + b"\n", mode=0o600)
    except OSError as error:
        raise KeysUnusable(f"{path}: cannot be written ({error.strerror}); the old keys stand") from None


def _missing(path: Path) -> str:
    return f"{path}: no file of API keys there; make one with `safecase serve keys add {path}`"


def read_pepper(path: Path | None) -> bytes:
    """The pepper in a file that only its owner may read, stripped of white space at its ends; none for no file.

    Raises:
        KeyTrouble: missing, or open to others.
    """
    return b"" if path is None else read_secret(path, make="`openssl rand -hex 32` prints one").strip()
