"""What to export, and in which format."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from domain.errors import ConflictError, Reason, RejectedError
from queries.export import parquet
from queries.filters.checks import check_filter, check_identifier
from queries.filters.event_filter import EventFilter


class Format(StrEnum):
    """How rows are written."""

    NDJSON = "ndjson"
    CSV = "csv"
    PARQUET = "parquet"

    @property
    def media_type(self) -> str:
        """For HTTP."""
        return {
            Format.NDJSON: "application/x-ndjson",
            Format.CSV: "text/csv; charset=utf-8; header=present",
            Format.PARQUET: "application/vnd.apache.parquet",
        }[self]


class ExportRequest(Struct, frozen=True, kw_only=True):
    """All events that match `filter`, or all rows of `table` whose columns equal the texts in `where`.

    `scope` limits the events to those that the caller may see. `visible` is searched in the place of `filter`: it
    compares only the values that the caller sees. `hidden` names the parts that are redacted from every
    event. None of them applies to a table: it is exported whole.

    The constructor raises `RejectedError` that names the field at fault, and `ConfigurationError` when Parquet is
    requested and pyarrow is missing.
    """

    format: Format
    filter: EventFilter = EventFilter()
    table: str | None = None
    where: tuple[tuple[str, str], ...] = ()
    scope: EventFilter | None = None
    visible: EventFilter | None = None
    hidden: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the fields."""
        check_filter(self.filter)
        if self.table is None:
            if self.where:
                raise ConflictError(Reason.MISSING_FIELD, "where needs table", field="table")
        else:
            check_identifier("table", self.table)
            if self.filter != EventFilter():
                raise ConflictError(
                    Reason.INVALID_FIELD, "filters are for events; of a table, use where", field="table"
                )
            if self.scope is not None:
                raise RejectedError(
                    Reason.INVALID_FIELD, "a table is exported whole, or not at all", field="table"
                )
        if self.format is Format.PARQUET:
            parquet.require()
