"""A key for each participant. The case keeps a keyed hash of it and a pseudonym; who holds which key it never knows.

rt-<key id, 10 characters>-<secret, 43 characters>
"""

import csv
import io
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from safecase.assess import Case, Clock, record
from safecase.declare import Record
from safecase.evidence import canonical_json, write_atomic
from safecase.redteam._campaign import FILE, Declared, HazardousDomain, keep_declared
from safecase.redteam._errors import KeysRefused
from safecase.web import is_key, key_id_of, keys_held, new_key

KEYS = "redteam/keys.json"
_PREFIX = "rt"
_LOOK_AGAIN_S = 1.0


class KeyRecord(Record):
    """What the case keeps of one key."""

    key_id: str
    participant: str
    campaign: str
    team: str
    cleared: tuple[HazardousDomain, ...] = ()
    hash: str
    revoked: str | None = Field(default=None, description="who revoked it")


class KeyFile(Record):
    """`redteam/keys.json`. `salt` keys the hash; 64 hex digits."""

    salt: str
    keys: tuple[KeyRecord, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """Keys as they leave the case; the only place where the secrets stand."""

    out: Path
    participants: tuple[str, ...]


class KeyRing:
    """Finds the participant of a key. Reads the file again when it changed, so that a revocation takes effect."""

    def __init__(self, case_dir: Path, campaign: str) -> None:
        self._path = case_dir / KEYS
        self._campaign = campaign
        self._stamp: tuple[int, int] | None = None
        self._looked_at = float("-inf")
        self._salt = secrets.token_hex(32)
        self._keys: dict[str, KeyRecord] = {}

    def find(self, key: str, *, monotonic_s: float) -> KeyRecord | None:
        """The valid entry of a key, None for a key that is wrong, revoked or of another campaign.

        Args:
            monotonic_s: a clock in seconds; the file is looked at once a second.
        """
        self._look(monotonic_s)
        found = self._keys.get(key_id_of(key, _PREFIX) or "")
        fits = is_key(key, salt=self._salt, kept=found.hash if found else None)
        if found is None or not fits or found.revoked is not None or found.campaign != self._campaign:
            return None
        return found

    def _look(self, monotonic_s: float) -> None:
        if monotonic_s - self._looked_at < _LOOK_AGAIN_S:
            return
        self._looked_at = monotonic_s
        stamp = _stamp(self._path)
        if stamp != self._stamp:
            file = _read(self._path)
            self._salt, self._keys, self._stamp = file.salt, {key.key_id: key for key in file.keys}, stamp


def issue_keys(
    case: Case,
    declared: Declared,
    *,
    team: str,
    count: int,
    out: Path,
    cleared: Collection[HazardousDomain] = (),
    by: str = "safecase",
    now: Clock,
) -> Issued:
    """Make keys for a team and write them to a file that only its owner may read.

    Args:
        out: CSV of participant, team and key; outside the case, and not there yet.
        cleared: hazardous domains these participants may see; the team must be cleared for them.

    Raises:
        KeysRefused: no such team, no seat left, not cleared, or `out` is inside the case or there already.
    """
    campaign = declared.campaign
    found = campaign.team(team)
    if found is None:
        known = ", ".join(one.id for one in campaign.teams)
        raise KeysRefused(f"{FILE}: no team {team!r}; use one of {known}")
    if beyond := sorted(set(cleared) - set(found.cleared)):
        raise KeysRefused(f"{FILE}: team {team!r} is not cleared for {beyond[0]!r}; add it to the team's `cleared:`")
    if case.path.resolve() in out.resolve().parents:
        raise KeysRefused(f"{out}: keys may not lie inside the case, which is handed on; choose another place")
    if out.exists():
        raise KeysRefused(f"{out}: a file is there; keys are never overwritten, choose another name")
    keep_declared(case, declared, now=now)
    with keys_held(case.path / KEYS):
        file = _read(case.path / KEYS)
        seated = sum(key.team == team and key.campaign == campaign.id and key.revoked is None for key in file.keys)
        if seated + count > found.seats:
            raise KeysRefused(
                f"{FILE}: team {team!r} has {found.seats} seats, {seated} taken; {count} more do not fit, "
                "revoke keys or raise `seats:`"
            )
        made = [_make(file.salt, campaign=campaign.id, team=team, cleared=cleared) for _ in range(count)]
        # The secrets first: an entry whose key nobody holds would only take up a seat.
        write_atomic(out, _as_csv(made), mode=0o600, replace=False)
        _keep(case, file.model_copy(update={"keys": (*file.keys, *(entry for entry, _ in made))}), by=by, now=now)
    return Issued(out=out, participants=tuple(entry.participant for entry, _ in made))


def revoke_key(case: Case, participant: str, *, by: str, now: Clock) -> None:
    """Make a participant's key invalid; a running server notices within a second.

    Raises:
        KeysRefused: no valid key belongs to that participant.
    """
    with keys_held(case.path / KEYS):
        file = _read(case.path / KEYS)
        if not any(key.participant == participant and key.revoked is None for key in file.keys):
            raise KeysRefused(f"{KEYS}: no valid key belongs to participant {participant!r}; check the id")
        keys = tuple(
            key.model_copy(update={"revoked": by}) if key.participant == participant else key for key in file.keys
        )
        _keep(case, file.model_copy(update={"keys": keys}), by=by, now=now)


def participants(case: Case, campaign: str) -> tuple[KeyRecord, ...]:
    """Every key ever issued for a campaign."""
    return tuple(key for key in _read(case.path / KEYS).keys if key.campaign == campaign)


def _keep(case: Case, file: KeyFile, *, by: str, now: Clock) -> None:
    valid = sum(key.revoked is None for key in file.keys)
    data = canonical_json(file.model_dump(mode="json")) + b"\n"
    record(case, KEYS, data, action="redteam-keys", now=now, by=by, issued=len(file.keys), valid=valid)


def _make(salt: str, *, campaign: str, team: str, cleared: Collection[HazardousDomain]) -> tuple[KeyRecord, str]:
    made = new_key(_PREFIX, salt)
    entry = KeyRecord(
        key_id=made.key_id,
        participant=f"p-{secrets.token_hex(5)}",
        campaign=campaign,
        team=team,
        cleared=tuple(sorted(cleared)),
        hash=made.hash,
    )
    return entry, made.text


def _as_csv(made: Collection[tuple[KeyRecord, str]]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("participant", "team", "key"))
    writer.writerows((entry.participant, entry.team, key) for entry, key in made)
    return out.getvalue().encode()


def _read(path: Path) -> KeyFile:
    if not path.exists():
        return KeyFile(salt=secrets.token_hex(32))
    try:
        return KeyFile.model_validate_json(path.read_bytes())
    except ValueError as error:
        raise KeysRefused(f"{path}: not a key file ({str(error).splitlines()[0]}); restore it from a copy") from error


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_ino
