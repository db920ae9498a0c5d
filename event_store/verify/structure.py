"""Verify what keeps the log append-only: tables, constraints, triggers, functions, rights and roles.

`structure.json` describes the result of the migrations. `python -m event_store.verify.structure URL` regenerates it; a
test compares it.
"""

from __future__ import annotations

import json
import sys
from contextlib import closing
from importlib import resources
from pathlib import Path
from typing import Any

from event_store.database import Connection, Database
from event_store.statements import load
from event_store.verify.findings import Finding

_SQL = load(__package__, "structure.sql")
_FILE = "structure.json"

TABLES = (
    "event", "event_identity", "aggregate_version", "tile", "dead_letter", "log_key", "tree_head", "cosignature",
    "stream_reset", "log_state", "kafka_stream", "integrity_finding", "clock_change",
    "operation_request", "follower", "follower_change", "follower_refusal",
    "rule_set", "rule_activation", "alert_publication",
    "case_command",
    "context_version", "context_chunk", "context_version_chunk",
)  # fmt: skip
"""Every table of the log."""

Description = dict[str, str]
"""Maps kind and name, such as ``trigger event.event_append_only``, to a definition."""


def check_structure(database: Database) -> list[Finding]:
    """The differences between the database and the result of the migrations."""
    expected: Description = json.loads(resources.files(__package__).joinpath(_FILE).read_text("utf-8"))
    with database.transaction(read_only=True) as connection:
        actual = describe(connection)
        texts = [
            *_differences(expected, actual),
            *(f"{name} belongs to {owner}" for name, owner in _rows(connection, "owners")),
            *(f"{role} {powers}" for role, powers in _rows(connection, "roles") if powers),
            *(f"{what}: triggers can be disabled" for (what,) in _rows(connection, "silent_triggers")),
        ]
    return [Finding(None, text) for text in texts]


def describe(connection: Connection) -> Description:
    """Describe the current database."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["described"], {"tables": list(TABLES)})
        described: Description = {}
        for kind, name, definition in cursor.fetchall():
            key = f"{kind} {name}"
            # Two partitions that differ give two definitions of one name.
            described[key] = f"{described[key]}; {definition}" if key in described else definition
        return described


def _differences(expected: Description, actual: Description) -> list[str]:
    gone = [f"the {name} is gone" for name in expected if name not in actual]
    changed = [
        f"the {name} is not what it was made: {_abbreviated(actual[name])}"
        for name, definition in expected.items()
        if name in actual and actual[name] != definition
    ]
    added = [f"there is a {name} that is not part of Audit Trail" for name in actual if name not in expected]
    return gone + changed + added


def _abbreviated(definition: str) -> str:
    return definition if len(definition) < 200 else definition[:200] + "..."


def _rows(connection: Connection, name: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(_SQL[name], {})
        return cursor.fetchall()


def main() -> None:
    """Write the description of a freshly migrated database."""
    with (
        closing(Database(sys.argv[1], None, size=1)) as database,
        database.transaction(read_only=True) as connection,
    ):
        described = describe(connection)
    file = Path(__file__).with_name(_FILE)
    file.write_text(json.dumps(described, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
