"""The projection `detection`: its tables. What fills them is a fold over the log, in `detection.live`.

A row of an append-only table follows from the log, and never changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from domain.event import RecordedEvent
from projections.merges import SUM
from projections.models import cases, reviews
from projections.tables import Column, Index, Kind, Row, Table

ALERT = Table(
    "alert",
    ("alert_id",),
    (
        Column("position", Kind.BIGINT),
        Column("raised_at", Kind.TIMESTAMP),
        Column("begins", Kind.TIMESTAMP),
        Column("ends", Kind.TIMESTAMP),
        Column("events", Kind.INTEGER),
        Column("final", Kind.BOOLEAN),
        Column("alert_id", Kind.TEXT),
        Column("kind", Kind.TEXT),
        Column("rule_id", Kind.TEXT),
        Column("rule_digest", Kind.TEXT),
        Column("title", Kind.TEXT),
        Column("level", Kind.TEXT),
        Column("group_key", Kind.TEXT),
        Column("actor", Kind.TEXT, nullable=True),
        Column("positions", Kind.JSON),
        Column("reasons", Kind.JSON),
        Column("suppressed_by", Kind.TEXT, nullable=True),
    ),
    indexes=(
        Index(("position", "alert_id")),
        Index(("actor", "position", "alert_id"), where="actor IS NOT NULL"),
        Index(("rule_id", "position", "alert_id")),
        Index(("raised_at", "position")),
        Index(("suppressed_by", "position"), where="suppressed_by IS NOT NULL"),
    ),
)
"""Alerts, as they were when they were raised. `position`: the event with which the rule's condition held, or whose time
showed it. `group_key`: JSON pairs of name and value. `final`: its window brings nothing more."""

ALERT_EXTENT = Table(
    "alert_extent",
    ("alert_id",),
    (
        Column("position", Kind.BIGINT),
        Column("ends", Kind.TIMESTAMP),
        Column("events", Kind.INTEGER),
        Column("alert_id", Kind.TEXT),
        Column("positions", Kind.JSON),
        Column("reasons", Kind.JSON),
    ),
)
"""What an alert's window had brought when it had passed: the whole evidence."""

ACTIVE_RULE = Table(
    "active_rule",
    ("position", "rule_id"),
    (
        Column("position", Kind.BIGINT),
        Column("active_from", Kind.TIMESTAMP),
        Column("rule_id", Kind.TEXT),
        Column("rule_digest", Kind.TEXT),
        Column("set_digest", Kind.TEXT),
        Column("title", Kind.TEXT),
        Column("level", Kind.TEXT),
        Column("author", Kind.TEXT, nullable=True),
        Column("missing", Kind.TEXTS),
    ),
)
"""The rules that count from a position on: the highest position has those of now. `missing`: the tables of context
without which the rule can't be evaluated."""

EXPLAINED = Table(
    "explained_access",
    ("day", "department", "rule_id"),
    (
        Column("day", Kind.TIMESTAMP),
        Column("accesses", Kind.BIGINT, SUM),
        Column("department", Kind.TEXT),
        Column("rule_id", Kind.TEXT),
    ),
)
"""Accesses of staff by day (UTC), department of the actor, and the rule that explains them; empty for no rule."""


class DetectionModel:
    """The declaration, for those who show the state of projections. Raise `version` with every change of the rows."""

    name = "detection"
    version = 2
    tables: tuple[Table, ...] = (ALERT, ALERT_EXTENT, ACTIVE_RULE, EXPLAINED, *cases.TABLES, *reviews.TABLES)

    def rows(self, events: Sequence[RecordedEvent]) -> Mapping[str, Iterable[Row]]:
        """Not for this projection: its rows depend on all events before."""
        raise NotImplementedError(f"{len(events)} events alone do not say what the rules find")
