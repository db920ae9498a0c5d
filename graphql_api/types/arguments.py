"""Arguments that several fields take."""

from __future__ import annotations

from typing import Annotated

import strawberry

from graphql_api.types.descriptions import argument
from graphql_api.types.scalars import Long
from queries.freshness import DEFAULT_SECONDS, MAX_SECONDS

_Position = Long | None
MinPosition = Annotated[
    _Position, argument("Refuse (POSITION_NOT_REACHED) unless the answer is complete up to this position.")
]
WaitForPosition = Annotated[
    _Position,
    argument("Wait until the answer can be complete up to this position; refuse when it can't in time."),
]
WaitSeconds = Annotated[
    float | None,
    argument(f"How long to wait, at most {MAX_SECONDS:.0f} seconds; {DEFAULT_SECONDS:.0f} when absent."),
]
Limit = Annotated[
    int,
    strawberry.argument(
        description="How many rows each list of the summary holds at most, unless it has a `limit` of its own.",
        deprecation_reason="Use `limit` of each list instead. Removed after 2027-12-31.",
    ),
]
Id = Annotated[strawberry.ID, argument("The identifier, as events name it.")]
