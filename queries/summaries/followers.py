"""The followers that send the log elsewhere, and how far each is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from event_store.database import Connection, named
from event_store.statements import load
from queries.summaries.results import FollowerState, FollowerStatus

_SQL = load(__package__, "followers.sql")


def list_followers(connection: Connection) -> list[FollowerStatus]:
    """Every follower, also those that no file names any more."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["followers"])
        return [_status(row) for row in named(cursor)]


def _status(row: Mapping[str, Any]) -> FollowerStatus:
    lag = 0 if row["removed"] else int(row["lag"])
    return FollowerStatus(
        name=row["name"],
        destination=row["destination"],
        state=_state(row),
        position=row["position"],
        lag=lag,
        lag_seconds=round(max(0.0, row["lag_seconds"] or 0.0), 1) if lag else 0.0,
        sent=row["sent"],
        sent_position=row["sent_position"],
        sent_at=row["sent_at"],
        problem=row["problem"] or None,
        problem_since=row["problem_since"],
        failed_position=row["failed_position"],
    )


def _state(row: Mapping[str, Any]) -> FollowerState:
    """The first one that holds says what to do."""
    conditions = {
        FollowerState.REMOVED: row["removed"],
        FollowerState.PAUSED: row["paused"],
        FollowerState.UNATTENDED: row["unattended"],
        FollowerState.STOPPED: row["failed_position"] is not None,
        FollowerState.WAITING: row["unpublished"],
        FollowerState.FAILING: row["problem"] != "",
    }
    return next((state for state, holds in conditions.items() if holds), FollowerState.RUNNING)
