"""One chunk of the log: its rows read again, hashed again, and compared with its tiles and columns.

A chunk is 65,536 positions, two levels of tiles. Its Merkle root says all that the rest of the tree needs to know.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from hashlib import sha256
from struct import Struct
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from domain.body import BodyFormat, read_event
from domain.errors import AuditTrailError, LogInconsistentError, ProofError
from domain.event import AuditEvent, Timestamp
from event_store.binary_copy import HEADER, UNIX_EPOCH_US, to_us
from event_store.database import Connection, Database
from event_store.entry import encode_entry
from event_store.merkle import HASH_SIZE, TILE_WIDTH, Edge, Tile, leaf_hash
from event_store.statements import load
from event_store.stored_tree import StoredTree
from event_store.tlog.notes import VerifierKey
from event_store.tlog.tree_heads import open_head
from event_store.verify.findings import Finding, Resets, began_anew

CHUNK = TILE_WIDTH * TILE_WIDTH
_MOST = 100
"""Findings that one chunk reports: a chunk that is wrong throughout need not say so 65,536 times."""

_SQL = load(__package__, "chunks.sql")
_HEAD = Struct(">hiqiqiqiqi16si16sihi")
_unpack = _HEAD.unpack_from
_LENGTH = 4
_UNKNOWN = b""
"""In the place of a stored leaf hash that is not there."""


class Head(NamedTuple):
    """A signed head to compare with. `source` says where it is kept; the log's own when it is empty.

    `signed_at` is in PostgreSQL's microseconds; the time of the batch's events.
    """

    size: int
    root: bytes
    note: bytes
    source: str = ""
    signed_at: int | None = None


class Task(NamedTuple):
    """The positions from `first` (a multiple of CHUNK) on, before `until`, and kept heads that end in them.

    `resets` say which streams' offsets are known to have begun anew. From `signed_from` on, each batch has a head.
    """

    first: int
    until: int
    kept: tuple[Head, ...] = ()
    resets: Resets = MappingProxyType({})
    signed_from: int = 0


class Roots(NamedTuple):
    """The root over the chunk's first leaves, up to some size: of the rows, and of the stored leaf hashes."""

    rows: bytes
    stored: bytes


class Result(NamedTuple):
    """What a chunk's rows say. `roots` has one entry for each of `heads`, `whole` is the chunk's own.

    `mismatches` are the positions whose row does not give the stored leaf hash. `edge` is what is left of the two
    lowest levels when the chunk is not full. `streams` maps a stream to its first and last stream position here.
    """

    first: int
    until: int
    heads: tuple[Head, ...]
    roots: tuple[Roots, ...]
    whole: Roots
    edge: tuple[bytes, bytes]
    mismatches: tuple[int, ...]
    findings: tuple[Finding, ...]
    streams: dict[bytes, tuple[int, int, int]]
    hashed: int


class _Columns(msgspec.Struct, gc=False):
    """What the index columns repeat of a body."""

    event_id: str
    type: str
    occurred_at: Timestamp


_decode = msgspec.json.Decoder(_Columns).decode


