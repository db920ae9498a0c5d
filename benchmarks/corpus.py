"""The events that are measured with: hours of the simulated clinic, one after the other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from audit_trail.demo.clinic import simulate
from domain.validation import encode_event

_HOUR_EVENTS = 10_000
_START = datetime(2026, 1, 1, tzinfo=UTC)


class Corpus(NamedTuple):
    """Native messages, and the Kafka key of each: who acted."""

    messages: list[bytes]
    keys: list[bytes]

    @property
    def size(self) -> int:
        """Bytes of JSON."""
        return sum(map(len, self.messages))


def make_corpus(events: int) -> Corpus:
    """`events` messages with different ids. The same number gives the same messages."""
    corpus = Corpus([], [])
    hour = 0
    while len(corpus.messages) < events:
        for event in simulate(hour, _START + timedelta(hours=hour), _HOUR_EVENTS):
            corpus.messages.append(encode_event(event))
            corpus.keys.append((event.actor.id or "").encode())
        hour += 1
    return Corpus(corpus.messages[:events], corpus.keys[:events])
