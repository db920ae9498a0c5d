"""Filter conditions as REST query parameters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from fastapi import Request
from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    create_model,
)

from domain.errors import Reason, RejectedError
from domain.json_parsing import decode_json
from queries.filters.checks import check_filter
from queries.filters.conditions import BY_NAME, CONDITIONS, MAX_TEXT, REPEATED, Condition, ValueKind, name_of
from queries.filters.event_filter import MAX_DEPTH, MAX_VALUES, EventFilter
from queries.filters.local_time import DAY_TIME_PATTERN, ZONE_PATTERN
from web.http.problems import message_of
from web.parameters.freshness import POSITION, Switch


def _written(value: Any) -> Any:
    """Refuse a bare number: pydantic reads it as seconds since 1970, or as milliseconds when it is large."""
    if isinstance(value, str) and "-" in value[1:]:
        return value
    raise ValueError("write the time as RFC 3339 does, with its offset")


Moment = Annotated[AwareDatetime, BeforeValidator(_written)]
_Word = Annotated[
    str, Field(json_schema_extra={"minLength": 1, "maxLength": MAX_TEXT, "pattern": "^[^\\u0000]*$"})
]
# What OpenAPI says of a value. The read models validate it, so the messages equal those of GraphQL.
Text = Annotated[_Word | None, Field(default=None, max_length=256)]
Texts = Annotated[list[_Word], Field(default_factory=list, json_schema_extra={"maxItems": MAX_VALUES})]
_DayTime = Annotated[str, Field(json_schema_extra={"pattern": DAY_TIME_PATTERN})]
_Zone = Annotated[str, Field(json_schema_extra={"maxLength": MAX_TEXT, "pattern": ZONE_PATTERN})]
_OF_PATTERN: dict[ValueKind, Any] = {
    ValueKind.DAY_TIME: Annotated[_DayTime | None, Field(default=None, max_length=256)],
    ValueKind.ZONE: Annotated[_Zone | None, Field(default=None, max_length=256)],
}
_FLAGS = frozenset(condition.name for condition in CONDITIONS if condition.kind is ValueKind.FLAG)
_NEGATABLE = tuple(condition.name for condition in CONDITIONS if condition.negatable)


def _parameter(condition: Condition) -> tuple[Any, Any]:
    """The type and the field of a condition's parameter."""
    help = condition.help + (f"; needs `{condition.needs}`" if condition.needs else "")
    if condition.many:
        return _list(condition, f"{help}; repeated: one of them.")
    match condition.kind:
        case ValueKind.FLAG:
            return Switch | None, Field(default=None, description=f"{help}.")
        case ValueKind.TIME:
            return Moment | None, Field(default=None, description=f"{help}; give an offset.")
        case ValueKind.POSITION:
            return int | None, Field(default=None, description=f"{help}.", json_schema_extra=POSITION)
    return _OF_PATTERN.get(condition.kind, Text), Field(description=f"{help}.")


def _list(condition: Condition, description: str) -> tuple[Any, Any]:
    if condition.kind is ValueKind.LETTER:
        words = tuple(map(str, condition.words))  # members of an enumeration are shown as Python writes them
        letters = list[Literal[*words]]  # type: ignore[valid-type]
        return letters, Field(default_factory=list, description=description)
    items: Any = {"items": {"type": "string", "enum": list(condition.words)}} if condition.words else None
    return Texts, Field(description=description, json_schema_extra=items)


def _parameters() -> dict[str, Any]:
    negated = {
        f"not_{name}": _list(BY_NAME[name], f"{BY_NAME[name].help}; none of these. May be repeated.")
        for name in _NEGATABLE
    }
    return {name: _parameter(condition) for name, condition in BY_NAME.items()} | negated


class _FilterQuery(BaseModel):
    """The filters as query parameters. An unknown one is an error: a misspelt filter would find more events.

    The names are those of the command line's options too.
    """

    model_config = ConfigDict(extra="forbid")

    more: str | None = Field(
        default=None,
        alias="filter",
        max_length=8192,
        description="A filter as JSON, which must hold beside the others: these names, and `and`, `or` (lists of "
        "filters) and `not` (a filter).",
        examples=['{"or": [{"patient": "17"}, {"not": {"type": ["api.called"]}}]}'],
    )

    def filter(self) -> EventFilter:
        """The filter, as the read models take it. Raises `RejectedError` that names the parameter at fault."""
        filter = self.conditions()
        return filter if self.more is None else _both(filter, filter_from_json(self.more))

    def conditions(self) -> EventFilter:
        """The filter without the parameter `filter`."""
        excluded = tuple(
            EventFilter(not_=_checked(f"not_{name}", EventFilter.of(**{name: values})))
            for name in _NEGATABLE
            if (values := getattr(self, f"not_{name}"))
        )
        return EventFilter.of(and_=excluded, **{name: getattr(self, name) for name in BY_NAME})


