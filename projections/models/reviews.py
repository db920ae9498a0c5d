"""Tables of the projection `detection` about reviews. `detection.reviews.read_model` makes their rows."""

from __future__ import annotations

from projections.merges import MAX, MIN, SUM, latest
from projections.tables import Column, Index, Kind, Table

REVIEW = Table(
    "review",
    ("review_id",),
    (
        Column("review_id", Kind.TEXT),
        Column("begun_position", Kind.BIGINT, MIN, nullable=True),
        Column("begun_at", Kind.TIMESTAMP, MIN, nullable=True),
        Column("begun_by", Kind.TEXT, MIN, nullable=True),
        Column("name", Kind.TEXT, MIN, nullable=True),
        Column("purpose", Kind.TEXT, MIN, nullable=True),
        Column("kind", Kind.TEXT, MIN, nullable=True),
        Column("plan", Kind.JSON, MIN, nullable=True),
        Column("tree_size", Kind.BIGINT, MIN, nullable=True),
        Column("root_hash", Kind.TEXT, MIN, nullable=True),
        Column("due_at", Kind.TIMESTAMP, MIN, nullable=True),
        Column("overdue_at", Kind.TIMESTAMP, MIN, nullable=True),
        Column("state_position", Kind.BIGINT, MAX, nullable=True),
        Column("state", Kind.TEXT, latest("state_position"), nullable=True),
        Column("closed_at", Kind.TIMESTAMP, MIN, nullable=True),
        Column("closed_by", Kind.TEXT, MIN, nullable=True),
        Column("close_reason", Kind.TEXT, MIN, nullable=True),
        Column("result", Kind.JSON, MIN, nullable=True),
        Column("items", Kind.BIGINT, SUM),
        Column("decided", Kind.BIGINT, SUM),
        Column("without_reviewer", Kind.BIGINT, SUM),
        Column("position", Kind.BIGINT, MAX),
        Column("changed_at", Kind.TIMESTAMP, MAX),
    ),
    (Index(("begun_position",)),),
)
"""One row a review. `state` is open or closed, `plan` the event of its beginning, `position` that of its newest event.
`decided` and `without_reviewer` count items."""

ITEM = Table(
    "review_item",
    ("review_id", "item"),
    (
        Column("review_id", Kind.TEXT),
        Column("item", Kind.INTEGER),
        Column("key", Kind.TEXT, MIN, nullable=True),
        Column("stratum", Kind.TEXT, MIN, nullable=True),
        Column("subject", Kind.TEXT, MIN, nullable=True),
        Column("what", Kind.TEXT, MIN, nullable=True),
        Column("positions", Kind.JSON, MIN, nullable=True),
        Column("assigned_position", Kind.BIGINT, MAX, nullable=True),
        Column("reviewer", Kind.TEXT, latest("assigned_position"), nullable=True),
        Column("reviewer_name", Kind.TEXT, latest("assigned_position"), nullable=True),
        Column("decided_position", Kind.BIGINT, MAX, nullable=True),
        Column("verdict", Kind.TEXT, latest("decided_position"), nullable=True),
        Column("reason", Kind.TEXT, latest("decided_position"), nullable=True),
        Column("seconds", Kind.INTEGER, latest("decided_position"), nullable=True),
        Column("decided_by", Kind.TEXT, latest("decided_position"), nullable=True),
        Column("decided_at", Kind.TIMESTAMP, latest("decided_position"), nullable=True),
        Column("decisions", Kind.BIGINT, SUM),
    ),
    (Index(("reviewer", "review_id"), "reviewer IS NOT NULL"),),
)
"""One row an item. `decided_position` is that of the last decision, which counts."""

TABLES = (REVIEW, ITEM)
