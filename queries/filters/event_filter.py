"""A query for events: its filter, the page, and the answer."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime
from difflib import get_close_matches
from enum import StrEnum
from operator import attrgetter
from typing import Any, NoReturn

from msgspec import Struct

from domain.errors import ConflictError, Reason, RejectedError
from domain.event import RecordedEvent
from queries.filters.conditions import (
    BY_FIELD,
    BY_NAME,
    CONDITIONS,
    MAX_TEXT,
    Attribute,
    Condition,
    Operator,
    ValueKind,
)

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


class FilterTooLargeError(ConflictError):
    """Reject: the filter has more conditions, values or levels than are allowed, whatever they are."""


class EventFilter(Struct, frozen=True, kw_only=True):
    """All given conditions must hold; of a list, one value must match.

    `queries.filters.conditions` describes each field. `actor` is any actor's id; `user` only that of a person.
    `service` and `source` are both the reporting service, so that a caller can give two conditions on it. `device` is
    the device that the event is about, or that acted. `occurred_from` is inclusive, `occurred_until` exclusive, both by
    the source's clock. `resource_id` needs `resource_type`. `position_from` is inclusive, `position_until` exclusive.

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
    occurred_from: datetime | None = None
    occurred_until: datetime | None = None
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


_EQUAL = {field: condition for field, condition in BY_FIELD.items() if condition.operator is Operator.EQUAL}
_COMPARED = {field: condition for field, condition in BY_FIELD.items() if field not in _EQUAL}
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
    """The attribute that counts are grouped by. Hours and days are by the sources' clocks and in UTC."""

    TYPE = "type"
    ACTOR = "actor"
    SERVICE = "service"
    ACTION = "action"
    OUTCOME = "outcome"
    HOUR = "hour"
    DAY = "day"


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


def check_filter(filter: EventFilter) -> EventFilter:
    """`filter` when it can be answered; raises `RejectedError` naming the field otherwise."""
    _check_size(filter)
    for each in filter.every():
        _check_conditions(each)
    return filter


def _check_size(filter: EventFilter) -> None:
    level, depth = [filter], 0
    terms = 0
    while level:
        terms += sum(name not in GROUPS for each in level for name in each.given())
        level = [part for each in level for part in each.parts()]
        depth += 1
        if any(not part.given() for part in level):
            raise RejectedError(Reason.MISSING_FIELD, "a filter within it has no condition", field="filter")
        if level and depth > MAX_DEPTH:
            raise FilterTooLargeError(
                Reason.INVALID_FIELD, f"at most {MAX_DEPTH} levels of and, or, not", field="filter"
            )
        if terms > MAX_TERMS or len(level) > MAX_TERMS:
            raise FilterTooLargeError(
                Reason.INVALID_FIELD, f"at most {MAX_TERMS} conditions in all", field="filter"
            )


def _check_conditions(filter: EventFilter) -> None:
    given = filter.given()
    for name in given:
        condition = BY_FIELD.get(name)
        if condition is None:
            continue
        value = getattr(filter, name)
        if name == condition.many:
            if len(value) > MAX_VALUES:
                raise FilterTooLargeError(Reason.INVALID_FIELD, f"at most {MAX_VALUES} values", field=name)
            for each in value:
                _check_value(condition, name, each)
        else:
            _check_value(condition, name, value)
    for name in given:
        if name in _TOGETHER:
            _check_together(filter, _TOGETHER[name])


def _check_value(condition: Condition, name: str, value: Any) -> None:
    match condition.kind:
        case ValueKind.TIME:
            check_time(name, value)
        case ValueKind.POSITION:
            if not 0 <= value <= MAX_POSITION:
                raise RejectedError(Reason.INVALID_FIELD, "a position is from 0 to 2^63 - 1", field=name)
        case ValueKind.TEXT | ValueKind.WORD | ValueKind.LETTER:
            _check_text(name, value, condition.max_length)
            if condition.words and value not in condition.words:
                _refuse_word(name, value, condition.words)


_TOGETHER = {field: condition for field, condition in BY_FIELD.items() if condition.begin or condition.needs}
"""The conditions that depend on another."""


def _check_together(filter: EventFilter, condition: Condition) -> None:
    if condition.begin:
        least, most = getattr(filter, condition.begin), getattr(filter, condition.one)
        if least is not None and most < least:
            # An empty answer would read as if nothing had happened.
            raise ConflictError(Reason.INVALID_FIELD, "the range ends before it begins", field=condition.one)
    if condition.needs and getattr(filter, condition.needs) is None:
        raise ConflictError(
            Reason.MISSING_FIELD, "the id of a resource needs its type too", field=condition.needs
        )


def check_page(page: PageRequest) -> PageRequest:
    """`page` when it is within the limits; raises `RejectedError` naming the argument otherwise."""
    if (page.first is None) == (page.last is None):
        raise RejectedError(Reason.MISSING_FIELD, "give exactly one of first and last", field="first")
    name = "first" if page.first is not None else "last"
    if not 1 <= getattr(page, name) <= MAX_PAGE:
        raise RejectedError(Reason.INVALID_FIELD, f"from 1 to {MAX_PAGE}", field=name)
    for name in ("after", "before"):
        value = getattr(page, name)
        if value is not None and not 0 <= value <= MAX_POSITION:
            raise RejectedError(Reason.INVALID_FIELD, "a position is from 0 to 2^63 - 1", field=name)
    return page


def check_identifier(name: str, value: str) -> str:
    """`value` when it may be an identifier; raises `RejectedError` with `name` as its field otherwise."""
    _check_text(name, value)
    return value


def check_time(name: str, value: datetime) -> datetime:
    """`value` when it names an instant; raises `RejectedError` with `name` as its field otherwise."""
    if value.utcoffset() is None:
        raise RejectedError(Reason.INVALID_FIELD, "give the time with its offset", field=name)
    return value


def check_limit(limit: int) -> int:
    """`limit` when a list may have that many entries; raises `RejectedError` otherwise."""
    if not 1 <= limit <= MAX_PAGE:
        raise RejectedError(Reason.INVALID_FIELD, f"from 1 to {MAX_PAGE}", field="limit")
    return limit


def _check_text(name: str, value: str, limit: int = MAX_TEXT) -> None:
    if not 1 <= len(value) <= limit:
        raise RejectedError(Reason.INVALID_FIELD, f"from 1 to {limit} characters", field=name)
    if "\0" in value or not _encodable(value):
        raise RejectedError(Reason.INVALID_FIELD, "no U+0000 and no lone surrogates", field=name)


def _encodable(value: str) -> bool:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _refuse_word(name: str, value: str, known: Collection[str]) -> NoReturn:
    near = get_close_matches(value[:MAX_TEXT], known, 1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise RejectedError(Reason.INVALID_FIELD, f"not one of the known values{hint}", field=name)
