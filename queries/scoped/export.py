"""Exports as one principal may have them: the events within the scope, each without what is hidden, or whole tables."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from msgspec.structs import replace

from domain.access.grants import Operation
from domain.access.scope import Scope
from domain.event import RecordedEvent
from domain.read_audit.query_log import QueryLog
from queries.export.batches import ExportRequest, Opened, Source
from queries.export.columns import Batch, ExportColumn
from queries.export.disclosed_patients import asked_of_export
from queries.read_models import ReadModels
from queries.scoped.query_description import parts_of, patients_of_conditions, queried_patients, scope_filter
from queries.scoped.tables import require_table


class Opening(Protocol):
    """See `queries.export.batches.Exports`."""

    def open(self, request: ExportRequest) -> AbstractContextManager[Opened]:
        """Begin an export."""
        ...


class ScopedExports:
    """See `queries.export.batches.Exports`, of which it is the part that HTTP uses."""

    def __init__(self, exports: Opening, models: ReadModels, scope: Scope, query_log: QueryLog) -> None:
        self._exports = exports
        self._models = models
        self._scope = scope
        self._query_log = query_log

    def check(self, request: ExportRequest) -> None:
        """Raise `AccessDeniedError` when this can't be exported, whatever there is. It asks no database."""
        with self._asking(request):
            self._scope.require(Operation.EXPORT)
            if request.table is not None:
                self._scope.hidden(Operation.READ_TABLES)
            else:
                self._scope.rows(Operation.EXPORT, parts_of(request.filter, self._scope.principal.patients))

    def _asking(self, request: ExportRequest) -> AbstractContextManager[None]:
        return self._query_log.record_denial(
            "export",
            lambda: (
                asked_of_export(request),
                [*queried_patients(request.filter), *patients_of_conditions(request.where)],
            ),
        )

    @contextmanager
    def open(self, request: ExportRequest) -> Iterator[Opened]:
        """See `Exports`. Raises `AccessDeniedError`."""
        self.check(request)
        if request.table is None:
            rows = self._scope.rows(
                Operation.EXPORT, parts_of(request.filter, self._scope.principal.patients)
            )
            hidden = tuple(sorted(part.value for part in self._scope.hides_in_every_row()))
            request = replace(request, scope=scope_filter(rows), hidden=hidden)
        with self._exports.open(request) as opened:
            if request.table is not None:
                with self._asking(request):
                    self._require(opened.snapshot.projection or "")
            elif not self._scope.sees_all:
                opened.source = _Shown(opened.source, self._scope)
            yield opened

    def _require(self, projection: str) -> None:
        if self._scope.hidden(Operation.READ_TABLES):
            live = self._models.projection(projection)
            require_table(self._scope, own=live is not None and live.own)


class _Shown:
    """Events without what is hidden; see `queries.export.batches.Source`."""

    def __init__(self, source: Source, scope: Scope) -> None:
        self._source = source
        self._scope = scope

    @property
    def columns(self) -> tuple[ExportColumn, ...]:
        return self._source.columns

    def batches(self, beyond: tuple[Any, ...] | None) -> Generator[Batch, None, None]:
        for batch in self._source.batches(beyond):
            yield replace(batch, rows=[self._shown(row) for row in batch.rows])

    def lines(self, rows: Sequence[Any]) -> bytes:
        return self._source.lines(rows)

    def values(self, rows: Sequence[Any]) -> list[tuple[Any, ...]]:
        return self._source.values(rows)

    def _shown(self, row: RecordedEvent) -> RecordedEvent:
        return replace(row, event=self._scope.redacted(row.event))
