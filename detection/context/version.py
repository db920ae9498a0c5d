"""A stored version of a table, its event, and which versions count at a position of the log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from uuid import UUID

import msgspec
from msgspec import Struct

from domain.catalogue import TRAIL_SERVICE
from domain.event import Actor, ActorKind, AuditEvent, RecordedEvent, Resource, Source

EVENT_TYPE = "context.loaded"
RESOURCE = "ContextTable"
"""The resource type of a table in events."""


class StoredVersion(Struct, frozen=True, kw_only=True):
    """A row of `context_version`: see migration 0019. `digest` is in hexadecimal digits."""

    table_name: str
    version: int
    digest: str
    rows: int
    format: str
    decided_by: str
    reason: str
    login: str
    event_id: UUID
    loaded_at: datetime
    published_at: datetime | None = None


def loaded_event(stored: StoredVersion) -> AuditEvent:
    """`context.loaded`. The same version gives the same event, so it can be published again."""
    return AuditEvent(
        event_id=stored.event_id,
        type=EVENT_TYPE,
        occurred_at=stored.loaded_at,
        source=Source(service=TRAIL_SERVICE),
        actor=Actor(kind=ActorKind.USER, id=stored.decided_by),
        reason=stored.reason,
        resources=(Resource(type=RESOURCE, id=stored.table_name, version=str(stored.version)),),
        attributes={
            "table": stored.table_name,
            "version": stored.version,
            "sha256": stored.digest,
            "rows": stored.rows,
            "format": stored.format,
            "login": stored.login,
        },
    )


class CurrentVersions:
    """Which version of each table counts: a fold over the log, in its order.

    An event counts only when `context_version` has its id with the same table, version and digest: anybody with write
    access to the topic can publish an event of this type. A version counts from the position of its event, and only
    after lower ones.
    """

    def __init__(self, versions: Mapping[str, int] | None = None) -> None:
        self.versions: dict[str, int] = dict(versions or {})

    def apply(
        self, recorded: RecordedEvent, find: Callable[[UUID], StoredVersion | None]
    ) -> StoredVersion | None:
        """The version that counts from this event on; None when the event changes nothing.

        `find` is `storage.version_of_event`, with a connection.
        """
        event = recorded.event
        if event.type != EVENT_TYPE or event.source.service != TRAIL_SERVICE:
            return None
        stored = find(event.event_id)
        if stored is None or event.attributes != loaded_event(stored).attributes:
            return None
        if stored.version <= self.versions.get(stored.table_name, 0):
            return None
        self.versions[stored.table_name] = stored.version
        return stored

    def state(self) -> bytes:
        """The state, as JSON."""
        return msgspec.json.encode(dict(sorted(self.versions.items())))

    @classmethod
    def resumed(cls, state: bytes) -> CurrentVersions:
        """From a saved state."""
        return cls(msgspec.json.decode(state, type=dict[str, int]))
