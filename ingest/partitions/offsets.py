"""The operator's side of lost records: look at them, and accept exactly what was shown."""

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


class Selected(NamedTuple):
    """Which losses to accept: all, or those of a topic, or of one of its partitions."""

    topic: str | None = None
    partition: int | None = None

    def picks(self, move: Move) -> bool:
        """Whether a loss is among them."""
        gap = move.gap
        return self.topic in {None, gap.topic} and self.partition in {None, gap.partition}


class OffsetDesk:
    """Compares the store's offsets of all topics with Kafka, whether or not ingest runs. Use it with `with`."""

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
        """What Kafka has lost before it was read, or can't give, and nobody has accepted.

        Every unread batch is looked at, up to the first one of a partition that is damaged. That is a loss where it is
        the next one to be read; a damaged batch further on is none before ingest has read up to it.


        Raises `ConfigurationError` for a compacted topic, and `UnavailableError` while Kafka or the database is away.
        """
        topics, partitions = self._found()
        with self._database.transaction() as connection:
            return self._examined(connection, topics, partitions)

    def accept(self, shown: Sequence[Move], selected: Selected, acceptance: Acceptance) -> list[Move]:
        """Accept those of the losses `shown` that are `selected`, in one transaction; returns them.

        Raises `FencedError` when Kafka or the store has something else by now: nothing is accepted then. Raises
        `ConfigurationError` when nothing is selected, or a part of a topic that was made again.
        """
        wanted = _selected(shown, selected)
        topics, partitions = self._found()
        with self._database.transaction() as connection:
            if _selected(self._examined(connection, topics, partitions), selected) != wanted:
                raise FencedError(
                    "Kafka or the store has changed since the losses were shown, so nothing was accepted:"
                    " look at them again with `audit-trail offsets list`"
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
            lambda questions: self._topics.logs(topics, questions),
            doubted={},
            with_holes=partitions,
            with_damage=True,
        )


def _selected(moves: Sequence[Move], selected: Selected) -> list[Move]:
    wanted = [move for move in moves if selected.picks(move)]
    if not wanted:
        raise ConfigurationError("nothing is lost there: see `audit-trail offsets list`")
    left = {move.replaced_by for move in moves if move.replaced_by} & {
        move.replaced_by for move in moves if move not in wanted
    }
    if left & {move.replaced_by for move in wanted}:
        raise ConfigurationError("a topic that was made again is accepted as a whole: leave out --partition")
    return wanted
