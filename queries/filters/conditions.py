"""The filter conditions, declared once as data.

To add one, add an entry to `CONDITIONS` and its fields to `queries.filters.event_filter.EventFilter`.

Everything that depends on conditions reads this table:

- the check of a filter (`queries.filters.event_filter`), its SQL (`queries.filters.sql`) and its match in memory
  (`queries.filters.match`);
- the access paths (`queries.search.access_paths`);
- the parts of an event that a condition reveals (`queries.scoped.query_description`);
- REST parameters (`web.parameters.filter_query`), the GraphQL input (`graphql_api.types.filter_input`), the options of
  commands (`audit_trail.commands.filter_options`), and the page `docs/reference/filters.md`.

A condition compares one attribute of an event: `queries.filters.attributes`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from enum import Enum, StrEnum
from functools import lru_cache
from typing import Any

from msgspec import Struct

from domain.catalogue import CATALOGUE, Category
from domain.event import Action, ActorKind, Outcome
from projections.hash_codes import ACTOR_KIND_CODES, OUTCOME_CODES
from queries.filters.attributes import (
    ACTION,
    ACTOR,
    ACTOR_KIND,
    ADDRESS,
    CORRELATION_ID,
    DEVICE,
    EMERGENCY,
    LOCAL_TIME,
    OCCURRED_AT,
    OUTCOME,
    PATIENT,
    POSITION,
    PURPOSE,
    RESOURCE,
    RESOURCE_TYPE,
    SERVICE,
    SESSION,
    SOURCE,
    TYPE,
    UNNAMED_RESOURCE_TYPE,
    USER,
    Attribute,
)
from queries.filters.local_time import Weekday

MAX_TEXT = 256
"""Characters of an identifier: see `domain.event.Identifier`."""
MAX_CODE = 1024
"""Characters of a code, such as a purpose of use."""


class ValueKind(Enum):
    """The type of a condition's values."""

    TEXT = "text"
    WORD = "one of a few words"
    LETTER = "one of a few letters"
    """REST and GraphQL refuse other letters while they read the request."""
    FLAG = "true or false"
    TIME = "time"
    DAY_TIME = "time of day"
    ZONE = "time zone"
    POSITION = "position"


class Operator(StrEnum):
    """How an attribute is compared with the value of a condition, as PostgreSQL writes it."""

    EQUAL = "="
    PREFIX = "^@"
    FROM = ">="
    UNTIL = "<"
    LOCAL = "AT TIME ZONE"
    """The conditions of a filter with this operator are compared together: see `queries.filters.local_time`."""


