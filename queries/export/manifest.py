"""The manifest of an export: its query, the state of the log, and its files."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from msgspec import Struct

from domain.event import RecordedEvent
from domain.read_audit.truncation import recorded_value
from queries.export.pipeline import Export, Snapshot
from queries.export.request import ExportRequest, Format
from queries.filters.conditions import name_of
from queries.filters.event_filter import EventFilter

VERSION = "audit-trail-export/1"


class ExportFile(Struct, frozen=True, kw_only=True):
    """A file, or all lines of a stream before its manifest. `sha256` is in hexadecimal."""

    name: str
    bytes: int
    sha256: str


class Manifest(Struct, frozen=True, kw_only=True):
    """What an export holds.

    `exported` is ``events`` or the table's name; `filter` has the conditions by their REST names.

    `scope` is the filter that limited the caller's access, None for everything. `hidden` names the parts that are
    redacted from every event.

    `snapshot` is the state of the log: its size, its Merkle root, and the position up to which the export is complete.
    `created_at` is when the export began.
    """

    manifest: str = VERSION
    program: str
    created_at: datetime
    exported: str
    filter: dict[str, Any]
    scope: dict[str, Any] | None = None
    hidden: tuple[str, ...] = ()
    format: Format
    columns: list[dict[str, str]]
    snapshot: Snapshot
    rows: int
    files: list[ExportFile]


def manifest_of(export: Export, rows: int, files: list[ExportFile], created_at: datetime) -> Manifest:
    """The manifest of a complete export."""
    request = export.request
    return Manifest(
        program=f"audit-trail {metadata.version('audit-trail')}",
        created_at=created_at,
        exported=exported(request),
        filter=filter_of(request),
        scope=None if request.scope is None else given_of(request.scope),
        hidden=request.hidden,
        format=request.format,
        columns=_columns(export),
        snapshot=export.snapshot,
        rows=rows,
        files=files,
    )


def now() -> datetime:
    """The present time, in whole seconds."""
    return datetime.now(UTC).replace(microsecond=0)


def exported(request: ExportRequest) -> str:
    """``events``, or the name of the table."""
    return "events" if request.table is None else request.table


def filter_of(request: ExportRequest) -> dict[str, Any]:
    """The conditions, by the names that callers use."""
    if request.where:
        return {"where": [f"{name}={value}" for name, value in request.where]}
    return given_of(request.filter)


def query_of(request: ExportRequest) -> dict[str, Any]:
    """The query, for the access record. It holds no person's name from a condition on a column."""
    filter = filter_of(request)
    if request.where:
        filter["where"] = [f"{name}={recorded_value(name, value)}" for name, value in request.where]
    return {"exported": exported(request), "filter": filter, "format": request.format.value}


def given_of(filter: EventFilter) -> dict[str, Any]:
    """The conditions of a filter as JSON, by the names of the parameters and options."""
    return {name_of(name).removesuffix("_"): _plain(getattr(filter, name)) for name in filter.given()}


def _plain(value: Any) -> Any:
    if isinstance(value, EventFilter):
        return given_of(value)
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return value.isoformat() if isinstance(value, datetime) else value


def _columns(export: Export) -> list[dict[str, str]]:
    if export.request.format is Format.NDJSON and export.request.table is None:
        return [{"name": name, "type": "json"} for name in RecordedEvent.__struct_fields__]
    return [
        {"name": column.name, "type": "objects" if column.fields else column.kind.name.lower()}
        for column in export.columns
    ]
