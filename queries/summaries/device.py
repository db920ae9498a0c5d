"""The activity of a device: its versions and its configuration over time."""

from __future__ import annotations

from domain.json_parsing import decode_json
from event_store.database import Connection
from event_store.statements import load
from projections.hash_codes import OUTCOMES
from projections.models.device import CONFIGURATION, SOFTWARE
from queries.summaries.results import ConfigurationChange, DeviceActivity, VersionPeriod

_SQL = load(__package__, "device.sql")


def find_device(connection: Connection, id: str, limit: int, as_of: int) -> DeviceActivity | None:
    """The activity of a device, None when no event names it. Versions and changes: the latest `limit`."""
    parameters = {"id": id, "limit": limit}
    with connection.cursor() as cursor:
        cursor.execute(_SQL["find_device"], parameters)
        row = cursor.fetchone()
        if row is None:
            return None
        cursor.execute(_SQL["list_versions"], parameters | {"kind": SOFTWARE})
        software = [VersionPeriod(*version) for version in cursor.fetchall()]
        cursor.execute(_SQL["list_versions"], parameters | {"kind": CONFIGURATION})
        configurations = [VersionPeriod(*version) for version in cursor.fetchall()]
        cursor.execute(_SQL["list_changes"], parameters)
        changes = [
            ConfigurationChange(
                position,
                occurred_at,
                actor_id,
                path,
                decode_json(before),
                decode_json(after),
                OUTCOMES[outcome],
            )
            for position, occurred_at, actor_id, path, before, after, outcome in cursor.fetchall()
        ]
    name, first_seen, last_seen, events, connected = row
    return DeviceActivity(
        id, name, first_seen, last_seen, events, connected, software, configurations, changes, as_of
    )
