"""Verify one chunk of the log: read and hash its rows, and compare them with its tiles and columns.

A chunk has 65,536 positions, two levels of tiles. The rest of the tree needs only its Merkle root.
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
from event_store.verify.findings import Finding, Resets, restarted

CHUNK = TILE_WIDTH * TILE_WIDTH
_MAX_FINDINGS = 100
"""Findings that one chunk reports: a completely wrong chunk need not report each position."""

_SQL = load(__package__, "chunks.sql")
_HEAD = Struct(">hiqiqiqiqi16si16sihi")
_unpack = _HEAD.unpack_from
_LENGTH = 4
_UNKNOWN = b""
"""Stands for a missing stored leaf hash."""


class Head(NamedTuple):
    """A signed head to compare with. `source` says where it is stored; empty for the log's own heads.

    `signed_at` is in PostgreSQL's microseconds and equals the time of the batch.
    """

    size: int
    root: bytes
    note: bytes
    source: str = ""
    signed_at: int | None = None


class ChunkTask(NamedTuple):
    """The positions from `first` (a multiple of CHUNK) to `until`, exclusive, and the external heads that end in them.

    `resets` are the recorded restarts of stream offsets. From `signed_from` on, each batch has a head.
    """

    first: int
    until: int
    external: tuple[Head, ...] = ()
    resets: Resets = MappingProxyType({})
    signed_from: int = 0


class Roots(NamedTuple):
    """The root over the first leaves of the chunk: of the rows, and of the stored leaf hashes."""

    rows: bytes
    stored: bytes


class Result(NamedTuple):
    """The result for the rows of a chunk.

    `roots` has one entry for each of `heads`; `whole` is that of the whole chunk. `mismatches` are positions whose row
    does not match the stored leaf hash. `edge` is the remainder of the two lowest levels when the chunk is not full.
    `streams` maps a stream to its first and last stream position and the position of the last.
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
    """The fields of a body that index columns repeat."""

    event_id: str
    type: str
    occurred_at: Timestamp


_decode = msgspec.json.Decoder(_Columns).decode


class _Rows:
    """The sink of a COPY, which delivers one row at a time: constant memory, whatever the size of the bodies."""

    def __init__(self, task: ChunkTask, stored: list[bytes], heads: Sequence[Head]) -> None:
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
        self._record_roots()

    def write(self, data: bytes) -> None:
        """Process one row. The header of the format precedes the first row; the last piece is the trailer."""
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
            fields = _decode(body if format == BodyFormat.NATIVE else body[: body.index(b"\n")])
            if (
                fields.event_id.replace("-", "").lower() != id
                or fields.type.encode() != data[_HEAD.size : _HEAD.size + width]
                or to_us(fields.occurred_at) != occurred
            ):
                self._compare(position, read_event(format, body), id, data[_HEAD.size :][:width], occurred)
        except (ValueError, msgspec.MsgspecError, AuditTrailError):
            self._found(position, "its body is not an event")

    def finish(self) -> Result:
        """Complete the result after the last row."""
        self._skip(self._task.until)
        self._flush()
        self._change_stream(self._next, b"", 0)
        self.streams.pop(b"", None)
        altered = {*self.mismatches, *(position - 1 for position in self.mismatches)}
        self.findings += [each for each in self._batches[:_MAX_FINDINGS] if each.position not in altered]
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
        """Handle positions without rows. The stored hashes replace them, so that the rest can still be verified."""
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
        """Compare the pending leaves, move them into the tree, and record the root at each head that ends here."""
        start = self._edge.size
        end = start + len(self._pending)
        if self._pending != self._stored[start:end]:
            self._compare_leaves(start)
        self.tiles.extend(self._edge.extend(self._pending))
        self._pending = []
        if self._stored_edge is not None:
            self.stored_tiles += self._stored_edge.extend(self._stored[start:end])
        self._record_roots()

    def _compare_leaves(self, start: int) -> None:
        """Find the pending leaves that differ from the stored ones; missing stored ones are filled in."""
        for at, hash in enumerate(self._pending, start):
            if self._stored[at] == _UNKNOWN:
                self._stored[at] = hash
            elif self._stored[at] != hash:
                if self._stored_edge is None:
                    # So far the rows and the stored hashes were equal.
                    self._stored_edge = Edge(0)
                    self.stored_tiles = self._stored_edge.extend(self._stored[:start])
                if len(self.mismatches) < _MAX_FINDINGS:
                    self.mismatches.append(self._task.first + at)

    def _record_roots(self) -> None:
        """Record the current root for each head that ends here, and schedule the next flush."""
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
        """Start the next batch: where the previous one ended, there must be a head."""
        first = self._recorded < 0  # the chunk's first batch: the previous one is unknown
        if not first and self._task.signed_from <= position not in self._own_sizes:
            what = f"its batch ends here, and the signed head of size {position} is gone"
            self._batches.append(Finding(position - 1, what))
        if recorded < self._recorded:
            what = "the next event was recorded before it: recorded_at never runs backwards"
            self._batches.append(Finding(position - 1, what))
        self._recorded = recorded

    def _change_stream(self, position: int, stream: bytes, stream_position: int) -> None:
        """Start events of another stream, or report stream positions that do not grow."""
        if self._stream:
            self.streams[self._stream] = (self.streams[self._stream][0], self._last, position - 1)
        known = self.streams.get(stream)
        if known is None:
            self.streams[stream] = (stream_position, stream_position, position)
        elif stream_position <= known[1] and not restarted(self._task.resets, stream, known[2], position):
            self._found(
                position,
                f"its stream position {stream_position} does not follow {known[1]} in stream {stream.hex()}",
            )
        self._stream = stream

    def _compare(self, position: int, event: AuditEvent, id: str, type: bytes, occurred: int) -> None:
        """Compare each column with the event in the current schema version."""
        for name, actual, stored in (
            ("event_id", event.event_id.hex, id),
            ("type", event.type.encode(), type),
            ("occurred_at", to_us(event.occurred_at), occurred),
        ):
            if actual != stored:
                self._found(position, f"its column {name} differs from its body")

    def _found(self, position: int, what: str) -> None:
        if len(self.findings) < _MAX_FINDINGS:
            self.findings.append(Finding(position, what))


