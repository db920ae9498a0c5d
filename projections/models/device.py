"""Device activity: actions by and on a device, its versions, and its configuration over time.

An event belongs to the device that it names, and to its actor when that is a device.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache

import msgspec

from domain.event import ActorKind, AuditEvent, Device, RecordedEvent
from projections.binary_rows import utc
from projections.hash_codes import HOUR_NUMBER, OF_TIMELINES, OUTCOME, OUTCOME_CODES, timeline_hash_codes
from projections.merges import MAX, MIN, SUM, latest
from projections.tables import Column, Index, Kind, Row, Table

SOFTWARE = "software"
CONFIGURATION = "configuration"
_CONNECTED = {"device.connected": True, "device.disconnected": False}

TIMELINE = Table(
    "device_timeline",
    ("device_id", "position"),
    (Column("position", Kind.BIGINT), *OF_TIMELINES, HOUR_NUMBER, Column("device_id", Kind.TEXT)),
    carried=tuple(column.name for column in (*OF_TIMELINES, HOUR_NUMBER)),
    counted_in_index=True,
)

SUMMARY = Table(
    "device_summary",
    ("device_id",),
    (
        Column("events", Kind.BIGINT, SUM),
        Column("first_at", Kind.TIMESTAMP, MIN),
        Column("last_at", Kind.TIMESTAMP, MAX),
        Column("device_id", Kind.TEXT),
        Column("name", Kind.TEXT, latest("name_position"), nullable=True),
        Column("name_position", Kind.BIGINT, MAX, nullable=True),
        Column("connected", Kind.BOOLEAN, latest("connected_position"), nullable=True),
        Column("connected_position", Kind.BIGINT, MAX, nullable=True),
    ),
)

VERSION = Table(
    "device_version",
    ("device_id", "kind", "digest"),
    (
        Column("first_at", Kind.TIMESTAMP, MIN),
        Column("last_at", Kind.TIMESTAMP, MAX),
        Column("device_id", Kind.TEXT),
        Column("kind", Kind.TEXT),
        # A version's text may be longer than a B-tree key can be.
        Column("digest", Kind.TEXT),
        Column("version", Kind.TEXT, MAX),
    ),
)

CHANGE = Table(
    "device_configuration",
    ("device_id", "position", "number"),
    (
        Column("position", Kind.BIGINT),
        Column("number", Kind.BIGINT),
        Column("occurred_at", Kind.TIMESTAMP),
        OUTCOME,
        Column("device_id", Kind.TEXT),
        Column("actor_id", Kind.TEXT, nullable=True),
        Column("path", Kind.TEXT),
        Column("before", Kind.JSON),
        Column("after", Kind.JSON),
    ),
    # For the configuration as of a time: one look-up finds the next path, another its newest change. A change that
    # failed set nothing.
    (Index(("device_id", "path", "occurred_at", "position", "number"), "outcome = 0"),),
)
"""`number` is the change's place in its event."""

_json = msgspec.json.Encoder().encode


class DeviceProjector:
    """Writes the devices' timelines, summaries, versions and configuration changes."""

    name = "device"
    version = 4
    tables = (TIMELINE, SUMMARY, VERSION, CHANGE)

    def rows(self, events: Sequence[RecordedEvent]) -> Mapping[str, list[Row]]:
        """A timeline row for each device of an event. For the named device also versions and changes."""
        timeline: list[Row] = []
        summaries: list[Row] = []
        versions: list[Row] = []
        changes: list[Row] = []
        for recorded in events:
            event = recorded.event
            if event.device is None and event.actor.kind is not ActorKind.DEVICE:
                continue
            position = recorded.position
            moment = utc(event.occurred_at)
            codes = timeline_hash_codes(event)
            hour = int(event.occurred_at.timestamp()) // 3600
            for device_id, name in _devices(event).items():
                timeline.append((position, *codes, hour, device_id))
                connected = (
                    _CONNECTED.get(event.type) if event.device and event.device.id == device_id else None
                )
                summaries.append(_summary(position, moment, device_id, name, connected))
            if event.device is not None:
                versions.extend(_versions(event.device, moment))
                if event.type == "configuration.changed":
                    changes.extend(_changes(recorded, event.device.id, moment))
        return {
            "device_timeline": timeline,
            "device_summary": summaries,
            "device_version": versions,
            "device_configuration": changes,
        }


def _devices(event: AuditEvent) -> dict[str, str | None]:
    """Ids and names. The event's device overrides its actor."""
    found: dict[str, str | None] = {}
    if event.actor.kind is ActorKind.DEVICE and event.actor.id is not None:
        found[event.actor.id] = event.actor.name
    if event.device is not None:
        found[event.device.id] = event.device.name or found.get(event.device.id)
    return found


def _summary(
    position: int, moment: datetime, device_id: str, name: str | None, connected: bool | None
) -> Row:
    named = None if name is None else position
    said = None if connected is None else position
    return (1, moment, moment, device_id, name, named, connected, said)


def _versions(device: Device, moment: datetime) -> Iterator[Row]:
    for kind, version in (
        (SOFTWARE, device.software_version),
        (CONFIGURATION, device.configuration_version),
    ):
        if version is not None:
            yield (moment, moment, device.id, kind, _digest(version), version)


@lru_cache(maxsize=1024)
def _digest(version: str) -> str:
    return hashlib.sha256(version.encode()).hexdigest()[:32]


def _changes(recorded: RecordedEvent, device_id: str, moment: datetime) -> Iterator[Row]:
    actor = recorded.event.actor.id
    outcome = OUTCOME_CODES[recorded.event.outcome]
    for number, change in enumerate(recorded.event.changes):
        yield (
            recorded.position,
            number,
            moment,
            outcome,
            device_id,
            actor,
            change.path,
            _json(change.before),
            _json(change.after),
        )
