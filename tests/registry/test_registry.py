"""A registry: append-only, chained, erasable, and the same on SQLite and PostgreSQL."""

import threading

import pytest
import sqlalchemy as sa

from safecase.registry import (
    AlreadyRecorded,
    ContentErased,
    ContentUnreadable,
    Incident,
    NoSuchRecord,
    Obligation,
    Registry,
    RegistryBroken,
    RegistryUnavailable,
    Report,
)
from tests.registry.conftest import KEY, NOW, report

pytestmark = pytest.mark.respond


def run_sql(url: str, *statements: str) -> None:
    """What a hand in a console would do."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))


def test_a_record_comes_back_as_it_went_in_and_as_it_was_changed(registry):
    registry.add(report(), action="received", actor="public", at=NOW)
    changed = registry.change(
        Report, "r-1", lambda one: one.model_copy(update={"severity": 3}), action="reviewed", actor="ana", at=NOW
    )

    assert registry.get(Report, "r-1") == changed == report(severity=3)
    assert registry.all(Report, case="c") == (changed,)
    assert registry.all(Report, case="another") == ()
    assert [(one.version, one.action, one.actor) for one in registry.history(Report, "r-1")] == [
        (1, "received", "public"),
        (2, "reviewed", "ana"),
    ]


def test_a_record_is_added_once_and_changed_only_where_it_is(registry):
    registry.add(report(), action="received", actor="public", at=NOW)

    with pytest.raises(AlreadyRecorded):
        registry.add(report(), action="received", actor="public", at=NOW)
    with pytest.raises(NoSuchRecord, match="r-9"):
        registry.change(Report, "r-9", lambda one: one, action="read", actor="ana", at=NOW)
    with pytest.raises(NoSuchRecord):
        registry.get(Incident, "r-1")
    assert len(registry.events()) == 1


@pytest.mark.parametrize("table", ["events", "contents"])
@pytest.mark.parametrize("statement", ["DELETE FROM {}", "UPDATE {} SET {}"])
def test_the_database_itself_refuses_to_change_the_past(registry, url, table, statement):
    registry.add(report(), action="received", actor="public", at=NOW)
    with registry.writing() as writer:
        writer.seal(b"words")
    change = {"events": "actor = 'nobody'", "contents": "id = 'x'"}[table]

    with pytest.raises(sa.exc.DBAPIError, match="append-only"):
        run_sql(url, statement.format(table, change))
    assert registry.check() == ()


def test_a_change_behind_the_programs_back_is_named(registry, url):
    for number in range(3):
        registry.add(report(f"r-{number}"), action="received", actor="public", at=NOW)
    off = {
        "sqlite": "DROP TRIGGER events_no_update",
        "postgresql+psycopg": "ALTER TABLE events DISABLE TRIGGER events_append_only",
    }[sa.make_url(url).drivername]

    assert registry.check() == ()
    run_sql(url, off, "UPDATE events SET actor = 'nobody' WHERE seq = 2")
    assert any("event 2" in line and "changed" in line for line in registry.check())


def test_a_registry_cut_short_is_seen_by_a_head_kept_elsewhere(registry, url):
    registry.add(report("r-1"), action="received", actor="public", at=NOW)
    registry.add(report("r-2"), action="received", actor="public", at=NOW)
    head = registry.head()
    off = {
        "sqlite": "DROP TRIGGER events_no_delete",
        "postgresql+psycopg": "ALTER TABLE events DISABLE TRIGGER events_append_only",
    }[sa.make_url(url).drivername]
    run_sql(url, off, "DELETE FROM events WHERE seq = 2")

    assert registry.check() == ()
    assert len(registry.check(head=head)) == 1
    assert not registry.has_head(head)


def test_erasing_destroys_one_content_and_leaves_everything_else(registry):
    with registry.writing() as writer:
        one, two = writer.seal(b"one"), writer.seal(b"two")
        writer.add(report(content=one), action="received", actor="public", at=NOW)

    assert registry.erase(one)
    with pytest.raises(ContentErased):
        registry.read(one)
    assert registry.read(two) == b"two"
    assert registry.get(Report, "r-1").content == one
    assert registry.check() == ()
    assert not registry.erase(one)


def test_contents_open_under_the_registrys_key_alone(registry, url):
    with registry.writing() as writer:
        content = writer.seal(b"secret words")

    with Registry.open(url, key=bytes(32)) as other, pytest.raises(ContentUnreadable):
        other.read(content)
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        held = [bytes(row[0]) for row in connection.execute(sa.text("SELECT sealed FROM contents"))]
    engine.dispose()
    assert held
    assert all(b"secret" not in row for row in held)


def test_what_fails_halfway_leaves_nothing(registry):
    def fail() -> None:
        with registry.writing() as writer:
            writer.add(report(), action="received", actor="public", at=NOW)
            writer.name("r-1", "near", ["a"])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()

    assert registry.events() == ()
    assert registry.find("near", ["a"]) == {}


def test_records_are_found_by_how_many_values_they_share(registry):
    with registry.writing() as writer:
        writer.name("r-1", "near", ["a", "b", "c"])
        writer.name("r-2", "near", ["c", "d"])
        writer.name("r-3", "other", ["a"])

    assert registry.find("near", ["a", "c", "z"]) == {"r-1": 2, "r-2": 1}
    assert registry.find("near", []) == {}


def test_writers_at_the_same_time_leave_one_chain_without_gaps(url):
    registries = [Registry.open(url, key=KEY) for _ in range(3)]

    def write(number: int) -> None:
        for turn in range(8):
            registries[number].add(report(f"r-{number}-{turn}"), action="received", actor="public", at=NOW)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [event.seq for event in registries[0].events()] == list(range(1, 25))
    assert [event.seq for event in registries[0].events(after=20)] == [21, 22, 23, 24]
    assert registries[0].check() == ()
    for one in registries:
        one.close()


def test_changes_at_the_same_time_are_not_lost(url):
    registries = [Registry.open(url, key=KEY) for _ in range(2)]
    registries[0].add(report(), action="received", actor="public", at=NOW)

    def link(number: int) -> None:
        for turn in range(6):
            name = f"e-{number}-{turn}"
            registries[number].change(
                Report,
                "r-1",
                lambda one, name=name: one.model_copy(update={"event_ids": (*one.event_ids, name)}),
                action="linked",
                actor="ana",
                at=NOW,
            )

    threads = [threading.Thread(target=link, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(registries[0].get(Report, "r-1").event_ids)) == 12
    for one in registries:
        one.close()


def test_tables_of_another_version_are_refused(registry, url):
    run_sql(url, "UPDATE registry_meta SET value = '99' WHERE name = 'version'")

    with pytest.raises(RegistryBroken, match="99"):
        Registry.open(url, key=KEY)


def test_a_database_that_is_not_there_is_one_clear_line():
    with pytest.raises(RegistryUnavailable) as fault:
        Registry.open("postgresql+psycopg://nobody@127.0.0.1:9/none", key=KEY)
    assert "\n" not in str(fault.value)
    with pytest.raises(RegistryUnavailable):
        Registry.open("no-such-database://", key=KEY)


def test_a_key_of_the_wrong_size_is_refused(url):
    with pytest.raises(ValueError, match="32 bytes"):
        Registry.open(url, key=b"short")


def test_a_driver_that_is_not_installed_is_named_with_what_to_install(monkeypatch):
    def missing(url, **_):
        raise ModuleNotFoundError("No module named 'psycopg'", name="psycopg")

    monkeypatch.setattr("safecase.registry._store.sa.create_engine", missing)
    with pytest.raises(RegistryUnavailable, match=r"'psycopg'; run `pip install 'safecase\[respond\]'`"):
        Registry.open("postgresql+psycopg://nobody@127.0.0.1/none", key=KEY)


def test_keyed_hashes_meet_under_one_key_only(registry, url):
    assert registry.keyed_hash("person", "ada") == registry.keyed_hash("person", "ada")
    assert registry.keyed_hash("person", "ada") != registry.keyed_hash("token", "ada")
    with Registry.open(url, key=bytes(32)) as other:
        assert registry.keyed_hash("person", "ada") != other.keyed_hash("person", "ada")


def test_an_obligation_is_open_until_it_is_met_or_lapsed():
    fields = {"id": "o", "case": "c", "about": "i", "regime": "x", "rule": "x.y", "what": "w", "citation": "s"}
    fields |= {"pack_version": "1", "pack_sha256": "0", "zone": "Etc/UTC", "since": NOW, "basis": "b", "due": NOW}
    owed = Obligation.model_validate(fields)

    assert owed.is_open
    assert not owed.model_copy(update={"met": NOW}).is_open
    assert not owed.model_copy(update={"lapsed": "why"}).is_open


def test_a_registry_where_nothing_can_be_written_says_so(tmp_path):
    path = tmp_path / "registry.db"
    path.touch()

    with pytest.raises(RegistryUnavailable, match="copy the case to a place that can be written"):
        Registry.open(f"sqlite:///file:{path}?mode=ro&uri=true", key=KEY)
