"""The configuration of a device as of a time: the value of each field, from the changes that events report.

A change counts if a `configuration.changed` event names the device and its outcome is success. The newest change by the
source's clock decides; of changes at the same time, the later one in the log.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from msgspec import Struct

from domain.json_parsing import decode_json
from event_store.database import Connection, Cursor
from event_store.statements import load
from queries.cursors import CursorError
from queries.summaries.results import ConfigurationValue

_SQL = load(__package__, "configuration.sql")


class ChangePlace(NamedTuple):
    """A change of a device: the event at `position`, and the change's number in it. It stands for the change's path.

    A cursor holds it instead of the path, which may be hidden from the client.
    """

    position: int
    number: int


class ConfigurationPage(Struct, frozen=True):
    """Values in the order of their paths, compared by code point.

    `places` has the cursor of each value, and `end` is the end of the page; None on the last page.
    """

    as_of: datetime
    values: list[ConfigurationValue]
    places: list[ChangePlace]
    end: ChangePlace | None
    as_of_position: int


def find_configuration(
    connection: Connection,
    id: str,
    moment: datetime,
    limit: int,
    after: ChangePlace | None,
    as_of_position: int,
) -> ConfigurationPage | None:
    """The values of at most `limit` fields at `moment`, None when no event names the device.

    Raises `CursorError` when `after` is no change of the device.
    """
    with connection.cursor() as cursor:
        cursor.execute(_SQL["is_known"], {"id": id})
        if cursor.fetchone() is None:
            return None
        path = "" if after is None else _path_at(cursor, id, after)
        cursor.execute(_SQL["list_values"], {"id": id, "path": path, "moment": moment, "limit": limit + 1})
        rows = cursor.fetchall()
    values = [
        ConfigurationValue(path, decode_json(value), since, actor_id, later, position, UUID(str(event_id)))
        for path, value, since, actor_id, later, position, _, event_id in rows[:limit]
    ]
    places = [ChangePlace(position, number) for *_, position, number, _ in rows[:limit]]
    return ConfigurationPage(
        moment, values, places, places[-1] if len(rows) > limit else None, as_of_position
    )


def _path_at(cursor: Cursor, id: str, place: ChangePlace) -> str:
    cursor.execute(_SQL["path_at"], {"id": id} | place._asdict())
    row = cursor.fetchone()
    if row is None:
        raise CursorError("not a cursor of this device; follow the links or pageInfo", "after")
    return str(row[0])
