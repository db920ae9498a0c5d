"""Tables of the projection `detection` about cases and suppressions. `detection.cases.read_model` makes their rows.

A column that several kinds of events set has a position beside it, which says which one was last. The level of a case
is the highest one of its alerts: `seriousness` is its place among the levels.
"""

from __future__ import annotations

from projections.merges import MAX, MIN, SUM, latest
from projections.tables import Column, Index, Kind, Table

CASE = Table(
    "detection_case",
    ("case_id",),
    (
        Column("case_id", Kind.TEXT),
        Column("opened_position", Kind.BIGINT, MIN, nullable=True),
        Column("opened_at", Kind.TIMESTAMP, MIN, nullable=True),
        Column("opened_by", Kind.TEXT, MIN, nullable=True),
        Column("subject", Kind.TEXT, MIN, nullable=True),
        Column("actor", Kind.TEXT, MIN, nullable=True),
        Column("title", Kind.TEXT, MIN, nullable=True),
        Column("seriousness", Kind.INTEGER, MAX, nullable=True),
        Column("level", Kind.TEXT, latest("seriousness"), nullable=True),
        Column("reason", Kind.TEXT, MIN, nullable=True),
        Column("earlier_case", Kind.TEXT, MIN, nullable=True),
        Column("state_position", Kind.BIGINT, MAX, nullable=True),
        Column("state", Kind.TEXT, latest("state_position"), nullable=True),
        Column("verdict", Kind.TEXT, latest("state_position"), nullable=True),
        Column("decided_at", Kind.TIMESTAMP, latest("state_position"), nullable=True),
        Column("decided_by", Kind.TEXT, latest("state_position"), nullable=True),
        Column("decision_reason", Kind.TEXT, latest("state_position"), nullable=True),
        Column("decision_seconds", Kind.INTEGER, latest("state_position"), nullable=True),
        Column("assigned_position", Kind.BIGINT, MAX, nullable=True),
        Column("assignee", Kind.TEXT, latest("assigned_position"), nullable=True),
        Column("assignee_name", Kind.TEXT, latest("assigned_position"), nullable=True),
        Column("asked_position", Kind.BIGINT, MAX, nullable=True),
        Column("asked", Kind.TEXT, latest("asked_position"), nullable=True),
        Column("question", Kind.TEXT, latest("asked_position"), nullable=True),
        Column("alerts", Kind.BIGINT, SUM),
        Column("newest_alert_at", Kind.TIMESTAMP, MAX, nullable=True),
        Column("entries", Kind.BIGINT, SUM),
        Column("position", Kind.BIGINT, MAX),
        Column("changed_at", Kind.TIMESTAMP, MAX),
    ),
    (
        Index(("opened_position", "case_id")),
        Index(("actor", "opened_position", "case_id"), "actor IS NOT NULL"),
        Index(("assignee", "opened_position", "case_id"), "assignee IS NOT NULL"),
        Index(("state", "opened_position", "case_id")),
        Index(("asked", "case_id"), "asked IS NOT NULL"),
    ),
)
"""One row a case. `asked` and `question`: of the open question, else NULL. `position` is that of its newest event."""

ENTRY = Table(
    "case_entry",
    ("case_id", "position"),
    (
        Column("position", Kind.BIGINT),
        Column("at", Kind.TIMESTAMP),
        Column("recorded_at", Kind.TIMESTAMP),
        Column("case_id", Kind.TEXT),
        Column("kind", Kind.TEXT),
        Column("by_kind", Kind.TEXT),
        Column("by_id", Kind.TEXT),
        Column("by_name", Kind.TEXT, nullable=True),
        Column("body", Kind.JSON),
    ),
)
"""Every event of a case. `kind` is its topic, `body` the stored event."""

ALERT = Table(
    "case_alert",
    ("alert_id", "case_id"),
    (
        Column("position", Kind.BIGINT, MIN),
        Column("joined_at", Kind.TIMESTAMP, MIN),
        Column("alert_id", Kind.TEXT),
        Column("case_id", Kind.TEXT),
    ),
    (Index(("case_id", "position")),),
)
"""Which alert is in which case. `position` is that of the case's event."""

SUPPRESSION = Table(
    "suppression",
    ("suppression_id",),
    (
        Column("position", Kind.BIGINT, MIN),
        Column("started_at", Kind.TIMESTAMP, MIN, nullable=True),
        Column("expires_at", Kind.TIMESTAMP, MIN, nullable=True),
        Column("ended_at", Kind.TIMESTAMP, MIN, nullable=True),
        Column("suppression_id", Kind.TEXT),
        Column("rule_id", Kind.TEXT, MIN, nullable=True),
        Column("match", Kind.JSON, MIN, nullable=True),
        Column("owner", Kind.TEXT, MIN, nullable=True),
        Column("owner_name", Kind.TEXT, MIN, nullable=True),
        Column("started_by", Kind.TEXT, MIN, nullable=True),
        Column("reason", Kind.TEXT, MIN, nullable=True),
        Column("ended_by", Kind.TEXT, MIN, nullable=True),
        Column("end_reason", Kind.TEXT, MIN, nullable=True),
    ),
    (Index(("position", "suppression_id")),),
)
"""One row a suppression. `ended_at` is NULL unless somebody ended it before it expired."""

TABLES = (CASE, ENTRY, ALERT, SUPPRESSION)
