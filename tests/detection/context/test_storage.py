"""Versions in PostgreSQL: insert only, by one role alone, checked when they are read, and events of the trail."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from typing import Any
from uuid import uuid4

import psycopg2
import pytest
from psycopg2 import errors

from detection.context.rows import encode_row, make_row
from detection.context.storage import (
    Decision,
    filled_columns,
    find_version,
    list_versions,
    load_index,
    newest_versions,
    publish_loads,
    rows_of_version,
    store_version,
    version_of_event,
)
from detection.context.tables import TABLES, Format
from detection.context.version import CurrentVersions, StoredVersion, loaded_event
from domain.errors import ConfigurationError, FencedError, LogInconsistentError, UnavailableError
from domain.event import AuditEvent
from event_store.database import CONTEXT, FORWARDER, GUARD, INGEST, PROJECTOR, READER, WATCHER, Database
from event_store.event_reader import read_events
from tests.trail import Trail, an_event

DECISION = Decision("n.operator", "the nightly load", Format.CSV)
TABLES_OF_CONTEXT = ("context_version", "context_chunk", "context_version_chunk")


@pytest.fixture
def context(migrated_url: str) -> Iterator[Database]:
    with closing(Database(migrated_url, CONTEXT)) as database:
        yield database


def patients(*ids: str, table: str = "patients") -> list[bytes]:
    return sorted(encode_row(make_row(TABLES[table], {"id": id, "family_name": f"Name {id}"})) for id in ids)


def load(database: Database, *ids: str, table: str = "patients") -> StoredVersion:
    return store_version(database, TABLES[table], patients(*ids, table=table), DECISION)[0]


def test_a_load_replaces_the_table_and_the_old_version_stays(context: Database) -> None:
    first, second = load(context, "17", "18"), load(context, "18", "19")
    assert (first.version, second.version, second.rows) == (1, 2, 2)
    with context.transaction(read_only=True) as connection:
        assert newest_versions(connection) == {"patients": 2}
        old, new = (load_index(connection, {"patients": version}) for version in (1, 2))
        assert [row.id for row in old.rows("patients", id="17")] == ["17"]
        assert new.rows("patients", id="17") == ()
        assert new.versions["patients"].digest == second.digest
        assert not new.has("staff")
        assert filled_columns(connection, second)["family_name"] == 2
        with pytest.raises(ConfigurationError, match="there isn't a version 3 of patients"):
            find_version(connection, "patients", 3)
    assert [each.version for each in list_versions(context, "patients", 10)] == [2, 1]


def test_the_same_rows_again_are_no_new_version(context: Database) -> None:
    first = load(context, "17")
    assert store_version(context, TABLES["patients"], patients("17"), DECISION) == (first, False)
    load(context, "18")
    assert load(context, "17").version == 3


def test_an_index_keeps_the_tables_that_did_not_change(context: Database) -> None:
    load(context, "17"), load(context, "ada", table="staff")
    with context.transaction(read_only=True) as connection:
        before = load_index(connection, {"patients": 1, "staff": 1})
        load(context, "18")
    with context.transaction(read_only=True) as connection:
        after = load_index(connection, {"patients": 2, "staff": 1}, before)
    assert [
        after.table(after.versions[name]) is before.table(before.versions[name]) for name in after.versions
    ] == [
        False,
        True,
    ]


def test_versions_share_the_rows_that_did_not_change(context: Database) -> None:
    ids = [f"p-{n:05}" for n in range(5000)]
    load(context, *ids)
    load(context, *ids, "p-99999")
    with context.transaction(read_only=True) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM audit_trail.context_chunk")
        [(chunks,)] = cursor.fetchall()
        cursor.execute("SELECT count(*) FROM audit_trail.context_version_chunk WHERE version = 2")
        [(of_second,)] = cursor.fetchall()
        assert of_second > 10
        assert chunks <= of_second + 2
        stored = find_version(connection, "patients", 1)
        assert list(rows_of_version(connection, stored)) == patients(*ids)


def test_a_load_that_fails_leaves_nothing(context: Database) -> None:
    def broken() -> Iterator[bytes]:
        yield from patients("17")
        raise ConfigurationError("the file ends here")

    with pytest.raises(ConfigurationError):
        store_version(context, TABLES["patients"], broken(), DECISION)
    assert list_versions(context, None, 10) == []


def test_of_two_loads_at_once_one_is_refused(context: Database) -> None:
    reached, go = threading.Event(), threading.Event()

    def slow() -> Iterator[bytes]:
        rows = patients("17", "18")
        yield rows[0]
        reached.set()
        assert go.wait(30)
        yield rows[1]

    failures: list[BaseException] = []

    def first() -> None:
        try:
            store_version(context, TABLES["patients"], slow(), DECISION)
        except FencedError as exc:
            failures.append(exc)

    thread = threading.Thread(target=first)
    thread.start()
    assert reached.wait(30)
    load(context, "19")
    go.set()
    thread.join()
    assert len(failures) == 1
    assert [each.rows for each in list_versions(context, "patients", 10)] == [1]


def test_only_the_role_of_context_writes_and_nobody_changes(migrated_url: str, context: Database) -> None:
    load(context, "17")
    for role in (INGEST, PROJECTOR, READER, GUARD, WATCHER, FORWARDER, CONTEXT):
        connection = psycopg2.connect(migrated_url)
        with closing(connection), connection.cursor() as cursor:
            for table in TABLES_OF_CONTEXT:
                for statement in (
                    f"UPDATE audit_trail.{table} SET digest = ''",
                    f"DELETE FROM audit_trail.{table}",
                    f"TRUNCATE audit_trail.{table} CASCADE",
                ):
                    cursor.execute(f"SET ROLE {role}")
                    with pytest.raises(errors.InsufficientPrivilege):
                        cursor.execute(statement)
                    connection.rollback()
                cursor.execute(f"SET ROLE {role}")
                if role in {PROJECTOR, READER, CONTEXT, INGEST}:
                    cursor.execute(f"SELECT * FROM audit_trail.{table}")
                else:
                    with pytest.raises(errors.InsufficientPrivilege):
                        cursor.execute(f"SELECT * FROM audit_trail.{table}")
                connection.rollback()
            if role != CONTEXT:
                cursor.execute(f"SET ROLE {role}")
                with pytest.raises((errors.InsufficientPrivilege, errors.ReadOnlySqlTransaction)):
                    cursor.execute("INSERT INTO audit_trail.context_chunk VALUES ('', '')")
                connection.rollback()


def test_the_role_of_context_sees_no_event(context: Database) -> None:
    for table in ("event", "tile", "dead_letter", "projection"):
        with (
            pytest.raises(ConfigurationError),
            context.transaction() as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(f"SELECT * FROM audit_trail.{table}")


def test_even_the_owner_does_not_change_a_version_by_mistake(migrated_url: str, context: Database) -> None:
    load(context, "17")
    for statement in (
        "UPDATE audit_trail.context_version SET reason = 'another'",
        "DELETE FROM audit_trail.context_version",
        "UPDATE audit_trail.context_chunk SET content = '\\x00'",
        "DELETE FROM audit_trail.context_version_chunk",
        "TRUNCATE audit_trail.context_version_chunk",
    ):
        with (
            closing(psycopg2.connect(migrated_url)) as connection,
            connection.cursor() as cursor,
            pytest.raises(errors.RestrictViolation),
        ):
            cursor.execute(statement)


def test_rows_that_were_changed_behind_our_back_are_noticed(migrated_url: str, context: Database) -> None:
    load(context, "17")
    stored = load(context, "17", "18")
    with closing(psycopg2.connect(migrated_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(
            "UPDATE audit_trail.context_version_chunk SET digest ="
            " (SELECT digest FROM audit_trail.context_version_chunk WHERE version = 1) WHERE version = 2"
        )
    with (
        context.transaction(read_only=True) as connection,
        pytest.raises(LogInconsistentError, match="version 2 of the context table patients is not the one"),
    ):
        load_index(connection, {"patients": stored.version})


def test_loads_become_events_once_in_their_order(context: Database) -> None:
    first, other, second = load(context, "17"), load(context, "ada", table="staff"), load(context, "18")
    sent: list[AuditEvent] = []

    def publish(event: AuditEvent) -> None:
        if len(sent) == 2:
            raise UnavailableError("Kafka is away")
        sent.append(event)

    with pytest.raises(UnavailableError):
        publish_loads(context, publish)
    assert [each.published_at is None for each in list_versions(context, "patients", 10)] == [True, False]
    assert [each.version for each in publish_loads(context, sent.append)] == [2]
    assert [event.event_id for event in sent] == [first.event_id, other.event_id, second.event_id]
    assert publish_loads(context, sent.append) == []
    event = sent[2]
    assert (event.type, event.actor.id, event.reason) == ("context.loaded", "n.operator", "the nightly load")
    assert event.attributes == {
        "table": "patients",
        "version": 2,
        "sha256": second.digest,
        "rows": 1,
        "format": "csv",
        "login": second.login,
    }


def _recorded(trail: Trail, *events: AuditEvent) -> list[Any]:
    trail.append(*events)
    with trail.reader.transaction(read_only=True) as connection:
        return list(read_events(connection, trail.size - 1 - len(events), 100).events)


def test_a_version_counts_from_its_event_and_a_forged_event_does_not_count(
    new_trail: Trail, context: Database
) -> None:
    first, second = load(context, "17"), load(context, "18")
    real = [loaded_event(each) for each in (first, second)]
    forged = an_event(
        "context.loaded",
        event_id=str(uuid4()),
        source={"service": "audit-trail"},
        reason="a forged load",
        resources=[{"type": "ContextTable", "id": "patients", "version": "9"}],
        attributes=real[0].attributes | {"version": 9},
    )
    ordered = _recorded(new_trail, forged, an_event(), real[0], real[1])
    versions = CurrentVersions()
    with new_trail.projector.transaction(read_only=True) as connection:
        counted = [versions.apply(each, partial(version_of_event, connection)) for each in ordered]
        assert [each and each.version for each in counted] == [None, None, 1, 2]
        assert CurrentVersions.resumed(versions.state()).versions == {"patients": 2} == versions.versions
        late = CurrentVersions({"patients": 2})
        assert late.apply(ordered[2], partial(version_of_event, connection)) is None
        assert load_index(connection, versions.versions).size("patients") == 1
