"""Parquet, by pyarrow, which is an extra. A row group is written as soon as it is full.

Times are UTC in microseconds, repeated values are lists, repeated objects are lists of structs, other JSON is text.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Sequence
from typing import IO, Any

from domain.errors import ConfigurationError
from projections.tables import Kind
from queries.export.rows import ExportColumn, ExportedRows

GROUP_ROWS = 50_000
GROUP_BYTES = 8 << 20
"""A row group stays in memory until it reaches one of these, and is written from a second copy: the peak of memory."""


def available() -> bool:
    """Whether pyarrow is installed."""
    return importlib.util.find_spec("pyarrow") is not None


def require() -> None:
    """Raise `ConfigurationError` that names the extra when pyarrow is missing."""
    if not available():
        raise ConfigurationError("Parquet needs pyarrow: pip install 'audit-trail[export]'")


def schema_of(columns: Sequence[ExportColumn]) -> Any:
    """The Arrow schema."""
    import pyarrow as pa  # noqa: PLC0415 - an extra, and 0.2 s that other commands need not wait for

    kinds = {
        Kind.TEXT: pa.string(),
        Kind.TEXTS: pa.list_(pa.string()),
        Kind.BIGINT: pa.int64(),
        Kind.INTEGER: pa.int32(),
        Kind.SMALLINT: pa.int16(),
        Kind.BOOLEAN: pa.bool_(),
        Kind.DOUBLE: pa.float64(),
        Kind.TIMESTAMP: pa.timestamp("us", tz="UTC"),
        Kind.JSON: pa.string(),
    }
    return pa.schema(
        (
            column.name,
            pa.list_(pa.struct([(name, pa.string()) for name in column.fields]))
            if column.fields
            else kinds[column.kind],
        )
        for column in columns
    )


class _Sink:
    """A file in memory whose bytes can be taken as they are written. It can't seek; Parquet does not need that."""

    closed = False

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._at = 0

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._parts.append(part)
        self._at += len(part)
        return len(part)

    def tell(self) -> int:
        return self._at

    def flush(self) -> None:
        """Do nothing: no byte is kept back."""

    def close(self) -> None:
        """Do nothing: there is nothing to release."""

    def take(self) -> bytes:
        data = b"".join(self._parts)
        self._parts.clear()
        return data


class ParquetEncoder:
    """One Parquet file, an `Encoder`. `groups` is the number of complete row groups."""

    def __init__(self, rows: ExportedRows) -> None:
        require()
        import pyarrow as pa  # noqa: PLC0415
        import pyarrow.parquet as pq  # noqa: PLC0415

        self.groups = 0
        self._values = rows.values
        self._arrow = pa
        self._schema = schema_of(rows.columns)
        self._sink = _Sink()
        self._writer = pq.ParquetWriter(pa.PythonFile(self._sink, mode="w"), self._schema, compression="zstd")
        self._tables: list[Any] = []
        self._rows = self._bytes = 0

    def header(self) -> bytes:
        """See `Encoder`."""
        return self._sink.take()

    def encode(self, rows: Sequence[Any]) -> bytes:
        """See `Encoder`. Rows are ready once their row group is full."""
        values = list(zip(*self._values(rows), strict=True))
        if values:
            arrays = [
                self._arrow.array(each, field.type) for each, field in zip(values, self._schema, strict=True)
            ]
            table = self._arrow.Table.from_arrays(arrays, schema=self._schema)
            self._tables.append(table)
            self._rows += table.num_rows
            self._bytes += table.nbytes
        if self._rows >= GROUP_ROWS or self._bytes >= GROUP_BYTES:
            self._write_group()
        return self._sink.take()

    def end(self) -> bytes:
        """See `Encoder`."""
        self._write_group()
        self._writer.close()
        return self._sink.take()

    def _write_group(self) -> None:
        if self._tables:
            table = self._arrow.concat_tables(self._tables).combine_chunks()
            self._writer.write_table(table, row_group_size=table.num_rows)
            self._tables.clear()
            self._rows = self._bytes = 0
            del table
            # Otherwise Arrow's pool keeps the freed memory, and grows again for the next group.
            self._arrow.default_memory_pool().release_unused()
            self.groups += 1


def join_parts(parts: Iterable[IO[bytes]], target: Any, columns: Sequence[ExportColumn]) -> None:
    """Copy the row groups of `parts`, in order, into one Parquet file. One group is in memory at a time."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    with pq.ParquetWriter(target, schema_of(columns), compression="zstd") as writer:
        for part in parts:
            with part, pq.ParquetFile(part) as file:
                for number in range(file.num_row_groups):
                    # Each thread would keep its own memory for the next group.
                    group = file.read_row_group(number, use_threads=False)
                    writer.write_table(group, row_group_size=GROUP_ROWS)
                    del group
                    pa.default_memory_pool().release_unused()
