"""The fields of an event that rules can name: dotted names of the event's JSON, and what the store adds."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from operator import attrgetter
from types import UnionType
from typing import Any, Union, get_args, get_origin
from uuid import UUID

import msgspec
from msgspec import Struct

from domain.catalogue import CATALOGUE, Category
from domain.errors import ConfigurationError
from domain.event import Action, ActorKind, AuditEvent, Outcome, RecordedEvent

Scalar = str | int | float | bool | datetime | UUID | None
Read = Callable[[RecordedEvent], Sequence[Scalar]]

MAX_DEPTH = 8
"""Parts of a dotted name."""
_MAX_VALUES = 1000
"""Values that are read of one field of JSON, such as an attribute."""
OPEN = ("attributes", "changes.before", "changes.after")
"""Fields that hold any JSON: every name below them can exist."""


class EventField(Struct, frozen=True):
    """One field. `read` gives its values: none when the event has none; a null of an attribute is None.

    `one`: the value of a field that has one at most, or None. `words`: all values that it can have, where they are
    known; `domain`: the same as the event has them, with None for none, where they are few. `is_time`: a moment.
    `is_network`: addresses and networks. `is_looked_up`: in a table of context. `is_open`: it holds any JSON.

    `sources`: the fields of the event on which one in a table depends; see `Lookup.sources`.
    """

    name: str
    read: Read
    one: Callable[[RecordedEvent], Scalar] | None = None
    words: frozenset[str] | None = None
    domain: tuple[Scalar, ...] = ()
    is_time: bool = False
    is_network: bool = False
    is_looked_up: bool = False
    is_open: bool = False
    sources: frozenset[str] = frozenset()


def text_of(value: Scalar) -> str:
    """The text that patterns see: numbers as JSON has them (5.0 is 5), times in UTC (RFC 3339), true and false."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return str(value)


def event_field(name: str) -> EventField:
    """The field with this name. Raises `ConfigurationError`, with the nearest name."""
    found = _FIELDS.get(name)
    if found is not None:
        return found
    for top in OPEN:
        if name.startswith(top + "."):
            return _open_field(name, top)
    near = difflib.get_close_matches(name, [*_FIELDS, *(f"attributes.{name}",)], 1, 0.6)
    if any(known.startswith(name + ".") for known in _FIELDS):
        inner = [known for known in _FIELDS if known.startswith(name + ".")]
        raise ConfigurationError(f"the field {name} has no value itself: name {', '.join(inner)}")
    raise ConfigurationError(f"no event has a field {name}" + (f"; did you mean {near[0]}?" if near else ""))


def names() -> list[str]:
    """All names, without those below `attributes`."""
    return list(_FIELDS)


def _open_field(name: str, top: str) -> EventField:
    if name.count(".") >= MAX_DEPTH or not all(name.split(".")):
        raise ConfigurationError(f"a name has at most {MAX_DEPTH} parts, none of them empty")
    rest = name.removeprefix(top + ".")

    def read(recorded: RecordedEvent) -> Sequence[Scalar]:
        found: list[Scalar] = []
        for each in _raw(recorded, top):
            _descend(each, rest, found)
        return found

    return EventField(name=name, read=read, is_open=True)


def _raw(recorded: RecordedEvent, top: str) -> Sequence[Any]:
    event = recorded.event
    if top == "attributes":
        return (event.attributes,)
    part = top.rpartition(".")[2]
    return [getattr(change, part) for change in event.changes]


def _descend(value: Any, rest: str, found: list[Scalar]) -> None:
    """Follow a dotted name through objects and lists; a name with a dot in it goes before two names."""
    if isinstance(value, list):
        for each in value[:_MAX_VALUES]:
            _descend(each, rest, found)
    elif isinstance(value, dict):
        if rest in value:
            _flatten(value[rest], found)
            return
        end = rest.rfind(".")
        while end > 0 and rest[:end] not in value:
            end = rest.rfind(".", 0, end)
        if end > 0:
            _descend(value[rest[:end]], rest[end + 1 :], found)


def _flatten(value: Any, found: list[Scalar]) -> None:
    """The scalars of a value, also within lists; an object has values below its own names alone."""
    if len(found) >= _MAX_VALUES:
        return
    if isinstance(value, list):
        for each in value:
            _flatten(each, found)
    elif not isinstance(value, dict):
        found.append(value)


def _parts(kind: Any) -> tuple[type[Struct] | None, bool, Any]:
    """What the type of a field says: the struct below it, whether it has several values, and the plain type."""
    many = False
    while True:
        origin = get_origin(kind)
        arguments = get_args(kind)
        if origin in {Union, UnionType}:
            kind = next(each for each in arguments if each is not type(None))
        elif origin is tuple:
            many, kind = True, arguments[0]
        elif hasattr(kind, "__metadata__"):
            kind = arguments[0]
        else:
            break
    nested = kind if isinstance(kind, type) and issubclass(kind, Struct) else None
    return nested, many, kind


