"""The attributes of events that conditions compare: their columns, their indexes, and the parts that they reveal.

Only an attribute with an index can drive a search. A new index is declared with its table, in `projections.models`, and
described here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from msgspec import Struct

from domain.access.grants import Part
from domain.access.person_names import names_person
from domain.access.redaction import NAMES
from domain.catalogue import CATALOGUE
from domain.event import PERSONS, Action, ActorKind, Outcome, RecordedEvent
from projections.hash_codes import ACTOR_KIND_CODES, OUTCOME_CODES, SEVERAL, hash_code, short_hash_code


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
