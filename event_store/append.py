"""The append: the only write to the log, all or nothing per batch.

Rows and digests are made first (`event_store.event_rows`). Then one transaction takes the log's row lock, moves the
offsets by compare-and-set, drops known event ids, assigns dense positions, copies the rows, extends the Merkle tree and
signs the new head. So every committed event is sealed, and positions have the order of the commits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from struct import Struct
from typing import NamedTuple
from uuid import UUID

from psycopg2 import errors

from domain.body import BodyFormat, is_same_content
from domain.errors import FencedError, LogInconsistentError
from event_store.binary_copy import UNIX_EPOCH_US, copy_in, to_us
from event_store.database import Connection, Cursor
from event_store.dead_letters import NewDeadLetter, insert_dead_letters
from event_store.entry import complete_entries
from event_store.event_rows import EncodedEvents, encode_events, identity_rows
from event_store.heads import insert_head, insert_keys
from event_store.merkle import Edge, Tile, leaf_hashes
from event_store.signing import HeadSigner
from event_store.statements import load

_SQL = load(__package__, "append.sql")
_HEADROOM = 1 << 20
"""Partitions must exist for this many positions beyond the batch: far more than one batch can contain."""


class NewEvent(NamedTuple):
    """An event to append. `body` is stored unchanged; `format` says how to read it."""

    event_id: UUID
    stream: UUID
    stream_position: int
    type: str
    occurred_at: datetime
    format: int
    body: bytes


class OffsetAdvance(NamedTuple):
    """Compare-and-set of a Kafka stream's offset: from `expected` to `next`, the first offset after this batch.

    `leader_epoch` and `batch_crc` belong to the Kafka batch that contains offset `next - 1`; -1 and None when unknown.
    They are stored with the offset, to prove later that Kafka still has the log that was read.
    """

    stream: UUID
    expected: int
    next: int
    leader_epoch: int = -1
    batch_crc: int | None = None


class Appended(NamedTuple):
    """The result of an append. Positions `first` to `size - 1` are new; `root` is the root hash at `size`."""

    first: int
    size: int
    root: bytes
    recorded_at: datetime
    accepted: int
    duplicates: int
    conflicts: int
    clock_behind: timedelta = timedelta()
    """By how much the database's clock was behind the last event: it was set back. Zero otherwise."""
    database_clock: datetime | None = None
    """The database's clock at the append, which `recorded_at` is not when the clock was set back."""


class _Known(NamedTuple):
    fresh: list[NewEvent]
    duplicates: int
    conflicts: list[NewEvent]


def append(
    connection: Connection,
    events: Sequence[NewEvent],
    signer: HeadSigner,
    *,
    offsets: Sequence[OffsetAdvance] = (),
    dead_letters: Sequence[NewDeadLetter] = (),
    conflict_letter: Callable[[NewEvent], NewDeadLetter] | None = None,
) -> Appended:
    """Append a batch inside the caller's transaction. When that commits, the batch is durable and visible.

    An event with a known id and the same content is dropped and counted. An event with a known id and other content
    becomes the dead letter that `conflict_letter` returns. A retry is safe: either the offsets fence the repeated
    batch, or all its events are duplicates. After the commit the caller wakes the projectors
    (`event_store.notification`).

    Raises `FencedError` when an offset has moved or an aggregate's version is taken (roll back, read again), and
    `LogInconsistentError` when the stored tree contradicts itself or no key of this log has signed it (stop).
    """
    encoded = encode_events(events)
    with connection.cursor() as cursor:
        size, root, edge, partitioned_until = _lock(cursor)
        recorded_at, behind, now = _clock(cursor, size)
        _continue_signed(cursor, signer, size, root, recorded_at)
        for advance in offsets:
            advance_offset(cursor, advance)
        known = _claim_ids(cursor, events, encoded.ids, size)
        letters = list(dead_letters)
        if known.conflicts:
            if conflict_letter is None:
                raise FencedError("an event with this id and other content exists")
            letters.extend(map(conflict_letter, known.conflicts))
        insert_dead_letters(cursor, letters)
        if known.fresh:
            if size + len(known.fresh) + _HEADROOM > partitioned_until:
                until = size + len(known.fresh) + _HEADROOM
                cursor.execute(_SQL["add_partitions"], {"until": until})
            if len(known.fresh) < len(events):
                encoded = encode_events(known.fresh)
            tiles = edge.extend(_insert_events(cursor, encoded, size, recorded_at))
            _insert_tiles(cursor, tiles)
            root = _seal(cursor, signer, edge, (size, root), recorded_at)
    return Appended(
        size,
        edge.size,
        root,
        recorded_at,
        len(known.fresh),
        known.duplicates,
        len(known.conflicts),
        behind,
        now,
    )


