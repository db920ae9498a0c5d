"""The functions of the database make the tables that a file declares: the same as the program makes for itself."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg2

from projections.custom.source_file import load_custom
from projections.tables import create_indexes, create_table
from tests.projections.custom.analyst import project, rebuild_custom
from tests.trail import Trail, an_event

TABLES = """
from projections.authoring import *

name = "{name}"
version = 1
tables = (
    Table("kinds", ("id", "moment"), (
        Column("id", Kind.TEXT),
        Column("moment", Kind.TIMESTAMP),
        Column("names", Kind.TEXTS, UNION),
        Column("count", Kind.BIGINT, SUM),
        Column("small", Kind.SMALLINT, MAX, nullable=True),
        Column("whole", Kind.INTEGER, MIN),
        Column("flag", Kind.BOOLEAN, MAX),
        Column("number", Kind.DOUBLE, MAX, nullable=True),
        Column("seen", Kind.BIGINT, MAX),
        Column("place", Kind.JSON, latest("seen"), nullable=True),
    ), (
        Index(("count", "id"), "small IS NOT NULL"),
        Index(("id",), "flag"),
        Index(("whole",), "whole > -5"),
        Index(("small",), "small IS NULL"),
        Index(("moment",), "count <> 3"),
        Index(("flag",), "id = 'it is: -1/2'"),
    ), carried=("count",)),
    Table("log", ("position",), (Column("position", Kind.BIGINT), Column("text", Kind.TEXT, nullable=True))),
)


def rows(events):
    return {{
        "kinds": [
            (each.event.actor.id, each.event.occurred_at, ["b", "a"], 1, None, 2, True, 0.5, each.position, {{"a": 1}})
            for each in events
        ],
        "log": [(each.position, None) for each in events],
    }}
"""


def shape(url: str, schema: str) -> list[tuple[Any, ...]]:
    """Columns, constraints, options and indexes of a schema, without its name."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT relname, attname, format_type(atttypid, atttypmod), attnotnull, attcollation::regcollation::text,
                   reloptions::text
              FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
             WHERE relnamespace = %(schema)s::regnamespace AND relkind = 'r' AND attnum > 0
            UNION ALL
            SELECT tablename, indexname, replace(indexdef, %(schema)s || '.', ''), NULL, NULL, NULL
              FROM pg_indexes WHERE schemaname = %(schema)s
            UNION ALL
            SELECT conname, contype::text, pg_get_constraintdef(oid), convalidated, NULL, NULL
              FROM pg_constraint WHERE connamespace = %(schema)s::regnamespace
             ORDER BY 1, 2
            """,
            {"schema": schema},
        )
        return cursor.fetchall()


def test_tables_are_made_live_and_in_a_rebuild_as_the_program_makes_them(
    trail: Trail, tmp_path: Path
) -> None:
    name = f"shapes_{uuid4().hex[:8]}"
    file = tmp_path / f"{name}.py"
    file.write_text(TABLES.format(name=name))
    trail.append(an_event(), an_event(minute=1))
    project(trail, file)
    assert rebuild_custom(trail, file).failure == ""
    with closing(psycopg2.connect(trail.url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA by_program; SET search_path = by_program")
        for table in load_custom(file).tables:
            cursor.execute(create_table(table))
            for index in create_indexes(table):
                cursor.execute(index)
    expected = shape(trail.url, "by_program")
    assert len(expected) > 20
    assert shape(trail.url, f"{name}_v1") == expected
    assert shape(trail.url, f"{name}_v1_b2") == expected
    for schema in (f"{name}_v1", f"{name}_v1_b2"):
        assert trail.rows(f"SELECT count(*), sum(count), min(place::text) FROM {schema}.kinds") == [
            (2, 2, '{"a": 1}')
        ]
