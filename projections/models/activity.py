"""The activity index: one row per event, for filters by anything but patient and device, and counts of events.

It also serves as the timeline of users (by actor) and services (by source).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from operator import itemgetter

from domain.access.person_names import names_person
from domain.catalogue import CATALOGUE
from domain.event import Action, AuditEvent, Patient, RecordedEvent
from projections.binary_rows import utc
from projections.hash_codes import (
    ACTOR_KIND_CODES,
    HOUR_NUMBER,
    OUTCOME_CODES,
    RESOURCE_HASH,
    SOURCE_HASH,
    TYPE_HASH,
    kind_hash_codes,
)
from projections.merges import MAX, MIN, SUM
from projections.tables import Column, Index, Kind, Row, Table

DEFAULT_ACTIONS: dict[str, Action] = {name: entry.action for name, entry in CATALOGUE.items()}
_ACTION_CODES = {name: action.value for name, action in DEFAULT_ACTIONS.items()}
_OTHER_ACTION = Action.EXECUTE.value

SPAN_BITS = 12
"""4,096 positions make a span. The indexes end in the span, not in the position: PostgreSQL then keeps the many equal
entries as one key with a list of rows, 10 bytes instead of 60 an event. A page sorts within one span, and stops there.
"""

ACTIVITY = Table(
    "activity",
    ("position",),
    (
        Column("position", Kind.BIGINT),
        Column("occurred_at", Kind.TIMESTAMP),
        Column("span", Kind.INTEGER),
        HOUR_NUMBER,
        Column("outcome", Kind.SMALLINT),
        Column("actor_kind", Kind.SMALLINT),
        Column("emergency", Kind.BOOLEAN),
        TYPE_HASH,
        SOURCE_HASH,
        RESOURCE_HASH,
        Column("action", Kind.TEXT),
        Column("type", Kind.TEXT),
        Column("source", Kind.TEXT),
        Column("actor_id", Kind.TEXT, nullable=True),
        Column("session", Kind.TEXT, nullable=True),
        Column("correlation_id", Kind.TEXT, nullable=True),
        Column("address", Kind.TEXT, nullable=True),
        Column("purposes", Kind.TEXTS, nullable=True),
        Column("patients", Kind.TEXTS, nullable=True),
    ),
    (
        # Columns often filtered together follow the span: entries that do not match are skipped within the index.
        Index(("type", "span", "source_mark")),
        Index(("source", "span", "type_mark", "resource_mark")),
        # The hours of an actor or of an address are counted within the index.
        Index(
            (
                "actor_id",
                "span",
                "type_mark",
                "source_mark",
                "outcome",
                "resource_mark",
                "actor_kind",
                "hour",
            ),
            "actor_id IS NOT NULL",
        ),
        Index(("session", "span"), "session IS NOT NULL"),
        Index(
            ("address", "span", "type_mark", "source_mark", "resource_mark", "hour"), "address IS NOT NULL"
        ),
        # Long and hardly ever repeated: the hash makes a narrow entry, and the text itself is compared afterwards.
        Index(("hashtextextended(correlation_id, 0)", "span"), "correlation_id IS NOT NULL"),
        # The rare values alone: the usual ones are found by walking the newest positions.
        Index(("outcome", "span", "type_mark", "source_mark"), "outcome <> 0"),
        Index(("emergency", "span"), "emergency"),
    ),
    counted_in_index=True,
)

RESOURCE = Table(
    "activity_resource",
    ("type", "id", "position"),
    (
        Column("position", Kind.BIGINT),
        Column("span", Kind.INTEGER),
        TYPE_HASH,
        SOURCE_HASH,
        Column("named", Kind.BOOLEAN),
        Column("type", Kind.TEXT),
        Column("id", Kind.TEXT),
    ),
    (
        Index(("type", "span", "source_mark", "named")),
        # There are frequent types of events that never touch a frequent type of resource.
        Index(("type_mark", "type", "span")),
        Index(("position",)),
    ),
)
"""`type` and `id` are the resource's; the hash codes are those of the event.

`named`: the id is hidden from readers who see no names (`domain.access.person_names.names_person`).
"""

HOUR = Table(
    "activity_hour",
    ("hour",),
    (
        Column("hour", Kind.TIMESTAMP),
        Column("first_position", Kind.BIGINT, MIN),
        Column("last_position", Kind.BIGINT, MAX),
        Column("events", Kind.BIGINT, SUM),
    ),
)
"""The first and last position of each hour by the source's clock. They turn a time range into a range of positions."""


