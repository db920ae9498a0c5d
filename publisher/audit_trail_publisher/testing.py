"""For the tests of services: records events in memory, validates them as the trail does, and asserts on them.

::

    trail = CapturedTrail("patient-service")
    with trail.actor("dr-smith"):
        service(trail).update_record("17")
    event = trail.only("record.updated", patient="17")
    assert event.changes[0].path == "status"
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from audit_trail_publisher.building import EventBuilder, OnMissingActor
from audit_trail_publisher.fields import a_device, an_actor, some_patients, some_resources
from audit_trail_publisher.generated.event import AuditEvent, Source
from audit_trail_publisher.messages import Message
from audit_trail_publisher.outbox.rows import DBAPIConnection, OutboxWriter
from audit_trail_publisher.promises import Confirmation, Promise, Receipt
from audit_trail_publisher.spool.spool import RejectedEvent, SpoolStatus
from audit_trail_publisher.trail import Trail

_NOTHING_WAITS = SpoolStatus(
    events=0,
    bytes=0,
    oldest_unsent_seconds=0.0,
    rejected=0,
    delivered=0,
    failures=0,
    last_error="",
    last_error_at=None,
    last_success_at=None,
)


class _Memory:
    """A sink that keeps events in memory, and stands for the spool of a publisher. Every promise holds at once."""

    def __init__(self, build: EventBuilder, *, lifecycle: bool) -> None:
        self._build = build
        self.lifecycle = lifecycle
        self.running = False
        self.events: list[AuditEvent] = []
        self.promises: list[Promise] = []
        self._lock = threading.Lock()

    def keep(self, message: Message, promise: Promise) -> Receipt:
        self._add(message, promise)
        return Receipt(event_id=message.event_id, promise=promise)

    def confirm(self, message: Message, seconds: float | None) -> Confirmation:  # noqa: ARG002
        position = self._add(message, Promise.CONFIRMED)
        return Confirmation(
            event_id=message.event_id,
            promise=Promise.CONFIRMED,
            position=position,
            recorded_at=datetime.now(UTC),
            proof=b"",
        )

    def write(self, message: Message, transaction: DBAPIConnection | OutboxWriter) -> Receipt:  # noqa: ARG002
        return self.keep(message, Promise.TRANSACTIONAL)

    def start(self) -> None:
        if not self.running:
            self.running = True
            self._add_own("service.started")

    def close(self, seconds: float | None) -> None:  # noqa: ARG002
        if self.running:
            self.running = False
            self._add_own("service.stopped")

    def status(self) -> SpoolStatus:
        return _NOTHING_WAITS

    def rejected(self, limit: int) -> list[RejectedEvent]:  # noqa: ARG002
        return []

    def resend(self, event_ids: Sequence[UUID]) -> int:  # noqa: ARG002
        return 0

    def discard(self, event_id: UUID, by: str, reason: str) -> bool:  # noqa: ARG002
        return False

    def _add_own(self, type: str) -> None:
        if self.lifecycle:
            event = self._build(type, {"actor": self._build.itself})
            self._add(self._build.message(event), Promise.DURABLE)

    def _add(self, message: Message, promise: Promise) -> int:
        with self._lock:
            self.events.append(msgspec.json.decode(message.body, type=AuditEvent))
            self.promises.append(promise)
            return len(self.events) - 1


class CapturedTrail(Trail):
    """A `Trail` that keeps events in memory. `within` keeps them too, whether its transaction commits or not.

    `on_missing_actor`, `mask` and `lifecycle` are those of `Publisher`.
    """

    def __init__(
        self,
        source: str = "service-under-test",
        *,
        on_missing_actor: OnMissingActor = "raise",
        mask: Collection[str] = (),
        lifecycle: bool = True,
    ) -> None:
        named = Source(service=source, instance="test")
        builder = EventBuilder(source, lambda: named, on_missing_actor=on_missing_actor, mask=mask)
        self._memory = _Memory(builder, lifecycle=lifecycle)
        super().__init__(builder, self._memory)

    @property
    def events(self) -> list[AuditEvent]:
        """The events in the order of their calls."""
        return self._memory.events

    @property
    def promises(self) -> list[Promise]:
        """The promise of each event."""
        return self._memory.promises

    def matching(self, type: str | None = None, **fields: Any) -> list[AuditEvent]:
        """The events that match: `fields` as a call gives them (``patient="17"``, ``resource=("Observation", "o-1")``).

        Of several patients or resources of an event, the given ones must be among them. `attributes` must be in those
        of the event.
        """
        return [event for event in self.events if _matches(event, type, fields)]

    def only(self, type: str | None = None, **fields: Any) -> AuditEvent:
        """The one event that matches. The `AssertionError` lists what was recorded instead."""
        found = self.matching(type, **fields)
        assert len(found) == 1, f"{len(found)} events match; recorded were:\n{self._listed()}"
        return found[0]

    def assert_none(self, type: str | None = None, **fields: Any) -> None:
        """Assert that no event matches."""
        assert not self.matching(type, **fields), f"an event matches; recorded were:\n{self._listed()}"

    def clear(self) -> None:
        """Forget all events."""
        self._memory.events.clear()
        self._memory.promises.clear()

    def _listed(self) -> str:
        return "\n".join(msgspec.json.encode(event).decode() for event in self.events) or "nothing"


@contextmanager
def captured(trail: Trail) -> Iterator[CapturedTrail]:
    """Within the block, what `trail` records is captured instead: for a service whose publisher is a global.

    Its start and its stop are captured as well, and its spool and the network are not touched: `health` is that of a
    publisher with nothing to send.
    """
    lifecycle = bool(getattr(trail._sink, "lifecycle", True))
    instead = CapturedTrail(trail.itself.id or "", lifecycle=lifecycle)
    around = {name: getattr(trail, name) for name in ("_sink", "_pipeline", "_spool") if hasattr(trail, name)}
    # The instance is named after the spool, which a test need not be able to open.
    source, trail._build.source = trail._build.source, instead._build.source
    for name in around:
        setattr(trail, name, instead._memory)
    try:
        yield instead
    finally:
        trail._build.source = source
        for name, value in around.items():
            setattr(trail, name, value)


def _matches(event: AuditEvent, type: str | None, fields: Mapping[str, Any]) -> bool:
    if type is not None and event.type != type:
        return False
    for name, wanted in fields.items():
        match name:
            case "patient":
                good = set(some_patients(wanted)) <= set(event.patients)
            case "resource":
                good = set(some_resources(wanted)) <= set(event.resources)
            case "actor":
                actor = an_actor(wanted)
                good = event.actor == actor if actor.name or actor.roles else event.actor.id == actor.id
            case "device":
                good = event.device is not None and event.device.id == a_device(wanted).id
            case "attributes":
                good = wanted.items() <= event.attributes.items()
            case _:
                good = getattr(event, name) == wanted
        if not good:
            return False
    return True