if TYPE_CHECKING:
    FilterQuery = _FilterQuery
else:
    FilterQuery = create_model("FilterQuery", __base__=_FilterQuery, __module__=__name__, **_parameters())


def filter_from_address(pairs: Iterable[tuple[str, str]]) -> EventFilter:
    """The filter in the parameters of a page's address. An empty field of a form is no condition.

    Raises `RejectedError` that names the parameter.
    """
    given: dict[str, Any] = {}
    for name, value in pairs:
        if value and _may_repeat(name):
            given.setdefault(name, []).append(value)
        elif value:
            given[name] = value
    try:
        return FilterQuery.model_validate(given).filter()
    except ValidationError as exc:
        first = exc.errors(include_input=False, include_url=False)[0]
        name = ".".join(str(part)[:64] for part in first["loc"] if not isinstance(part, int))
        said = "no such filter" if first["type"] == "extra_forbidden" else message_of(first)
        raise RejectedError(Reason.INVALID_FIELD, said, field=name) from exc


def filter_from_json(text: str) -> EventFilter:
    """The filter in the parameter `filter`. Raises `RejectedError` that says what in it is wrong."""
    try:
        given = decode_json(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as exc:
        raise RejectedError(Reason.INVALID_FIELD, "not JSON", field="filter") from exc
    return _nested(given, "filter", MAX_DEPTH)


def _both(one: EventFilter, other: EventFilter) -> EventFilter:
    return EventFilter(and_=(one, other)) if one.given() else other


def _nested(given: Any, place: str, depth: int) -> EventFilter:
    if not isinstance(given, dict) or not given:
        raise RejectedError(Reason.INVALID_FIELD, "an object with a condition at least", field=place)
    if depth < 0:
        raise RejectedError(Reason.INVALID_FIELD, f"at most {MAX_DEPTH} levels of and, or, not", field=place)
    both = _list_of(given, "and", place, depth) if "and" in given else ()
    either = _list_of(given, "or", place, depth) if "or" in given else ()
    refused = _nested(given["not"], f"{place}.not", depth - 1) if "not" in given else None
    plain = {name: value for name, value in given.items() if name not in {"and", "or", "not"}}
    if "filter" in plain:
        raise RejectedError(Reason.INVALID_FIELD, "no such condition", field=f"{place}.filter")
    for name, value in plain.items():
        if value is None or value == []:
            raise RejectedError(Reason.MISSING_FIELD, "give a value", field=f"{place}.{name[:64]}")
        if isinstance(value, bool) and name not in _FLAGS:
            raise RejectedError(Reason.INVALID_FIELD, "not true or false", field=f"{place}.{name[:64]}")
    listed = {
        name: [value] if isinstance(value, str) and _may_repeat(name) else value
        for name, value in plain.items()
    }
    try:
        read = FilterQuery.model_validate(listed)
    except ValidationError as exc:
        first = exc.errors(include_input=False, include_url=False)[0]
        name = ".".join(str(part)[:64] for part in first["loc"])
        raise RejectedError(Reason.INVALID_FIELD, message_of(first), field=f"{place}.{name}") from exc
    found = [read.conditions()] if plain else []
    if both or either or refused is not None:
        found.append(EventFilter(and_=both, or_=either, not_=refused))
    return found[0] if len(found) == 1 else EventFilter(and_=tuple(found))


def _may_repeat(name: str) -> bool:
    return name.removeprefix("not_") in REPEATED


def _list_of(given: dict[str, Any], name: str, place: str, depth: int) -> tuple[EventFilter, ...]:
    parts = given[name]
    if not isinstance(parts, list) or not parts:
        raise RejectedError(Reason.INVALID_FIELD, "a list of filters", field=f"{place}.{name}")
    return tuple(_nested(part, f"{place}.{name}.{at}", depth - 1) for at, part in enumerate(parts))


def _checked(name: str, filter: EventFilter) -> EventFilter:
    try:
        return check_filter(filter)
    except RejectedError as exc:
        raise type(exc)(exc.reason, exc.message, field=name) from exc


def renamed(exc: RejectedError) -> RejectedError:
    """The error with the name of the parameter."""
    name = name_of(exc.field)
    return exc if name == exc.field else type(exc)(exc.reason, exc.message, field=name)


def refuse_repeated(request: Request, *lists: str) -> None:
    """Raise `RejectedError` when a parameter that takes one value is repeated: only the last value would count.

    `lists` may be repeated, and so may the lists of the filter.
    """
    refuse_repeated_pairs(request.query_params.multi_items(), *lists)


def refuse_repeated_pairs(pairs: Iterable[tuple[str, str]], *lists: str) -> None:
    """The same for the parameters of an address."""
    numbers = Counter(name for name, _ in pairs)
    for name, number in numbers.items():
        if number > 1 and not _may_repeat(name) and name not in lists:
            raise RejectedError(Reason.INVALID_FIELD, "give it once", field=name)