def _lock(cursor: Cursor) -> tuple[int, bytes, Edge, int]:
    """Take the lock that orders all appends. Raises `LogInconsistentError` when the tree contradicts itself."""
    cursor.execute(_SQL["lock"])
    row = cursor.fetchone()
    if row is None:
        raise LogInconsistentError("the log has no state row: restore it from a backup")
    size, root, packed, partitioned_until = row
    try:
        edge = Edge(size, bytes(packed))
    except ValueError as exc:
        raise LogInconsistentError(f"the tree's edge does not fit its size {size}: {exc}") from exc
    if edge.root() != bytes(root):
        raise LogInconsistentError(f"the tree's edge does not give its root hash at size {size}")
    return size, bytes(root), edge, partitioned_until


def _clock(cursor: Cursor, size: int) -> tuple[datetime, timedelta, datetime]:
    """The time of the next batch, later than that of the last; by how much the clock is behind; and the clock."""
    cursor.execute(_SQL["clock"], {"last": size - 1})
    [(recorded_at, behind, now)] = cursor.fetchall()
    return recorded_at, max(behind or timedelta(), timedelta()), now


def _continue_signed(
    cursor: Cursor, signer: HeadSigner, size: int, root: bytes, recorded_at: datetime
) -> None:
    """Refuse to extend an unsigned state. The first head of a log is that of the empty tree."""
    if signer.knows(size, root):
        return
    cursor.execute(_SQL["newest_note"])
    newest = cursor.fetchone()
    signer.check(size, root, None if newest is None else (newest[0], newest[1].encode()))
    added = insert_keys(cursor, signer.verifiers, size)
    if newest is None:
        insert_head(cursor, size, root, recorded_at, signer.sign(size, root))
    elif not added:  # the keys written just now may still be rolled back
        signer.remember(size, root)


def _seal(
    cursor: Cursor, signer: HeadSigner, edge: Edge, expected: tuple[int, bytes], recorded_at: datetime
) -> bytes:
    """Move the log's state from the locked tree to the new one, with its signed head. Returns the new root."""
    root = edge.root()
    size, locked_root = expected
    cursor.execute(
        _SQL["seal"],
        {
            "size": edge.size,
            "root": root,
            "edge": edge.pack(),
            "locked_size": size,
            "locked_root": locked_root,
        },
    )
    if cursor.rowcount != 1:
        raise LogInconsistentError(f"the log's state moved from size {size} while it was locked")
    try:
        insert_head(cursor, edge.size, root, recorded_at, signer.sign(edge.size, root))
    except errors.UniqueViolation as exc:
        raise LogInconsistentError(f"a signed head of size {edge.size} exists already") from exc
    return root


def advance_offset(cursor: Cursor, advance: OffsetAdvance) -> None:
    """Move the offset of a Kafka stream. Raises `FencedError` when the offset is not `expected`."""
    cursor.execute(_SQL["advance_offset"], advance._asdict())
    if cursor.rowcount != 1:
        raise FencedError(
            f"offset {advance.expected} of stream {advance.stream} was appended by another process"
        )


_COMPARED_BYTES = 8 << 20
"""The maximum of stored bodies in memory: thousands of small events can repeat the ids of events of 1 MiB each."""


def _claim_ids(cursor: Cursor, events: Sequence[NewEvent], ids: Sequence[bytes], size: int) -> _Known:
    """Insert the ids of the batch, except known ones.

    Known ids are rare, so the insert itself checks the unique index: one COPY instead of a query and a COPY. The keys
    are bytes: a UUID hashes like its integer, so a sender could choose thousands of ids with equal hashes.
    """
    firsts: dict[bytes, NewEvent] = {}
    repeated = [
        event
        for event_id, event in zip(ids, events, strict=True)
        if firsts.setdefault(event_id, event) is not event
    ]
    if not events:
        return _Known([], 0, [])
    cursor.execute("SAVEPOINT ids")
    try:
        _copy_ids(cursor, firsts, size)
        stored: dict[bytes, int] = {}
    except errors.UniqueViolation:
        cursor.execute("ROLLBACK TO SAVEPOINT ids")
        stored = _stored_sizes(cursor, [event.event_id for event in firsts.values()])
        _copy_ids(cursor, [event_id for event_id in firsts if event_id not in stored], size)
    cursor.execute("RELEASE SAVEPOINT ids")
    again = [event for event_id, event in firsts.items() if event_id in stored] + repeated
    if not again:
        return _Known(list(events), 0, [])
    conflicts = _conflicts(cursor, again, firsts, stored)
    fresh = [event for event_id, event in firsts.items() if event_id not in stored]
    return _Known(fresh, len(again) - len(conflicts), conflicts)


