"""The filter conditions, declared once as data.

To add one, add an entry to `CONDITIONS` and its fields to `queries.filters.event_filter.EventFilter`.

Everything that depends on conditions reads this table:

- the check of a filter (`queries.filters.event_filter`), its SQL (`queries.filters.sql`) and its match in memory
  (`queries.filters.match`);
- the access paths (`queries.search.access_paths`);
- the parts of an event that a condition reveals (`queries.scoped.query_description`);
- REST parameters (`web.parameters.filter_query`), the GraphQL input (`graphql_api.types.filter_input`), the options of
  commands (`audit_trail.commands.filter_options`), and the page `docs/reference/filters.md`.

A condition compares one attribute of an event. Only an attribute with an index can drive a search. A new index is
declared with its table, in `projections.models`, and described here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from enum import Enum, StrEnum
from functools import lru_cache
from typing import Any

from msgspec import Struct

from domain.access.grants import Part
from domain.access.person_names import names_person
from domain.access.redaction import NAMES
from domain.catalogue import CATALOGUE, Category
from domain.event import PERSONS, Action, ActorKind, Outcome, RecordedEvent
from projections.hash_codes import ACTOR_KIND_CODES, OUTCOME_CODES, SEVERAL, hash_code, short_hash_code
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


class HashCode(Struct, frozen=True):
    """The hash code of an attribute, a column that indexes of other attributes hold (see `projections.hash_codes`).

    An event that matches has one of the codes that `of` gives for the values. Other events may have it too.
    """

    column: str
    type: str
    of: Callable[[Iterable[Any]], Iterable[int]]


class AttributeIndex(Struct, frozen=True, kw_only=True):
    """An index that finds events by an attribute, in the order of their positions.

    `rank` is the order of preference when no statistics are used; the attribute with the lowest rank usually has the
    fewest events. An index on a `coarse` attribute comes after all lists of values of others. `holds` names the hash
    codes that the index holds beside its key: events with other codes are skipped without reading their rows.
    `by_span` indexes end in the span instead of the position (see `projections.models.activity.SPAN_BITS`). `where` is
    the condition of a partial index. `serves` tests whether the index covers the values (None: always); `only`
    describes that for the documentation. `expression` is what the index is on instead of the column.
    """

    rank: int
    coarse: bool = False
    holds: tuple[str, ...] = ()
    by_span: bool = True
    where: str = ""
    only: str = ""
    serves: Callable[[Sequence[Any]], bool] | None = None
    expression: str = ""


class Attribute(Struct, frozen=True, kw_only=True):
    """An attribute of events: its columns in the read models, and `of`, which reads its values from an event.

    An attribute with two columns has pairs as values. An attribute in another table than `activity` may have several
    values for one event (`repeats`: also the same value several times). `where` must hold beside the comparison; ``{}``
    stands for the table. `type` is the PostgreSQL type of a value. `parts` are the parts of an event that a match
    reveals, to a principal who does not see them, and `names` those that it reveals if the value is a person's name.
    `patient`: values are ids of patients. `projection` is the read model that holds the table.
    """

    name: str
    of: Callable[[RecordedEvent], Collection[Any]]
    columns: tuple[str, ...]
    table: str = "activity"
    projection: str = "activity"
    where: str = ""
    type: str = "text"
    array: bool = False
    repeats: bool = False
    code: HashCode | None = None
    index: AttributeIndex | None = None
    parts: frozenset[Part] = frozenset()
    names: frozenset[Part] = frozenset()
    patient: bool = False

    @property
    def several(self) -> bool:
        """Whether an event may have several values."""
        return self.array or self.table != "activity"


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


def _client_address(recorded: RecordedEvent) -> Collection[str | None]:
    client = recorded.event.client
    return (client.address,) if client is not None else ()


def _devices(recorded: RecordedEvent) -> Collection[str | None]:
    event = recorded.event
    acting = {event.actor.id} if event.actor.kind is ActorKind.DEVICE else set()
    return acting | ({event.device.id} if event.device is not None else set())


def _action(recorded: RecordedEvent) -> Collection[str]:
    event = recorded.event
    entry = CATALOGUE.get(event.type)
    return ((event.action or (entry.action if entry is not None else Action.EXECUTE)).value,)


@lru_cache(maxsize=64)
def _types_of_categories(categories: tuple[str, ...]) -> list[str]:
    return [name for name, entry in CATALOGUE.items() if entry.category in categories]


def _types_with_prefix(prefixes: Iterable[str]) -> list[str]:
    return [name for name in CATALOGUE if name.startswith(tuple(prefixes))]


def _outcome_codes(outcomes: Iterable[str]) -> list[int]:
    return [OUTCOME_CODES[Outcome(outcome)] for outcome in outcomes]


def _actor_kind_codes(kinds: Iterable[str]) -> list[int]:
    return [ACTOR_KIND_CODES[ActorKind(kind)] for kind in kinds]


def _hash_codes(values: Iterable[str]) -> list[int]:
    return [hash_code(value) for value in values]


def _short_hash_codes(values: Iterable[str]) -> list[int]:
    return [short_hash_code(value) for value in values]


TYPE_CODE = HashCode("type_mark", "smallint", _short_hash_codes)
SOURCE_CODE = HashCode("source_mark", "smallint", _short_hash_codes)
OUTCOME_CODE = HashCode("outcome", "smallint", list)
ACTOR_CODE = HashCode("actor_mark", "integer", _hash_codes)
RESOURCE_CODE = HashCode("resource_mark", "smallint", lambda types: [*_short_hash_codes(types), SEVERAL])
_PAIR_CODE = HashCode(
    "resource_mark", "smallint", lambda pairs: [*_short_hash_codes(type for type, _ in pairs), SEVERAL]
)
_ALL_CODES = tuple(code.column for code in (ACTOR_CODE, TYPE_CODE, SOURCE_CODE, OUTCOME_CODE, RESOURCE_CODE))
_STAFF = frozenset({Part.STAFF_IDS})
_OTHERS = frozenset({Part.OTHER_PATIENTS})
_CLIENT = frozenset({Part.CLIENT})
_PERSONS = frozenset({Part.STAFF_NAMES, Part.PATIENT_NAMES})

ACTOR = Attribute(
    name="actor",
    of=lambda recorded: (recorded.event.actor.id,),
    columns=("actor_id",),
    code=ACTOR_CODE,
    index=AttributeIndex(rank=7, holds=("type_mark", "source_mark", "outcome", "resource_mark")),
    parts=_STAFF,
    names=_PERSONS,
)
USER = Attribute(
    name="user",
    of=lambda recorded: (recorded.event.actor.id,) if recorded.event.actor.kind in PERSONS else (),
    columns=("actor_id",),
    where=f"{{}}.actor_kind IN ({', '.join(str(ACTOR_KIND_CODES[kind]) for kind in sorted(PERSONS))})",
    code=ACTOR_CODE,
    index=AttributeIndex(rank=8, holds=("type_mark", "source_mark", "outcome", "resource_mark")),
    parts=_STAFF,
    names=_PERSONS,
)
PATIENT = Attribute(
    name="patient",
    of=lambda recorded: {patient.id for patient in recorded.event.patients},
    columns=("patient_id",),
    table="patient_timeline",
    projection="patient",
    index=AttributeIndex(rank=3, holds=_ALL_CODES, by_span=False),
    names=_PERSONS,
    patient=True,
)
DEVICE = Attribute(
    name="device",
    of=_devices,
    columns=("device_id",),
    table="device_timeline",
    projection="device",
    index=AttributeIndex(rank=6, holds=_ALL_CODES, by_span=False),
    parts=_STAFF | _OTHERS,  # a device's events are also those in which it is the actor
    names=_PERSONS,
)
SERVICE = Attribute(
    name="service",
    of=lambda recorded: (recorded.event.source.service,),
    columns=("source",),
    code=SOURCE_CODE,
    index=AttributeIndex(rank=10, holds=("type_mark", "resource_mark")),
)
SOURCE = Attribute(
    name="source",
    of=lambda recorded: (recorded.event.source.service,),
    columns=("source",),
    code=SOURCE_CODE,
    index=AttributeIndex(rank=11, holds=("type_mark", "resource_mark")),
)
RESOURCE_TYPE = Attribute(
    name="resource_type",
    of=lambda recorded: {resource.type for resource in recorded.event.resources},
    columns=("type",),
    table="activity_resource",
    repeats=True,
    code=RESOURCE_CODE,
    index=AttributeIndex(rank=9, holds=("type_mark", "source_mark")),
    parts=_OTHERS,
)
RESOURCE = Attribute(
    name="resource",
    of=lambda recorded: {(resource.type, resource.id) for resource in recorded.event.resources},
    columns=("type", "id"),
    table="activity_resource",
    code=_PAIR_CODE,
    index=AttributeIndex(rank=4, by_span=False),
    parts=_OTHERS,
    names=NAMES,
)
UNNAMED_RESOURCE_TYPE = Attribute(
    name="unnamed_resource_type",
    of=lambda recorded: {
        resource.type for resource in recorded.event.resources if not names_person(resource.type, resource.id)
    },
    columns=("type",),
    table="activity_resource",
    where="NOT {}.named",
    repeats=True,
    code=RESOURCE_CODE,
    index=AttributeIndex(rank=9, holds=("type_mark", "source_mark")),
    parts=_OTHERS,
)
TYPE = Attribute(
    name="type",
    of=lambda recorded: (recorded.event.type,),
    columns=("type",),
    code=TYPE_CODE,
    index=AttributeIndex(rank=14, coarse=True, holds=("source_mark",)),
)
ACTION = Attribute(name="action", of=_action, columns=("action",))
OUTCOME = Attribute(
    name="outcome",
    of=lambda recorded: (OUTCOME_CODES[recorded.event.outcome],),
    columns=("outcome",),
    type="smallint",
    code=OUTCOME_CODE,
    # Success is the usual outcome: walking the newest positions finds it soon.
    index=AttributeIndex(
        rank=13,
        coarse=True,
        holds=("type_mark", "source_mark"),
        where="activity.outcome <> 0",
        only="without `success`",
        serves=lambda codes: OUTCOME_CODES[Outcome.SUCCESS] not in codes,
    ),
)
ACTOR_KIND = Attribute(
    name="actor_kind",
    of=lambda recorded: (ACTOR_KIND_CODES[recorded.event.actor.kind],),
    columns=("actor_kind",),
    type="smallint",
)
PURPOSE = Attribute(
    name="purpose", of=lambda recorded: recorded.event.purpose_of_use, columns=("purposes",), array=True
)
CORRELATION_ID = Attribute(
    name="correlation_id",
    of=lambda recorded: (recorded.event.correlation_id,),
    columns=("correlation_id",),
    index=AttributeIndex(rank=1, expression="hashtextextended({}, 0)"),
    parts=_STAFF,
    names=NAMES,
)
SESSION = Attribute(
    name="session",
    of=lambda recorded: (recorded.event.session,),
    columns=("session",),
    index=AttributeIndex(rank=2),
    parts=_STAFF,
    names=NAMES,
)
ADDRESS = Attribute(
    name="address",
    of=_client_address,
    columns=("address",),
    index=AttributeIndex(rank=5, holds=("type_mark", "source_mark", "resource_mark")),
    parts=_CLIENT,
)
EMERGENCY = Attribute(
    name="emergency",
    of=lambda recorded: (recorded.event.emergency,),
    columns=("emergency",),
    type="boolean",
    index=AttributeIndex(rank=12, coarse=True, only="`true`", serves=all),
)
OCCURRED_AT = Attribute(
    name="occurred_at", of=lambda recorded: (recorded.event.occurred_at,), columns=("occurred_at",)
)
LOCAL_TIME = Attribute(
    name="local_time", of=lambda recorded: (recorded.event.occurred_at,), columns=("occurred_at",)
)
POSITION = Attribute(name="position", of=lambda recorded: (recorded.position,), columns=("position",))


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