def _declared(struct: type[Struct], above: tuple[tuple[str, bool], ...] = ()) -> dict[str, EventField]:
    found: dict[str, EventField] = {}
    for declared in msgspec.structs.fields(struct):
        nested, many, kind = _parts(declared.type)
        steps = (*above, (declared.encode_name, many))
        if nested is not None:
            found.update(_declared(nested, steps))
            continue
        if get_origin(kind) is dict:
            continue
        name = ".".join(step for step, _ in steps)
        found[name] = EventField(
            name=name,
            read=_open_reader(name) if name in OPEN else _reader(steps),
            one=_one_reader(steps) if name not in OPEN else None,
            domain=_domain(kind),
            words=_WORDS.get(name),
            is_time=kind is datetime,
            is_open=name in OPEN,
        )
    return found


def _open_reader(name: str) -> Read:
    def read(recorded: RecordedEvent) -> Sequence[Scalar]:
        found: list[Scalar] = []
        for each in _raw(recorded, name):
            if each is not None:
                _flatten(each, found)
        return found

    return read


def _reader(steps: tuple[tuple[str, bool], ...]) -> Read:
    """The reader of a path; the three shapes that most rules use have one of their own, which is faster."""
    if len(steps) == 1:
        return _of_event(*steps[0])
    if len(steps) == 2 and not any(many for _, many in steps):
        return _of_part(steps[0][0], steps[1][0])
    if len(steps) == 2 and steps[0][1] and not steps[1][1]:
        return _of_parts(steps[0][0], steps[1][0])

    def read(recorded: RecordedEvent) -> Sequence[Scalar]:
        values: list[Any] = [recorded.event]
        for name, many in steps:
            inner = [getattr(value, name) for value in values]
            values = [each for value in inner for each in (value if many else (value,)) if each is not None]
        return values

    return read


def _one_reader(steps: tuple[tuple[str, bool], ...]) -> Callable[[RecordedEvent], Scalar] | None:
    if any(many for _, many in steps):
        return None
    names = [name for name, _ in steps]
    if len(names) == 1 or names[0] not in _OPTIONAL:
        return attrgetter(".".join(["event", *names]))
    part, name = names

    def read(recorded: RecordedEvent) -> Scalar:
        owner = getattr(recorded.event, part)
        return None if owner is None else getattr(owner, name)

    return read


def _domain(kind: Any) -> tuple[Scalar, ...]:
    if kind is bool:
        return (True, False, None)
    return (*kind, None) if isinstance(kind, type) and issubclass(kind, StrEnum) else ()


def _of_event(name: str, many: bool) -> Read:
    def read(recorded: RecordedEvent) -> Sequence[Scalar]:
        value = getattr(recorded.event, name)
        return () if value is None else (value,)

    def read_many(recorded: RecordedEvent) -> Sequence[Scalar]:
        return getattr(recorded.event, name)  # type: ignore[no-any-return]

    return read_many if many else read


def _of_part(part: str, name: str) -> Read:
    def read(recorded: RecordedEvent) -> Sequence[Scalar]:
        owner = getattr(recorded.event, part)
        if owner is None:
            return ()
        value = getattr(owner, name)
        return () if value is None else (value,)

    return read


def _of_parts(part: str, name: str) -> Read:
    def read(recorded: RecordedEvent) -> Sequence[Scalar]:
        owners = getattr(recorded.event, part)
        if len(owners) == 1:
            value = getattr(owners[0], name)
            return () if value is None else (value,)
        found = [getattr(owner, name) for owner in owners]
        return [value for value in found if value is not None] if None in found else found

    return read


def category_of(type: str) -> Category:
    """The subject area of an event type."""
    entry = CATALOGUE.get(type)
    return Category.OTHER if entry is None else entry.category


def _values(kind: type[Category | Action | ActorKind | Outcome]) -> frozenset[str]:
    return frozenset(each.value for each in kind)


def _delay(recorded: RecordedEvent) -> float:
    return (recorded.recorded_at - recorded.event.occurred_at).total_seconds()


_WORDS: Mapping[str, frozenset[str]] = {
    "type": frozenset(CATALOGUE),
    "action": _values(Action),
    "outcome": _values(Outcome),
    "actor.kind": _values(ActorKind),
}
_OPTIONAL = {each.encode_name for each in msgspec.structs.fields(AuditEvent) if each.default is None}
"""What an event may lack."""
_FIELDS: dict[str, EventField] = {
    **_declared(AuditEvent),
    "category": EventField(
        name="category",
        read=lambda recorded: (category_of(recorded.event.type).value,),
        words=_values(Category),
    ),
    "position": EventField(name="position", read=lambda recorded: (recorded.position,)),
    "recorded_after": EventField(
        name="recorded_after",
        read=lambda recorded: (_delay(recorded),),
        one=_delay,
    ),
    "recorded_at": EventField(
        name="recorded_at", read=lambda recorded: (recorded.recorded_at,), is_time=True
    ),
}
