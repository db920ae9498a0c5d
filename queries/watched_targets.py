"""The targets of the watcher, and what it knows of each."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from event_store.database import Connection, named, only
from event_store.statements import load

_SQL = load(__package__, "watched_targets.sql")


class WatchedTarget(Struct, frozen=True, kw_only=True):
    """A target that the watcher checks.

    `check` is the kind of check, `state` is `up`, `down` or `unknown`. `error` is the class of the newest check's error
    and `reason` its text; both are null if it was good. `failing_since` and `failures` belong to an outage that lasts.
    """

    name: str
    service: str
    owner: str
    check: str
    interval_seconds: float
    state: str
    since: datetime | None
    checked_at: datetime | None
    error: str | None
    reason: str | None
    failing_since: datetime | None
    failures: int


class TargetPage(Struct, frozen=True, kw_only=True):
    """A page of targets by name. `looked_until`: when the watcher last saved that it looks; None if it never did."""

    targets: list[WatchedTarget]
    looked_until: datetime | None
    more: bool


def find_targets(connection: Connection, limit: int, after: str = "") -> TargetPage:
    """The targets whose names come after `after`."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["page"], {"after": after, "limit": limit + 1})
        found = [WatchedTarget(**row) for row in named(cursor)]
        cursor.execute(_SQL["looked_until"])
        looked_until: datetime | None = only(cursor)
    return TargetPage(targets=found[:limit], looked_until=looked_until, more=len(found) > limit)
