"""The monitor's memory: one SQLite file, in which a position and its effects are never apart.

    positions   source -> where to go on
    states      watcher -> everything it knows
    alerts      what was said, and to which sinks it was delivered
    seen        ids of the last events, by which one that comes twice is told
    judged      verdicts on harmful requests, without content, for people's labels to be held against
    audited     calls that a costly judge looked at, each with its chance
    noticed     when, by this machine's clock, a flagged event or an alert was first on record

A commit writes all of them or nothing. `kill -9` at any point leaves the last commit, and the sources are read again
from there.
"""

import fcntl
import json
import sqlite3
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from safecase.assess import Case, Clock, home, utc_now
from safecase.evidence import digest_bytes, format_utc, parse_utc
from safecase.monitor._audit_rate import Audited
from safecase.monitor._errors import StoreTrouble
from safecase.monitor._values import Alert, Seen

_VERSION = 1
_SCHEMA = """
create table if not exists positions (source text primary key, position text not null) without rowid;
create table if not exists states (watcher text primary key, state blob not null);
create table if not exists alerts (
    number integer primary key, alert_id text not null unique, at text not null, body text not null);
create table if not exists delivered (sink text not null, alert_id text not null, primary key (sink, alert_id))
    without rowid;
create table if not exists seen (number integer primary key, event_id text not null);
create table if not exists judged (
    number integer primary key, event_id text not null, stack text not null, category text not null,
    account text not null, is_unsafe integer not null);
create table if not exists audited (
    number integer primary key, event_id text not null unique, stack text not null, account text not null,
    chance real not null, is_unsafe integer);
create table if not exists noticed (number integer primary key, id text not null unique, at text not null);
create table if not exists counts (name text primary key, value integer not null) without rowid;
"""


def state_file(case: Case) -> Path:
    """The monitor's usual file: outside the case, which holds only what its ledger names."""
    where = digest_bytes(str(case.path.resolve()).encode())[:8]
    return home() / "monitor" / f"{case.spec.id}-{where}.sqlite"


