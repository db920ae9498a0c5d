"""Which projections there are, built in and in the database, and how far each version is."""

from __future__ import annotations

from psycopg2 import sql

from event_store.database import READER, Connection, Database
from projections.activity import ActivityProjector
from projections.answers import ProjectionStatus
from projections.device import DeviceProjector
from projections.patient import PatientProjector
from projections.projector import Projector, schema_name
from projections.service import ServiceProjector
from projections.statements import load
from projections.tables import create_indexes, create_table
from projections.user import UserProjector

_SQL = load(__package__, "registry.sql")


def built_in() -> tuple[Projector, ...]:
    """The projectors that come with Audit Trail."""
    return (ActivityProjector(), PatientProjector(), UserProjector(), DeviceProjector(), ServiceProjector())


def register(database: Database, projector: Projector) -> int:
    """Make the version's schema, tables and checkpoint where they are missing; returns the checkpoint."""
    identity = {"name": projector.name, "version": projector.version}
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(_SQL["lock_registry"])
        cursor.execute(_SQL["find_version"], identity)
        row = cursor.fetchone()
        if row is not None:
            return int(row[0])
        _create(connection, projector)
        cursor.execute(_SQL["register"], identity | {"schema": schema_name(projector)})
        return -1


def _create(connection: Connection, projector: Projector) -> None:
    schema, reader = sql.Identifier(schema_name(projector)), sql.Identifier(READER)
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("CREATE SCHEMA {}").format(schema))
        cursor.execute(sql.SQL("SET LOCAL search_path = {}").format(schema))
        for table in projector.tables:
            cursor.execute(create_table(table))
            for index in create_indexes(table):
                cursor.execute(index)
        cursor.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(schema, reader))
        cursor.execute(sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA {} TO {}").format(schema, reader))


def open_snapshot(connection: Connection) -> dict[str, int]:
    """Make the live versions' tables visible to this transaction; returns the checkpoint of each projection."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["open_snapshot"])
        return dict(cursor.fetchall())


def list_versions(connection: Connection) -> list[ProjectionStatus]:
    """The state of every registered version."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["list_versions"])
        return [_status(*row) for row in cursor.fetchall()]


def _status(
    name: str,
    version: int,
    live: bool,
    position: int,
    failed_position: int | None,
    failed_event_id: object,
    failure: str | None,
    size: int,
) -> ProjectionStatus:
    return ProjectionStatus(
        name=name,
        version=version,
        position=position,
        lag=size - 1 - position,
        state="running" if failure is None else "failed",
        live=live,
        failed_position=failed_position,
        failed_event_id=None if failed_event_id is None else str(failed_event_id),
        error=failure,
    )
