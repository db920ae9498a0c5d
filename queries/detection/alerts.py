"""Alerts, as they are once their windows have passed, and the cases that they are in."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from domain.alert_level import Level
from domain.cases.commands import Verdict
from event_store.database import Connection, named
from event_store.statements import load
from queries.detection.results import (
    BEGIN,
    LEVELS,
    AlertFilter,
    AlertKind,
    AlertPage,
    AlertView,
    FollowedAlerts,
    Handling,
    NamedValue,
    Place,
)

_SQL = load(__package__, "alerts.sql")
WALK = 5000
"""Alerts that one page looks at: the rest of a list with rare matches is on the next pages."""
_DRIVING = ("case_id", "actor", "rule_id")
"""Conditions with an index, the most selective first: the first one that is given decides what is looked at."""


def find_alerts(
    connection: Connection,
    filter: AlertFilter,
    limit: int,
    as_of: int,
    after: Place = BEGIN,
    hidden_actors: Collection[str] = (),
) -> AlertPage:
    """A page of the alerts that match, without those about `hidden_actors`."""
    walk = WALK if _is_checked(filter, hidden_actors) else limit + 1
    values = _values(filter) | {
        "position": after.position,
        "id": after.id,
        "walk": walk,
        "limit": limit + 1,
        "hidden_actors": list(hidden_actors),
    }
    with connection.cursor() as cursor:
        cursor.execute(_SQL["page"], values)
        rows = named(cursor)
    found = [_alert(row) for row in rows if row["alert_id"] is not None]
    shown = found[:limit]
    if len(found) > limit:
        return AlertPage(shown, as_of, Place(shown[-1].position, shown[-1].alert_id))
    last = rows[0]
    more = last["looked_alerts"] == walk
    return AlertPage(shown, as_of, Place(last["looked_position"], last["looked_id"]) if more else None)


def follow_alerts(
    connection: Connection,
    level: Level | None,
    limit: int,
    after: Place,
    hidden_actors: Collection[str] = (),
) -> FollowedAlerts:
    """The alerts among the next `limit`, the oldest first, that nothing holds back."""
    values = {
        "position": after.position,
        "id": after.id,
        "walk": limit,
        "levels": None if level is None else at_least(level),
        "hidden_actors": list(hidden_actors),
    }
    with connection.cursor() as cursor:
        cursor.execute(_SQL["after"], values)
        rows = named(cursor)
    last = rows[0]
    looked = last["looked_alerts"]
    return FollowedAlerts(
        [_alert(row) for row in rows if row["alert_id"] is not None],
        Place(last["looked_position"], last["looked_id"]) if looked else after,
        looked == limit,
    )


def find_alert(connection: Connection, id: str, hidden_actors: Collection[str] = ()) -> AlertView | None:
    """One alert; None when there is none, or it is about one of `hidden_actors`."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["one"], {"id": id, "hidden_actors": list(hidden_actors)})
        rows = named(cursor)
    return _alert(rows[0]) if rows else None


def at_least(level: Level) -> list[str]:
    """The level, and those above it."""
    return [each.value for each in LEVELS[LEVELS.index(level) :]]


def _is_checked(filter: AlertFilter, hidden_actors: Collection[str]) -> bool:
    """Whether a condition is checked on the alerts that are looked at."""
    given = [name for name in filter.__struct_fields__ if getattr(filter, name) is not None]
    driving = next((name for name in _DRIVING if name in given), None)
    return bool(hidden_actors) or any(name not in {driving, "since", "until"} for name in given)


def _values(filter: AlertFilter) -> dict[str, Any]:
    return {
        "levels": None if filter.level is None else at_least(filter.level),
        "rule_id": filter.rule_id,
        "actor": filter.actor,
        "case_id": filter.case_id,
        "handling": filter.handling and filter.handling.value,
        "suppressed": filter.suppressed,
        "kind": filter.kind and filter.kind.value,
        "since": filter.since,
        "until": filter.until,
    }


def _alert(row: Mapping[str, Any]) -> AlertView:
    verdict = row["verdict"]
    pairs = msgspec.json.decode(row["group_key"], type=list[tuple[str, str]])
    return AlertView(
        **{name: row[name] for name in AlertView.__struct_fields__ if name in row}
        | {
            "level": Level(row["level"]),
            "kind": AlertKind(row["kind"]),
            "group": tuple(NamedValue(*pair) for pair in pairs),
            "positions": tuple(row["positions"]),
            "reasons": tuple(row["reasons"]),
            "case_state": Handling(row["case_state"]),
            "verdict": None if verdict is None else Verdict(verdict),
        }
    )
