"""The history of a resource in the schema."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from strawberry.scalars import JSON

from domain import event as facts
from graphql_api.context import Context
from graphql_api.errors import translated
from graphql_api.types import event_parts as parts
from graphql_api.types.connection import PageInfo
from graphql_api.types.descriptions import argument, described, documented, part
from graphql_api.types.scalars import Long
from queries import history
from queries.cursors import decode_history_cursor, encode_history_cursor

Path = Annotated[str | None, argument("Only changes of this field, as events name it.")]
FirstChanges = Annotated[
    int | None,
    argument(
        "How many changes; each counts as an event of the request. As many as a page may hold when absent."
    ),
]
AfterChange = Annotated[str | None, argument("Only changes after (older than) this cursor.")]


@documented
class FieldChange:
    """One field's change in a resource, with who made it and when. Both values are kept (21 CFR 11.10(e))."""

    position: Long = described("The position of the event that reported it.")
    event_id: UUID = described("The id of that event.")
    occurred_at: datetime = described("When it happened, by the source's clock.")
    actor: facts.Actor = part("Who made the change.", parts.Actor)
    path: str = described("Which field changed.")
    before: JSON | None = described("The value before, any JSON.")
    after: JSON | None = described("The value after, any JSON.")


@documented
class FieldChangeEdge:
    """A change in a page, with its cursor."""

    node: history.FieldChange = part("The change.", FieldChange)
    cursor: str = described("The opaque cursor of this change, for `after`.")


@documented
class FieldChanges:
    """A page of a resource's history, newest first."""

    edges: list[FieldChangeEdge] = described("The changes with their cursors.")
    nodes: list[history.FieldChange] = part("The changes, newest event first.", list[FieldChange])
    page_info: PageInfo = described(
        "How to ask for the next page. A page reads a thousand events at most: it may be short, even empty, and not be "
        "the last."
    )
    as_of_position: Long = described("The page is complete up to this position.")


async def changes_page(
    context: Context, resource: tuple[str, str], path: str | None, first: int | None, after: str | None
) -> FieldChanges:
    """A page of a resource's history. Raises `QueryError` that names the argument."""
    size = context.page_size(context.limits.max_page if first is None else first)
    with translated():
        place = None if after is None else history.HistoryPlace(*decode_history_cursor(after))
    found = await context.read(context.models.resource_changes, *resource, path, size, place)
    cursors = [encode_history_cursor(*change.place) for change in found.changes]
    return FieldChanges(
        edges=[
            FieldChangeEdge(node=change, cursor=cursor)
            for change, cursor in zip(found.changes, cursors, strict=True)
        ],
        nodes=found.changes,
        page_info=PageInfo(
            has_next_page=found.end is not None,
            has_previous_page=after is not None,
            start_cursor=cursors[0] if cursors else None,
            end_cursor=None if found.end is None else encode_history_cursor(*found.end),
        ),
        as_of_position=Long(found.as_of_position),
    )
