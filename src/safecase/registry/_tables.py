"""The tables: events that are only ever added, a view of what they come to, sealed contents, keys, names to find by.

`events` and `contents` refuse UPDATE and DELETE in the database itself, so that a slip in a program or a hand in a
console does not change the past. `content_keys` is the one table from which rows go: that is what erasing means.
"""

import sqlalchemy as sa

VERSION = 1
"""Of the tables. A registry of another version is refused, never guessed at."""

METADATA = sa.MetaData()

META = sa.Table(
    "registry_meta",
    METADATA,
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("value", sa.String(64), nullable=False),
)
EVENTS = sa.Table(
    "events",
    METADATA,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("record", sa.String(160), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("case_id", sa.String(128), nullable=False),
    sa.Column("action", sa.String(64), nullable=False),
    sa.Column("actor", sa.String(256), nullable=False),
    sa.Column("at", sa.String(32), nullable=False),
    sa.Column("said", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("prev", sa.String(64), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False, unique=True),
    sa.UniqueConstraint("kind", "record", "version"),
)
CONTENTS = sa.Table(
    "contents",
    METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
)
CONTENT_KEYS = sa.Table(
    "content_keys",
    METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
)
NAMES = sa.Table(
    "names",
    METADATA,
    sa.Column("name", sa.String(32), nullable=False),
    sa.Column("value", sa.String(128), nullable=False),
    sa.Column("record", sa.String(160), nullable=False),
    sa.PrimaryKeyConstraint("name", "value", "record"),
)
CURRENT = sa.table("current_records", *(sa.column(column.name, column.type) for column in EVENTS.columns))
"""The last event of every record."""

_VIEW = """
CREATE VIEW current_records AS
SELECT e.* FROM events e
JOIN (SELECT kind, record, max(version) AS version FROM events GROUP BY kind, record) last
ON e.kind = last.kind AND e.record = last.record AND e.version = last.version
"""
_KEPT = ("events", "contents")


def create(connection: sa.Connection) -> None:
    """Make the tables, the view and the triggers in an empty database."""
    METADATA.create_all(connection)
    connection.execute(sa.text(_VIEW))
    for statement in _triggers(connection.dialect.name):
        connection.execute(sa.text(statement))
    connection.execute(META.insert().values(name="version", value=str(VERSION)))


def _triggers(dialect: str) -> list[str]:
    if dialect == "sqlite":
        return [
            f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            for table in _KEPT
            for verb in ("UPDATE", "DELETE")
        ]
    refuse = (
        "CREATE FUNCTION registry_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
    )
    return [
        refuse,
        *(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION registry_append_only()"
            for table in _KEPT
        ),
    ]
