"""Who may see and do what: keys per person with a role, sessions, and tokens that forms carry.

On loopback whoever has an account on the machine is the one person at the console. Anywhere else a person signs in with
a key; its hash lies in a file beside the cases' other keys, outside every case. A session lives in memory and ends with
the server, after its hours, or when the key is revoked.
"""

import datetime as dt
import hmac
import json
import secrets
import threading
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal

from safecase.assess import Clock, home, utc_now
from safecase.console._errors import KeysRefused
from safecase.declare import Record
from safecase.evidence import format_utc, write_atomic
from safecase.web import is_key, key_id_of, keys_held, new_key

Role = Literal["viewer", "labeller", "overseer"]
"""`viewer` reads every page but the queue; `labeller` sees the queue and nothing else, so that labels stay blind;
`overseer` sees all, starts `verify` and brings signatures in."""

ROLES: tuple[Role, ...] = ("viewer", "labeller", "overseer")
_PREFIX = "sc"
_SESSION = dt.timedelta(hours=12)
_MOST_SESSIONS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody at the console."""

    name: str
    role: Role

    @property
    def may_look(self) -> bool:
        """At a case, its argument, desk, traffic and reports."""
        return self.role != "labeller"

    @property
    def may_label(self) -> bool:
        """Answers of the review queue."""
        return self.role != "viewer"

    @property
    def may_act(self) -> bool:
        """Start `verify`, bring a signed sign-off in."""
        return self.role == "overseer"


class ConsoleKey(Record):
    """What is kept of one key."""

    key_id: str
    person: str
    role: Role
    hash: str
    issued: str
    revoked: str | None = None


class KeyFile(Record):
    """`keys.json` of the console. `salt` keys the hash; 64 hex digits."""

    salt: str
    keys: tuple[ConsoleKey, ...] = ()


def keys_file() -> Path:
    """The usual file of keys, outside every case."""
    return home() / "console" / "keys.json"


def issue_key(file: Path, *, person: str, role: Role, out: Path, now: Clock = utc_now) -> ConsoleKey:
    """Make a key for a person and write it to a file that only its owner may read.

    Args:
        out: where the key goes; not there yet.

    Raises:
        KeysRefused: no name, `out` is there already, or the file of keys cannot be read.
    """
    name = " ".join(unicodedata.normalize("NFC", person).split())
    if not name or ":" in name or any(unicodedata.category(sign)[0] == "C" for sign in name):
        raise KeysRefused(f"--person is {person!r}; give a name without colons and control characters")
    with keys_held(file):
        kept = read_keys(file)
        made = new_key(_PREFIX, kept.salt)
        entry = ConsoleKey(key_id=made.key_id, person=name, role=role, hash=made.hash, issued=format_utc(now()))
        try:
            write_atomic(out, f"{made.text}\n".encode(), mode=0o600, replace=False)
        except FileExistsError:
            raise KeysRefused(f"{out}: a file is there; keys are never overwritten, choose another name") from None
        _keep(file, kept.model_copy(update={"keys": (*kept.keys, entry)}))
    return entry


def revoke_keys(file: Path, person: str, *, now: Clock = utc_now) -> int:
    """Make every key of a person invalid; a running console notices at the next request.

    Returns:
        How many there were.

    Raises:
        KeysRefused: the person has no valid key.
    """
    with keys_held(file):
        kept = read_keys(file)
        theirs = [key for key in kept.keys if key.person == person and key.revoked is None]
        if not theirs:
            raise KeysRefused(f"{file}: {person!r} has no valid key; list them with `safecase console keys`")
        at = format_utc(now())
        keys = tuple(k.model_copy(update={"revoked": at}) if k in theirs else k for k in kept.keys)
        _keep(file, kept.model_copy(update={"keys": keys}))
    return len(theirs)


def read_keys(file: Path) -> KeyFile:
    """The keys on file; none where there is no file.

    Raises:
        KeysRefused: it is no file of keys.
    """
    if not file.exists():
        return KeyFile(salt=secrets.token_hex(32))
    try:
        return KeyFile.model_validate_json(file.read_bytes())
    except (OSError, ValueError) as error:
        raise KeysRefused(
            f"{file}: not a file of keys ({str(error).splitlines()[0]}); restore it from a copy"
        ) from error


def _keep(file: Path, kept: KeyFile) -> None:
    data = json.dumps(kept.model_dump(mode="json"), indent=1).encode() + b"\n"
    write_atomic(file, data, mode=0o600)


class Doorkeeper:
    """Tells who asks.

    Args:
        alone: the one person, on loopback; None asks for keys.
        file: of keys; read again when it changed, so that a revocation takes effect.
        now: the clock.
    """

    def __init__(self, *, alone: Person | None, file: Path, now: Clock = utc_now) -> None:
        self.alone, self._file, self._now = alone, file, now
        self._secret = secrets.token_bytes(32)
        self._sessions: dict[str, tuple[str, dt.datetime]] = {}
        self._lock = threading.Lock()

    @staticmethod
    def new_cookie() -> str:
        """A cookie that nobody guesses."""
        return secrets.token_urlsafe(32)

    def token(self, cookie: str) -> str:
        """What a form carries to show that it is one of ours, shown to the browser that holds this cookie."""
        return hmac.new(self._secret, cookie.encode(), sha256).hexdigest()

    def is_token(self, cookie: str, token: str) -> bool:
        """Whether a form's token belongs to this cookie."""
        return bool(cookie) and hmac.compare_digest(self.token(cookie).encode(), token.encode())

    def enter(self, key: str) -> str | None:
        """Begin a session with a key: its cookie, or None for a key that is wrong or revoked."""
        entry = self._find(lambda one: one.key_id == key_id_of(key.strip(), _PREFIX))
        kept = self._read()
        if not is_key(key.strip(), salt=kept.salt, kept=entry.hash if entry else None) or entry is None:
            return None
        cookie = self.new_cookie()
        with self._lock:
            self._sessions[cookie] = (entry.key_id, self._now() + _SESSION)
            while len(self._sessions) > _MOST_SESSIONS:
                del self._sessions[next(iter(self._sessions))]
        return cookie

    def leave(self, cookie: str) -> None:
        """End a session."""
        with self._lock:
            self._sessions.pop(cookie, None)

    def who(self, cookie: str) -> Person | None:
        """Who holds a cookie; None for nobody who signed in."""
        if self.alone is not None:
            return self.alone
        with self._lock:
            key_id, until = self._sessions.get(cookie, ("", self._now()))
        if self._now() >= until:
            self.leave(cookie)
            return None
        entry = self._find(lambda one: one.key_id == key_id)
        return None if entry is None else Person(name=entry.person, role=entry.role)

    def _find(self, fits: Callable[[ConsoleKey], bool]) -> ConsoleKey | None:
        return next((one for one in self._read().keys if one.revoked is None and fits(one)), None)

    def _read(self) -> KeyFile:
        try:
            return read_keys(self._file)
        except KeysRefused:  # what cannot be read lets nobody in: a revocation may stand in it
            return KeyFile(salt="00" * 32)
