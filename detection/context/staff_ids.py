"""All ids of the people in the newest table of staff: nobody decides about themselves under another id."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from detection.context.chunks import rows_of
from detection.context.rows import row_decoder
from domain.access.principal import Principal
from domain.cases.access import own_ids
from event_store.database import Database
from event_store.statements import load

_SQL = load(__package__, "staff_ids.sql")


class StaffIds:
    """Adds to a principal the ids that staff has of the same person. Not thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._version: int | None = None
        self._ids: dict[str, Sequence[str]] = {}

    def with_all_ids(self, principal: Principal) -> Principal:
        """The principal with these ids. A program, or the reader of a shared link, has no others.

        Raises `LogInconsistentError` when the rows are not those that were loaded, and `UnavailableError`.
        """
        known = own_ids(principal)
        if not known:
            return principal
        self._refresh()
        others = dict.fromkeys(other for id in known for other in self._ids.get(id, ()) if other not in known)
        return replace(principal, actors=(*principal.actors, *others)) if others else principal

    def _refresh(self) -> None:
        with self._database.transaction(read_only=True) as connection, connection.cursor() as cursor:
            cursor.execute(_SQL["newest_version"])
            [(version,)] = cursor.fetchall()
            if version == self._version:
                return
            cursor.execute(_SQL["rows"], {"version": version})
            chunks = cursor.fetchall()
        decode = row_decoder("staff")
        ids: dict[str, Sequence[str]] = {}
        for digest, content in chunks:
            for row in rows_of(bytes(digest), bytes(content)):
                person = decode(row)
                if person.other_ids:
                    every = (person.id, *person.other_ids)
                    for id in every:
                        ids[id] = (*ids.get(id, ()), *every)
        self._ids, self._version = ids, version
