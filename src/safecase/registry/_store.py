"""The store: SQLAlchemy Core over SQLite or PostgreSQL. Records change by events; an event is never changed.

    events:  1 report r-1 received -> 2 report r-1 reviewed -> 3 incident i-1 opened -> ...
             each holds the whole record after it, and the hash of the event before

Writers take turns (an immediate transaction in SQLite, an advisory lock in PostgreSQL), so `seq` has no gaps and what
is read by `seq` is never overtaken by an event that was committed late.
"""

import contextlib
import json
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from safecase.evidence import GENESIS, canonical_json, digest_bytes, format_utc, parse_utc
from safecase.registry._errors import (
    AlreadyRecorded,
    ContentErased,
    NoSuchRecord,
    RegistryBroken,
    RegistryUnavailable,
)
from safecase.registry._records import Kept
from safecase.registry._seal import KEY_BYTES, keyed_hash, seal, unseal
from safecase.registry._tables import CONTENT_KEYS, CONTENTS, CURRENT, EVENTS, META, NAMES, VERSION, create

_LOCK = 7_263_549_021  # any number, the same for every writer of a registry
_WRITES = "safecase_writes"


KeptT = TypeVar("KeptT", bound=Kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened to one record.

    Attributes:
        seq: position over all records, from 1 without gaps.
        version: position among the events of its record, from 1.
        said: what was said with it (JSON); never content.
        state: the record after it (JSON).
        hash: SHA-256 of the canonical JSON of all other fields.
    """

    seq: int
    kind: str
    record: str
    version: int
    case: str
    action: str
    actor: str
    at: datetime
    said: Mapping[str, Any]
    state: Mapping[str, Any]
    prev: str
    hash: str


class Registry:
    """A registry, opened. Safe to use from several threads and processes.

    Args:
        engine: of the database.
        key: 32 bytes; seals contents and keys the hashes. Without it contents cannot be read, events can.
    """

    def __init__(self, engine: sa.Engine, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a registry's key has {KEY_BYTES} bytes, got {len(key)}")
        self._engine, self._key = engine, key

    @classmethod
    def open(cls, url: str, *, key: bytes) -> Self:
        """Open a registry, and make its tables in an empty database.

        Args:
            url: SQLAlchemy's form: `sqlite:///path`, `postgresql+psycopg://user@host/name`.

        Raises:
            RegistryUnavailable: the database cannot be reached, or its driver is not installed.
            RegistryBroken: its tables are of another version.
        """
        with _named():
            engine = _engine(url)
            registry = cls(engine, key)
            try:
                with registry._transaction() as connection:
                    _prepare(connection)
            except BaseException:
                registry.close()
                raise
        return registry

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    # --- Writing ------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def writing(self) -> Iterator["Writer"]:
        """Several steps that are kept together or not at all. Other writers wait."""
        with _named(), self._transaction() as connection:
            yield Writer(connection, self._key)

    def add(
        self, record: Kept, *, action: str, actor: str, at: datetime, said: Mapping[str, Any] | None = None
    ) -> Event:
        """Record something new.

        Raises:
            AlreadyRecorded: a record of that kind and id is there.
        """
        with self.writing() as writer:
            return writer.add(record, action=action, actor=actor, at=at, said=said)

    def change(
        self,
        kind: type[KeptT],
        record_id: str,
        change: Callable[[KeptT], KeptT],
        *,
        action: str,
        actor: str,
        at: datetime,
        said: Mapping[str, Any] | None = None,
    ) -> KeptT:
        """Read a record, change it, and keep what it became with who did it.

        Args:
            change: the record as it stands -> as it shall stand; the same one notes an event that changes nothing.

        Raises:
            NoSuchRecord: there is none.
        """
        with self.writing() as writer:
            return writer.change(kind, record_id, change, action=action, actor=actor, at=at, said=said)

    def erase(self, content: str) -> bool:
        """Destroy the key of a content. Nobody can read it again; events and their chain stay as they are.

        Returns:
            Whether there was a key to destroy.
        """
        with self.writing() as writer:
            return writer.erase(content)

    # --- Reading ------------------------------------------------------------------------------------------------------

    def get(self, kind: type[KeptT], record_id: str) -> KeptT:
        """The record as it stands.

        Raises:
            NoSuchRecord: there is none.
        """
        with _named(), self._engine.connect() as connection:
            return _get(connection, kind, record_id)

    def find_record(self, kind: type[KeptT], record_id: str) -> KeptT | None:
        """The record as it stands, None where there is none."""
        with _named(), self._engine.connect() as connection:
            state = _state(connection, kind.kind, record_id)
        return None if state is None else kind.model_validate_json(state)

    def all(self, kind: type[KeptT], *, case: str | None = None) -> tuple[KeptT, ...]:
        """Every record of a kind as it stands, in the order of their ids; of one case, or of all."""
        with _named(), self._engine.connect() as connection:
            return _all(connection, kind, case)

    def find(self, name: str, values: Iterable[str]) -> dict[str, int]:
        """Ids of records that go by any of these values of a name, and by how many."""
        with _named(), self._engine.connect() as connection:
            return _find(connection, name, values)

    def events(self, *, after: int = 0, limit: int | None = None) -> tuple[Event, ...]:
        """Events after a position, in order. Poll with the last `seq` that was dealt with."""
        query = sa.select(EVENTS).where(EVENTS.c.seq > after).order_by(EVENTS.c.seq).limit(limit)
        return self._read(query)

    def history(self, kind: type[Kept], record_id: str) -> tuple[Event, ...]:
        """Everything that happened to a record, in order."""
        of = (EVENTS.c.kind == kind.kind) & (EVENTS.c.record == record_id)
        return self._read(sa.select(EVENTS).where(of).order_by(EVENTS.c.version))

    def read(self, content: str) -> bytes:
        """The plain bytes of a content. Whoever shows them to a person records that first.

        Raises:
            NoSuchRecord: no such content. ContentErased: its key was destroyed. ContentUnreadable: another key.
        """
        with _named(), self._engine.connect() as connection:
            sealed = connection.scalar(sa.select(CONTENTS.c.sealed).where(CONTENTS.c.id == content))
            under = connection.scalar(sa.select(CONTENT_KEYS.c.sealed).where(CONTENT_KEYS.c.id == content))
        if sealed is None:
            raise NoSuchRecord(f"no content {content!r} in this registry; check the id")
        if under is None:
            raise ContentErased(f"content {content!r} was erased; only its hash and its record remain")
        key = unseal(self._key, under, what="key", name=content)
        return unseal(key, sealed, what="content", name=content)

    def keyed_hash(self, purpose: str, value: str) -> str:
        """A hash that only holders of this registry's key can compute; 64 hex digits."""
        return keyed_hash(self._key, purpose, value)

    def head(self) -> str:
        """Hash of the last event; 64 zeros for an empty registry. The value to keep elsewhere."""
        with _named(), self._engine.connect() as connection:
            return _last(connection)[1]

    def has_head(self, head: str) -> bool:
        """Whether some event has this hash, or it is that of an empty registry."""
        with _named(), self._engine.connect() as connection:
            query = sa.select(sa.func.count()).select_from(EVENTS).where(EVENTS.c.hash == head)
            return head == GENESIS or bool(connection.scalar(query))

    def check(self, *, head: str | None = None) -> tuple[str, ...]:
        """Recompute every hash, the chain and the order of versions.

        Args:
            head: a head kept elsewhere; some event must have it.

        Returns:
            What does not hold, in sentences; empty when all does.
        """
        found: list[str] = []
        prev, seq, heads = GENESIS, 0, {GENESIS}
        versions: dict[tuple[str, str], int] = {}
        for event in self.events():
            seq += 1
            before = versions.get((event.kind, event.record), 0)
            versions[event.kind, event.record] = event.version
            if event.seq != seq or event.prev != prev or event.version != before + 1:
                found.append(f"event {event.seq}: it does not follow the one before; events were taken out or put in")
            if _hash(event) != event.hash:
                found.append(f"event {event.seq}: its hash is not that of what it holds; it was changed")
            prev, seq = event.hash, event.seq
            heads.add(event.hash)
        if head is not None and head not in heads:
            found.append(f"no event has the trusted head {head!r}; the registry was cut short or written anew")
        return tuple(found)

    def _read(self, query: sa.Select[Any]) -> tuple[Event, ...]:
        with _named(), self._engine.connect() as connection:
            return tuple(_event(row) for row in connection.execute(query))

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        with self._engine.execution_options(**{_WRITES: True}).begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            yield connection


class Writer:
    """A registry inside one transaction. Get one from `Registry.writing`; do not make one."""

    def __init__(self, connection: sa.Connection, key: bytes) -> None:
        self._connection, self._key = connection, key

    def add(
        self, record: Kept, *, action: str, actor: str, at: datetime, said: Mapping[str, Any] | None = None
    ) -> Event:
        """As `Registry.add`."""
        if _version(self._connection, record.kind, record.id):
            raise AlreadyRecorded(f"{record.kind} {record.id!r} is recorded already; change it instead")
        return self._append(record, version=1, action=action, actor=actor, at=at, said=said)

    def change(
        self,
        kind: type[KeptT],
        record_id: str,
        change: Callable[[KeptT], KeptT],
        *,
        action: str,
        actor: str,
        at: datetime,
        said: Mapping[str, Any] | None = None,
    ) -> KeptT:
        """As `Registry.change`."""
        changed = change(self.get(kind, record_id))
        version = _version(self._connection, kind.kind, record_id) + 1
        self._append(changed, version=version, action=action, actor=actor, at=at, said=said)
        return changed

    def get(self, kind: type[KeptT], record_id: str) -> KeptT:
        """As `Registry.get`."""
        return _get(self._connection, kind, record_id)

    def all(self, kind: type[KeptT], *, case: str | None = None) -> tuple[KeptT, ...]:
        """As `Registry.all`."""
        return _all(self._connection, kind, case)

    def find(self, name: str, values: Iterable[str]) -> dict[str, int]:
        """As `Registry.find`."""
        return _find(self._connection, name, values)

    def name(self, record_id: str, name: str, values: Iterable[str]) -> None:
        """Let a record be found by these values of a name; what the values are is the caller's."""
        rows = [{"name": name, "value": value, "record": record_id} for value in dict.fromkeys(values)]
        if rows:
            self._connection.execute(NAMES.insert(), rows)

    def count(self, record_id: str, name: str) -> int:
        """How many values of a name a record goes by."""
        by = (NAMES.c.record == record_id) & (NAMES.c.name == name)
        return self._connection.scalar(sa.select(sa.func.count()).select_from(NAMES).where(by)) or 0

    def seal(self, data: bytes) -> str:
        """Keep bytes encrypted under a key of their own.

        Returns:
            Id of the content: `c-` and 24 hex digits, random, so that it tells nothing of the bytes.
        """
        content, key = f"c-{secrets.token_hex(12)}", secrets.token_bytes(KEY_BYTES)
        sealed = seal(key, data, what="content", name=content)
        self._connection.execute(CONTENTS.insert().values(id=content, sealed=sealed))
        under = seal(self._key, key, what="key", name=content)
        self._connection.execute(CONTENT_KEYS.insert().values(id=content, sealed=under))
        return content

    def erase(self, content: str) -> bool:
        """As `Registry.erase`."""
        return bool(self._connection.execute(CONTENT_KEYS.delete().where(CONTENT_KEYS.c.id == content)).rowcount)

    def _append(
        self, record: Kept, *, version: int, action: str, actor: str, at: datetime, said: Mapping[str, Any] | None
    ) -> Event:
        if not action or not actor.strip():
            raise ValueError(f"an event needs an action and an actor, got {action!r} by {actor!r}")
        seq, prev = _last(self._connection)
        event = Event(
            seq=seq + 1,
            kind=record.kind,
            record=record.id,
            version=version,
            case=record.case,
            action=action,
            actor=actor,
            at=at,
            said=dict(said or {}),
            state=record.model_dump(mode="json"),
            prev=prev,
            hash="",
        )
        row = _row(event)
        self._connection.execute(EVENTS.insert().values(**row))
        return _event(row)


# --- Rows -------------------------------------------------------------------------------------------------------------


def _row(event: Event) -> dict[str, Any]:
    return {
        "seq": event.seq,
        "kind": event.kind,
        "record": event.record,
        "version": event.version,
        "case_id": event.case,
        "action": event.action,
        "actor": event.actor,
        "at": format_utc(event.at),
        "said": canonical_json(event.said).decode(),
        "state": canonical_json(event.state).decode(),
        "prev": event.prev,
        "hash": _hash(event),
    }


def _event(row: Any) -> Event:  # a row of the table, or the mapping that became one
    fields = row if isinstance(row, dict) else row._mapping
    rest = {name: fields[name] for name in ("seq", "kind", "record", "version", "action", "actor", "prev", "hash")}
    return Event(
        **rest,
        case=fields["case_id"],
        at=parse_utc(fields["at"]),
        said=json.loads(fields["said"]),
        state=json.loads(fields["state"]),
    )


def _hash(event: Event) -> str:
    body = {
        name: getattr(event, name)
        for name in ("seq", "kind", "record", "version", "case", "action", "actor", "said", "state", "prev")
    }
    return digest_bytes(canonical_json({**body, "at": format_utc(event.at)}))


def _last(connection: sa.Connection) -> tuple[int, str]:
    row = connection.execute(sa.select(EVENTS.c.seq, EVENTS.c.hash).order_by(EVENTS.c.seq.desc()).limit(1)).first()
    return (0, GENESIS) if row is None else (row.seq, row.hash)


def _version(connection: sa.Connection, kind: str, record_id: str) -> int:
    of = (EVENTS.c.kind == kind) & (EVENTS.c.record == record_id)
    return connection.scalar(sa.select(sa.func.max(EVENTS.c.version)).where(of)) or 0


def _get(connection: sa.Connection, kind: type[KeptT], record_id: str) -> KeptT:
    state = _state(connection, kind.kind, record_id)
    if state is None:
        raise NoSuchRecord(f"no {kind.kind} {record_id!r} in this registry; list them with `safecase respond list`")
    return kind.model_validate_json(state)


def _all(connection: sa.Connection, kind: type[KeptT], case: str | None) -> tuple[KeptT, ...]:
    query = sa.select(CURRENT.c.state).where(CURRENT.c.kind == kind.kind).order_by(CURRENT.c.record)
    if case is not None:
        query = query.where(CURRENT.c.case_id == case)
    return tuple(kind.model_validate_json(state) for state in connection.scalars(query))


def _state(connection: sa.Connection, kind: str, record_id: str) -> str | None:
    of = (EVENTS.c.kind == kind) & (EVENTS.c.record == record_id)
    return connection.scalar(sa.select(EVENTS.c.state).where(of).order_by(EVENTS.c.version.desc()).limit(1))


def _find(connection: sa.Connection, name: str, values: Iterable[str]) -> dict[str, int]:
    wanted = tuple(dict.fromkeys(values))
    by = (NAMES.c.name == name) & NAMES.c.value.in_(wanted)
    query = sa.select(NAMES.c.record, sa.func.count()).where(by).group_by(NAMES.c.record)
    return {record: count for record, count in connection.execute(query)} if wanted else {}  # noqa: C416 - rows


# --- The database -----------------------------------------------------------------------------------------------------


def _engine(url: str) -> sa.Engine:
    made = sa.make_url(url)
    if made.get_backend_name() != "sqlite":
        return sa.create_engine(made, pool_pre_ping=True)
    in_memory = made.database in {None, "", ":memory:"}
    alone: dict[str, Any] = {"poolclass": StaticPool} if in_memory else {}
    engine = sa.create_engine(made, connect_args={"timeout": 30, "check_same_thread": False}, **alone)
    sa.event.listen(engine, "connect", _set_up_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: Any, _: Any) -> None:  # the driver's own connection
    connection.isolation_level = None  # the driver begins no transaction of its own; ours is immediate
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _prepare(connection: sa.Connection) -> None:
    if not sa.inspect(connection).has_table(META.name):
        create(connection)
        return
    found = connection.scalar(sa.select(META.c.value).where(META.c.name == "version"))
    if found != str(VERSION):
        raise RegistryBroken(f"the registry's tables are of version {found!r}, this program knows {VERSION}")


@contextlib.contextmanager
def _named() -> Iterator[None]:
    """Turn what a driver says into one line, without the statement, whose values may be people's words."""
    try:
        yield
    except DBAPIError as fault:
        if "readonly" in str(fault.orig):
            line = "the registry lies where nothing can be written, and SQLite needs that even to look"
            raise RegistryUnavailable(f"{line}; copy the case to a place that can be written") from fault
        raise RegistryUnavailable(f"the registry did not take it ({_first_line(fault.orig)}); try again") from fault
    except ImportError as fault:  # the driver of another database than SQLite
        line = f"the registry's database needs the package {fault.name!r}"
        raise RegistryUnavailable(f"{line}; run `pip install 'safecase[respond]'`") from fault
    except SQLAlchemyError as fault:
        raise RegistryUnavailable(f"the registry cannot be used ({_first_line(fault)}); check its URL") from fault


def _first_line(fault: object) -> str:
    return str(fault).splitlines()[0] if str(fault) else type(fault).__name__
