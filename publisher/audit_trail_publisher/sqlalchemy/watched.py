"""The mapped classes whose rows are recorded, and how."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from msgspec import Struct
from sqlalchemy import FromClause, inspect
from sqlalchemy.orm import Mapper

from audit_trail_publisher.errors import ConfigurationError
from audit_trail_publisher.record_rule import PatientRule, RecordRule
from audit_trail_publisher.sqlalchemy.row_values import collections_of, columns_of


class Watch(Struct, frozen=True):
    """What `SessionAudit.watch` was called with."""

    target: type[Any]
    type: str | None
    patient: PatientRule
    mask: frozenset[str]
    leave_out: frozenset[str]


class WatchedClasses:
    """Rules by mapper. A rule holds for subclasses that have none of their own."""

    def __init__(self) -> None:
        self._watches: dict[type[Any], Watch] = {}
        self._rules: dict[Mapper[Any], RecordRule | None] = {}

    def add(self, watch: Watch) -> None:
        """Watch a class. A later call for the same class replaces an earlier one."""
        self._watches[watch.target] = watch
        self._rules.clear()

    def rule_of(self, mapper: Mapper[Any]) -> RecordRule | None:
        """The rule for a class; None when it is not watched."""
        if mapper not in self._rules:
            watch = next(
                (self._watches[each] for each in mapper.class_.__mro__ if each in self._watches), None
            )
            self._rules[mapper] = None if watch is None else _rule(watch, mapper)
        return self._rules[mapper]

    def mapper_of(self, table: FromClause) -> Mapper[Any] | None:
        """A watched class with rows in `table`."""
        return next((each for each in self._mappers() if table in each.tables and self.rule_of(each)), None)

    def check(self) -> None:
        """Raise `ConfigurationError` for names that no class has.

        A misspelt column would not be masked, and a misspelt attribute for the patient fails with the first change.
        """
        for watch in self._watches.values():
            self._check_patient(watch)
            names: set[str] = set()
            for mapper in _mappers_of(watch.target):
                names |= {name for key, column in columns_of(mapper).items() for name in (key, column.name)}
                names |= {each.key for each in collections_of(mapper)}
            unknown = sorted((watch.mask | watch.leave_out) - names)
            if unknown:
                raise ConfigurationError(f"{watch.target.__name__} has no column {', '.join(unknown)}")

    def _check_patient(self, watch: Watch) -> None:
        if not isinstance(watch.patient, str):
            return
        for mapper in _mappers_of(watch.target):
            rule = self.rule_of(mapper)
            if rule is not None and rule.patient == watch.patient:
                _require_path(mapper, watch.patient)

    def _mappers(self) -> Iterator[Mapper[Any]]:
        for target in self._watches:
            yield from _mappers_of(target)


def _mappers_of(target: type[Any]) -> list[Mapper[Any]]:
    """The mappers of a mapped class with its subclasses, or of all classes of a declarative base."""
    mapper = inspect(target, raiseerr=False)
    if mapper is not None:
        return list(mapper.self_and_descendants)
    registry = getattr(target, "registry", None)
    if registry is None:
        raise ConfigurationError(f"{target.__name__} is neither a mapped class nor a declarative base")
    return list(registry.mappers)


def _require_path(mapper: Mapper[Any], path: str) -> None:
    """Raise `ConfigurationError` for an attribute that is not there, as far as relationships tell the classes."""
    at: Mapper[Any] | None = mapper
    for name in path.split("."):
        if at is None:
            return
        if name not in at.all_orm_descriptors and not hasattr(at.class_, name):
            raise ConfigurationError(f"{at.class_.__name__} has no attribute {name}, which `patient` names")
        related = at.relationships.get(name)
        at = None if related is None else related.mapper


def _rule(watch: Watch, mapper: Mapper[Any]) -> RecordRule:
    return RecordRule(
        type=watch.type or mapper.class_.__name__,
        patient=watch.patient,
        mask=_attributes(mapper, watch.mask),
        leave_out=_attributes(mapper, watch.leave_out),
    )


def _attributes(mapper: Mapper[Any], names: Collection[str]) -> frozenset[str]:
    """The attributes for `names`, which may be those of columns."""
    columns = {key for key, column in columns_of(mapper).items() if key in names or column.name in names}
    return frozenset(columns | {each.key for each in collections_of(mapper) if each.key in names})
