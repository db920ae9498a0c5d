"""The checks of a query: its filter, its page and its identifiers. An error names the field at fault."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from difflib import get_close_matches
from typing import Any, NoReturn

from domain.errors import ConflictError, Reason, RejectedError
from queries.filters.conditions import BY_FIELD, MAX_TEXT, Condition, ValueKind
from queries.filters.event_filter import (
    GROUPS,
    MAX_DEPTH,
    MAX_PAGE,
    MAX_POSITION,
    MAX_TERMS,
    MAX_VALUES,
    EventFilter,
    PageRequest,
)
from queries.filters.local_time import is_day_time, is_zone_name, time_zones

_LONGEST_WORD = 64
"""Characters of a wrong word that are compared with the known ones, for a hint."""


class FilterTooLargeError(ConflictError):
    """Reject: the filter has more conditions, values or levels than are allowed, whatever they are."""


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
    _check_local_time(filter)


def _check_value(condition: Condition, name: str, value: Any) -> None:
    match condition.kind:
        case ValueKind.TIME:
            check_time(name, value)
        case ValueKind.POSITION:
            if not 0 <= value <= MAX_POSITION:
                raise RejectedError(Reason.INVALID_FIELD, "a position is from 0 to 2^63 - 1", field=name)
        case ValueKind.DAY_TIME:
            if not is_day_time(value):
                raise RejectedError(
                    Reason.INVALID_FIELD, "write the time of day as 22:00 or 22:00:30", field=name
                )
        case ValueKind.ZONE:
            _check_zone(name, value)
        case ValueKind.TEXT | ValueKind.WORD | ValueKind.LETTER:
            _check_text(name, value, condition.max_length)
            if condition.words and value not in condition.words:
                _refuse_word(name, value, condition.words)


def _check_zone(name: str, value: str) -> None:
    message = "not an IANA time zone such as Europe/Berlin"
    if not is_zone_name(value):
        _refuse_word(name, value, time_zones(), message)
    if value not in time_zones():
        # Another server may know it.
        raise ConflictError(Reason.INVALID_FIELD, f"{message}{_hint(value, time_zones())}", field=name)


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


def _check_local_time(filter: EventFilter) -> None:
    local = filter.local_time()
    if local is None:
        if filter.time_zone is not None:
            raise ConflictError(
                Reason.MISSING_FIELD,
                "the time zone is that of times of day and days of the week: give one of these too",
                field="time_zone",
            )
    elif local.start is not None and local.start == local.until:
        raise ConflictError(
            Reason.INVALID_FIELD,
            "the range ends where it begins; leave both times out for the whole day",
            field="day_time_until",
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


def _refuse_word(
    name: str, value: str, known: Collection[str], message: str = "not one of the known values"
) -> NoReturn:
    raise RejectedError(Reason.INVALID_FIELD, f"{message}{_hint(value, known)}", field=name)


def _hint(value: str, known: Collection[str]) -> str:
    near = get_close_matches(value[:_LONGEST_WORD], known, 1)
    return f"; did you mean {near[0]}?" if near else ""
