"""Marks: small numbers that stand for long texts, so that an index can hold beside its key what else is compared.

What has another mark is passed over within the index, without a look at its row. Different texts may have the same
mark, so the text itself is compared too, of the few rows that are left.
"""

from __future__ import annotations

from functools import lru_cache
from zlib import crc32

from domain.event import AuditEvent, Outcome
from projections.tables import Column, Kind

OUTCOME_CODES = {
    Outcome.SUCCESS: 0,
    Outcome.MINOR_FAILURE: 4,
    Outcome.SERIOUS_FAILURE: 8,
    Outcome.MAJOR_FAILURE: 12,
}
"""FHIR R4 AuditEvent.outcome."""

TYPE_MARK = Column("type_mark", Kind.SMALLINT)
SOURCE_MARK = Column("source_mark", Kind.SMALLINT)
RESOURCE_MARK = Column("resource_mark", Kind.SMALLINT)
ACTOR_MARK = Column("actor_mark", Kind.INTEGER)
OUTCOME = Column("outcome", Kind.SMALLINT)
OF_TIMELINES = (ACTOR_MARK, TYPE_MARK, SOURCE_MARK, OUTCOME, RESOURCE_MARK)
"""What a timeline carries of each event."""
NONE, SEVERAL = 0, 1
_MIXED = " "
"""No type of resources is called so."""
_WITHOUT = {"": NONE, _MIXED: SEVERAL}


@lru_cache(maxsize=16384)
def mark(text: str) -> int:
    """32 bits, signed."""
    return crc32(text.encode()) - 0x8000_0000


@lru_cache(maxsize=4096)
def short_mark(text: str) -> int:
    """16 bits, signed: for what has few values."""
    return mark(text) >> 16


def kind_marks(event: AuditEvent) -> tuple[int, int, int]:
    """The marks of type, service and resources; events that touch none, or several types, have a mark for that."""
    resources = event.resources
    if not resources:
        touched = ""
    elif len(resources) == 1:
        touched = resources[0].type
    else:
        types = {each.type for each in resources}
        touched = types.pop() if len(types) == 1 else _MIXED
    return _kind_marks(event.type, event.source.service, touched)


@lru_cache(maxsize=16384)
def _kind_marks(type: str, service: str, touched: str) -> tuple[int, int, int]:
    if touched in _WITHOUT:
        return short_mark(type), short_mark(service), _WITHOUT[touched]
    return short_mark(type), short_mark(service), short_mark(touched)


def timeline_marks(event: AuditEvent) -> tuple[int, int, int, int, int]:
    """The values of `OF_TIMELINES`. An actor without an id has the mark 0, which is not compared."""
    actor = event.actor.id
    type_mark, source_mark, resource_mark = kind_marks(event)
    return (
        0 if actor is None else mark(actor),
        type_mark,
        source_mark,
        OUTCOME_CODES[event.outcome],
        resource_mark,
    )
