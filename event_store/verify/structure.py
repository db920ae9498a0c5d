"""What keeps the log append-only: triggers, their functions, rights and roles, as the database has them now."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from event_store.database import Connection, Database
from event_store.migrations import migrations
from event_store.statements import load
from event_store.verify.findings import Finding

_SQL = load(__package__, "structure.sql")
_FUNCTION = re.compile(
    r"CREATE (?:OR REPLACE )?FUNCTION audit_trail\.(\w+)\(.*?LANGUAGE (\w+).*?AS \$\$(.*?)\$\$", re.DOTALL
)


class _Trigger(NamedTuple):
    function: str
    type: int


# PostgreSQL's bits of pg_trigger.tgtype: row 1, before 2, insert 4, delete 8, update 16, truncate 32.
_NO_CHANGE = _Trigger("refuse_change", 1 + 2 + 8 + 16)
_NO_TRUNCATE = _Trigger("refuse_change", 2 + 32)
_APPEND_ONLY = {"append_only": _NO_CHANGE, "no_truncate": _NO_TRUNCATE}
_EVENT = {"event_append_only": _NO_CHANGE, "event_no_truncate": _NO_TRUNCATE}
_TRIGGERS = {
    "event": _EVENT,
    "event_identity": _APPEND_ONLY,
    "aggregate_version": _APPEND_ONLY,
    "tile": _APPEND_ONLY,
    "dead_letter": _APPEND_ONLY,
    "log_key": _APPEND_ONLY,
    "tree_head": _APPEND_ONLY,
    "cosignature": _APPEND_ONLY,
    "stream_reset": _APPEND_ONLY,
    "log_state": {
        "log_state_forward": _Trigger("only_forward", 1 + 2 + 8 + 16),
        "no_truncate": _NO_TRUNCATE,
    },
    "kafka_stream": {"no_truncate": _NO_TRUNCATE},
}
"""Every table that the log is made of, and the triggers that it has, no more and no fewer."""

_WITHOUT_KEY = {"stream_reset"}

_INGEST, _GUARD = "audit_trail_ingest", "audit_trail_guard"
_RIGHTS = {
    (table, _INGEST, "INSERT")
    for table in (
        "event", "event_identity", "aggregate_version", "tile", "dead_letter", "kafka_stream", "log_key",
        "tree_head", "stream_reset",
    )
} | {
    ("kafka_stream", _INGEST, "UPDATE of next_offset"),
    *(("log_state", _INGEST, f"UPDATE of {column}") for column in ("size", "root", "edge", "partitioned_until")),
    ("cosignature", _GUARD, "INSERT"),
}  # fmt: skip
"""Who may change what, besides the owner."""


def check_structure(database: Database) -> list[Finding]:
    """Everything that is not as the migrations made it."""
    with database.transaction(read_only=True) as connection:
        partitions = [name for (name,) in _rows(connection, "partitions")]
        tables = _TRIGGERS | dict.fromkeys(partitions, _EVENT)
        texts = [
            *_triggers(connection, tables),
            *_functions(connection),
            *_kinds(connection, tables),
            *_rights(connection, set(tables)),
            *_roles(connection),
            *(
                f"{setting} for {login}: triggers stay silent"
                for login, setting in _rows(connection, "replication_roles")
            ),
        ]
    return [Finding(None, text) for text in texts]


def _triggers(connection: Connection, tables: dict[str, dict[str, _Trigger]]) -> list[str]:
    found = []
    there: dict[tuple[str, str], tuple[str, _Trigger, bool]] = {}
    for table, name, enabled, function, type, conditional in _rows(connection, "triggers"):
        there[table, name] = (enabled, _Trigger(function, type), conditional)
        if table in tables and name not in tables[table]:
            found.append(f"{table} has a trigger that is not of Audit Trail: {name}")
    for table, expected in tables.items():
        for name, trigger in expected.items():
            if (table, name) not in there:
                found.append(f"{table} has lost its trigger {name}")
                continue
            enabled, actual, conditional = there[table, name]
            if enabled not in {"O", "A"}:
                found.append(f"the trigger {name} of {table} is switched off")
            if actual != trigger or conditional:
                found.append(f"the trigger {name} of {table} was replaced by another one")
    return found


def _functions(connection: Connection) -> list[str]:
    expected = {
        name: (body, language)
        for each in migrations()
        for name, language, body in _FUNCTION.findall(each.sql)
    }
    there = {name: (source, language) for name, source, language, _ in _rows(connection, "functions")}
    return [
        f"the function {name} {'is gone' if name not in there else 'was replaced by another one'}"
        for name, text in expected.items()
        if there.get(name) != text
    ]


def _kinds(connection: Connection, tables: dict[str, dict[str, _Trigger]]) -> list[str]:
    found = []
    there = {name: (kind, secured) for name, kind, secured, _ in _rows(connection, "kinds")}
    keyed = {name for (name,) in _rows(connection, "primary_keys")}
    for table in tables:
        kind, secured = there.get(table, ("", False))
        if table not in keyed | _WITHOUT_KEY:
            found.append(f"{table} has lost its primary key")
        if kind != ("p" if table == "event" else "r"):
            found.append(f"{table} is no table any more" if kind else f"the table {table} is gone")
        if secured:
            found.append(f"row security hides rows of {table}")
    found.extend(
        f"a rewrite rule changes what is done to {table}: {rule}"
        for table, rule in _rows(connection, "rules")
        if table in tables
    )
    return found


def _rights(connection: Connection, tables: set[str]) -> list[str]:
    return [
        f"{role} has a right that nobody should have: {right} on {table}"
        for table, role, right in _rows(connection, "rights")
        if table in tables and (table, role, right) not in _RIGHTS
    ]


def _roles(connection: Connection) -> list[str]:
    found = []
    for role, mighty, owner in _rows(connection, "roles"):
        if mighty:
            found.append(f"{role} has attributes of an administrator")
        if owner:
            found.append(f"{role} may act as the owner of the log")
    return found


def _rows(connection: Connection, name: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(_SQL[name])
        return cursor.fetchall()
