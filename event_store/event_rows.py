"""The rows and leaf entries of new events, encoded as far as possible before the log's lock is taken.

Only the position and the time of recording become known under the lock. Everything else, above all the digest of each
body, is made before, so that several ingest processes work on it at the same time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from hashlib import sha256
from itertools import chain
from struct import Struct
from typing import NamedTuple
from uuid import UUID

from domain.body import BodyFormat
from event_store.binary_copy import to_us
from event_store.entry import entry_end

EventFields = tuple[UUID, UUID, int, str, datetime, int, bytes]
"""Event id, stream, stream position, type, time of the event, body format, body: the fields of a `NewEvent`."""

_AGGREGATE = int(
    BodyFormat.AGGREGATE
)  # looking up an enum member costs a call, and this runs for every event

# The columns are in the order of `copy_events`: those that many events share stand together.
_PLACE = Struct(">hiqiq").pack
_SHARED = Struct(">i16sihi").pack
_OWN = Struct(">iqiqi16si").pack
_IDENTITY_ROW = Struct(">hi16siq").pack
_VERSION_ROW = Struct(">hi16siqiq").pack


class EncodedEvents(NamedTuple):
    """A batch of encoded events. The lists have an item for each event, but for `versions`."""

    ids: list[bytes]
    entries: list[tuple[str, str]]
    """The event id in hex and the `entry_end` of each leaf entry."""
    fields: list[bytes]
    """Each row between the time of recording and the bytes of the body."""
    bodies: list[bytes]
    versions: list[tuple[int, bytes, int]]
    """For each event of an aggregate its index in the batch, its stream and its position there."""

    def rows(self, first: int, recorded: int) -> Iterator[bytes]:
        """The rows for `copy_events`, in pieces. `recorded` is in PostgreSQL's microseconds."""
        places = [_PLACE(9, 8, at, 8, recorded) for at in range(first, first + len(self.ids))]
        return chain.from_iterable(zip(places, self.fields, self.bodies, strict=True))

    def version_rows(self, first: int) -> list[bytes]:
        """The rows for `copy_versions`."""
        return [
            _VERSION_ROW(3, 16, stream, 8, version, 8, first + at) for at, stream, version in self.versions
        ]


def encode_events(events: Iterable[EventFields]) -> EncodedEvents:
    """Encode a batch. The bodies are not copied."""
    encoded = EncodedEvents([], [], [], [], [])
    ids, entries, fields, bodies, versions = encoded
    stream: UUID | None = None
    stream_hex, stream_bytes = "", b""
    shared: dict[tuple[str, int], bytes] = {}
    for event_id, of_stream, stream_position, type, occurred_at, format, body in events:
        if of_stream is not stream:  # the events of a stream mostly follow each other
            stream, stream_hex, stream_bytes = of_stream, of_stream.hex, of_stream.bytes
            shared = {}
        common = shared.get((type, format))
        if common is None:
            name = type.encode()
            common = shared[type, format] = _SHARED(16, stream_bytes, 2, format, len(name)) + name
        id_bytes = event_id.int.to_bytes(16, "big")
        ids.append(id_bytes)
        fields.append(common + _OWN(8, stream_position, 8, to_us(occurred_at), 16, id_bytes, len(body)))
        bodies.append(body)
        digest = sha256(body).hexdigest()
        entries.append((id_bytes.hex(), entry_end(stream_hex, stream_position, format, digest)))
        if format == _AGGREGATE:
            versions.append((len(ids) - 1, stream_bytes, stream_position))
    return encoded


def identity_rows(ids: Iterable[bytes], first: int) -> list[bytes]:
    """The rows for `copy_ids`, in the order of the index.

    Random ids in any other order would visit the pages of the index again and again: PostgreSQL needs half as much
    time again.
    """
    rows = [_IDENTITY_ROW(2, 16, event_id, 8, position) for position, event_id in enumerate(ids, first)]
    rows.sort()
    return rows
