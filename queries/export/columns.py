"""The columns of an event in CSV and Parquet: one row per event; single values are flat, repeated values are nested.

The order and the names are a published interface: `docs/how-to/export.md` describes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from msgspec import Struct

from domain.catalogue import CATALOGUE
from domain.event import Action, RecordedEvent
from projections.binary_rows import utc
from projections.models.activity import DEFAULT_ACTIONS
from projections.tables import Kind
from queries.export.rows import ExportColumn

_json = msgspec.json.Encoder().encode


_TEXT, _TIME = Kind.TEXT, Kind.TIMESTAMP


def _action(recorded: RecordedEvent) -> str:
    """The action that filters use: the event's own, or else the default of its type in the catalogue."""
    event = recorded.event
    return (event.action or DEFAULT_ACTIONS.get(event.type, Action.EXECUTE)).value


_COLUMNS: tuple[tuple[ExportColumn, Callable[[RecordedEvent], Any]], ...] = (
    (ExportColumn("position", Kind.BIGINT), lambda r: r.position),
    (ExportColumn("recorded_at", _TIME), lambda r: r.recorded_at),
    (ExportColumn("occurred_at", _TIME), lambda r: utc(r.event.occurred_at)),
    (ExportColumn("event_id", _TEXT), lambda r: str(r.event.event_id)),
    (ExportColumn("type", _TEXT), lambda r: r.event.type),
    (ExportColumn("category", _TEXT), lambda r: _category(r.event.type)),
    (ExportColumn("action", _TEXT), _action),
    (ExportColumn("outcome", _TEXT), lambda r: r.event.outcome.value),
    (ExportColumn("outcome_reason", _TEXT), lambda r: r.event.outcome_reason),
    (ExportColumn("emergency", Kind.BOOLEAN), lambda r: r.event.emergency),
    (ExportColumn("source_service", _TEXT), lambda r: r.event.source.service),
    (ExportColumn("source_site", _TEXT), lambda r: r.event.source.site),
    (ExportColumn("source_instance", _TEXT), lambda r: r.event.source.instance),
    (ExportColumn("source_sequence", Kind.BIGINT), lambda r: r.event.source.sequence),
    (ExportColumn("actor_kind", _TEXT), lambda r: r.event.actor.kind.value),
    (ExportColumn("actor_id", _TEXT), lambda r: r.event.actor.id),
    (ExportColumn("actor_name", _TEXT), lambda r: r.event.actor.name),
    (ExportColumn("actor_roles", Kind.TEXTS), lambda r: list(r.event.actor.roles)),
    (ExportColumn("actor_on_behalf_of", _TEXT), lambda r: r.event.actor.on_behalf_of),
    (ExportColumn("session", _TEXT), lambda r: r.event.session),
    (ExportColumn("client_address", _TEXT), lambda r: _part(r.event.client, "address")),
    (ExportColumn("client_user_agent", _TEXT), lambda r: _part(r.event.client, "user_agent")),
    (ExportColumn("patient_ids", Kind.TEXTS), lambda r: [patient.id for patient in r.event.patients]),
    (ExportColumn("patients", Kind.JSON, ("id", "name")), lambda r: _structs(r.event.patients)),
    (ExportColumn("device_id", _TEXT), lambda r: _part(r.event.device, "id")),
    (ExportColumn("device_name", _TEXT), lambda r: _part(r.event.device, "name")),
    (ExportColumn("device_software_version", _TEXT), lambda r: _part(r.event.device, "software_version")),
    (
        ExportColumn("device_configuration_version", _TEXT),
        lambda r: _part(r.event.device, "configuration_version"),
    ),
    (
        ExportColumn("resources", Kind.JSON, ("type", "id", "version", "data_category")),
        lambda r: _structs(r.event.resources),
    ),
    (
        ExportColumn("changes", Kind.JSON, ("path", "before", "after")),
        lambda r: [
            {"path": each.path, "before": _text(each.before), "after": _text(each.after)}
            for each in r.event.changes
        ],
    ),
    (ExportColumn("purpose_of_use", Kind.TEXTS), lambda r: list(r.event.purpose_of_use)),
    (ExportColumn("reason", _TEXT), lambda r: r.event.reason),
    (ExportColumn("correlation_id", _TEXT), lambda r: r.event.correlation_id),
    (ExportColumn("request_method", _TEXT), lambda r: _part(r.event.request, "method")),
    (ExportColumn("request_path", _TEXT), lambda r: _part(r.event.request, "path")),
    (ExportColumn("request_status", Kind.INTEGER), lambda r: _part(r.event.request, "status")),
    (ExportColumn("request_duration_ms", Kind.DOUBLE), lambda r: _part(r.event.request, "duration_ms")),
    (ExportColumn("disclosure_recipient", _TEXT), lambda r: _part(r.event.disclosure, "recipient")),
    (
        ExportColumn("disclosure_recipient_address", _TEXT),
        lambda r: _part(r.event.disclosure, "recipient_address"),
    ),
    (ExportColumn("disclosure_description", _TEXT), lambda r: _part(r.event.disclosure, "description")),
    (ExportColumn("disclosure_purpose", _TEXT), lambda r: _part(r.event.disclosure, "purpose")),
    (ExportColumn("codes", Kind.JSON, ("system", "code", "display")), lambda r: _structs(r.event.codes)),
    (ExportColumn("attributes", Kind.JSON), lambda r: _text(r.event.attributes)),
    (ExportColumn("schema_version", Kind.INTEGER), lambda r: r.event.schema_version),
    (ExportColumn("stream", _TEXT), lambda r: str(r.stream)),
    (ExportColumn("stream_position", Kind.BIGINT), lambda r: r.stream_position),
)

EVENT_COLUMNS = tuple(column for column, _ in _COLUMNS)
_VALUES = tuple(value for _, value in _COLUMNS)


def event_values(events: Iterable[RecordedEvent]) -> list[tuple[Any, ...]]:
    """The values of `EVENT_COLUMNS`, for each event."""
    return [tuple([value(event) for value in _VALUES]) for event in events]


def _category(type: str) -> str | None:
    entry = CATALOGUE.get(type)
    return entry.category.value if entry else None


def _part(part: Struct | None, field: str) -> Any:
    return getattr(part, field) if part is not None else None


def _structs(parts: tuple[Struct, ...]) -> list[dict[str, Any]]:
    return [{name: getattr(part, name) for name in part.__struct_fields__} for part in parts]


def _text(value: Any) -> str:
    return _json(value).decode()
