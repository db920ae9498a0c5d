"""The values of mapped objects before and after a flush."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from msgspec import Struct
from sqlalchemy import Column, inspect, select
from sqlalchemy.orm import InstanceState, Mapper, RelationshipProperty, Session
from sqlalchemy.orm.attributes import History
from sqlalchemy.sql import ClauseElement

from audit_trail_publisher.generated.event import Change

State = InstanceState[Any]
_PARTIAL = frozenset({"dynamic", "write_only"})
"""Relationships of which SQLAlchemy never has the whole collection."""


def columns_of(mapper: Mapper[Any]) -> dict[str, Column[Any]]:
    """The mapped columns by the names of their attributes; no expressions."""
    return {each.key: each.columns[0] for each in mapper.column_attrs if isinstance(each.columns[0], Column)}


def collections_of(mapper: Mapper[Any]) -> list[RelationshipProperty[Any]]:
    """The many-to-many relationships: their rows are in a table that no class maps."""
    return [each for each in mapper.relationships if each.secondary is not None and not each.viewonly]


class Before(Struct):
    """A record before a flush: its values, its collections, and the patients that it was about."""

    values: dict[str, Any]
    collections: dict[str, History]
    patients: tuple[str, ...] = ()


class AsItWas:
    """A record with its old values and related records, for functions that read it."""

    def __init__(self, state: State, values: Mapping[str, Any]) -> None:
        self._record = state.obj()
        self._values = dict(values)
        for each in state.mapper.relationships:
            old = () if each.uselist else state.attrs[each.key].history.deleted
            if old:
                self._values[each.key] = old[0]

    def __getattr__(self, name: str) -> Any:
        return self._values[name] if name in self._values else getattr(self._record, name)


def before_flush(session: Session, state: State) -> Before:
    """What the record was. Values that the session has not loaded are read from the database."""
    values = {} if state.key is None else committed(state)
    missing = [] if state.key is None else [name for name in columns_of(state.mapper) if name not in values]
    # Of a record that is only changed, fields that nobody has loaded are not changed either.
    if state.obj() not in session.deleted:
        missing = [name for name in missing if state.attrs[name].history.added]
    values |= stored(session, state, missing)
    return Before(values, dict(_changed_collections(state)))


def committed(state: State) -> dict[str, Any]:
    """The values that the session knows from the database."""
    found = {}
    for name in columns_of(state.mapper):
        history = state.attrs[name].history
        known = history.deleted or history.unchanged
        if known:
            found[name] = known[0]
    return found


def after_flush(session: Session, state: State, before: Mapping[str, Any]) -> dict[str, Any]:
    """The values of the record now. What the database has made itself is read from it."""
    names = columns_of(state.mapper)
    wanted = (
        names
        if state.key is None
        else [name for name in names if name in before or state.attrs[name].history.added]
    )
    values = {
        name: state.dict[name]
        for name in wanted
        if name in state.dict and not isinstance(state.dict[name], ClauseElement)
    }
    return values | stored(session, state, [name for name in wanted if name not in values])


def key_of(state: State) -> tuple[Any, ...]:
    """The primary key, also of an object that the flush has just inserted."""
    return tuple(state.key[1]) if state.key else tuple(state.mapper.primary_key_from_instance(state.obj()))


def stored(session: Session, state: State, names: Collection[str]) -> dict[str, Any]:
    """The values of the attributes `names` in the database, as this transaction sees them."""
    if not names:
        return {}
    columns = columns_of(state.mapper)
    statement = select(*(columns[name] for name in names)).select_from(state.mapper.selectable)
    for column, value in zip(state.mapper.primary_key, key_of(state), strict=True):
        statement = statement.where(column == value)
    connection = session.connection(bind_arguments={"mapper": state.mapper})
    row = connection.execute(statement).first()
    return {} if row is None else dict(zip(names, row, strict=True))


def _changed_collections(state: State) -> Iterator[tuple[str, History]]:
    for each in collections_of(state.mapper):
        attribute = state.attrs[each.key]
        if attribute.history.has_changes():
            yield each.key, attribute.history if each.lazy in _PARTIAL else attribute.load_history()


def collection_changes(state: State, before: Mapping[str, History]) -> Iterator[Change]:
    """The changes of many-to-many relationships: the ids of the related records before and after.

    Of a collection that SQLAlchemy never loads, the ids that were removed and those that were added.
    """
    for each in collections_of(state.mapper):
        history = before.get(each.key)
        if history is None:
            continue
        added, unchanged, deleted = (_ids(objects) for objects in history)
        if each.lazy in _PARTIAL:
            yield Change(path=each.key, before=deleted or None, after=added or None)
        else:
            yield Change(path=each.key, before=[*unchanged, *deleted], after=[*unchanged, *added])


def _ids(objects: Any) -> list[str]:
    states: list[State] = [
        each if isinstance(each, InstanceState) else inspect(each) for each in objects or () if each
    ]
    return [",".join(map(str, key_of(each))) for each in states]
