"""Rows from files of any known format."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, tzinfo
from pathlib import Path

from msgspec import Struct

from detection.context.files.csv_file import read_csv
from detection.context.files.fhir import FhirReader
from detection.context.files.scim import ScimReader
from detection.context.files.source import Found, Source, Tally, at
from detection.context.rows import Row, make_row
from detection.context.tables import Format, Table
from domain.errors import ConfigurationError, RejectedError
from interop.systems import OWN, Systems

_BY_NAME = {".csv": Format.CSV, ".tsv": Format.CSV, ".ndjson": Format.FHIR}
"""JSON can be FHIR or SCIM."""


class Reading(Struct, frozen=True, kw_only=True):
    """How files are read. `format`: None decides by the files' names.

    `zone`: that of times without an offset. `base`: the FHIR server of ids without a full URL.
    """

    table: Table
    format: Format | None = None
    zone: tzinfo = UTC
    systems: Systems = OWN
    base: str | None = None

    def chosen(self, files: Sequence[Path]) -> Format:
        """The format. Raises `ConfigurationError` when the table is not read from it."""
        format = self.format
        if format is None:
            found = {_BY_NAME.get(file.suffix.lower()) for file in files}
            format = found.pop() if len(found) == 1 else None
        if format is None:
            raise ConfigurationError(f"--format: write {' or '.join(self.table.formats)}")
        if format not in self.table.formats:
            raise ConfigurationError(
                f"--format: {self.table.name} is read from {' or '.join(self.table.formats)}, not from {format}"
            )
        return format

    def rows(self, files: Sequence[Path], tally: Tally) -> Iterator[tuple[str, Row]]:
        """The rows, each with its place. Raises `RejectedError` with the file, the line or resource, and the column."""
        for place, given in self._found(files, tally):
            try:
                row = make_row(self.table, given, self.zone)
            except RejectedError as exc:
                raise at(place, exc) from exc
            yield place, row

    def _found(self, files: Sequence[Path], tally: Tally) -> Iterator[Found]:
        match self.chosen(files):
            case Format.CSV:
                for file in files:
                    with Source(file) as source:
                        yield from read_csv(self.table, source, tally)
            case Format.FHIR:
                reader = FhirReader(self.table, self.systems, self.base)
                for file in files:
                    with Source(file) as source:
                        yield from reader.read(source, tally)
                yield from reader.finish(tally)
            case Format.SCIM:
                users = ScimReader()
                for file in files:
                    with Source(file) as source:
                        yield from users.read(source, tally)
                users.finish()
