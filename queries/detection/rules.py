"""The rules that count now, how right their alerts were, and which rules are switched off."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import msgspec

from domain.alert_level import Level
from event_store.database import Connection, named
from event_store.statements import load
from queries.detection.results import (
    LEVELS,
    RuleActivation,
    RuleList,
    RuleText,
    RuleView,
    SwitchedOffRule,
)

_SQL = load(__package__, "rules.sql")
MAX_COUNTED = 10_000
"""Alerts of a rule that are counted."""
JUDGED = 1000
"""The newest alerts of a rule whose cases say how right it was."""
_decode_switched_off = msgspec.json.Decoder(list[SwitchedOffRule]).decode


def find_rules(connection: Connection, as_of: int, hidden_actors: Collection[str] = ()) -> RuleList:
    """The rules that count now, the most serious first; alerts about `hidden_actors` are not counted."""
    rows = _active(connection, hidden_actors)
    digest = rows[0]["set_digest"] if rows else None
    rules = [_rule(row) for row in rows]
    fault, since = find_fault(connection)
    rules.sort(key=lambda rule: -LEVELS.index(rule.level))
    return RuleList(
        rules=rules,
        switched_off=_switched_off(connection, digest),
        position=rows[0]["position"] if rows else None,
        set_digest=digest,
        fault=fault,
        fault_since=since,
        as_of_position=as_of,
    )


def find_fault(connection: Connection) -> tuple[str | None, datetime | None]:
    """Why the files of rules do not count, and since when; nothing when they do."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["fault"])
        return cursor.fetchone() or (None, None)


def find_rule(
    connection: Connection, id: str, as_of: int, hidden_actors: Collection[str] = ()
) -> RuleText | None:
    """One rule that counts now, with its file; None when there is none."""
    rows = _active(connection, hidden_actors, id)
    if not rows:
        return None
    with connection.cursor() as cursor:
        cursor.execute(_SQL["files"], {"digest": rows[0]["set_digest"], "rule_id": id})
        files: list[tuple[str, str]] = cursor.fetchall()
    declared = re.compile(rf"^id: *['\"]?{re.escape(id)}", re.MULTILINE)
    file, text = next((each for each in files if declared.search(each[1])), files[0] if files else ("", ""))
    return RuleText(rule=_rule(rows[0]), file=file, text=text, as_of_position=as_of)


def find_activations(connection: Connection, limit: int) -> list[RuleActivation]:
    """The newest decisions that a set of rules counts."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["activations"], {"limit": limit})
        return [RuleActivation(**row | {"event_id": str(row["event_id"])}) for row in named(cursor)]


def _active(
    connection: Connection, hidden_actors: Collection[str], id: str | None = None
) -> list[dict[str, Any]]:
    values = {"rule_id": id, "most": MAX_COUNTED, "judged": JUDGED, "hidden_actors": list(hidden_actors)}
    with connection.cursor() as cursor:
        cursor.execute(_SQL["active"], values)
        return named(cursor)


def _switched_off(connection: Connection, digest: str | None) -> list[SwitchedOffRule]:
    with connection.cursor() as cursor:
        cursor.execute(_SQL["switched_off"], {"digest": digest})
        row = cursor.fetchone()
    return [] if row is None else _decode_switched_off(row[0])


def _rule(row: Mapping[str, Any]) -> RuleView:
    decided = row["justified"] + row["policy_breaches"] + row["false_alarms"]
    return RuleView(
        **{name: row[name] for name in RuleView.__struct_fields__ if name in row}
        | {
            "level": Level(row["level"]),
            "missing": tuple(row["missing"]),
            "precision": row["policy_breaches"] / decided if decided else None,
        }
    )
