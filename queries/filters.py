"""What may be asked of the trail: a filter, a page of it, and the answer."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from difflib import get_close_matches
from enum import StrEnum
from typing import Any

from msgspec import Struct

from domain.catalogue import CATALOGUE
from domain.errors import ConflictError, Reason, RejectedError
from domain.event import Action, Outcome, RecordedEvent

MAX_PAGE = 1000
"""Events of one page. 1,000 bodies of a few kB are some MB, which one request may hold."""
MAX_VALUES = 100
"""Values of one list filter; more than the catalogue has types."""
MAX_TEXT = 256
"""Characters of an identifier: see `domain.event.Identifier`."""
MAX_POSITION = 2**63 - 1

_TEXTS = (
    "actor",
    "patient",
    "user",
    "device",
    "service",
    "resource_type",
    "resource_id",
    "source",
    "correlation_id",
    "session",
    "address",
)
_PREFIXES = ("type_prefix", "actor_prefix", "address_prefix")
ANY_OF = {
    "actor_in": "actor",
    "patient_in": "patient",
    "user_in": "user",
    "device_in": "device",
    "service_in": "service",
    "correlation_id_in": "correlation_id",
    "session_in": "session",
    "address_in": "address",
}
"""Lists of identifiers, and the condition that each is a choice of."""
LISTS = ("types", "categories", "actions", "outcomes", "purposes", *ANY_OF)
GROUPS = ("and_", "or_", "not_")
"""Conditions that are filters themselves."""
MAX_DEPTH = 5
"""Levels of filters within filters."""
MAX_TERMS = 50
"""Conditions of a whole filter, those of the filters within it counted."""


class FilterTooLargeError(ConflictError):
    """Reject: the filter has more conditions, values or levels than are allowed, whatever they are."""


class EventFilter(Struct, frozen=True, kw_only=True):
    """All given conditions must hold; of a list, one value must match.

    `actor` is any actor's id; `user` only that of a person (`projections.models.user`). `service` and `source` are both
    the reporting service, kept apart because a caller may ask both. `device` is the device that the event is about, or
    that acted. `occurred_from` is inclusive, `occurred_until` exclusive, both by the source's clock. `resource_id`
    needs `resource_type`. `position_from` is inclusive, `position_until` exclusive.

    Of `or_` one filter must match, of `and_` every one, and `not_` must not: an event that says nothing of what is
    asked does not match, and so is found by `not_`.
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

    def given(self) -> list[str]:
        """The names of the conditions that are set."""
        return [name for name in self.__struct_fields__ if getattr(self, name) not in (None, ())]

    def parts(self) -> Iterator[EventFilter]:
        """The filters right within this one."""
        yield from (*self.and_, *self.or_, *((self.not_,) if self.not_ is not None else ()))

    def every(self) -> Iterator[EventFilter]:
        """This filter, and all within it."""
        yield self
        for part in self.parts():
            yield from part.every()


def within(filter: EventFilter, scope: EventFilter | None) -> EventFilter:
    """What matches both. `scope` is what somebody may see at all: the limits of `check_filter` are not for it."""
    if scope is None or not scope.given():
        return filter
    return EventFilter(and_=(filter, scope)) if filter.given() else scope


def any_of(**lists: Sequence[str] | None) -> dict[str, Any]:
    """Conditions that ask for one of some identifiers: ``any_of(actor=["a", "b"])``. Of a single one the plain one."""
    found: dict[str, Any] = {}
    for name, values in lists.items():
        if values:
            found |= {name: values[0]} if len(values) == 1 else {f"{name}_in": tuple(values)}
    return found


class PageRequest(Struct, frozen=True, kw_only=True):
    """Newest first: `first` events older than position `after`, or `last` events newer than position `before`.

    Exactly one of `first` and `last`, from 1 to `MAX_PAGE`. Both bounds may be given with either: as in Relay, `after`
    and `before` bound the list and `first` or `last` cuts it.

    `by_time`: the order is that of `occurred_at` instead of the position's, and the bounds are positions of events
    still. `oldest_first` turns the list round: then `first` events come after the one at `after`, and so on.
    """

    first: int | None = None
    after: int | None = None
    last: int | None = None
    before: int | None = None
    by_time: bool = False
    oldest_first: bool = False


class CountBy(StrEnum):
    """What a bucket is of. Hours and days are by the sources' clocks and in UTC."""

    TYPE = "type"
    ACTOR = "actor"
    SERVICE = "service"
    ACTION = "action"
    OUTCOME = "outcome"
    HOUR = "hour"
    DAY = "day"


class EventPage(Struct, frozen=True, kw_only=True):
    """A page, in the order of the list whichever end of it was asked for.

    `has_next`: there are events after the page's last (older ones, if the list is not turned round); `has_previous`:
    there are events before its first.
    Events above `as_of_position` are not shown yet; -1 says that nothing is applied so far.
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
    for name in (*_TEXTS, *_PREFIXES):
        value = getattr(filter, name)
        if value is not None:
            _check_text(name, value)
    for name in LISTS:
        values = getattr(filter, name)
        if len(values) > MAX_VALUES:
            raise FilterTooLargeError(Reason.INVALID_FIELD, f"at most {MAX_VALUES} values", field=name)
        for value in values:
            _check_text(name, value, MAX_TEXT if name in ANY_OF else 1024)
    _check_words("types", filter.types, CATALOGUE)
    _check_words("categories", filter.categories, {entry.category for entry in CATALOGUE.values()})
    _check_words("actions", filter.actions, set(Action))
    _check_words("outcomes", filter.outcomes, set(Outcome))
    _check_ranges(filter)
    if filter.resource_id is not None and filter.resource_type is None:
        raise ConflictError(
            Reason.MISSING_FIELD, "the id of a resource needs its type too", field="resource_type"
        )


def _check_ranges(filter: EventFilter) -> None:
    for name in ("occurred_from", "occurred_until"):
        moment = getattr(filter, name)
        if moment is not None and moment.utcoffset() is None:
            raise RejectedError(Reason.INVALID_FIELD, "give the time with its offset", field=name)
    for name in ("position_from", "position_until"):
        position = getattr(filter, name)
        if position is not None and not 0 <= position <= MAX_POSITION:
            raise RejectedError(Reason.INVALID_FIELD, "a position is from 0 to 2^63 - 1", field=name)
    for begin, end in (("occurred_from", "occurred_until"), ("position_from", "position_until")):
        least, most = getattr(filter, begin), getattr(filter, end)
        if least is not None and most is not None and most < least:
            # An empty answer would read as if nothing had happened.
            raise ConflictError(Reason.INVALID_FIELD, "the range ends before it begins", field=end)


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


def _check_words(name: str, values: tuple[str, ...], known: Collection[str]) -> None:
    for value in values:
        if value not in known:
            near = get_close_matches(value[:MAX_TEXT], known, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise RejectedError(Reason.INVALID_FIELD, f"not one of the known values{hint}", field=name)
