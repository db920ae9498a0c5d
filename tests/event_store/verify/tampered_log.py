"""A log, and a superuser who changes it: with triggers silenced, and the tree recomputed to fit when that helps."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import psycopg2

from event_store.append import NewEvent, OffsetAdvance, append
from event_store.binary_copy import UNIX_EPOCH_US, to_us
from event_store.database import INGEST, READER, Database
from event_store.entry import encode_entry
from event_store.merkle import Edge, leaf_hash
from event_store.signing import HeadSigner
from event_store.streams import open_kafka_stream
from event_store.tlog.notes import VerifierKey
from event_store.verify.run import ExternalHead, Report, verify
from tests.event_store.new_events import event
from tests.signing import KEY, signer

TOPIC_ID = UUID("018f0000-0000-7000-8000-00000000000a")


class Log:
    """A log of one Kafka partition, and its attacker."""

    def __init__(self, url: str, sizes: Sequence[int]) -> None:
        self.url = url
        self.signer = signer()
        if sizes:
            self.add(*sizes)

    def add(self, *sizes: int) -> None:
        """A batch of each size."""
        with closing(Database(self.url, INGEST)) as database:
            for size in sizes:
                with database.transaction() as connection:
                    stream = open_kafka_stream(connection, "audit.events", TOPIC_ID, 0)
                    first = stream.next_offset
                    events = [event(stream.stream, first + n) for n in range(size)]
                    offsets = [OffsetAdvance(stream.stream, first, first + size)]
                    append(connection, events, self.signer, offsets=offsets)

    def add_aggregate(self) -> None:
        """One event of an aggregate."""
        with closing(Database(self.url, INGEST)) as database, database.transaction() as connection:
            new = event(uuid4(), 1)
            append(connection, [NewEvent(*new[:5], 100, b"{}")], self.signer)

    def attack(self, *statements: str, values: Sequence[Any] = ()) -> None:
        """As superuser, with no trigger in the way."""
        with closing(psycopg2.connect(self.url)) as connection, connection, connection.cursor() as cursor:
            cursor.execute("SET session_replication_role = replica")
            for statement in statements:
                cursor.execute(statement, tuple(values))

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """What a superuser reads."""
        with closing(psycopg2.connect(self.url)) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()

    def recompute(self, by: HeadSigner | None = None) -> None:
        """Make tiles and state fit the rows as they are now; with a key, the heads too."""
        leaves = [
            leaf_hash(
                encode_entry(
                    position, UUID(id).hex, to_us(at) + UNIX_EPOCH_US, UUID(stream).hex, stream_position, format,
                    sha256(body).hexdigest(),
                )
            )
            for position, id, at, stream, stream_position, format, body in self.rows(
                "SELECT position, event_id, recorded_at, stream, stream_position, format, body"
                " FROM audit_trail.event ORDER BY position"
            )
        ]  # fmt: skip
        edge = Edge(0)
        tiles = edge.extend(leaves)
        self.attack("DELETE FROM audit_trail.tile")
        for tile in tiles:
            self.attack("INSERT INTO audit_trail.tile VALUES (%s, %s, %s)", values=tile)
        self.attack(
            "UPDATE audit_trail.log_state SET size = %s, root = %s, edge = %s",
            values=(edge.size, edge.root(), edge.pack()),
        )
        if by is None:
            return
        sizes = [size for (size,) in self.rows("SELECT size FROM audit_trail.tree_head WHERE size > 0")]
        self.attack("DELETE FROM audit_trail.tree_head WHERE size > 0")
        for size in {*(size for size in sizes if size <= len(leaves)), len(leaves)}:
            part = Edge(0)
            part.extend(leaves[:size])
            note = by.sign(size, part.root()).encode().decode()
            self.attack(
                "INSERT INTO audit_trail.tree_head SELECT %s, %s, recorded_at, %s FROM audit_trail.event"
                " WHERE position = %s",
                values=(size, part.root(), note, size - 1),
            )

    def head(self) -> ExternalHead:
        """The newest head, as somebody outside keeps it."""
        ((note,),) = self.rows("SELECT note FROM audit_trail.tree_head ORDER BY size DESC LIMIT 1")
        return ExternalHead(note.encode(), "a drawer")

    def verify(
        self,
        *external: ExternalHead,
        since: int = 0,
        jobs: int = 1,
        keys: Sequence[VerifierKey] = (KEY.verifier,),
    ) -> Report:
        return verify(self.url, READER, keys, since=since, external=external, jobs=jobs)

    def findings(self, *external: ExternalHead, since: int = 0) -> list[str]:
        """What verification says, in order."""
        return [str(finding) for finding in self.verify(*external, since=since).findings]


def forged(size: int, root: bytes) -> ExternalHead:
    """A head that the log's key signed for another history."""
    return ExternalHead(signer().sign(size, root).encode(), "a drawer")
