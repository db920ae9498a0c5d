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


@lru_cache(maxsize=16384)
def mark(text: str) -> int:
    """32 bits, signed."""
    return crc32(text.encode()) - 0x8000_0000


@lru_cache(maxsize=4096)
def short_mark(text: str) -> int:
    """16 bits, signed: for what has few values."""
    return mark(text) >> 16


def resource_mark(event: AuditEvent) -> int:
    """The mark of the type of the resources that an event names; `NONE` or `SEVERAL` types have one of their own."""
    resources = event.resources
    if not resources:
        return NONE
    first = resources[0].type
    if len(resources) > 1 and any(each.type != first for each in resources):
        return SEVERAL
    return short_mark(first)


def marks_of(event: AuditEvent) -> tuple[int, int, int, int, int]:
    """The values of `OF_TIMELINES`. An actor without an id has the mark 0, which is not compared."""
    actor = event.actor.id
    return (
        0 if actor is None else mark(actor),
        short_mark(event.type),
        short_mark(event.source.service),
        OUTCOME_CODES[event.outcome],
        resource_mark(event),
    )
