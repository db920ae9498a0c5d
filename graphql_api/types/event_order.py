"""The order of events, as an input of the schema."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import strawberry


@strawberry.enum(name="Direction", description="The direction of an order.")
class Direction(Enum):
    """Up or down."""

    ASC = "asc"
    DESC = "desc"


@strawberry.enum(name="EventOrderField", description="What events are ordered by.")
class EventOrderField(Enum):
    """Both orders are total."""

    POSITION = strawberry.enum_value(
        "position", description="The order of recording, which is that of the log."
    )
    OCCURRED_AT = strawberry.enum_value(
        "occurred_at",
        description="The sources' clocks; a late event takes its place among those of its time.",
    )


@strawberry.input(name="EventOrder", description="The order of events.")
class EventOrder:
    """What a list is ordered by, and which way."""

    field: EventOrderField = strawberry.field(default=EventOrderField.POSITION, description="What by.")
    direction: Direction = strawberry.field(
        default=Direction.DESC,
        description="DESC is newest first. With ASC the list is turned round: `after` is then towards newer events.",
    )


OrderBy = Annotated[
    EventOrder | None,
    strawberry.argument(
        description="The order; newest position first when absent. A cursor may be used in either order."
    ),
]
