"""Jumps of the clock that gives events their `recorded_at`, and the events that record them.

The clock is the database's. It was *set back* when it is behind the last event of the log, and it is *ahead* when it is
ahead of the clock of the machine that ingests. Each deviation has an event when it begins and one when it is over.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import uuid4

from msgspec import Struct, convert, to_builtins

from domain.catalogue import TRAIL_SERVICE
from domain.event import Actor, ActorKind, AuditEvent, Outcome, Resource, Source

RECOVERED = "recording_clock.recovered"


class Deviation(StrEnum):
    """How the clock deviates. The values are the event types."""

    SET_BACK = "recording_clock.set_back"
    AHEAD = "recording_clock.ahead"


TOLERANCES = {Deviation.SET_BACK: timedelta(seconds=1), Deviation.AHEAD: timedelta(minutes=1)}
"""Clocks that are synchronised step back by milliseconds. How far two machines differ is measured less exactly."""


class ClockReading(Struct, frozen=True, kw_only=True):
    """The clock at one append: how far it is behind the last event, and ahead of the machine that ingests.

    `position` is the first position that it was used for. `at` is the time of the machine that ingests.
    """

    position: int
    database_clock: datetime
    behind: timedelta
    at: datetime

    @property
    def ahead(self) -> timedelta:
        """Negative when the database's clock is behind that of the machine."""
        return self.database_clock - self.at

    def by(self, deviation: Deviation) -> timedelta:
        """How far the clock deviates in this way."""
        return self.behind if deviation is Deviation.SET_BACK else self.ahead


class _Begun(Struct, frozen=True, kw_only=True):
    """The attributes of an event about the beginning of a deviation."""

    seconds: float
    from_position: int
    database_clock: datetime


def changes(
    newest: AuditEvent | None, reading: ClockReading, source: Source, *, first: bool
) -> list[AuditEvent]:
    """The events to append after `reading`; none when the newest event about the clock says the same already.

    A further jump in the same direction is an event of its own. Two machines that ingest may have different clocks: one
    does not end what the other has begun, unless it is the `first` reading of a process.
    """
    begun = None if newest is None or newest.type == RECOVERED else newest
    now = _deviation(reading, begun)
    if begun is not None and now == begun.type:
        said = timedelta(seconds=convert(begun.attributes, _Begun, strict=False).seconds)
        return [_begin(now, reading, source)] if reading.by(now) > said + TOLERANCES[now] else []
    foreign = begun is not None and begun.type == Deviation.AHEAD and begun.source.instance != source.instance
    if foreign and now is None and not first:
        return []
    return list(_changed(begun, now, reading, source))


def _changed(
    begun: AuditEvent | None, now: Deviation | None, reading: ClockReading, source: Source
) -> Iterator[AuditEvent]:
    if begun is not None:
        yield _recovered(begun, reading, source)
    if now is not None:
        yield _begin(now, reading, source)


def _deviation(reading: ClockReading, begun: AuditEvent | None) -> Deviation | None:
    for deviation, tolerance in TOLERANCES.items():
        # Half the tolerance ends it, so that a clock at the limit does not begin it again and again.
        limit = tolerance / 2 if begun is not None and begun.type == deviation else tolerance
        if reading.by(deviation) > limit:
            return deviation
    return None


def _begin(deviation: Deviation, reading: ClockReading, source: Source) -> AuditEvent:
    seconds = round(reading.by(deviation).total_seconds(), 3)
    what = (
        f"the database's clock was set back: it is {seconds} s behind the last event"
        if deviation is Deviation.SET_BACK
        else f"the database's clock is {seconds} s ahead of the machine that ingests"
    )
    attributes = _Begun(
        seconds=seconds, from_position=reading.position, database_clock=reading.database_clock
    )
    return _event(deviation, reading, source, Outcome.MINOR_FAILURE, what, to_builtins(attributes))


def _recovered(begun: AuditEvent, reading: ClockReading, source: Source) -> AuditEvent:
    attributes = {
        "began": begun.type,
        "answers": str(begun.event_id),
        "began_at_position": begun.attributes["from_position"],
        "from_position": reading.position,
        "database_clock": reading.database_clock.isoformat(),
    }
    resources = (Resource(type="AuditEvent", id=str(begun.event_id)),)
    return _event(
        RECOVERED, reading, source, Outcome.SUCCESS, "the clock is right again", attributes, resources
    )


def _event(
    type: str,
    reading: ClockReading,
    source: Source,
    outcome: Outcome,
    what: str,
    attributes: dict[str, object],
    resources: tuple[Resource, ...] = (),
) -> AuditEvent:
    return AuditEvent(
        event_id=uuid4(),
        type=str(type),
        occurred_at=reading.at,
        source=source,
        actor=Actor(kind=ActorKind.SERVICE, id=f"{TRAIL_SERVICE}-ingest"),
        outcome=outcome,
        outcome_reason=what,
        resources=resources,
        attributes=attributes,
    )
