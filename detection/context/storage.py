"""Versions of context tables in PostgreSQL. Methods block, and raise `UnavailableError` while the database is away."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Any
from uuid import UUID

from msgspec import Struct

from detection.context.chunks import Digest, in_chunks, rows_of
from detection.context.index import ContextIndex, TableRows, Version
from detection.context.rows import row_decoder
from detection.context.tables import TABLES, Format, Table
from detection.context.version import StoredVersion, loaded_event
from domain.errors import ConfigurationError, FencedError, LogInconsistentError, RejectedError
from domain.event import AuditEvent
from domain.validation import decode_event, encode_event
from event_store.database import Connection, Cursor, Database, named
from event_store.statements import load

_SQL = load(__package__, "storage.sql")
_PAGE = 64
"""Chunks of one read."""


class Decision(Struct, frozen=True):
    """Who loads a table and why, and the format of the files."""

    by: str
    reason: str
    format: Format


def store_version(
    database: Database, table: Table, canonical: Iterable[bytes], decision: Decision
) -> tuple[StoredVersion, bool]:
    """Store rows, in their canonical order, as the newest version. Returns it, and whether it is new.

    All or nothing, in the role of context. The rows of the newest version again are no new version. Raises
    `FencedError` when the same table is loaded at the same moment.
    """
    digest, chunks = Digest(), []
    rows = iter(canonical)
    first = list(islice(rows, 1))  # all files are read before the transaction begins
    with database.transaction() as connection, connection.cursor() as cursor:
        newest = next(iter(_versions(cursor, "newest", table=table.name)), None)
        for chunk in in_chunks(digest.counted(chain(first, rows))):
            cursor.execute(_SQL["add_chunk"], {"digest": chunk.digest, "content": chunk.content})
            chunks.append(chunk.digest)
        if newest is not None and newest.digest == digest.hex:
            return newest, False
        values = {
            "table": table.name,
            "version": newest.version + 1 if newest else 1,
            "digest": bytes.fromhex(digest.hex),
            "rows": digest.rows,
            "format": decision.format.value,
            "by": decision.by,
            "reason": decision.reason,
        }
        added = _versions(cursor, "add_version", **values)
        if not added:
            raise FencedError(f"somebody else loads {table.name} at the same moment: try again")
        cursor.execute(_SQL["add_version_chunks"], values | {"digests": chunks})
        # Ingest must take the event: a dead letter in its place would leave the trail without it.
        decode_event(encode_event(loaded_event(added[0])))
    return added[0], True


def list_versions(database: Database, table: str | None, limit: int) -> list[StoredVersion]:
    """The newest versions of a table, or the newest version of each table."""
    with database.transaction(read_only=True) as connection, connection.cursor() as cursor:
        if table is None:
            return _versions(cursor, "newest", table=None)
        return _versions(cursor, "versions", table=table, limit=limit)


def find_version(connection: Connection, table: str, version: int | None) -> StoredVersion:
    """A version of a table, the newest by default. Raises `ConfigurationError` when there is none."""
    with connection.cursor() as cursor:
        if version is None:
            found = _versions(cursor, "newest", table=table)
        else:
            found = _versions(cursor, "version", table=table, version=version)
    if not found:
        which = "any version" if version is None else f"a version {version}"
        raise ConfigurationError(f"there isn't {which} of {table}: `audit-trail context list` says which are")
    return found[0]


def version_of_event(connection: Connection, event_id: UUID) -> StoredVersion | None:
    """The version whose load is this event."""
    with connection.cursor() as cursor:
        return next(iter(_versions(cursor, "of_event", event_id=event_id)), None)


def newest_versions(connection: Connection) -> dict[str, int]:
    """The newest version of each table."""
    with connection.cursor() as cursor:
        return {each.table_name: each.version for each in _versions(cursor, "newest", table=None)}


def load_index(
    connection: Connection, versions: Mapping[str, int], previous: ContextIndex | None = None
) -> ContextIndex:
    """These versions of tables in memory. What `previous` has of them is not read again.

    Raises `LogInconsistentError` when the rows are not those that were loaded.
    """
    tables, found = [], []
    for name, number in sorted(versions.items()):
        stored = find_version(connection, name, number)
        version = Version(name, number, stored.digest, stored.rows)
        known = previous.table(version) if previous else None
        tables.append(known or TableRows(TABLES[name], rows_of_version(connection, stored)))
        found.append(version)
    return ContextIndex(tables, found)


def rows_of_version(connection: Connection, stored: StoredVersion) -> Iterator[bytes]:
    """The rows of a version, in their canonical order. Raises `LogInconsistentError` as `load_index` does."""
    digest = Digest()
    yield from digest.counted(_stored_rows(connection, stored))
    if digest.hex != stored.digest:
        raise LogInconsistentError(
            f"version {stored.version} of the context table {stored.table_name} is not the one that was loaded"
        )


def filled_columns(connection: Connection, stored: StoredVersion) -> dict[str, int]:
    """How many rows have a value in each column; of a flag, how many have it."""
    table = TABLES[stored.table_name]
    counts = {column.name: 0 for column in table.columns}
    decode = row_decoder(table.name)
    for canonical in rows_of_version(connection, stored):
        row = decode(canonical)
        for name in counts:
            counts[name] += bool(getattr(row, name))
    return counts


def _stored_rows(connection: Connection, stored: StoredVersion) -> Iterator[bytes]:
    first = 1
    while True:
        values = {
            "table": stored.table_name,
            "version": stored.version,
            "first": first,
            "last": first + _PAGE - 1,
        }
        with connection.cursor() as cursor:
            cursor.execute(_SQL["chunks"], values)
            page = cursor.fetchall()
        for digest, content in page:
            yield from rows_of(bytes(digest), bytes(content))
        if len(page) < _PAGE:
            return
        first += _PAGE


def publish_loads(database: Database, publish: Callable[[AuditEvent], None]) -> list[StoredVersion]:
    """Publish the events of loads that the trail does not have yet, in their order. Returns these loads.

    After a crash the same events are published again. Raises `UnavailableError` while Kafka is away.
    """
    done: list[StoredVersion] = []
    while waiting := _unpublished(database):
        for stored in waiting:
            try:
                publish(loaded_event(stored))
            except RejectedError as exc:
                raise ConfigurationError(
                    f"the load of {stored.table_name} can't be published: {exc}"
                ) from exc
            with database.transaction() as connection, connection.cursor() as cursor:
                cursor.execute(_SQL["published"], {"event_id": stored.event_id})
            done.append(stored)
    return done


def _unpublished(database: Database) -> list[StoredVersion]:
    with database.transaction(read_only=True) as connection, connection.cursor() as cursor:
        return _versions(cursor, "unpublished")


def _versions(cursor: Cursor, statement: str, **values: Any) -> list[StoredVersion]:
    cursor.execute(_SQL[statement], values)
    return [StoredVersion(**row | {"digest": bytes(row["digest"]).hex()}) for row in named(cursor)]
