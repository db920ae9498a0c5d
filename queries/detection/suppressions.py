"""Suppressions, with how many alerts each has held back."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from event_store.database import Connection, named
from event_store.statements import load
from queries.detection.alerts import WALK
from queries.detection.results import BEGIN, NamedValue, Place, SuppressionPage, SuppressionView
from queries.detection.rules import MAX_COUNTED

_SQL = load(__package__, "suppressions.sql")


def find_suppressions(
    connection: Connection,
    limit: int,
    as_of: int,
    after: Place = BEGIN,
    *,
    active: bool = False,
    hidden_actors: Collection[str] = (),
) -> SuppressionPage:
    """A page of suppressions; `active`: only those that hold alerts back now."""
    walk = WALK if active or hidden_actors else limit + 1
    values = {
        "position": after.position,
        "id": after.id,
        "active": active,
        "walk": walk,
        "limit": limit + 1,
        "most": MAX_COUNTED,
        "hidden_actors": list(hidden_actors),
    }
    with connection.cursor() as cursor:
        cursor.execute(_SQL["page"], values)
        rows = named(cursor)
    found = [_suppression(row) for row in rows if row["suppression_id"] is not None]
    shown = found[:limit]
    if len(found) > limit:
        return SuppressionPage(shown, as_of, Place(shown[-1].position, shown[-1].suppression_id))
    last = rows[0]
    more = last["looked_suppressions"] == walk
    return SuppressionPage(shown, as_of, Place(last["looked_position"], last["looked_id"]) if more else None)


def _suppression(row: Mapping[str, Any]) -> SuppressionView:
    values = {name: row[name] for name in SuppressionView.__struct_fields__}
    return SuppressionView(
        **values | {"match": tuple(NamedValue(*pair) for pair in sorted(row["match"].items()))}
    )
