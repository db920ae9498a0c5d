"""Scalars and enums of the schema."""

from __future__ import annotations

from typing import NewType

import strawberry
from graphql import GraphQLError

from domain.catalogue import Category
from domain.event import Action, ActorKind, Outcome
from queries.filters.local_time import Weekday

Long = NewType("Long", int)
"""A position: GraphQL's Int ends at 2^31, and a trail does not."""


def _parse_long(value: object) -> Long:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 2**63:
        raise GraphQLError("Long is a whole number of 64 bits")
    return Long(value)


LONG = strawberry.scalar(
    name="Long",
    description="A whole number of 64 bits, sent as a JSON number.",
    serialize=int,
    parse_value=_parse_long,
)

strawberry.enum(Category, name="Category", description="What kind of thing an event is about.")
strawberry.enum(Action, name="Action", description="FHIR AuditEvent.action.")
strawberry.enum(Outcome, name="Outcome", description="FHIR AuditEvent.outcome.")
strawberry.enum(Weekday, name="Weekday", description="A day of the week.")
strawberry.enum(ActorKind, name="ActorKind", description="What acted.")