def _copy_ids(cursor: Cursor, ids: Iterable[bytes], size: int) -> None:
    copy_in(cursor, _SQL["copy_ids"], identity_rows(ids, size))


def _stored_sizes(cursor: Cursor, ids: list[UUID]) -> dict[bytes, int]:
    """The sizes of the stored bodies for the known ids."""
    cursor.execute(_SQL["stored_sizes"], {"event_ids": ids})
    sizes = {}
    for event_id, length in cursor.fetchall():
        if length is None:
            raise LogInconsistentError(f"event {event_id} is known, but its row is missing")
        sizes[event_id.bytes] = length
    return sizes


def _conflicts(
    cursor: Cursor, again: list[NewEvent], firsts: dict[bytes, NewEvent], stored: dict[bytes, int]
) -> list[NewEvent]:
    """The events in `again` whose content differs from the stored event, or from the earlier event in this batch."""
    conflicts = []
    with_stored: dict[bytes, list[NewEvent]] = {}
    for event in again:
        event_id = event.event_id.bytes
        if event_id in stored:
            with_stored.setdefault(event_id, []).append(event)
        elif not _same(event, firsts[event_id].format, firsts[event_id].body):
            conflicts.append(event)
    for piece in _pieces(stored):
        cursor.execute(_SQL["stored_bodies"], {"event_ids": [UUID(bytes=event_id) for event_id in piece]})
        for known_id, format, body in cursor:
            claimed = with_stored[known_id.bytes]
            conflicts += [event for event in claimed if not _same(event, format, bytes(body))]
    return conflicts


def _pieces(stored: dict[bytes, int]) -> Iterator[list[bytes]]:
    """The ids in pieces, each with at most `_COMPARED_BYTES` of stored bodies or one larger body."""
    piece: list[bytes] = []
    size = 0
    for event_id, length in stored.items():
        if piece and size + length > _COMPARED_BYTES:
            yield piece
            piece, size = [], 0
        piece.append(event_id)
        size += length
    if piece:
        yield piece


def _same(event: NewEvent, format: int, body: bytes) -> bool:
    """Whether an event was delivered before with this body. An aggregate's event is never delivered twice."""
    if BodyFormat.AGGREGATE in {event.format, format} and (event.format, event.body) != (format, body):
        return False
    return is_same_content((event.format, event.body), (format, body))


def _insert_events(cursor: Cursor, events: EncodedEvents, first: int, recorded_at: datetime) -> list[bytes]:
    """Copy the rows and return their leaf hashes."""
    recorded = to_us(recorded_at)
    hashes = leaf_hashes(complete_entries(first, recorded + UNIX_EPOCH_US, events.entries))
    try:
        if events.versions:
            copy_in(cursor, _SQL["copy_versions"], events.version_rows(first))
    except errors.UniqueViolation as exc:
        raise FencedError("another process wrote that version of the aggregate") from exc
    try:
        copy_in(cursor, _SQL["copy_events"], events.rows(first, recorded))
    except errors.UniqueViolation as exc:
        raise LogInconsistentError(
            f"position {first} or a later one is occupied, although the log ends there"
        ) from exc
    return hashes


_TILE_HEAD = Struct(">hihiqi").pack


def _insert_tiles(cursor: Cursor, tiles: list[Tile]) -> None:
    """Insert all tiles in one statement: after each one the thread may wait for the GIL while others decode."""
    if not tiles:
        return
    rows = [_TILE_HEAD(3, 2, level, 8, number, len(hashes)) + hashes for level, number, hashes in tiles]
    try:
        copy_in(cursor, _SQL["copy_tiles"], rows)
    except errors.UniqueViolation as exc:
        raise LogInconsistentError("a tile beyond the end of the log exists already") from exc
