"""The filters as query parameters: what a query string can say of them. The rest is GraphQL's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from fastapi import Request
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from domain.catalogue import CATALOGUE
from domain.errors import Reason, RejectedError
from domain.event import Outcome
from domain.json_parsing import decode_json
from queries.export.manifest import RENAMED
from queries.filters import ANY_OF, MAX_DEPTH, MAX_TEXT, MAX_VALUES, EventFilter, any_of, check_filter
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
# What the document says of a value; the read models check it, whose words are the same in GraphQL.
Text = Annotated[_Word | None, Field(default=None, max_length=256)]
Texts = Annotated[list[_Word], Field(default_factory=list, json_schema_extra={"maxItems": MAX_VALUES})]
_Action = Literal["C", "R", "U", "D", "E"]


def _one_of(what: str, *words: str) -> Any:
    return Field(description=f"{what}; repeated: one of them.", json_schema_extra=_words(words))


def _none_of(what: str, *words: str) -> Any:
    return Field(description=f"Not {what}; repeated: none of them.", json_schema_extra=_words(words))


def _words(words: Sequence[str]) -> Any:
    return {"items": {"type": "string", "enum": list(words)}} if words else None


_TYPES = tuple(CATALOGUE)
_CATEGORIES = tuple(sorted({entry.category for entry in CATALOGUE.values()}))
_OUTCOMES = tuple(Outcome)


class FilterQuery(BaseModel):
    """The filters as query parameters. An unknown one is an error: a misspelt filter would answer more than was asked.

    The names are those of the command line's options too.
    """

    model_config = ConfigDict(extra="forbid")

    actor: Texts = _one_of("The id of the actor, of whatever kind")
    patient: Texts = _one_of("The id of a patient")
    user: Texts = _one_of("The id of the user who acted")
    device: Texts = _one_of("The id of the device")
    service: Texts = _one_of("The reporting service")
    resource_type: Text = Field(description="The type of a resource that was touched.")
    resource_id: Text = Field(description="The id of a resource; needs `resource_type`.")
    type: Texts = _one_of("The event type", *_TYPES)
    category: Texts = _one_of("The category of event types", *_CATEGORIES)
    action: list[_Action] = Field(default_factory=list, description="The action; repeated: one of them.")
    outcome: Texts = _one_of("The outcome", *_OUTCOMES)
    purpose: Texts = _one_of("The purpose of use")
    source: Text = Field(description="The reporting service, beside `service`.")
    correlation_id: Texts = _one_of("The correlation id")
    session: Texts = _one_of("The session")
    address: Texts = _one_of("The client's network address")
    emergency: Switch | None = Field(default=None, description="Emergency (break-glass) access or not.")
    occurred_from: Moment | None = Field(default=None, description="Occurred then or later.")
    occurred_until: Moment | None = Field(default=None, description="Occurred before then.")
    type_prefix: Text = Field(description="The event type begins with this, such as `record.`.")
    actor_prefix: Text = Field(description="The actor's id begins with this.")
    address_prefix: Text = Field(description="The client's network address begins with this.")
    position_from: int | None = Field(
        default=None, description="Recorded at this position or later.", json_schema_extra=POSITION
    )
    position_until: int | None = Field(
        default=None, description="Recorded before this position.", json_schema_extra=POSITION
    )
    not_actor: Texts = _none_of("by this actor")
    not_patient: Texts = _none_of("about this patient")
    not_device: Texts = _none_of("about this device, or by it")
    not_service: Texts = _none_of("reported by this service")
    not_type: Texts = _none_of("of this event type", *_TYPES)
    not_category: Texts = _none_of("of this category", *_CATEGORIES)
    not_action: list[_Action] = Field(default_factory=list, description="Not this action; may be repeated.")
    not_outcome: Texts = _none_of("with this outcome", *_OUTCOMES)
    not_purpose: Texts = _none_of("with this purpose of use")
    not_address: Texts = _none_of("from this network address")

    more: str | None = Field(
        default=None,
        alias="filter",
        max_length=8192,
        description="A filter as JSON, which must hold beside the others: these names, and `and`, `or` (lists of "
        "filters) and `not` (a filter).",
        examples=['{"or": [{"patient": "17"}, {"not": {"type": ["api.called"]}}]}'],
    )

    def filter(self) -> EventFilter:
        """The filter, as the read models take it. Raises `RejectedError` that names a parameter that refuses."""
        filter = self._conditions()
        return filter if self.more is None else _both(filter, filter_from_json(self.more))

    def _conditions(self) -> EventFilter:
        values = {name: getattr(self, name) for name in _PLAIN}
        for field, name in RENAMED.items():
            values |= _condition(field, name, getattr(self, name))
        refused = tuple(
            EventFilter(not_=_checked(f"not_{name}", EventFilter(**condition)))
            for field, name in RENAMED.items()
            if (condition := _condition(field, name, getattr(self, f"not_{name}", [])))
        )
        return EventFilter(**values, and_=refused)


_PLAIN = tuple(
    name
    for name in EventFilter.__struct_fields__
    if name in FilterQuery.model_fields and name not in ANY_OF.values()
)
"""The conditions that take one value."""


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
        if isinstance(value, bool) and name != "emergency":
            raise RejectedError(Reason.INVALID_FIELD, "not true or false", field=f"{place}.{name[:64]}")
    listed = {
        name: [value] if isinstance(value, str) and name.removeprefix("not_") in _LISTED else value
        for name, value in plain.items()
    }
    try:
        read = FilterQuery.model_validate(listed)
    except ValidationError as exc:
        first = exc.errors(include_input=False, include_url=False)[0]
        name = ".".join(str(part)[:64] for part in first["loc"])
        raise RejectedError(Reason.INVALID_FIELD, first["msg"], field=f"{place}.{name}") from exc
    found = [read._conditions()] if plain else []
    if both or either or refused is not None:
        found.append(EventFilter(and_=both, or_=either, not_=refused))
    return found[0] if len(found) == 1 else EventFilter(and_=tuple(found))


def _list_of(given: dict[str, Any], name: str, place: str, depth: int) -> tuple[EventFilter, ...]:
    parts = given[name]
    if not isinstance(parts, list) or not parts:
        raise RejectedError(Reason.INVALID_FIELD, "a list of filters", field=f"{place}.{name}")
    return tuple(_nested(part, f"{place}.{name}.{at}", depth - 1) for at, part in enumerate(parts))


_LISTED = frozenset(RENAMED.values())


def _condition(field: str, name: str, values: list[str]) -> dict[str, Any]:
    if field in ANY_OF:
        return any_of(**{name: values})
    return {field: tuple(values)} if values else {}


def _checked(name: str, filter: EventFilter) -> EventFilter:
    try:
        return check_filter(filter)
    except RejectedError as exc:
        raise type(exc)(exc.reason, exc.message, field=name) from exc


def renamed(exc: RejectedError) -> RejectedError:
    """The error with the name of the parameter."""
    name = RENAMED.get(exc.field)
    return exc if name is None else type(exc)(exc.reason, exc.message, field=name)


def refuse_repeated(request: Request, *lists: str) -> None:
    """Of a parameter that takes one value, the last would count, and the answer be another than was asked for.

    `lists` may be repeated, beside the lists of the filter. Raises `RejectedError` that names the parameter.
    """
    numbers = Counter(name for name, _ in request.query_params.multi_items())
    for name, number in numbers.items():
        if number > 1 and name.removeprefix("not_") not in {*RENAMED.values(), *lists}:
            raise RejectedError(Reason.INVALID_FIELD, "give it once", field=name)