class MonitorStore:
    """Opened by one monitor at a time; others may look on (`is_reading`).

    Args:
        path: the file; its folder is made.
        is_reading: only look, also while a monitor runs.
        window: events that are remembered by id; one that comes twice within so many counts once.
        most_judged: verdicts that are kept, and moments at which something was noticed.
        now: the clock that says when something was noticed; nothing else depends on it.

    Raises:
        StoreTrouble: another monitor has it open, or it is of another version.
    """

    def __init__(
        self,
        path: Path,
        *,
        window: int = 200_000,
        most_judged: int = 1_000_000,
        is_reading: bool = False,
        now: Clock = utc_now,
    ) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path, self._window, self._most_judged, self._now = path, window, most_judged, now
        self._lock = path.with_name(path.name + ".lock").open("w")
        try:
            if not is_reading:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise StoreTrouble(f"{path}: another monitor has it open; stop that one, or name another file") from None
        try:
            self._db = _opened(path)
        except StoreTrouble:
            self._lock.close()
            raise
        rows = self._db.execute("select number, event_id from seen order by number").fetchall()
        self._seen: OrderedDict[str, None] = OrderedDict((event_id, None) for _, event_id in rows)
        self._number = rows[-1][0] if rows else 0
        self._fresh: list[str] = []

    def close(self) -> None:
        """Let go of it; what was not committed is forgotten."""
        self._db.close()
        self._lock.close()

    def is_new(self, event_id: str) -> bool:
        """Whether an event did not come lately; from now on it did."""
        if event_id in self._seen:
            return False
        self._seen[event_id] = None
        self._fresh.append(event_id)
        return True

    def position(self, source: str) -> str | None:
        """Where to go on with a source."""
        row = self._db.execute("select position from positions where source = ?", (source,)).fetchone()
        return None if row is None else str(row[0])

    def state(self, watcher: str) -> bytes | None:
        """What a watcher knew at the last commit."""
        row = self._db.execute("select state from states where watcher = ?", (watcher,)).fetchone()
        return None if row is None else bytes(row[0])

    def commit(
        self,
        *,
        positions: Mapping[str, str],
        states: Mapping[str, bytes],
        alerts: Sequence[Alert],
        judged: Sequence[Seen] = (),
        counts: Mapping[str, int] | None = None,
        flagged: Sequence[str] = (),
        audited: Sequence[Audited] = (),
    ) -> None:
        """Keep everything at once.

        Args:
            flagged: ids of events that a safeguard or a detector flagged; when is kept, for their lag to be known.

        Raises:
            StoreTrouble: the disk is full, or the file was taken away.
        """
        try:
            with self._db:
                self._write(positions, states, alerts, judged, counts or {})
                self._audit(audited)
                self._notice([*flagged, *(alert.alert_id for alert in alerts)])
        except sqlite3.Error as error:
            raise StoreTrouble(f"{self._path}: {error}; the monitor goes on from its last commit") from None
        self._number += len(self._fresh)
        self._fresh.clear()
        while len(self._seen) > self._window:
            self._seen.popitem(last=False)

    def _write(
        self,
        positions: Mapping[str, str],
        states: Mapping[str, bytes],
        alerts: Sequence[Alert],
        judged: Sequence[Seen],
        counts: Mapping[str, int],
    ) -> None:
        run = self._db.executemany
        run("insert or replace into positions values (?, ?)", positions.items())
        run("insert or replace into states values (?, ?)", states.items())
        rows = [(alert.alert_id, alert.at, json.dumps(asdict(alert))) for alert in alerts]
        run("insert or ignore into alerts (alert_id, at, body) values (?, ?, ?)", rows)
        run("insert into seen values (?, ?)", enumerate(self._fresh, start=self._number + 1))
        last = self._number + len(self._fresh)
        self._db.execute("delete from seen where number <= ?", (last - self._window,))
        run(
            "insert into judged (event_id, stack, category, account, is_unsafe) values (?, ?, ?, ?, ?)", _judged(judged)
        )
        if judged:
            oldest = "(select max(number) from judged) - ?"
            self._db.execute(f"delete from judged where number <= {oldest}", (self._most_judged,))  # noqa: S608 - fixed
        added = "insert into counts values (?, ?) on conflict (name) do update set value = value + excluded.value"
        run(added, counts.items())

    def _audit(self, rows: Sequence[Audited]) -> None:
        made = [(one.event_id, one.stack_digest, one.account, one.chance, one.is_unsafe) for one in rows]
        insert = "insert or ignore into audited (event_id, stack, account, chance, is_unsafe) values (?, ?, ?, ?, ?)"
        self._db.executemany(insert, made)

    def audited(self) -> Iterator[Audited]:
        """Calls that a costly judge looked at, oldest first."""
        query = "select event_id, stack, account, chance, is_unsafe from audited order by number"
        for event_id, stack, account, chance, is_unsafe in self._db.execute(query):
            said = None if is_unsafe is None else bool(is_unsafe)
            yield Audited(event_id=event_id, stack_digest=stack, account=account, chance=chance, is_unsafe=said)

    def _notice(self, ids: Sequence[str]) -> None:
        if not ids:
            return
        at = format_utc(self._now())
        self._db.executemany("insert or ignore into noticed (id, at) values (?, ?)", ((one, at) for one in ids))
        oldest = "(select max(number) from noticed) - ?"
        self._db.execute(f"delete from noticed where number <= {oldest}", (self._most_judged,))  # noqa: S608 - fixed

    def noticed(self, ids: Iterable[str]) -> dict[str, datetime]:
        """When each of these events and alerts was first on record; without those that never were."""
        query = "select id, at from noticed where id = ?"
        rows = (self._db.execute(query, (one,)).fetchone() for one in ids)
        return {row[0]: parse_utc(row[1]) for row in rows if row is not None}

    def accounts_known(self, accounts: Iterable[str]) -> list[str]:
        """Those of these accounts that something suspicious is on record of; harmless calls leave no name here."""
        judged = {one for (one,) in self._db.execute("select distinct account from judged")}
        alerted = {account for alert in self.alerts(last=1_000_000) for account in alert.accounts}
        return sorted((judged | alerted) & set(accounts))

    def alerts(self, *, last: int = 1000) -> list[Alert]:
        """The last alerts, oldest first."""
        rows = self._db.execute("select body from alerts order by number desc limit ?", (last,)).fetchall()
        return [_alert(body) for (body,) in reversed(rows)]

    def undelivered(self, sink: str, *, most: int = 100) -> list[Alert]:
        """Alerts that a sink has not taken yet, oldest first."""
        query = """select body from alerts where alert_id not in (select alert_id from delivered where sink = ?)
            order by number limit ?"""
        return [_alert(body) for (body,) in self._db.execute(query, (sink, most))]

    def mark_delivered(self, sink: str, alert_ids: Iterable[str]) -> None:
        """A sink has taken them."""
        with self._db:
            self._db.executemany("insert or ignore into delivered values (?, ?)", ((sink, one) for one in alert_ids))

    def judged(self) -> Iterator[tuple[str, str, str, str, bool]]:
        """(event id, stack, category, account, is_unsafe) of harmful requests that were judged, oldest first."""
        query = "select event_id, stack, category, account, is_unsafe from judged order by number"
        for event_id, stack, category, account, is_unsafe in self._db.execute(query):
            yield event_id, stack, category, account, bool(is_unsafe)

    def counts(self) -> dict[str, int]:
        """What was counted since the beginning, by name."""
        return dict(self._db.execute("select name, value from counts"))


def _judged(seen: Sequence[Seen]) -> Iterator[tuple[str, str, str, str, int]]:
    for one in seen:
        if one.reading is not None and one.reading.is_unsafe is not None:
            event = one.event
            unsafe = int(one.reading.is_unsafe)
            yield event.event_id, event.stack_digest, one.reading.category, event.account, unsafe


def _opened(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level="IMMEDIATE", check_same_thread=False)
    try:
        database.execute("pragma journal_mode = wal")
        database.execute("pragma synchronous = normal")
        version = database.execute("pragma user_version").fetchone()[0]
        if version not in (0, _VERSION):
            database.close()
            raise StoreTrouble(f"{path}: of version {version}, this safecase reads {_VERSION}; name another file")
        database.executescript(_SCHEMA)
        database.execute(f"pragma user_version = {_VERSION}")
    except sqlite3.Error as error:
        with suppress(sqlite3.Error):
            database.close()
        raise StoreTrouble(f"{path}: no file of a monitor ({error}); name another file") from None
    path.chmod(0o600)
    return database


def _alert(body: str) -> Alert:
    fields: dict[str, Any] = json.loads(body)
    return Alert(**{**fields, "accounts": tuple(fields["accounts"]), "event_ids": tuple(fields["event_ids"])})