def _count_table(name: str, time: str, first: tuple[str, str], *indexes: Index) -> Table:
    """A table of counts, whose key begins with the columns `first`; `time` is the column of the hour or day."""
    return Table(
        name,
        (*first, "type", "action", "outcome", "actor_kind"),
        (
            Column(time, Kind.TIMESTAMP),
            Column("outcome", Kind.SMALLINT),
            Column("actor_kind", Kind.SMALLINT),
            Column("events", Kind.BIGINT, SUM),
            Column("action", Kind.TEXT),
            Column("type", Kind.TEXT),
            Column("source", Kind.TEXT),
        ),
        (*indexes, Index(("outcome", time), "outcome <> 0")),
    )


# Counts read some hours at the ends of a range, all of them for the hours of a chart.
COUNT_HOUR = _count_table("activity_count_hour", "hour", ("hour", "source"))
# A range may have many days: those of one service or of a few types are found alone.
COUNT_DAY = _count_table(
    "activity_count_day", "day", ("source", "day"), Index(("day",)), Index(("type", "day"))
)
"""The number of events of each service, type, action, outcome and kind of actor in each hour, and in each day.

They answer counts of any range in a time that does not depend on the number of events: `queries.search.count_spans`.
"""

_HOUR = timedelta(hours=1)
_POSITION = itemgetter(0)
_COUNTED = itemgetter(*map(ACTIVITY.names.index, ("outcome", "actor_kind", "action", "type", "source")))


class ActivityProjector:
    """Writes the activity index."""

    name = "activity"
    version = 5
    tables = (ACTIVITY, RESOURCE, HOUR, COUNT_HOUR, COUNT_DAY)

    def rows(self, events: Sequence[RecordedEvent]) -> Mapping[str, list[Row]]:
        """One row per event, one per resource that it names, the bounds of the hours, and the counts."""
        activity: list[Row] = []
        resources: list[Row] = []
        hours: dict[datetime, list[Row]] = {}
        begin = end = datetime.min.replace(tzinfo=UTC)
        number = 0
        within: list[Row] = []
        for recorded in events:
            position, event = recorded.position, recorded.event
            moment = utc(event.occurred_at)
            place = (position, position >> SPAN_BITS)
            codes = kind_hash_codes(event)
            if not begin <= moment < end:  # mostly an event is of the same hour as the one before
                begin = moment.replace(minute=0, second=0, microsecond=0)
                end = begin + _HOUR
                number = int(begin.timestamp()) // 3600
                within = hours.setdefault(begin, [])
            row = _activity(place, (moment, number), codes, event)
            activity.append(row)
            within.append(row)
            if event.resources:
                if len(event.resources) == 1:
                    [resource] = event.resources
                    resources.append(_resource(place, codes, resource.type, resource.id))
                else:
                    touched = {(resource.type, resource.id) for resource in event.resources}
                    resources.extend([_resource(place, codes, type, id) for type, id in touched])
        return {"activity": activity, "activity_resource": resources} | _of_hours(hours)


def _of_hours(hours: Mapping[datetime, Sequence[Row]]) -> dict[str, list[Row]]:
    """The rows of the tables of hours and days, from the rows of each hour's events."""
    bounds: list[Row] = []
    of_hours: list[Row] = []
    of_days: list[Row] = []
    for hour, held in hours.items():
        positions = list(map(_POSITION, held))
        bounds.append((hour, min(positions), max(positions), len(positions)))
        day = hour.replace(hour=0)
        for (outcome, actor_kind, *names), events in Counter(map(_COUNTED, held)).items():
            of_hours.append((hour, outcome, actor_kind, events, *names))
            of_days.append((day, outcome, actor_kind, events, *names))
    return {
        "activity_hour": bounds,
        "activity_count_hour": of_hours,
        "activity_count_day": of_days,
    }


def _resource(place: tuple[int, int], codes: tuple[int, int, int], type: str, id: str) -> Row:
    return (*place, codes[0], codes[1], names_person(type, id), type, id)


def _activity(
    place: tuple[int, int], time: tuple[datetime, int], codes: tuple[int, int, int], event: AuditEvent
) -> Row:
    actor = event.actor
    position, span = place
    moment, hour = time
    type_code, source_code, resource_code = codes
    return (
        position,
        moment,
        span,
        hour,
        OUTCOME_CODES[event.outcome],
        ACTOR_KIND_CODES[actor.kind],
        event.emergency,
        type_code,
        source_code,
        resource_code,
        event.action.value if event.action else _ACTION_CODES.get(event.type, _OTHER_ACTION),
        event.type,
        event.source.service,
        actor.id,
        event.session,
        event.correlation_id,
        event.client.address if event.client else None,
        event.purpose_of_use or None,
        _patients(event.patients) if event.patients else None,
    )


def _patients(patients: Sequence[Patient]) -> tuple[str, ...]:
    if len(patients) == 1:
        return (patients[0].id,)
    return tuple(dict.fromkeys(patient.id for patient in patients))
