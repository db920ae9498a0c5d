"""The functions of the trail take no hostile arguments, from nobody who may call them."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from projections.custom.source_file import load_custom
from projections.custom_tables import describe
from tests.projections.custom.analyst import HEAD, PYTHON, write
from tests.projections.custom.deployment import (
    DENIED,
    NO_NAME,
    OWN,
    TAKEN,
    attempt,
)

TABLE = {
    "name": "t",
    "merged": True,
    "key": ["a"],
    "carried": [],
    "columns": [{"name": "a", "kind": "text", "nullable": False}],
    "indexes": [],
}


def call(name: str, *arguments: object) -> str:
    quoted = (
        f"$q${json.dumps(each)}$q$::jsonb"
        if isinstance(each, dict | list)
        else "NULL"
        if each is None
        else str(each).lower()
        if isinstance(each, bool | int)
        else f"$q${each}$q$"
        for each in arguments
    )
    return f"SELECT audit_trail.{name}({', '.join(quoted)})"


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        (call("own_projection", None), NO_NAME),
        (call("own_projection", "pg_x"), NO_NAME),
        (call("own_projection", "X"), NO_NAME),
        (call("own_projection", "x; DROP SCHEMA audit_trail"), NO_NAME),
        (call("own_projection", "x\n"), NO_NAME),
        *((call("own_projection", name), TAKEN) for name in
          ("patient", "user", "activity", "device", "service", "patient_v2", "patient_v2_b1", "user_b1", "bens")),
        *((call("make_own_schema", *each), DENIED) for each in (
            ("mine", "user_v9"), ("user", "user_v9"), ("bens", "bens_v9"), ("mine", "audit_trail"), ("mine", None),
            (None, "mine_v9"), ("mine", "mine_v9; DROP SCHEMA user_v3"), ("mine", "mine_v9\n"), ("m.*", "mine_v9"),
        )),
        *((call("drop_custom_schema", *each), DENIED) for each in (
            ("mine", "user_v3"), ("user", "user_v3"), ("bens", "bens_v1"), ("mine", "audit_trail"), ("mine", None),
        )),
        (call("drop_custom_schema", "mine", "mine_v1"), "55006"),
        (call("remove_own_projection", "bens"), DENIED),
        (call("remove_own_projection", "user"), DENIED),
        (call("remove_own_projection", None), DENIED),
        (call("remove_own_projection", "mine"), "55006"),
        (call("make_custom_tables", "bens", "bens_v1", [TABLE], True), DENIED),
        (call("make_custom_tables", "mine", "user_v3", [TABLE], True), DENIED),
        (call("make_custom_tables", "mine", "mine_v1", [], True), "22023"),
        *((call("make_custom_tables", "mine", "mine_v1", [TABLE | change], False), code) for change, code in (
            ({"name": "t (id int); --"}, NO_NAME),
            ({"name": "partial_t"}, NO_NAME),
            ({"name": None}, NO_NAME),
            ({"columns": []}, "22023"),
            ({"columns": [{"name": "a", "kind": "text DEFAULT f()", "nullable": True}]}, "22023"),
            ({"columns": [{"name": "a", "kind": "mine_v1.d", "nullable": True}]}, "22023"),
            ({"columns": [{"name": "a DEFAULT 1", "kind": "text", "nullable": True}]}, NO_NAME),
            ({"key": ["lower(a)"]}, NO_NAME),
            ({"carried": ["a) WHERE (true"]}, NO_NAME),
            ({"indexes": [{"columns": ["lower(a)"], "where": None}]}, NO_NAME),
            ({"indexes": [{"columns": ["a"], "where": {"column": "f()", "op": "IS TRUE"}}]}, NO_NAME),
            ({"indexes": [{"columns": ["a"], "where": {"column": "a", "op": "=", "number": "1 OR f()"}}]}, "22023"),
            ({"indexes": [{"columns": ["a"], "where": {"column": "a", "op": "=", "number": "1\n"}}]}, "22023"),
            ({"indexes": [{"columns": ["a"], "where": {"column": "a", "op": "= f() OR a =", "text": "x"}}]}, "22023"),
        )),
        (call("index_custom_table", "bens", "bens_v1", TABLE, 0), DENIED),
        (call("index_custom_table", "mine", "mine_v1", TABLE, -1), "22023"),
        (call("index_custom_table", "mine", "mine_v1", TABLE, 1), "22023"),
        (call("finish_custom_table", "mine", "bens_v1", "bens"), DENIED),
        (call("finish_custom_table", "mine", "mine_v1", "mine; DROP TABLE x"), NO_NAME),
        (call("drop_custom_partial", "bens", "bens_v1", "bens"), DENIED),
        (call("drop_custom_partial", "mine", "mine_v1", "x; --"), NO_NAME),
        (call("delete_custom_build", "bens", 1), DENIED),
        (call("delete_custom_build", "user", 1), DENIED),
        (call("forget_custom_ranges", "bens", 1), DENIED),
        (call("forget_custom_ranges", None, 1), DENIED),
        (call("stage_custom_table", "bens", "bens_v1", "bens"), DENIED),
        (call("stage_custom_table", "mine", "mine_v1", "pg_x"), NO_NAME),
        (call("grant_custom_build", "mine", "mine_v1"), DENIED),
        (call("custom_type", "text"), DENIED),
        (call("add_partitions", 2), DENIED),
        (call("count_build"), DENIED),
        (call("event_records", None), DENIED),
        (call("live_builds"), DENIED),
    ],
)  # fmt: skip
@pytest.mark.parametrize("who", ["ada", OWN])
def test_the_functions_of_the_trail_take_no_hostile_arguments(
    urls: dict[str, str], who: str, statement: str, code: str
) -> None:
    assert attempt(urls, who, statement) == code


@pytest.mark.parametrize("who", ["ingester", "asker", "watcher"])
def test_who_owns_no_projection_calls_none_of_these_functions(urls: dict[str, str], who: str) -> None:
    for statement in (
        call("own_projection", "x"),
        call("make_own_schema", "mine", "mine_v9"),
        call("make_custom_tables", "mine", "mine_v1", [TABLE], True),
        call("drop_custom_schema", "mine", "mine_v1"),
        call("remove_own_projection", "mine"),
        call("batch_rows", "SELECT 1", [], 1),
    ):
        assert attempt(urls, who, statement) == DENIED


def test_an_index_condition_is_data(urls: dict[str, str]) -> None:
    """A quote in a value stays in the value."""
    where = {"column": "a", "op": "=", "text": "x' OR audit_trail.f() = '"}
    table = TABLE | {"indexes": [{"columns": ["a"], "where": where}]}
    with closing(psycopg2.connect(urls["ada"])) as connection, connection.cursor() as cursor:
        cursor.execute(call("make_custom_tables", "mine", "mine_v1", [table], False))
        cursor.execute("SELECT indexdef FROM pg_indexes WHERE indexname = 't_by_a'")
        [(definition,)] = cursor.fetchall()
        connection.rollback()
    assert definition.endswith("WHERE (a = 'x'' OR audit_trail.f() = '''::text)")


def test_the_declared_tables_of_a_file_are_described_and_made_as_declared(
    urls: dict[str, str], tmp_path: Path
) -> None:
    [mine, log] = load_custom(write(tmp_path, HEAD + PYTHON)).tables
    assert describe(mine)["indexes"] == [{"columns": ("events",), "where": None}]
    assert describe(log)["merged"] is False
    with closing(psycopg2.connect(urls["admin"])) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT indexname FROM pg_indexes WHERE schemaname = 'mine_v1' ORDER BY 1")
        assert [name for (name,) in cursor.fetchall()] == ["mine_by_events", "mine_log_pkey", "mine_pkey"]
