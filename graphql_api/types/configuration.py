"""The configuration of a device as of a time, in the schema."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from strawberry.scalars import JSON

from graphql_api.context import Context
from graphql_api.errors import translated
from graphql_api.types.connection import PageInfo
from graphql_api.types.descriptions import argument, described, documented, part
from graphql_api.types.scalars import Long
from queries.cursors import decode_configuration_cursor, encode_configuration_cursor
from queries.summaries import results
from queries.summaries.configuration import ChangePlace

AsOf = Annotated[
    datetime | None,
    argument(
        "The time, with its offset; now when absent. For the next pages, give the `asOf` of the first one."
    ),
]
FirstValues = Annotated[
    int | None,
    argument(
        "How many values; each counts as an event of the request. As many as a page may hold when absent."
    ),
]
AfterValue = Annotated[str | None, argument("Only values after this cursor.")]


@documented
class ConfigurationValue:
    """The value of one field of a device's configuration at a time."""

    path: str = described("Which field.")
    value: JSON | None = described(
        "The value, any JSON; null if the change removed it, or if your roles hide values."
    )
    since: datetime | None = described(
        "When it was set, by the source's clock; null if `fromLaterChange`, as that is not known."
    )
    changed_by: str | None = described("The id of the actor who set it; null if that is not known.")
    from_later_change: bool = described(
        "Whether no change up to the time is known. The value is then the one that the next change replaced."
    )
    position: Long = described("The position of the event that tells the value.")
    event_id: UUID = described("The id of that event.")


@documented
class ConfigurationValueEdge:
    """A value in a page, with its cursor."""

    node: results.ConfigurationValue = part("The value.", ConfigurationValue)
    cursor: str = described("The opaque cursor of this value, for `after`.")


@documented
class DeviceConfiguration:
    """A page of a device's configuration at a time, by path."""

    as_of: datetime = described("The time, by the sources' clocks.")
    edges: list[ConfigurationValueEdge] = described("The values with their cursors.")
    nodes: list[results.ConfigurationValue] = part("The values, by path.", list[ConfigurationValue])
    page_info: PageInfo = described(
        "How to ask for the next page. A page leaves out paths that look like a person's name if your roles hide "
        "names: it may be short, even empty, and not be the last."
    )
    as_of_position: Long = described("The page is complete up to this position.")


async def configuration_page(
    context: Context, device: str, as_of: datetime | None, first: int | None, after: str | None
) -> DeviceConfiguration | None:
    """A page of a device's configuration. Raises `QueryError` that names the argument."""
    size = context.page_size(context.limits.max_page if first is None else first)
    with translated():
        place = None if after is None else ChangePlace(*decode_configuration_cursor(after))
    found = await context.read(context.models.device_configuration, device, as_of, size, place)
    if found is None:
        return None
    cursors = [encode_configuration_cursor(*place) for place in found.places]
    return DeviceConfiguration(
        as_of=found.as_of,
        edges=[
            ConfigurationValueEdge(node=value, cursor=cursor)
            for value, cursor in zip(found.values, cursors, strict=True)
        ],
        nodes=found.values,
        page_info=PageInfo(
            has_next_page=found.end is not None,
            has_previous_page=after is not None,
            start_cursor=cursors[0] if cursors else None,
            end_cursor=None if found.end is None else encode_configuration_cursor(*found.end),
        ),
        as_of_position=Long(found.as_of_position),
    )
