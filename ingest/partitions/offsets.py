"""The operator's view of lost records: list them, and accept exactly the listed ones."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Self

from kafka import TopicPartition

from domain.errors import ConfigurationError, FencedError
from event_store.database import Connection, Database
from event_store.gaps import Move
from ingest.partitions.starting_offsets import Acceptance, accept, examine
from ingest.partitions.topics import Topic, Topics, refuse_compacted
from ingest.settings import IngestSettings


class LossSelection(NamedTuple):
    """The losses to accept: all, or those of a topic or of one of its partitions."""

    topic: str | None = None
    partition: int | None = None

    def includes(self, move: Move) -> bool:
        """Whether a loss is selected."""
        gap = move.gap
        return self.topic in {None, gap.topic} and self.partition in {None, gap.partition}


class OffsetDesk:
    """Compares the store's offsets of all topics with Kafka, whether or not ingest runs. A context manager."""

    def __init__(self, settings: IngestSettings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._topics = Topics(settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._topics.close()
        self._database.close()

    def losses(self) -> list[Move]:
        """The unaccepted losses: records that Kafka lost before they were read, or can't return.

        Every unread batch is examined, up to the first damaged one of each partition. That counts as a loss if it is
        the next one to read; a damaged batch further on does not count before ingest has reached it.

        Raises `ConfigurationError` for a compacted topic, and `UnavailableError` while Kafka or the database is away.
        """
        topics, partitions = self._found()
        with self._database.transaction() as connection:
            return self._examined(connection, topics, partitions)

    def accept(self, shown: Sequence[Move], selected: LossSelection, acceptance: Acceptance) -> list[Move]:
        """Accept the selected ones of the `shown` losses in one transaction. Returns them.

        Raises `FencedError` when Kafka or the store has changed since: then nothing is accepted. Raises
        `ConfigurationError` when nothing is selected, or only a part of a recreated topic.
        """
        wanted = _selected(shown, selected)
        topics, partitions = self._found()
        with self._database.transaction() as connection:
            if _selected(self._examined(connection, topics, partitions), selected) != wanted:
                raise FencedError(
                    "Kafka or the store has changed since the losses were shown, so nothing was accepted:"
                    " list them again with `audit-trail offsets list`"
                )
            accept(connection, topics, partitions, wanted, acceptance)
        return wanted

    def _found(self) -> tuple[Mapping[str, Topic], Collection[TopicPartition]]:
        topics = self._topics.describe(self._settings.topics)
        refuse_compacted(self._topics.configs(topics))
        return topics, [
            TopicPartition(name, number) for name, topic in topics.items() for number in topic.partitions
        ]

    def _examined(
        self,
        connection: Connection,
        topics: Mapping[str, Topic],
        partitions: Collection[TopicPartition],
    ) -> list[Move]:
        return examine(
            connection,
            topics,
            partitions,
            lambda queries: self._topics.logs(topics, queries),
            suspected={},
            with_holes=partitions,
            with_damage=True,
        )


def _selected(moves: Sequence[Move], selected: LossSelection) -> list[Move]:
    wanted = [move for move in moves if selected.includes(move)]
    if not wanted:
        raise ConfigurationError("nothing is lost there: see `audit-trail offsets list`")
    left = {move.replaced_by for move in moves if move.replaced_by} & {
        move.replaced_by for move in moves if move not in wanted
    }
    if left & {move.replaced_by for move in wanted}:
        raise ConfigurationError("a topic that was made again is accepted as a whole: leave out --partition")
    return wanted
