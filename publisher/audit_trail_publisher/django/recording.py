"""The rules of watched models, and how their events are kept."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, TypeVar

from django.db import connections, transaction
from msgspec import Struct

from audit_trail_publisher.django.outbox.writer import DjangoOutbox
from audit_trail_publisher.django.settings import current_trail, has_outbox, load
from audit_trail_publisher.errors import BulkOperationError
from audit_trail_publisher.generated.event import Change
from audit_trail_publisher.record_rule import Operation, RecordRule
from audit_trail_publisher.trail import Channel

T = TypeVar("T")

_CHUNK = 500
"""Keys in one statement: databases allow some thousand parameters."""
_rules: dict[type[Any], RecordRule] = {}


class Snapshot(Struct, frozen=True):
    """A row as the database has it, and the patients that it is about."""

    values: dict[str, Any]
    patients: tuple[str, ...]


Snapshots = dict[Any, Snapshot]


def set_rule(model: type[Any], rule: RecordRule) -> None:
    """Watch `model`."""
    _rules[model] = rule


def rule_of(model: type[Any]) -> RecordRule | None:
    """The rule for a model, perhaps that of its parent; None when it is not watched."""
    return next((_rules[each] for each in model.__mro__ if each in _rules), None)


def snapshots(model: Any, rule: RecordRule, keys: Collection[Any], using: str) -> Snapshots:
    """The rows with these primary keys, read now, by key. In a transaction they are locked."""
    rows = model._base_manager.using(using)
    if connections[using].in_atomic_block:
        rows = rows.select_for_update(of=("self",))
    several = list(keys)
    chunks = [several[at : at + _CHUNK] for at in range(0, len(several), _CHUNK)]
    found = [row for chunk in chunks for row in rows.filter(pk__in=chunk)]
    return {row.pk: Snapshot(_values(row), rule.patients_of(row)) for row in found}


def _values(row: Any) -> dict[str, Any]:
    return {field.name: field.value_from_object(row) for field in row._meta.concrete_fields}


def keep(
    rule: RecordRule,
    using: str,
    operation: Operation,
    key: Any,
    before: Snapshot | None,
    after: Snapshot | None,
    changes: Sequence[Change] = (),
) -> None:
    """Keep the event: in the transaction when there is an outbox, else as soon as the transaction commits."""
    trail = current_trail()

    def record(channel: Channel[T]) -> T | None:
        patients = [id for each in (before, after) if each is not None for id in each.patients]
        was, now = (None if each is None else each.values for each in (before, after))
        return rule.record(channel, operation, [key], was, now, patients, changes)

    if _is_transactional(using):
        record(trail.within(DjangoOutbox(using)))
        return
    event = record(trail.build)
    if event is not None:
        transaction.on_commit(lambda: trail.durable.publish(event), using=using)


def keep_all(rule: RecordRule, using: str, keys: Iterable[Any], before: Snapshots, after: Snapshots) -> None:
    """Keep an event for each row that a bulk operation has written."""
    for key in keys:
        was, now = before.get(key), after.get(key)
        operation = Operation.UPDATED if was and now else Operation.CREATED if now else Operation.DELETED
        if was or now:
            keep(rule, using, operation, key, was, now)


def limit(model: type[Any], count: int) -> None:
    """Raise `BulkOperationError` for an operation on too many rows."""
    most = load().bulk_rows
    if count > most:
        raise refused(model, f"it writes more than {most} rows")


def refused(model: type[Any], why: str) -> BulkOperationError:
    """The error of a bulk operation that can't be recorded."""
    return BulkOperationError(
        f"a bulk operation on {model.__name__} was refused: {why}. Save the objects, or record it yourself within"
        " `recorded_by_hand()`"
    )


def _is_transactional(using: str) -> bool:
    return has_outbox() and connections[using].vendor == "postgresql"
