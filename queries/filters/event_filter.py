"""A query for events: its filter, the page, and the answer."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from operator import attrgetter
from typing import Any

from msgspec import Struct

from domain.event import RecordedEvent
from queries.filters.attributes import Attribute
from queries.filters.conditions import (
    BY_FIELD,
    BY_NAME,
    CONDITIONS,
    Condition,
    Operator,
)
from queries.filters.local_time import LocalTime

MAX_PAGE = 1000
"""Events of one page. 1,000 bodies of a few kB are some MB, which one request may hold."""
MAX_VALUES = 100
"""Values of one list filter; more than the catalogue has types."""
MAX_POSITION = 2**63 - 1

GROUPS = ("and_", "or_", "not_")
"""The fields that hold filters."""
MAX_DEPTH = 5
"""Levels of nested filters."""
MAX_TERMS = 50
"""Conditions of a filter, including its nested filters."""


class EventFilter(Struct, frozen=True, kw_only=True):
    """All given conditions must hold; of a list, one value must match.

    `queries.filters.conditions` describes each field. `actor` is any actor's id; `user` only that of a person.
    `service` and `source` are both the reporting service, so that a caller can give two conditions on it. `device` is
    the device that the event is about, or that acted. `occurred_from` is inclusive, `occurred_until` exclusive, both by
    the source's clock. `day_time_from` and `day_time_until` are such times of day (``22:00``) in `time_zone`, and so
    are `weekdays`. `resource_id` needs `resource_type`. `position_from` is inclusive, `position_until` exclusive.

    One filter of `or_` must match, every one of `and_`, and `not_` must not. An event without the value that a
    condition compares does not match it, and so `not_` finds it.
    """

    actor: str | None = None
    patient: str | None = None
    user: str | None = None
    device: str | None = None
    service: str | None = None
    resource_type: str | None = None
    resource_id: str | None = None
    unnamed_resource_type: str | None = None
    types: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()
    purposes: tuple[str, ...] = ()
    source: str | None = None
    correlation_id: str | None = None
    session: str | None = None
    address: str | None = None
    emergency: bool | None = None
    actor_kinds: tuple[str, ...] = ()
    occurred_from: datetime | None = None
    occurred_until: datetime | None = None
    day_time_from: str | None = None
    day_time_until: str | None = None
    weekdays: tuple[str, ...] = ()
    time_zone: str | None = None
    actor_in: tuple[str, ...] = ()
    patient_in: tuple[str, ...] = ()
    user_in: tuple[str, ...] = ()
    device_in: tuple[str, ...] = ()
    service_in: tuple[str, ...] = ()
    correlation_id_in: tuple[str, ...] = ()
    session_in: tuple[str, ...] = ()
    address_in: tuple[str, ...] = ()
    type_prefix: str | None = None
    actor_prefix: str | None = None
    address_prefix: str | None = None
    position_from: int | None = None
    position_until: int | None = None
    and_: tuple[EventFilter, ...] = ()
    or_: tuple[EventFilter, ...] = ()
    not_: EventFilter | None = None

    @classmethod
    def of(cls, **values: Any) -> EventFilter:
        """The filter for values by the names of conditions: ``EventFilter.of(actor=["a", "b"], type=["record.read"])``.

        A condition that can be repeated takes a sequence. None and an empty sequence are no condition. `and_`, `or_`
        and `not_` are those of the constructor.
        """
        fields: dict[str, Any] = {}
        for name, value in values.items():
            condition = BY_NAME.get(name)
            if condition is None or not condition.many:
                fields[name] = value
            elif condition.one and value and len(value) == 1:
                fields[condition.one] = value[0]
            else:
                fields[condition.many] = tuple(value or ())
        return cls(**fields)

    def given(self) -> list[str]:
        """The names of the fields that are set."""
        values = _VALUES(self)
        return [
            name
            for name, value in zip(self.__struct_fields__, values, strict=True)
            if value is not None and value != ()
        ]

    def comparisons(self) -> Iterator[tuple[Condition, Any]]:
        """The filter's own top-level conditions that compare a prefix or a bound, and their values."""
        for name in self.given():
            if name in _COMPARED:
                yield _COMPARED[name], getattr(self, name)

    def local_time(self) -> LocalTime | None:
        """The filter's own condition on the time of day and the day of the week."""
        return LocalTime.of(self.day_time_from, self.day_time_until, self.weekdays, self.time_zone)

    def equalities(self) -> list[Equality]:
        """The attributes that the filter's own top-level conditions compare for equality.

        Conditions on one attribute are one equality, of the values that all of them allow. If events may have several
        values of the attribute, each condition is a separate equality.
        """
        found = [
            self._equality(name, condition)
            for name in self.given()
            if (condition := _EQUAL.get(name)) is not None
            and not any(getattr(self, field) is not None for field in _PAIRED.get(name, ()))
        ]
        return found if len({each.attribute.name for each in found}) == len(found) else _joined(found)

    def _equality(self, name: str, condition: Condition) -> Equality:
        value = getattr(self, name)
        given = value if name == condition.many else (value,)
        fields: tuple[str, ...] = (name,)
        if condition.needs:
            fields = (condition.needs, name)
            given = [(getattr(self, condition.needs), each) for each in given]
        return Equality(condition.attribute, tuple(sorted(set(condition.values(given)))), fields)

    def parts(self) -> Iterator[EventFilter]:
        """The filters one level below this one."""
        yield from (*self.and_, *self.or_, *((self.not_,) if self.not_ is not None else ()))

    def every(self) -> Iterator[EventFilter]:
        """This filter, and all its nested filters."""
        yield self
        for part in self.parts():
            yield from part.every()


