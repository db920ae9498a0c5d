"""What an export takes of memory does not follow the number of its rows."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing

import psycopg2
import pytest
from psycopg2 import sql

from tests.trail import Trail, an_event

_ROWS = 52_000
"""More than a row group of Parquet."""
_ALLOWED_GROWTH = 12 << 20
"""Bytes. The rows between are 15 MB as text, and more than 60 MB as Python's objects."""

_EXPORT = """
import resource, sys
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from audit_trail.export.file import export_to_file
from event_store.database import READER, Database
from queries.export.pipeline import Exports
from queries.export.request import ExportRequest, Format
from queries.export.stream import stream

url, format, way = sys.argv[1:]
request = ExportRequest(format=Format(format), table="activity_resource")
with closing(Database(url, READER)) as database, TemporaryDirectory() as folder:
    if way == "file":
        export_to_file(Exports(database), request, Path(folder) / "rows")
    else:
        with Exports(database).open(request) as opened:
            for _ in stream(opened):
                pass
sys.stdout.write(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))
"""


def _fill(url: str, first: int, rows: int) -> None:
    """Rows of the read model as if so many events had come; an append-only table is exported up to the checkpoint."""
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SELECT schema_name FROM audit_trail.projection WHERE live AND name = 'activity'")
        [(schema,)] = cursor.fetchall()
        cursor.execute(
            sql.SQL(
                "INSERT INTO {} (position, span, type_mark, source_mark, named, type, id)"
                " SELECT n, n >> 12, 1, 1, false, 'Observation', md5(n::text) FROM generate_series(%s, %s) AS n"
            ).format(sql.Identifier(schema, "activity_resource")),
            (first, first + rows - 1),
        )
        cursor.execute("UPDATE audit_trail.projection SET position = %s WHERE live", (first + rows - 1,))


def _peak(url: str, format: str, way: str) -> int:
    """Bytes of memory that the export needed at most, in a process of its own."""
    command = [sys.executable, "-c", _EXPORT, url, format, way]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.thorough
def test_six_times_the_rows_need_no_more_memory(trail: Trail) -> None:
    exports = (("parquet", "file"), ("parquet", "stream"), ("ndjson", "stream"), ("csv", "file"))
    trail.given(an_event())
    _fill(trail.url, 1, _ROWS)
    few = {each: _peak(trail.url, *each) for each in exports}
    _fill(trail.url, _ROWS + 1, 5 * _ROWS)
    grown = {each: _peak(trail.url, *each) - held for each, held in few.items()}
    assert max(grown.values()) < _ALLOWED_GROWTH, grown
