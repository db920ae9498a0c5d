"""How events of cases and suppressions are stored: plain JSON under names that no refactoring changes.

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
from eventsourcing.domain import AggregateEvent
from eventsourcing.persistence import Mapper, StoredEvent
from eventsourcing.utils import get_topic

from detection.cases.actor_cases import ActorCases
from detection.cases.case import Case
from detection.cases.suppression import Suppression
from domain.errors import LogInconsistentError

_OF_STREAM = frozenset({"originator_id", "originator_version", "originator_topic"})
"""Fields that are not in the body: the log has the stream, and the topic says what the stream is."""
_EVENTS: dict[str, type] = {
    event.TOPIC: event
    for aggregate in (Case, ActorCases, Suppression)
    for event in vars(aggregate).values()
    if isinstance(event, type) and hasattr(event, "TOPIC")
}
TOPICS = frozenset(_EVENTS)
"""The topics of the events of all three aggregates."""
_CREATED = {
    Case.Opened.TOPIC: get_topic(Case),
    ActorCases.Begun.TOPIC: get_topic(ActorCases),
    Suppression.Started.TOPIC: get_topic(Suppression),
}
"""The library's name of what an event creates. It is not stored: it is the path of a class."""


class UnknownTopicError(LogInconsistentError):
    """Stop: the event is of another kind of aggregate, or of a later version of the program."""


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


_DECODERS = {topic: _decoder(event) for topic, event in _EVENTS.items()}


def domain_event(stream: UUID, version: int, topic: str, state: bytes) -> AggregateEvent:
    """The event that is stored. Raises `LogInconsistentError` for a body that this program can't have written."""
    if topic not in _DECODERS:
        raise UnknownTopicError(f"{topic} is no event of a case or suppression that this program knows")
    try:
        body = _DECODERS[topic](state)
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise LogInconsistentError(
            f"event {version} of aggregate {stream} ({topic}) can't be read: this version of the program did"
            " not write it"
        ) from exc
    fields = {name: getattr(body, name) for name in body.__struct_fields__}
    if topic in _CREATED:
        fields["originator_topic"] = _CREATED[topic]
    event: AggregateEvent = _EVENTS[topic](originator_id=stream, originator_version=version, **fields)
    return event


class CaseEvents(Mapper[Any]):
    """Converts between the library's events and stored ones, neither compressed nor encrypted."""

    def __init__(self) -> None:
        """It needs no transcoder."""

    def to_stored_event(self, domain_event: Any) -> StoredEvent:
        """The event as it is stored."""
        body = {name: value for name, value in vars(domain_event).items() if name not in _OF_STREAM}
        return StoredEvent(
            originator_id=domain_event.originator_id,
            originator_version=domain_event.originator_version,
            topic=domain_event.TOPIC,
            state=msgspec.json.encode(body, order="sorted"),
        )

    def to_domain_event(self, stored_event: StoredEvent) -> AggregateEvent:
        """The library's event: see `domain_event`."""
        id = stored_event.originator_id
        stream = id if isinstance(id, UUID) else UUID(id)
        return domain_event(stream, stored_event.originator_version, stored_event.topic, stored_event.state)