class Condition(Struct, frozen=True, kw_only=True):
    """A condition: `name` is the parameter of REST, and with ``--`` and hyphens the option of a command.

    `one` is the field of `EventFilter` for one value, and `many` that for a list, of which one value must match. A
    condition with `many` can be repeated in REST and on the command line; if it is `negatable`, REST has ``not_{name}``
    too. `help` describes the condition, without a full stop.

    `needs` is a condition that must be given too, whose value makes a pair with this one's. `begin` is the condition
    with the other end of a range. `words` are the values that exist, `enum` their type in GraphQL. `values` gives the
    attribute's values for what was given.
    """

    name: str
    attribute: Attribute
    help: str
    one: str = ""
    many: str = ""
    kind: ValueKind = ValueKind.TEXT
    operator: Operator = Operator.EQUAL
    negatable: bool = False
    needs: str = ""
    begin: str = ""
    words: tuple[str, ...] = ()
    enum: type[StrEnum] | None = None
    max_length: int = MAX_TEXT
    values: Callable[[Sequence[Any]], Collection[Any]] = tuple

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of `EventFilter`."""
        return tuple(filter(None, (self.one, self.many)))


@lru_cache(maxsize=64)
def _types_of_categories(categories: tuple[str, ...]) -> list[str]:
    return [name for name, entry in CATALOGUE.items() if entry.category in categories]


def _types_with_prefix(prefixes: Iterable[str]) -> list[str]:
    return [name for name in CATALOGUE if name.startswith(tuple(prefixes))]


def _outcome_codes(outcomes: Iterable[str]) -> list[int]:
    return [OUTCOME_CODES[Outcome(outcome)] for outcome in outcomes]


def _actor_kind_codes(kinds: Iterable[str]) -> list[int]:
    return [ACTOR_KIND_CODES[ActorKind(kind)] for kind in kinds]


def _identifier(name: str, attribute: Attribute, help: str, *, negatable: bool = False) -> Condition:
    return Condition(
        name=name, one=name, many=f"{name}_in", attribute=attribute, help=help, negatable=negatable
    )


CONDITIONS: tuple[Condition, ...] = (
    _identifier("actor", ACTOR, "The id of the actor, of whatever kind", negatable=True),
    _identifier("patient", PATIENT, "The id of a patient that the event is about", negatable=True),
    _identifier("user", USER, "The id of the user who acted"),
    _identifier(
        "device", DEVICE, "The id of the device that the event is about, or that acted", negatable=True
    ),
    Condition(
        name="actor_kind",
        many="actor_kinds",
        attribute=ACTOR_KIND,
        values=_actor_kind_codes,
        kind=ValueKind.WORD,
        words=tuple(ActorKind),
        enum=ActorKind,
        max_length=MAX_CODE,
        negatable=True,
        help="The kind of actor",
    ),
    _identifier("service", SERVICE, "The reporting service", negatable=True),
    Condition(
        name="resource_type",
        one="resource_type",
        attribute=RESOURCE_TYPE,
        help="The type of a resource that was touched",
    ),
    Condition(
        name="resource_id",
        one="resource_id",
        attribute=RESOURCE,
        needs="resource_type",
        help="The id of a resource that was touched",
    ),
    Condition(
        name="type",
        many="types",
        attribute=TYPE,
        kind=ValueKind.WORD,
        words=tuple(CATALOGUE),
        max_length=MAX_CODE,
        negatable=True,
        help="The event type, a name of the catalogue",
    ),
    Condition(
        name="category",
        many="categories",
        attribute=TYPE,
        values=_types_of_categories,
        kind=ValueKind.WORD,
        words=tuple(sorted({entry.category for entry in CATALOGUE.values()})),
        enum=Category,
        max_length=MAX_CODE,
        negatable=True,
        help="The category of event types",
    ),
    Condition(
        name="action",
        many="actions",
        attribute=ACTION,
        kind=ValueKind.LETTER,
        words=tuple(Action),
        enum=Action,
        max_length=MAX_CODE,
        negatable=True,
        help="The action",
    ),
    Condition(
        name="outcome",
        many="outcomes",
        attribute=OUTCOME,
        values=_outcome_codes,
        kind=ValueKind.WORD,
        words=tuple(Outcome),
        enum=Outcome,
        max_length=MAX_CODE,
        negatable=True,
        help="The outcome",
    ),
    Condition(
        name="purpose",
        many="purposes",
        attribute=PURPOSE,
        max_length=MAX_CODE,
        negatable=True,
        help="The purpose of use, a code",
    ),
    Condition(
        name="source",
        one="source",
        attribute=SOURCE,
        help="The reporting service, as a second condition beside `service`",
    ),
    _identifier("correlation_id", CORRELATION_ID, "The correlation id"),
    _identifier("session", SESSION, "The session"),
    _identifier("address", ADDRESS, "The client's network address", negatable=True),
    Condition(
        name="emergency",
        one="emergency",
        attribute=EMERGENCY,
        kind=ValueKind.FLAG,
        help="Whether it was emergency (break-glass) access",
    ),
    Condition(
        name="occurred_from",
        one="occurred_from",
        attribute=OCCURRED_AT,
        operator=Operator.FROM,
        kind=ValueKind.TIME,
        help="Occurred at this time or later",
    ),
    Condition(
        name="occurred_until",
        one="occurred_until",
        attribute=OCCURRED_AT,
        operator=Operator.UNTIL,
        kind=ValueKind.TIME,
        begin="occurred_from",
        help="Occurred before this time",
    ),
    Condition(
        name="day_time_from",
        one="day_time_from",
        attribute=LOCAL_TIME,
        operator=Operator.LOCAL,
        kind=ValueKind.DAY_TIME,
        help="Occurred at this time of day or later, such as `22:00`; the range may pass midnight",
    ),
    Condition(
        name="day_time_until",
        one="day_time_until",
        attribute=LOCAL_TIME,
        operator=Operator.LOCAL,
        kind=ValueKind.DAY_TIME,
        help="Occurred before this time of day, such as `06:00`",
    ),
    Condition(
        name="weekday",
        many="weekdays",
        attribute=LOCAL_TIME,
        operator=Operator.LOCAL,
        kind=ValueKind.WORD,
        words=tuple(Weekday),
        enum=Weekday,
        help="Occurred on this day of the week",
    ),
    Condition(
        name="time_zone",
        one="time_zone",
        attribute=LOCAL_TIME,
        operator=Operator.LOCAL,
        kind=ValueKind.ZONE,
        help="The IANA time zone of the times of day and the days of the week, such as `Europe/Berlin`; UTC by default",
    ),
    Condition(
        name="type_prefix",
        one="type_prefix",
        attribute=TYPE,
        values=_types_with_prefix,
        help="The event type begins with this, such as `record.`",
    ),
    Condition(
        name="actor_prefix",
        one="actor_prefix",
        attribute=ACTOR,
        operator=Operator.PREFIX,
        help="The actor's id begins with this",
    ),
    Condition(
        name="address_prefix",
        one="address_prefix",
        attribute=ADDRESS,
        operator=Operator.PREFIX,
        help="The client's network address begins with this, such as `10.0.`",
    ),
    Condition(
        name="position_from",
        one="position_from",
        attribute=POSITION,
        operator=Operator.FROM,
        kind=ValueKind.POSITION,
        help="Recorded at this position or later",
    ),
    Condition(
        name="position_until",
        one="position_until",
        attribute=POSITION,
        operator=Operator.UNTIL,
        kind=ValueKind.POSITION,
        begin="position_from",
        help="Recorded before this position",
    ),
)
INTERNAL: tuple[Condition, ...] = (
    Condition(
        name="unnamed_resource_type",
        one="unnamed_resource_type",
        attribute=UNNAMED_RESOURCE_TYPE,
        help="The type of a resource that was touched, and whose id is no person's name",
    ),
)
"""Conditions that no interface offers: `queries.scoped.visible_values` puts them into the filters of principals."""
BY_NAME = {condition.name: condition for condition in CONDITIONS}
BY_FIELD = {field: condition for condition in (*CONDITIONS, *INTERNAL) for field in condition.fields}
"""The condition of each field of `EventFilter`."""
LISTS = frozenset(condition.many for condition in CONDITIONS if condition.many)
"""The fields of `EventFilter` that hold a list of values."""
REPEATED = frozenset(condition.name for condition in CONDITIONS if condition.many)
"""The conditions that can be repeated in REST and on the command line: one of the values must match."""


def name_of(field: str) -> str:
    """The name in REST of a field of `EventFilter`; other fields keep their name."""
    condition = BY_FIELD.get(field)
    return field if condition is None else condition.name
