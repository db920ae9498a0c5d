"""A topic of the trail's own Kafka. All records of a follower have one key, so one partition keeps their order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from domain.errors import RejectedError
from forwarding.bodies import BODIES
from forwarding.errors import RecordsRefusedError
from forwarding.records import Encoded, Record
from forwarding.settings import Kafka

Publish = Callable[[str, bytes, Sequence[bytes]], None]
"""Publishes values under one key to a topic, and returns when all in-sync replicas have them.

Raises `UnavailableError`, `ConfigurationError`, and `RejectedError` for a value that the broker never takes.
"""


class KafkaTopic:
    """A topic; `publish` is the composition root's."""

    pace_seconds = 0.0
    max_bytes = 512 << 10

    def __init__(self, settings: Kafka, follower: str, publish: Publish) -> None:
        self.where = f"kafka {settings.topic}"
        self._settings = settings
        self._key = follower.encode()
        self._publish = publish

    def encode(self, record: Record) -> Encoded:
        """The value of a message."""
        return Encoded(record.leaf.position, BODIES[self._settings.body](record))

    def send(self, records: Sequence[Encoded]) -> str:
        """Publish, and wait for the acknowledgement of all in-sync replicas."""
        try:
            self._publish(self._settings.topic, self._key, [each.data for each in records])
        except RejectedError as exc:
            raise RecordsRefusedError(f"{self.where} refuses the record: {exc.message}") from exc
        return "all in-sync replicas have it"

    def close(self) -> None:
        """Hold nothing: the publisher is shared."""