class _Rows:
    """The sink of a COPY, which hands it one row at a time: constant memory, whatever the size of the bodies."""

    def __init__(self, task: Task, stored: list[bytes], heads: Sequence[Head]) -> None:
        self._task = task
        self._stored = stored
        self._heads = heads
        self._next = task.first
        self._flush_at = task.first
        self._pending: list[bytes] = []
        self._own_sizes = {head.size for head in heads if not head.source}
        self._recorded = -1
        self._batches: list[Finding] = []
        self._stream = b""
        self._last = -1
        self._sizes = deque(head.size for head in heads)
        self._edge = Edge(0)
        self._stored_edge: Edge | None = None
        self.hashed = 0
        self.roots: list[Roots] = []
        self.tiles: list[Tile] = []
        self.stored_tiles: list[Tile] = []
        self.mismatches: list[int] = []
        self.findings: list[Finding] = []
        self.streams: dict[bytes, tuple[int, int, int]] = {}
        self._note_heads()

    def write(self, data: bytes) -> None:
        """One row; the first one has the format's header before it, and the last piece is its trailer."""
        data = data.removeprefix(HEADER)
        if len(data) < _HEAD.size:
            return
        (
            _, _, position, _, stream_position, _, recorded, _, occurred, _, stream, _, event_id, _, format, width,
        ) = _unpack(data)  # fmt: skip
        body = data[_HEAD.size + width + _LENGTH :]
        id = event_id.hex()
        if position != self._next:
            if position < self._next:
                self._found(position, "there is more than one event here")
                return
            self._skip(position)
        digest = sha256(body).hexdigest()
        entry = encode_entry(
            position, id, recorded + UNIX_EPOCH_US, stream.hex(), stream_position, format, digest
        )
        if recorded != self._recorded:
            self._change_batch(position, recorded)
        self._pending.append(leaf_hash(entry))
        self._next = position + 1
        if self._next == self._flush_at:
            self._flush()
        if stream != self._stream or stream_position <= self._last:
            self._change_stream(position, stream, stream_position)
        self._last = stream_position
        self.hashed += 1
        if format == BodyFormat.AGGREGATE:
            return
        try:
            said = _decode(body if format == BodyFormat.NATIVE else body[: body.index(b"\n")])
            if (
                said.event_id.replace("-", "").lower() != id
                or said.type.encode() != data[_HEAD.size : _HEAD.size + width]
                or to_us(said.occurred_at) != occurred
            ):
                self._compare(position, read_event(format, body), id, data[_HEAD.size :][:width], occurred)
        except (ValueError, msgspec.MsgspecError, AuditTrailError):
            self._found(position, "its body is no event")

    def finish(self) -> Result:
        """After the last row."""
        self._skip(self._task.until)
        self._flush()
        self._change_stream(self._next, b"", 0)
        self.streams.pop(b"", None)
        altered = {*self.mismatches, *(position - 1 for position in self.mismatches)}
        self.findings += [each for each in self._batches[:_MOST] if each.position not in altered]
        rows = self._edge
        stored = rows if self._stored_edge is None else self._stored_edge
        return Result(
            self._task.first,
            self._task.until,
            tuple(head._replace(note=b"") for head in self._heads),
            tuple(self.roots),
            Roots(rows.root(), stored.root()),
            (b"".join(rows.hashes(0)), b"".join(rows.hashes(1))),
            tuple(self.mismatches),
            tuple(self.findings),
            self.streams,
            self.hashed,
        )

    def _skip(self, position: int) -> None:
        """Positions that have no row. The stored hash stands in, so that what follows can still be judged."""
        if position > self._next:
            last = position - 1
            span = "its event is" if last == self._next else f"the events up to position {last} are"
            self._found(self._next, f"{span} missing")
        while self._next < position:
            self._pending.append(self._stored[self._next - self._task.first] or bytes(HASH_SIZE))
            self._next += 1
            if self._next == self._flush_at:
                self._flush()

    def _flush(self) -> None:
        """Compare the pending leaves, move them into the tree, and note the root at each head that ends here."""
        start = self._edge.size
        end = start + len(self._pending)
        if self._pending != self._stored[start:end]:
            self._compare_leaves(start)
        self.tiles.extend(self._edge.extend(self._pending))
        self._pending = []
        if self._stored_edge is not None:
            self.stored_tiles += self._stored_edge.extend(self._stored[start:end])
        self._note_heads()

    def _compare_leaves(self, start: int) -> None:
        """Some pending leaf is not what is stored for it, unless nothing is."""
        for at, hash in enumerate(self._pending, start):
            if self._stored[at] == _UNKNOWN:
                self._stored[at] = hash
            elif self._stored[at] != hash:
                if self._stored_edge is None:
                    # So far the rows and the stored hashes were the same.
                    self._stored_edge = Edge(0)
                    self.stored_tiles = self._stored_edge.extend(self._stored[:start])
                if len(self.mismatches) < _MOST:
                    self.mismatches.append(self._task.first + at)

    def _note_heads(self) -> None:
        """The root now, for each head that ends here; and where the next flush is due."""
        while self._sizes and self._sizes[0] == self._next:
            head = self._heads[len(self.roots)]
            if head.signed_at not in {None, self._recorded} and head.size > self._task.signed_from:
                what = f"the head of size {head.size} has another time than its batch"
                self._batches.append(Finding(head.size - 1, what))
            self._sizes.popleft()
            root = self._edge.root()
            self.roots.append(Roots(root, root if self._stored_edge is None else self._stored_edge.root()))
        tile_end = self._next - self._next % TILE_WIDTH + TILE_WIDTH
        self._flush_at = min(self._sizes[0], tile_end) if self._sizes else tile_end

    def _change_batch(self, position: int, recorded: int) -> None:
        """Another batch begins: where the one before ended, there is a head."""
        first = self._recorded < 0  # of this chunk, of which the batch before is not known
        if not first and self._task.signed_from <= position not in self._own_sizes:
            what = f"its batch ends here, and the signed head of size {position} is gone"
            self._batches.append(Finding(position - 1, what))
        self._recorded = recorded

    def _change_stream(self, position: int, stream: bytes, stream_position: int) -> None:
        """Events of another stream begin, or this one's stream positions do not grow."""
        if self._stream:
            self.streams[self._stream] = (self.streams[self._stream][0], self._last, position - 1)
        held = self.streams.get(stream)
        if held is None:
            self.streams[stream] = (stream_position, stream_position, position)
        elif stream_position <= held[1] and not began_anew(self._task.resets, stream, held[2], position):
            self._found(
                position,
                f"its stream position {stream_position} does not follow {held[1]} in stream {stream.hex()}",
            )
        self._stream = stream

    def _compare(self, position: int, event: AuditEvent, id: str, type: bytes, occurred: int) -> None:
        """Column by column, with the event in the words of the current schema."""
        for name, said, stored in (
            ("event_id", event.event_id.hex, id),
            ("type", event.type.encode(), type),
            ("occurred_at", to_us(event.occurred_at), occurred),
        ):
            if said != stored:
                self._found(position, f"its column {name} is not what its body says")

    def _found(self, position: int, what: str) -> None:
        if len(self.findings) < _MOST:
            self.findings.append(Finding(position, what))


