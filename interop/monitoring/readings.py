"""What the readers of all tools share: their result, ids, times, and the event."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import NAMESPACE_URL, UUID, uuid5

from domain.errors import InvalidEventError, Reason, RejectedError
from domain.event import Actor, ActorKind, AuditEvent, Coding, Outcome, Resource, Source
from domain.validation import check
from interop import truncation

Json = Mapping[str, Any]

FAILED, RECOVERED = "health_check.failed", "health_check.recovered"
MAX_LABELS = 50
"""Labels of one alert that are kept as attributes."""
MAX_ITEMS = 1000
"""Alerts or events of one body."""
_NAMESPACE = uuid5(NAMESPACE_URL, "urn:audit-trail:monitoring")


class Ignored(NamedTuple):
    """What is no event of the trail, such as a test of the webhook. `why` is for the sender."""

    why: str


Reading = AuditEvent | Ignored | RejectedError
"""An event, or why there is none. The error is a value here: the other items of a body are read all the same."""

Reader = Callable[[Any, str, datetime], list[Reading]]
"""Reads a body (JSON, as Python has it), for the source with this name, received at this time."""


def read_one(payload: Json, read: Callable[[Json], Reading]) -> list[Reading]:
    """The reading of a body that is one item."""
    return [_read(payload, read, "")]


def read_each(items: list[Any], read: Callable[[Json], Reading], place: str) -> list[Reading]:
    """A reading for each item of a list. Raises `RejectedError` for a list that is too long."""
    if len(items) > MAX_ITEMS:
        raise RejectedError(Reason.OVERSIZED, f"send at most {MAX_ITEMS} of them in one request", field=place)
    return [_read(item, read, f"{place}[{index}]") for index, item in enumerate(items)]


def _read(item: Any, read: Callable[[Json], Reading], place: str) -> Reading:
    if not isinstance(item, dict):
        return InvalidEventError(Reason.INVALID_FIELD, "this is a JSON object", field=place)
    try:
        found = read(item)
        return check(found) if isinstance(found, AuditEvent) else found
    except RejectedError as exc:
        field = f"{place}.{exc.field}" if place and exc.field else place or exc.field
        return InvalidEventError(exc.reason, exc.message, field=field)


def event_id(source: str, *identity: str) -> UUID:
    """The id of the event that these values identify within a source."""
    return uuid5(_NAMESPACE, "\0".join((source, *identity)))


def text(payload: Json, name: str) -> str:
    """A text in the payload; empty when it has none."""
    value = payload.get(name)
    return value.strip() if isinstance(value, str) else ""


def required(payload: Json, name: str) -> str:
    """A text that must be there. Raises `InvalidEventError`."""
    value = text(payload, name)
    if not value:
        raise InvalidEventError(Reason.MISSING_FIELD, "this field is required, as a text", field=name)
    return value


def mapping(payload: Json, name: str) -> Json:
    """An object in the payload; an empty one when it has none."""
    value = payload.get(name)
    return value if isinstance(value, dict) else {}


def moment(payload: Json, name: str) -> datetime:
    """A time that must be there, in RFC 3339. Raises `InvalidEventError`."""
    found = truncation.timestamp(required(payload, name))
    if found is None:
        raise InvalidEventError(Reason.INVALID_FIELD, "send a time in RFC 3339, with its offset", field=name)
    return found


def labels(given: Json) -> dict[str, str]:
    """Labels as attributes: texts of bounded length, and not too many, in the order of their names."""
    kept = [
        (name, value) for name, value in sorted(given.items()) if isinstance(value, str) and value.strip()
    ]
    return {truncation.name(name) or "": truncation.name(value) or "" for name, value in kept[:MAX_LABELS]}


def monitoring_event(
    type: str,
    id: UUID,
    at: datetime,
    source: str,
    *,
    service: str | None,
    attributes: dict[str, Any],
    outcome: Outcome = Outcome.SUCCESS,
    why: str | None = None,
    site: str | None = None,
    instance: str | None = None,
    resources: tuple[Resource, ...] = (),
    codes: tuple[Coding, ...] = (),
    correlation_id: str | None = None,
) -> AuditEvent:
    """The event of a monitor, the `source`, about a `service`."""
    subject = truncation.identifier(service)
    about = (Resource(type="Service", id=subject),) if subject else ()
    name = truncation.identifier(source) or "unknown"
    return AuditEvent(
        event_id=id,
        type=type,
        occurred_at=at,
        source=Source(service=name, site=truncation.name(site), instance=truncation.name(instance)),
        actor=Actor(kind=ActorKind.SERVICE, id=name),
        outcome=outcome,
        outcome_reason=truncation.text(why),
        resources=(*about, *resources),
        codes=codes,
        correlation_id=correlation_id,
        attributes={name: value for name, value in attributes.items() if value not in (None, "", {})},
    )
