"""The manifest of an export: what was asked, of which log, and what came of it."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from msgspec import Struct

from domain.event import RecordedEvent
from queries.conditions import name_of
from queries.export.batches import ExportRequest, Format, Opened, Snapshot
from queries.filters import EventFilter

VERSION = "audit-trail-export/1"


class ExportFile(Struct, frozen=True, kw_only=True):
    """A file, or all lines before the manifest of a stream. `sha256` is in hexadecimal."""

    name: str
    bytes: int
    sha256: str


class Manifest(Struct, frozen=True, kw_only=True):
    """`exported` is ``events`` or the table's name; `filter` has what was given, by its REST names.

    `scope` is what whoever asked may see, as a filter that held beside it, None for everything; `hidden` names the
    parts that every event lacks for the same reason.

    `snapshot` is the log at the moment of the export: its size, its Merkle root, and the position up to which the
    export is complete. `created_at` is when the export began.
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


def manifest_of(opened: Opened, rows: int, files: list[ExportFile], created_at: datetime) -> Manifest:
    """The manifest of an export that is complete."""
    request = opened.request
    return Manifest(
        program=f"audit-trail {metadata.version('audit-trail')}",
        created_at=created_at,
        exported=exported(request),
        filter=filter_of(request),
        scope=None if request.scope is None else given_of(request.scope),
        hidden=request.hidden,
        format=request.format,
        columns=_columns(opened),
        snapshot=opened.snapshot,
        rows=rows,
        files=files,
    )


def now() -> datetime:
    """The present time, in whole seconds."""
    return datetime.now(UTC).replace(microsecond=0)


def exported(request: ExportRequest) -> str:
    """Events, or the name of a table."""
    return "events" if request.table is None else request.table


def filter_of(request: ExportRequest) -> dict[str, Any]:
    """What was given, by the names that a caller uses."""
    if request.where:
        return {"where": [f"{name}={value}" for name, value in request.where]}
    return given_of(request.filter)


def given_of(filter: EventFilter) -> dict[str, Any]:
    """A filter's conditions by the names of the parameters and options, as JSON."""
    return {name_of(name).removesuffix("_"): _plain(getattr(filter, name)) for name in filter.given()}


def _plain(value: Any) -> Any:
    if isinstance(value, EventFilter):
        return given_of(value)
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return value.isoformat() if isinstance(value, datetime) else value


def _columns(opened: Opened) -> list[dict[str, str]]:
    if opened.request.format is Format.NDJSON and opened.request.table is None:
        return [{"name": name, "type": "json"} for name in RecordedEvent.__struct_fields__]
    return [
        {"name": column.name, "type": "objects" if column.fields else column.kind.name.lower()}
        for column in opened.source.columns
    ]
