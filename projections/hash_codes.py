"""Hash codes: small numbers that stand for long texts, so that an index can hold further conditions beside its key.

PostgreSQL skips an entry with another hash code within the index, without reading the row. Two texts may have the same
hash code, so the query also compares the text itself in the few rows that are left.

Columns that hold them are named ``*_mark``.
"""

from __future__ import annotations

from functools import lru_cache
from zlib import crc32

from domain.event import ActorKind, AuditEvent, Outcome
from projections.tables import Column, Kind

OUTCOME_CODES = {
    Outcome.SUCCESS: 0,
    Outcome.MINOR_FAILURE: 4,
    Outcome.SERIOUS_FAILURE: 8,
    Outcome.MAJOR_FAILURE: 12,
}
"""FHIR R4 AuditEvent.outcome."""
OUTCOMES = {code: outcome for outcome, code in OUTCOME_CODES.items()}

ACTOR_KIND_CODES = {
    ActorKind.USER: 0,
    ActorKind.PATIENT: 1,
    ActorKind.UNKNOWN: 2,
    ActorKind.SERVICE: 3,
    ActorKind.DEVICE: 4,
    ActorKind.ORGANIZATION: 5,
}

TYPE_HASH = Column("type_mark", Kind.SMALLINT)
SOURCE_HASH = Column("source_mark", Kind.SMALLINT)
RESOURCE_HASH = Column("resource_mark", Kind.SMALLINT)
ACTOR_HASH = Column("actor_mark", Kind.INTEGER)
OUTCOME = Column("outcome", Kind.SMALLINT)
OF_TIMELINES = (ACTOR_HASH, TYPE_HASH, SOURCE_HASH, OUTCOME, RESOURCE_HASH)
"""The hash codes that a timeline carries for each event."""
HOUR_NUMBER = Column("hour", Kind.INTEGER)
"""The hour of an event: hours since 1970. An index that ends in it is enough to count the events of each hour."""
NONE, SEVERAL = 0, 1
_MIXED = " "
"""No resource type has this name."""
_WITHOUT = {"": NONE, _MIXED: SEVERAL}


@lru_cache(maxsize=16384)
def hash_code(text: str) -> int:
    """The hash code of a text: 32 bits, signed."""
    return crc32(text.encode()) - 0x8000_0000


@lru_cache(maxsize=4096)
def short_hash_code(text: str) -> int:
    """A hash code of 16 bits, signed, for columns with few values."""
    return hash_code(text) >> 16


def kind_hash_codes(event: AuditEvent) -> tuple[int, int, int]:
    """The hash codes of type, service and resource type.

    An event without resources has `NONE` for the resource type, one with several types has `SEVERAL`.
    """
    resources = event.resources
    if not resources:
        touched = ""
    elif len(resources) == 1:
        touched = resources[0].type
    else:
        types = {each.type for each in resources}
        touched = types.pop() if len(types) == 1 else _MIXED
    return _kind_hash_codes(event.type, event.source.service, touched)


@lru_cache(maxsize=16384)
def _kind_hash_codes(type: str, service: str, touched: str) -> tuple[int, int, int]:
    if touched in _WITHOUT:
        return short_hash_code(type), short_hash_code(service), _WITHOUT[touched]
    return short_hash_code(type), short_hash_code(service), short_hash_code(touched)


def timeline_hash_codes(event: AuditEvent) -> tuple[int, int, int, int, int]:
    """The values of `OF_TIMELINES`. An actor without an id has the hash code 0, which queries do not compare."""
    actor = event.actor.id
    type_code, source_code, resource_code = kind_hash_codes(event)
    return (
        0 if actor is None else hash_code(actor),
        type_code,
        source_code,
        OUTCOME_CODES[event.outcome],
        resource_code,
    )
