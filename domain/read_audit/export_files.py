"""The end of an export's file: `export.deleted`, by its owner or because its time was over.

The start of an export, the patients that it disclosed and each download are `audit_log.read`: see `events`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import uuid4

from msgspec.structs import replace

from domain.access.principal import Principal
from domain.catalogue import TRAIL_SERVICE
from domain.event import Action, Actor, ActorKind, AuditEvent, Resource, Source
from domain.read_audit.events import AccessDetails, Via, shared_fields
from domain.read_audit.truncation import bounded

DELETED = "export.deleted"
EXPORT = "Export"
"""The resource type of an export's file; the resource's id is the job's."""


def deleted_event(
    job: str, file: Mapping[str, Any], principal: Principal, details: AccessDetails, source: Source
) -> AuditEvent:
    """The owner deletes an export. `file` describes it: format, rows, digest, how often it was downloaded."""
    event = AuditEvent(
        **shared_fields(principal, details, source),
        type=DELETED,
        action=Action.DELETE,
        resources=(Resource(type=EXPORT, id=job),),
        attributes={"via": Via.DASHBOARD.value, "why": "deleted by its owner", **bounded(file)},
    )
    return replace(event, request=None)


def expired_event(job: str, file: Mapping[str, Any], at: datetime, source: Source) -> AuditEvent:
    """The trail itself deletes an export whose time is over."""
    return AuditEvent(
        event_id=uuid4(),
        type=DELETED,
        occurred_at=at,
        source=source,
        actor=Actor(kind=ActorKind.SERVICE, id=TRAIL_SERVICE),
        action=Action.DELETE,
        resources=(Resource(type=EXPORT, id=job),),
        attributes={"why": "expired", **bounded(file)},
    )