def within(filter: EventFilter, scope: EventFilter | None) -> EventFilter:
    """What matches both. `scope` is what a principal may see: the limits of `check_filter` do not apply to it."""
    if scope is None or not scope.given():
        return filter
    return EventFilter(and_=(filter, scope)) if filter.given() else scope


def during(filter: EventFilter, begin: datetime | None, until: datetime | None) -> EventFilter:
    """What matches the filter and happened from `begin` on and before `until`; None is no bound."""
    within = (filter,) if filter.given() else ()
    return EventFilter(and_=within, occurred_from=begin, occurred_until=until)


_EQUAL = {field: condition for field, condition in BY_FIELD.items() if condition.operator is Operator.EQUAL}
_COMPARED = {
    field: condition
    for field, condition in BY_FIELD.items()
    if condition.operator in {Operator.PREFIX, Operator.FROM, Operator.UNTIL}
}
_VALUES = attrgetter(*EventFilter.__struct_fields__)
_PAIRED = {condition.needs: condition.fields for condition in CONDITIONS if condition.needs}
"""The fields whose values make pairs with that of another field."""


class Equality(Struct, frozen=True):
    """The event's value of `attribute` is one of `values`, which are sorted.

    `fields` are the filter's fields for it.
    """

    attribute: Attribute
    values: tuple[Any, ...]
    fields: tuple[str, ...]


def _joined(found: list[Equality]) -> list[Equality]:
    by_attribute: dict[str, Equality] = {}
    several: list[Equality] = []
    for each in found:
        name = each.attribute.name
        if each.attribute.several:
            several.append(each)
        elif name in by_attribute:
            other = by_attribute[name]
            both = tuple(value for value in each.values if value in other.values)
            by_attribute[name] = Equality(each.attribute, both, other.fields + each.fields)
        else:
            by_attribute[name] = each
    return [*by_attribute.values(), *several]


class PageRequest(Struct, frozen=True, kw_only=True):
    """Newest first: `first` events older than position `after`, or `last` events newer than position `before`.

    Exactly one of `first` and `last`, from 1 to `MAX_PAGE`. Both bounds may be given with either: as in Relay, `after`
    and `before` bound the list and `first` or `last` cuts it.

    `by_time`: the order is that of `occurred_at` instead of the position's, and the bounds are positions of events
    still. The list is newest first unless `oldest_first`: then `first` events come after the one at `after`, and so on.
    """

    first: int | None = None
    after: int | None = None
    last: int | None = None
    before: int | None = None
    by_time: bool = False
    oldest_first: bool = False


class CountBy(StrEnum):
    """The attribute that counts are grouped by. Hours and days are by the sources' clocks and in UTC.

    An event of several patients is in the bucket of each, and one of no patient in none.
    """

    TYPE = "type"
    ACTOR = "actor"
    PATIENT = "patient"
    SERVICE = "service"
    ACTION = "action"
    OUTCOME = "outcome"
    HOUR = "hour"
    DAY = "day"


class Distinct(StrEnum):
    """What a count can tell beside the number of events: how many different patients or actors they name."""

    PATIENTS = "patients"
    ACTORS = "actors"


class EventPage(Struct, frozen=True, kw_only=True):
    """A page, in the order of the list, also when `last` was given.

    `has_next`: there are events after the page's last (older ones, unless `oldest_first`); `has_previous`:
    there are events before its first.
    Events above `as_of_position` are not visible yet; -1: nothing is applied so far.
    """

    events: list[RecordedEvent]
    has_next: bool
    has_previous: bool
    as_of_position: int

    @property
    def next_after(self) -> int | None:
        """The position after which the next page begins; None if there is none."""
        return self.events[-1].position if self.events and self.has_next else None

    @property
    def previous_before(self) -> int | None:
        """The position before which the previous page ends; None if there is none."""
        return self.events[0].position if self.events and self.has_previous else None
