"""How the rows of one class become events: what the integrations for SQLAlchemy and Django share."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum
from operator import attrgetter
from typing import Any, TypeVar

from msgspec import Struct

from audit_trail_publisher.generated.event import Change
from audit_trail_publisher.trail import Channel
from audit_trail_publisher.values import field_changes, masked_change

R = TypeVar("R")

LONGEST_TEXT = 16_384
"""Characters of a value that an event contains; of a longer one it contains the hash. A body has 1 MiB at the most."""


class Operation(StrEnum):
    """What happened to a row. The values are event types."""

    CREATED = "record.created"
    UPDATED = "record.updated"
    DELETED = "record.deleted"


PatientRule = str | Callable[[Any], Any] | None
"""An attribute of the record, perhaps of a related one (``order.patient_id``); or a function of the record."""


class RecordRule(Struct, frozen=True, kw_only=True):
    """How the records of one class are recorded.

    `type`: the resource type. `mask`: fields whose values are masked. `leave_out`: fields whose change is no event.
    """

    type: str
    patient: PatientRule = None
    mask: frozenset[str] = frozenset()
    leave_out: frozenset[str] = frozenset()

    def patients_of(self, record: Any) -> tuple[str, ...]:
        """The ids of the patients that the record is about, as it is now."""
        if self.patient is None:
            return ()
        found = _attribute(record, self.patient) if isinstance(self.patient, str) else self.patient(record)
        several = found if isinstance(found, Iterable) and not isinstance(found, str) else [found]
        return tuple(str(each) for each in several if each is not None)

    def record(
        self,
        channel: Channel[R],
        operation: Operation,
        key: Iterable[Any],
        before: Mapping[str, Any] | None,
        after: Mapping[str, Any] | None,
        patients: Collection[str] = (),
        more: Collection[Change] = (),
    ) -> R | None:
        """Record what happened to the row with the primary key `key`, unless an update has changed nothing.

        Returns what `channel` returns. A record that moves from one patient to another is about both.
        """
        related = (masked_change(each, self.mask) for each in more if each.path not in self.leave_out)
        changes = [*self._changes(before, after), *related]
        if operation is Operation.UPDATED and not changes:
            return None
        emit: Callable[..., R] = attrgetter(operation)(channel)
        return emit(
            resource=(self.type, ",".join(map(str, key))),
            patient=list(dict.fromkeys(patients)),
            changes=changes,
        )

    def _changes(
        self, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
    ) -> tuple[Change, ...]:
        return field_changes(_bounded(before), _bounded(after), mask=self.mask, leave_out=self.leave_out)


_by_hand: ContextVar[bool] = ContextVar("audit_trail_recorded_by_hand", default=False)


@contextmanager
def recorded_by_hand() -> Iterator[None]:
    """Within the block, bulk operations on audited classes are neither recorded nor refused.

    The caller records them: ``trail.record.deleted(...)``. Changes of single objects are recorded as always.
    """
    token = _by_hand.set(True)
    try:
        yield
    finally:
        _by_hand.reset(token)


def is_recorded_by_hand() -> bool:
    """Whether the caller records bulk operations."""
    return _by_hand.get()


def _attribute(record: Any, path: str) -> Any:
    """The attribute at the end of `path`; None as soon as one on the way is None."""
    for name in path.split("."):
        record = None if record is None else getattr(record, name)
    return record


def _bounded(values: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if values is None else {name: _bounded_value(value) for name, value in values.items()}


def _bounded_value(value: Any) -> Any:
    """`value`, or its hash: a scan of a document in a column would make the event too large."""
    if isinstance(value, str) and len(value) > LONGEST_TEXT:
        return f"[{len(value)} characters, sha256:{hashlib.sha256(value.encode('utf-8', 'replace')).hexdigest()}]"
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(value)} bytes, sha256:{hashlib.sha256(value).hexdigest()}]"
    return value
