"""The diary: what happens, noted in any order, and read as the events of the log."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid5

from msgspec import Struct, field

from benchmarks.hospital.people import MONDAY, Size
from domain.event import Actor, AuditEvent, Source
from domain.event import RecordedEvent as Recorded
from domain.validation import check

SITE = "Hospital of Nowhere"
_STREAM = UUID("0d4c6a3e-5b0b-4a53-9d5f-1f6a9b7c2e11")


class Instance:
    """A running program that reports events. `numbered`: it counts them, so that a gap shows.

    `lost`: events that it has yet to number, and will never send.
    """

    def __init__(self, service: str, instance: str, *, numbered: bool = True) -> None:
        self.service = service
        self.instance = instance
        self.numbered = numbered
        self.lost = 0
        self._sent = 0
        self._plain = Source(service=service, site=SITE, instance=instance)

    def source(self) -> Source:
        """The source of its next event."""
        if not self.numbered:
            return self._plain
        self._sent += 1 + self.lost
        self.lost = 0
        return Source(service=self.service, site=SITE, instance=self.instance, sequence=self._sent)


class Incident(Struct, kw_only=True):
    """A label: misuse, or something that looks like it and is work. `kind` says which; `subject`: whom it is about.

    `event_ids` and `positions` are filled when its events are in the log, `begins` and `ends` (seconds) with them.
    """

    kind: str
    subject: str
    event_ids: list[UUID] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    begins: float = float("inf")
    ends: float = 0.0


class _Spell(Struct, frozen=True):
    """A time in which a source is silent, or its clock is off by `clock` seconds."""

    instance: Instance
    begins: float
    ends: float
    incident: Incident
    clock: float | None


class _Note(Struct, frozen=True):
    """An event to come."""

    at: float
    number: int
    type: str
    instance: Instance
    actor: Actor
    fields: dict[str, Any]
    incident: Incident | None
    clock: float
    lost: int


class _Sent(Struct):
    """An event on its way to the log, and in it."""

    recorded: float
    event: AuditEvent
    incident: Incident | None
    position: int | None = None


class Diary:
    """Collects notes, and gives them out as recorded events, in order, up to a time."""

    def __init__(self, size: Size) -> None:
        self.incidents: list[Incident] = []
        self._chance = size.chance("diary")
        self._namespace = uuid5(_STREAM, f"{size.seed} {size.days} {size.staff} {size.patients}")
        self._notes: list[tuple[float, int, _Note]] = []
        self._sent: list[tuple[float, int, _Sent]] = []
        self._last: dict[Instance, _Sent] = {}
        self._spells: list[_Spell] = []
        self._number = 0
        self._position = 0

    def incident(self, kind: str, subject: str) -> Incident:
        """A new label."""
        self.incidents.append(Incident(kind=kind, subject=subject))
        return self.incidents[-1]

    def add(
        self,
        at: float,
        type: str,
        instance: Instance,
        actor: Actor,
        *,
        incident: Incident | None = None,
        clock: float = 0.0,
        lost: int = 0,
        **fields: Any,
    ) -> None:
        """Note an event. `clock`: how many seconds its time is ahead; `lost`: events before it that got lost."""
        self._number += 1
        note = _Note(at, self._number, type, instance, actor, fields, incident, clock, lost)
        heapq.heappush(self._notes, (at, self._number, note))

    def silence(self, instance: Instance, begins: float, ends: float, incident: Incident) -> None:
        """What this source does in that time is not reported and not numbered.

        The last event before it and the first one after it get the label.
        """
        self._spells.append(_Spell(instance, begins, ends, incident, None))

    def set_clock(
        self, instance: Instance, begins: float, ends: float, ahead: float, incident: Incident
    ) -> None:
        """In that time the clock of this source is ahead by so many seconds. Its events get the label."""
        self._spells.append(_Spell(instance, begins, ends, incident, ahead))

    def read(self, until: float) -> Iterator[Recorded]:
        """The events that are recorded before `until`. Notes of an earlier time may not be added any more."""
        notes = self._notes
        while notes and notes[0][0] < until:
            self._send(heapq.heappop(notes)[2])
        while self._sent and self._sent[0][0] < until:
            recorded, _, sent = heapq.heappop(self._sent)
            sent.position = self._position
            if sent.incident is not None:
                _label(sent.incident, sent)
            yield Recorded(
                position=self._position,
                recorded_at=MONDAY + timedelta(seconds=recorded),
                stream=_STREAM,
                stream_position=self._position,
                event=sent.event,
            )
            self._position += 1

    def _send(self, note: _Note) -> None:
        incident, clock = note.incident, note.clock
        for spell in [each for each in self._spells if each.instance is note.instance]:
            if spell.begins <= note.at < spell.ends:
                if spell.clock is None:
                    self._falls_silent(spell)
                    return
                clock += spell.clock
                incident = incident or spell.incident
            elif note.at >= spell.ends:
                self._spells.remove(spell)
                if spell.clock is None:
                    incident = incident or spell.incident
        note.instance.lost += note.lost
        event = AuditEvent(
            event_id=uuid5(self._namespace, str(note.number)),
            type=note.type,
            occurred_at=MONDAY + timedelta(milliseconds=round((note.at + clock) * 1000)),
            source=note.instance.source(),
            actor=note.actor,
            **note.fields,
        )
        # Two partitions of a topic are read alternately: an event may overtake another by a second.
        way = self._chance.choice((0.02, 0.05, 0.1, 0.4, 1.0))
        sent = _Sent(note.at + way, check(event), incident)
        heapq.heappush(self._sent, (sent.recorded, note.number, sent))
        self._last[note.instance] = sent

    def _falls_silent(self, spell: _Spell) -> None:
        """Label the last event before a silence, which may be in the log already."""
        last = self._last.pop(spell.instance, None)
        if last is not None and last.incident is None:
            last.incident = spell.incident
            if last.position is not None:
                _label(spell.incident, last)


def _label(incident: Incident, sent: _Sent) -> None:
    assert sent.position is not None
    incident.event_ids.append(sent.event.event_id)
    incident.positions.append(sent.position)
    incident.begins = min(incident.begins, sent.recorded)
    incident.ends = max(incident.ends, sent.recorded)
