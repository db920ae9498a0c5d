"""The order of events, as an input of the schema."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import strawberry


@strawberry.enum(name="Direction", description="The direction of an order.")
class Direction(Enum):
    """Ascending or descending."""

    ASC = "asc"
    DESC = "desc"


@strawberry.enum(name="EventOrderField", description="The field that events are sorted by.")
class EventOrderField(Enum):
    """Both orders are total."""

    POSITION = strawberry.enum_value(
        "position", description="The order of recording, which is that of the log."
    )
    OCCURRED_AT = strawberry.enum_value(
        "occurred_at",
        description="The sources' clocks; a late event is sorted among those of its time.",
    )


@strawberry.input(name="EventOrder", description="The order of events.")
class EventOrder:
    """The sort field and direction."""

    field: EventOrderField = strawberry.field(
        default=EventOrderField.POSITION, description="The field to sort by."
    )
    direction: Direction = strawberry.field(
        default=Direction.DESC,
        description="DESC is newest first. With ASC, oldest first, `after` continues towards newer events.",
    )


OrderBy = Annotated[
    EventOrder | None,
    strawberry.argument(
        description="The order; newest position first when absent. A cursor may be used in either order."
    ),
]
