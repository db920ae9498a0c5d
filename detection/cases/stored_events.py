"""How events of aggregates are stored: plain JSON under names that no refactoring changes.

They are kept for decades. So a topic is a name such as ``case.decided`` and not the path of a class, and a body is JSON
that needs nothing of Python: ids as text, times in RFC 3339, fields sorted by name. A new field of an event needs a
default, which older events get.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, get_type_hints
from uuid import UUID

import msgspec
from eventsourcing.domain import Aggregate, AggregateEvent
from eventsourcing.persistence import Mapper, StoredEvent
from eventsourcing.utils import get_topic

from detection.cases.actor_cases import ActorCases
from detection.cases.case import Case
from detection.cases.suppression import Suppression
from domain.errors import LogInconsistentError

_OF_STREAM = frozenset({"originator_id", "originator_version", "originator_topic"})
"""Fields that are not in the body: the log has the stream, and the topic says what the stream is."""


class UnknownTopicError(LogInconsistentError):
    """Stop: the event is of another kind of aggregate, or of a later version of the program."""


class StoredForms(Mapper[Any]):
    """Converts between the library's events of some aggregates and stored ones, neither compressed nor encrypted.

    `typed`: bodies name their topic in `type`, so that whoever has nothing but a body knows what it says.
    """

    def __init__(self, *aggregates: type[Aggregate], typed: bool = False) -> None:
        self._typed = typed
        self._events: dict[str, type] = {}
        self._created: dict[str, str] = {}
        for aggregate in aggregates:
            for event in vars(aggregate).values():
                topic = getattr(event, "TOPIC", None) if isinstance(event, type) else None
                if topic is not None:
                    self._events[topic] = event
                    if issubclass(event, Aggregate.Created):
                        # The library's name of what it creates. It is not stored: it is the path of a class.
                        self._created[topic] = get_topic(aggregate)
        self._decoders = {topic: _decoder(event) for topic, event in self._events.items()}
        self.topics = frozenset(self._events)
        """The topics of all events."""

    def event(self, stream: UUID, version: int, topic: str, state: bytes) -> AggregateEvent:
        """The event that is stored. Raises `LogInconsistentError` for a body that this program can't have written."""
        if topic not in self._decoders:
            raise UnknownTopicError(
                f"{topic} is no event of an aggregate that this part of the program knows"
            )
        try:
            body = self._decoders[topic](state)
            if self._typed and msgspec.json.decode(state, type=_Typed).type != topic:
                raise msgspec.ValidationError("the body names another type")
        except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
            raise LogInconsistentError(
                f"event {version} of aggregate {stream} ({topic}) can't be read: this version of the program did"
                " not write it"
            ) from exc
        fields = {name: getattr(body, name) for name in body.__struct_fields__}
        if topic in self._created:
            fields["originator_topic"] = self._created[topic]
        event: AggregateEvent = self._events[topic](
            originator_id=stream, originator_version=version, **fields
        )
        return event

    def to_stored_event(self, domain_event: Any) -> StoredEvent:
        """The event as it is stored."""
        body = {name: value for name, value in vars(domain_event).items() if name not in _OF_STREAM}
        if self._typed:
            body["type"] = domain_event.TOPIC
        return StoredEvent(
            originator_id=domain_event.originator_id,
            originator_version=domain_event.originator_version,
            topic=domain_event.TOPIC,
            state=msgspec.json.encode(body, order="sorted"),
        )

    def to_domain_event(self, stored_event: StoredEvent) -> AggregateEvent:
        """The library's event: see `event`."""
        id = stored_event.originator_id
        stream = id if isinstance(id, UUID) else UUID(id)
        return self.event(stream, stored_event.originator_version, stored_event.topic, stored_event.state)


class _Typed(msgspec.Struct):
    type: str


def _decoder(event: type) -> Callable[[bytes], msgspec.Struct]:
    hints = get_type_hints(event)
    fields = [
        (each.name, hints[each.name])
        if each.default is dataclasses.MISSING
        else (each.name, hints[each.name], each.default)
        for each in dataclasses.fields(event)
        if each.name not in _OF_STREAM
    ]
    return msgspec.json.Decoder(msgspec.defstruct(event.__name__, fields, kw_only=True)).decode


class CaseEvents(StoredForms):
    """The stored forms of the events of cases and suppressions."""

    def __init__(self) -> None:
        super().__init__(Case, ActorCases, Suppression)


_CASES = CaseEvents()
TOPICS = _CASES.topics
"""The topics of the events of all three aggregates."""
domain_event = _CASES.event
"""See `StoredForms.event`."""
