"""The registry: the built-in projections, the builds in the database, and the checkpoint of each build."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from uuid import UUID

from msgspec import Struct

from domain.errors import ConfigurationError
from event_store.database import INGEST, READER, Connection, Cursor, Database, only, sql
from event_store.statements import load
from projections.custom_tables import custom_role, make_tables
from projections.fingerprints import code_digest, definition_digest
from projections.models.activity import ActivityProjector
from projections.models.detection import DetectionModel
from projections.models.device import DeviceProjector
from projections.models.patient import PatientProjector
from projections.models.service import ServiceProjector
from projections.models.user import UserProjector
from projections.projector import Projector, schema_name
from projections.tables import create_indexes, create_table

_SQL = load(__package__, "registry.sql")
_NAME = re.compile(r"(?!pg_)[a-z][a-z0-9_]{0,39}")

_ALSO_READ_BY = {"detection": (INGEST,)}
"""Roles that read the tables of a built-in projection beside the reader. `ingest` puts alerts into cases."""

LOADING = "loading"
INDEXING = "indexing"
READY = "ready"
SCRATCH = "scratch"


class Build(Struct, frozen=True):
    """One set of tables of a projection. At most one of a projection's builds is live: the one that queries read.

    `definition` and `code_digest` are hex digests; `state` is ``loading`` while the log is put in, ``indexing``
    once it is, and then ``ready``; ``scratch`` builds are made by verify. `custom`: of a custom projection. `rested` is
    for how long the checkpoint has stood where it is, `waiting` how long ago the next event was recorded; None when
    there is none.
    """

    name: str
    build: int
    version: int
    schema: str
    live: bool
    state: str
    paused: bool
    position: int
    definition: str
    code_digest: str
    failed_position: int | None
    failed_event_id: UUID | None
    failure: str | None
    created_at: datetime
    switched_at: datetime | None
    attested_at: datetime | None
    log_size: int
    custom: bool
    rested: timedelta
    waiting: timedelta | None

    @property
    def lag(self) -> int:
        """Events of the log that are not applied yet."""
        return max(0, self.log_size - 1 - self.position)


def built_in() -> tuple[Projector, ...]:
    """The projectors that come with Audit Trail."""
    return (ActivityProjector(), PatientProjector(), UserProjector(), DeviceProjector(), ServiceProjector())


def declared() -> tuple[Projector, ...]:
    """The same, and those that a package above fills: their names, versions and tables."""
    return (*built_in(), DetectionModel())


def list_builds(connection: Connection) -> list[Build]:
    """Every build, by name and number."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["list_builds"])
        return [Build(*row) for row in cursor.fetchall()]


def live_builds(connection: Connection) -> dict[str, Build]:
    """The live build of each projection that has one."""
    return {build.name: build for build in list_builds(connection) if build.live}


def skipped(connection: Connection, names: Iterable[str]) -> Mapping[str, frozenset[int]]:
    """The positions that an operator has decided to leave out, by projection."""
    found: dict[str, set[int]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_SQL["list_skips"], {"names": list(names)})
        for name, position in cursor.fetchall():
            found.setdefault(name, set()).add(position)
    return {name: frozenset(positions) for name, positions in found.items()}


def register(database: Database, projector: Projector) -> Build | None:
    """The live build. A projection that has no build at all gets its first, live and empty.

    None while the first build is still being loaded. Raises `ConfigurationError` when the name is none, or a table's
    name belongs to another projection.
    """
    with database.transaction() as connection, connection.cursor() as cursor:
        lock_builder(cursor, projector.name)
        builds = [each for each in list_builds(connection) if each.name == projector.name]
        if not builds:
            number = create_build(connection, projector, live=True, indexed=True)
            return next(
                each
                for each in list_builds(connection)
                if (each.name, each.build) == (projector.name, number)
            )
        live = next((each for each in builds if each.live), None)
        if live is not None and not live.definition and live.version == projector.version:
            cursor.execute(_SQL["adopt"], _identity(projector) | {"build": live.build})
        return live


def create_build(
    connection: Connection, projector: Projector, *, live: bool = False, indexed: bool = False
) -> int:
    """Make the next build's schema, tables and checkpoint; its number. Without indexes it is there to be loaded.

    The caller's transaction holds the lock of the projection's builder from here on.
    """
    if not _NAME.fullmatch(projector.name) or projector.version < 1:
        raise ConfigurationError(
            f"{projector.name!r} version {projector.version} names no projection: lower-case letters, digits and"
            " underscores, at most 40, and a version from 1"
        )
    with connection.cursor() as cursor:
        lock_builder(cursor, projector.name)
        custom = bool(custom_role(cursor))
        tables = [table.name for table in projector.tables]
        cursor.execute(_SQL["other_tables"], {"name": projector.name, "tables": tables, "custom": custom})
        taken = cursor.fetchone()
        if taken is not None:
            raise ConfigurationError(
                f"table {taken[0]} belongs to another projection: choose another name for it"
            )
        cursor.execute(_SQL["next_number"], {"name": projector.name})
        build = int(only(cursor))
        schema = schema_name(projector, build)
        _create_tables(connection, projector, schema, indexed=indexed)
        state = READY if indexed else LOADING
        cursor.execute(
            _SQL["register"],
            _identity(projector) | {"build": build, "schema": schema, "live": live, "state": state},
        )
    return build


def _identity(projector: Projector) -> dict[str, object]:
    return {
        "name": projector.name,
        "version": projector.version,
        "definition": definition_digest(projector.tables),
        "code_digest": code_digest(projector),
    }


def lock_builder(cursor: Cursor, name: str) -> None:
    """Wait some seconds until no other transaction makes builds of this projection. The lock ends with the transaction.

    It is a row that only the projection's own roles may write: any login can take any advisory lock.
    """
    cursor.execute(_SQL["bounded"])
    cursor.execute(_SQL["lock_builder"], {"name": name})


def _create_tables(connection: Connection, projector: Projector, schema: str, *, indexed: bool) -> None:
    readers = map(sql.Identifier, (READER, *_ALSO_READ_BY.get(projector.name, ())))
    names = {"schema": sql.Identifier(schema), "readers": sql.SQL(", ").join(readers)}
    with connection.cursor() as cursor:
        if custom_role(cursor):
            make_tables(cursor, projector.name, schema, projector.tables, indexed=indexed)
            return
        cursor.execute(sql.SQL("CREATE SCHEMA {schema}").format(**names))
        cursor.execute(sql.SQL("SET LOCAL search_path = {schema}").format(**names))
        for table in projector.tables:
            cursor.execute(create_table(table))
            for index in create_indexes(table) if indexed else ():
                cursor.execute(index)
        cursor.execute(sql.SQL("GRANT USAGE ON SCHEMA {schema} TO {readers}").format(**names))
        cursor.execute(sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {readers}").format(**names))


def open_snapshot(connection: Connection) -> dict[str, int]:
    """Make the live builds' tables visible to this transaction; returns the checkpoint of each projection."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["open_snapshot"])
        return {name: position for name, position, _ in cursor.fetchall()}


def live_schemas(connection: Connection) -> dict[str, str]:
    """The schema of each projection that `open_snapshot` makes visible."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["live_schemas"])
        return dict(cursor.fetchall())