def check_chunk(database: Database, task: Task, keys: Sequence[VerifierKey]) -> Result:
    """Read a chunk and compare. Raises `UnavailableError` while the database is away."""
    with database.transaction(read_only=True) as connection:
        stored, missing = _stored_leaves(connection, task)
        heads = _heads(connection, task)
        rows = _Rows(task, stored, heads)
        rows.findings.extend(missing)
        with connection.cursor() as cursor:
            # A COPY takes no parameters: the driver writes the values into it.
            cursor.copy_expert(cursor.mogrify(_SQL["rows"], {"first": task.first, "until": task.until}), rows)
        result = rows.finish()
        upper = _compare_upper_tile(connection, task, rows)
    signatures = [finding for head in heads for finding in _check_signature(head, keys)]
    return result._replace(findings=(*result.findings, *upper, *signatures))


def _heads(connection: Connection, task: Task) -> list[Head]:
    """The heads that end in the chunk, smallest first; that of the empty tree goes with the first chunk."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["heads"], {"first": task.first or -1, "until": task.until})
        own = [
            Head(size, bytes(root), note.encode(), "", to_us(at))
            for size, root, note, at in cursor.fetchall()
        ]
    return sorted([*own, *task.kept], key=lambda head: head[:4])


def _stored_leaves(connection: Connection, task: Task) -> tuple[list[bytes], list[Finding]]:
    """The leaf hashes of the chunk as tiles and edge have them; unknown where a tile is missing."""
    first, until = task.first // TILE_WIDTH, -(-task.until // TILE_WIDTH)
    with connection.cursor() as cursor:
        cursor.execute(_SQL["leaf_tiles"], {"first": first, "until": until})
        rows = [(index, bytes(hashes)) for index, hashes in cursor.fetchall()]
    findings = [
        Finding(index * TILE_WIDTH, f"tile 0/{index} does not hold 256 hashes")
        for index, hashes in rows
        if len(hashes) != TILE_WIDTH * HASH_SIZE
    ]
    damaged = {finding.position for finding in findings}
    tiles = dict(rows)
    leaves: list[bytes] = []
    for index in range(first, until):
        width = min(task.until - index * TILE_WIDTH, TILE_WIDTH)
        if index * TILE_WIDTH in damaged:
            leaves.extend([_UNKNOWN] * width)
            continue
        hashes = tiles.get(index)
        if hashes is None and width < TILE_WIDTH:
            hashes = _partial_tile(connection, index, width)
        if hashes is None:
            findings.append(Finding(index * TILE_WIDTH, f"tile 0/{index} is missing"))
            leaves.extend([_UNKNOWN] * width)
            continue
        leaves.extend(hashes[at * HASH_SIZE : (at + 1) * HASH_SIZE] for at in range(width))
    return leaves, findings


def _partial_tile(connection: Connection, index: int, width: int) -> bytes | None:
    """From the log's edge, or from the full tile that it has become since the size was read."""
    try:
        return StoredTree(connection).tile(0, index, width)
    except LogInconsistentError:
        return None


def _compare_upper_tile(connection: Connection, task: Task, rows: _Rows) -> list[Finding]:
    """The level-1 tile of a full chunk. Level 0 was compared leaf by leaf."""
    # An altered row is one finding: the tile above it may be that of the rows or that of the stored leaves.
    fitting = [tile.hashes for tile in (*rows.tiles, *rows.stored_tiles) if tile.level == 1]
    return compare_tile(connection, 1, task.first // CHUNK, fitting) if fitting else []


def compare_tile(connection: Connection, level: int, index: int, fitting: Sequence[bytes]) -> list[Finding]:
    """What is wrong with a stored tile, which has to be one of `fitting`; the first one is what the rows give."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["tile"], {"height": level, "at": index})
        row = cursor.fetchone()
    position = index * TILE_WIDTH ** (level + 1)
    if row is None:
        return [Finding(position, f"tile {level}/{index} is missing")]
    stored = bytes(row[0])
    if stored in fitting:
        return []
    if len(stored) != TILE_WIDTH * HASH_SIZE:
        return [Finding(position, f"tile {level}/{index} does not hold 256 hashes")]
    child = next(at for at in range(TILE_WIDTH) if _hash(stored, at) != _hash(fitting[0], at))
    return [
        Finding(
            position + child * TILE_WIDTH**level,
            f"hash {child} of tile {level}/{index} is not that of the events below it",
        )
    ]


def _hash(tile: bytes, at: int) -> bytes:
    return tile[at * HASH_SIZE : (at + 1) * HASH_SIZE]


def _check_signature(head: Head, keys: Sequence[VerifierKey]) -> list[Finding]:
    try:
        said, _ = open_head(head.note, keys)
    except ProofError as exc:
        return [Finding(None, f"the head of size {head.size}{head.source}: {exc}")]
    if (said.size, said.root) != (head.size, head.root):
        return [
            Finding(None, f"the head of size {head.size}{head.source} is stored beside another size or root")
        ]
    return []
