"""The events that the trail records about its projections, encoded for publishing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID, uuid4, uuid5

from msgspec import Struct

from domain.catalogue import TRAIL_SERVICE
from domain.event import Actor, ActorKind, AuditEvent, Resource, Source
from domain.validation import decode_event, encode_event
from projections.builds.digests import TableDigest
from projections.registry import Build

_NAMESPACE = UUID("6f2a3c1e-7d5b-5c0e-9a44-3f1d0b8e7c21")


class Skip(Struct, frozen=True):
    """The decision that a projection leaves one event out. `applied` once the trail has it."""

    name: str
    position: int
    event_id: UUID
    failure: str
    reason: str
    decided_by: str
    decided_at: datetime
    applied: bool


def skipped_event(skip: Skip) -> bytes:
    """`projection.event_skipped`. The same decision gives the same bytes, so it can be sent again."""
    decided = skip.decided_at.isoformat()
    event = AuditEvent(
        event_id=uuid5(_NAMESPACE, f"skip/{skip.name}/{skip.position}/{decided}"),
        type="projection.event_skipped",
        occurred_at=skip.decided_at,
        source=Source(service=TRAIL_SERVICE),
        actor=Actor(kind=ActorKind.USER, id=skip.decided_by),
        resources=(
            Resource(type="Projection", id=skip.name),
            Resource(type="AuditEvent", id=str(skip.event_id)),
        ),
        reason=skip.reason,
        attributes={
            "projection": skip.name,
            "position": skip.position,
            "skipped_event_id": str(skip.event_id),
            "failure": skip.failure,
        },
    )
    return _checked(event)


def rebuilt_event(
    build: Build,
    position: int,
    root: bytes,
    tables: Mapping[str, TableDigest],
    made_at: datetime,
    *,
    by: Actor | None = None,
    reason: str | None = None,
) -> bytes:
    """`projection.rebuilt`: the build, the log it was computed from, and the digests of its tables at `position`.

    `root` is the log's root hash at the size `position` + 1. The event id follows from the build, so it can be
    sent again. `by` is who asked for it, with the `reason`; None for the command line, which knows nobody.
    """
    event = AuditEvent(
        event_id=uuid5(_NAMESPACE, f"rebuilt/{build.name}/{build.build}/{build.created_at.isoformat()}"),
        type="projection.rebuilt",
        occurred_at=made_at,
        source=Source(service=TRAIL_SERVICE),
        actor=by or Actor(kind=ActorKind.SERVICE, id=TRAIL_SERVICE),
        resources=(Resource(type="Projection", id=build.name, version=str(build.version)),),
        reason=reason,
        attributes={
            "projection": build.name,
            "version": build.version,
            "build": build.build,
            "definition_sha256": build.definition,
            "code_sha256": build.code_digest,
            "position": position,
            "log_size": position + 1,
            "log_root": root.hex(),
            "tables": {
                name: {"rows": digest.rows, "sha256": digest.sha256}
                for name, digest in sorted(tables.items())
            },
        },
    )
    return _checked(event)


def removed_event(name: str, *, by: str, reason: str) -> bytes:
    """`projection.removed`: the decision that a custom projection ends, with its tables."""
    event = AuditEvent(
        event_id=uuid4(),
        type="projection.removed",
        occurred_at=datetime.now(UTC),
        source=Source(service=TRAIL_SERVICE),
        actor=Actor(kind=ActorKind.USER, id=by),
        resources=(Resource(type="Projection", id=name),),
        reason=reason,
        attributes={"projection": name},
    )
    return _checked(event)


def _checked(event: AuditEvent) -> bytes:
    """The event's JSON. An operator's input has the same bounds as every other event."""
    encoded = encode_event(event)
    decode_event(encoded)
    return encoded
