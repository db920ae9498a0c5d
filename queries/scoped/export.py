"""An export within the scope of one principal: its events, redacted, or a whole table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager

from msgspec.structs import replace

from domain.access.grants import Operation
from domain.access.scope import Scope
from domain.event import RecordedEvent
from domain.read_audit.query_log import QueryLog
from queries.export.manifest import query_of
from queries.export.request import ExportRequest
from queries.export.rows import RowBatch
from queries.export.table_rows import TableShape
from queries.scoped.query_description import parts_of, patients_of_conditions, queried_patients, scope_filter
from queries.scoped.tables import require_table
from queries.scoped.visible_values import with_visible_values


class ScopedExport:
    """An `ExportAccess`. `request` has the scope that the principal's roles give.

    The constructor raises `AccessDeniedError` when the principal may not export this. It does not ask the database, so
    the refusal does not depend on what is there. `query_log` gets the denied query.
    """

    def __init__(self, request: ExportRequest, scope: Scope, query_log: QueryLog) -> None:
        self.request = request
        self._scope = scope
        self._query_log = query_log
        with self._refusals():
            scope.require(Operation.EXPORT)
            if request.table is not None:
                scope.hidden(Operation.READ_TABLES)
                return
            parts = parts_of(request.filter, scope.own_patients)
            rows = scope_filter(scope.rows(Operation.EXPORT, parts))
        hidden = tuple(sorted(part.value for part in scope.hides_in_every_row()))
        visible = with_visible_values(request.filter, scope)
        self.request = replace(request, scope=rows, visible=visible, hidden=hidden)

    def require_table(self, table: TableShape) -> None:
        """See `ExportAccess`."""
        with self._refusals():
            require_table(self._scope, custom=table.custom)

    def redacted(self, batches: Iterable[RowBatch]) -> Iterable[RowBatch]:
        """See `ExportAccess`."""
        return batches if self._scope.sees_all else self._redacted(batches)

    def _redacted(self, batches: Iterable[RowBatch]) -> Iterator[RowBatch]:
        for batch in batches:
            yield replace(batch, rows=[self._event(row) for row in batch.rows])

    def _event(self, row: RecordedEvent) -> RecordedEvent:
        return replace(row, event=self._scope.redacted(row.event))

    def _refusals(self) -> AbstractContextManager[None]:
        request = self.request
        return self._query_log.record_denial(
            "export",
            lambda: (
                query_of(request),
                [*queried_patients(request.filter), *patients_of_conditions(request.where)],
            ),
        )