def check_chunk(database: Database, task: ChunkTask, keys: Sequence[VerifierKey]) -> Result:
    """Verify a chunk. Raises `UnavailableError` while the database is away."""
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


def _heads(connection: Connection, task: ChunkTask) -> list[Head]:
    """The heads that end in the chunk, smallest first; that of the empty tree belongs to the first chunk."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["heads"], {"first": task.first or -1, "until": task.until})
        own = [
            Head(size, bytes(root), note.encode(), "", to_us(at))
            for size, root, note, at in cursor.fetchall()
        ]
    return sorted([*own, *task.external], key=lambda head: head[:4])


def _stored_leaves(connection: Connection, task: ChunkTask) -> tuple[list[bytes], list[Finding]]:
    """The leaf hashes of the chunk in tiles and edge; unknown where a tile is missing."""
    first, until = task.first // TILE_WIDTH, -(-task.until // TILE_WIDTH)
    with connection.cursor() as cursor:
        cursor.execute(_SQL["leaf_tiles"], {"first": first, "until": until})
        rows = [(index, bytes(hashes)) for index, hashes in cursor.fetchall()]
    findings = [
        Finding(index * TILE_WIDTH, f"tile 0/{index} does not contain 256 hashes")
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
    """A partial tile from the log's edge, or from the tile that has become full since the size was read."""
    try:
        return StoredTree(connection).tile(0, index, width)
    except LogInconsistentError:
        return None


def _compare_upper_tile(connection: Connection, task: ChunkTask, rows: _Rows) -> list[Finding]:
    """Compare the level-1 tile of a full chunk. Level 0 was compared leaf by leaf."""
    # An altered row is one finding: the tile above may match either the rows or the stored leaves.
    fitting = [tile.hashes for tile in (*rows.tiles, *rows.stored_tiles) if tile.level == 1]
    return compare_tile(connection, 1, task.first // CHUNK, fitting) if fitting else []


def compare_tile(connection: Connection, level: int, index: int, fitting: Sequence[bytes]) -> list[Finding]:
    """The findings for a stored tile, which must equal one of `fitting`; the first one is computed from the rows."""
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
        return [Finding(position, f"tile {level}/{index} does not contain 256 hashes")]
    child = next(at for at in range(TILE_WIDTH) if _hash(stored, at) != _hash(fitting[0], at))
    return [
        Finding(
            position + child * TILE_WIDTH**level,
            f"hash {child} of tile {level}/{index} does not match the events below it",
        )
    ]


def _hash(tile: bytes, at: int) -> bytes:
    return tile[at * HASH_SIZE : (at + 1) * HASH_SIZE]


def _check_signature(head: Head, keys: Sequence[VerifierKey]) -> list[Finding]:
    try:
        signed, _ = open_head(head.note, keys)
    except ProofError as exc:
        return [Finding(None, f"the head of size {head.size}{head.source}: {exc}")]
    if (signed.size, signed.root) != (head.size, head.root):
        return [
            Finding(None, f"the head of size {head.size}{head.source} is stored with another size or root")
        ]
    return []
