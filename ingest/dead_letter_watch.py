"""Notices that more messages of one source become dead letters than usual, and puts that on record.

For each topic and source, the messages of the present hour are compared with those of the hours before. A source is
what a message says of itself; those that name none that can be read are compared with all messages of their topic.
Such an event is on record once for each topic, source and hour.

The past is in memory: after a restart a source is first judged by the number alone. Processes that read different
partitions judge what each of them reads.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain, islice

import msgspec
from msgspec import Struct

from domain.dead_letter_rise import UNKNOWN_SOURCE, DeadLetterRise, risen_event
from domain.event import Source
from domain.read_audit.truncation import identifier
from event_store.append import Appended
from event_store.database import Connection
from event_store.dead_letters import NewDeadLetter
from event_store.signing import HeadSigner
from event_store.trail_events import append_trail_events, unknown

FLOOR = 20
"""Dead letters of an hour that are reported at least; single faults of a source are in the list of dead letters."""
FACTOR = 5.0
"""How many times the usual share it must be."""
LEAST_SHARE = 0.01
"""A smaller share of a source's messages is not reported, however rare its dead letters were before."""
MAX_GROUPS = 500
"""Topics with sources that are remembered. A sender chooses the name; at the limit the oldest ones are forgotten."""
MAX_EVENTS = 50
"""Events of one hour, of all topics and sources: a sender could use a new name for every few messages."""
_KEPT = 1 - 1 / 168
"""What an hour keeps of its weight in the next one: the past is mostly that of the last week."""
_READ_BYTES = 1 << 16
_READ_LETTERS = 500
"""Dead letters of one batch whose source is read, and the bytes of each. Others count as of an unknown source."""

Key = tuple[str, str]
"""Topic and source."""
Received = Mapping[Key, int]


class _Service(Struct):
    service: str


class _Message(Struct):
    source: _Service | str
    """Native events have an object, CloudEvents a text."""


_decode = msgspec.json.Decoder(_Message).decode


class _Group:
    """The messages of the present hour, and the weighted sums of those before."""

    __slots__ = ("hour", "past_received", "past_rejected", "received", "rejected", "reported")

    def __init__(self, hour: datetime) -> None:
        self.hour = hour
        self.received = 0
        self.rejected: Counter[str] = Counter()
        self.reported = False
        self.past_received = 0.0
        self.past_rejected = 0.0

    def at(self, hour: datetime) -> None:
        """Begin another hour, if it is one."""
        hours = int((hour - self.hour).total_seconds() // 3600)
        if hours <= 0:
            return
        kept = _KEPT**hours
        self.past_received = (self.past_received + self.received) * kept
        self.past_rejected = (self.past_rejected + self.rejected.total()) * kept
        self.hour, self.received, self.reported = hour, 0, False
        self.rejected.clear()


class DeadLetterWatch:
    """The dead letters as one ingest process sees them. A batch without any costs no statement more."""

    def __init__(
        self, signer: HeadSigner, source: Source, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._signer = signer
        self._source = source
        self._clock = clock
        self._groups: OrderedDict[Key, _Group] = OrderedDict()
        self._events: tuple[datetime | None, int] = (None, 0)
        self._pending: tuple[datetime, Received, Mapping[Key, Counter[str]], list[Key]] | None = None

    def record(
        self, connection: Connection, appended: Appended, accepted: Received, letters: Sequence[NewDeadLetter]
    ) -> Appended:
        """Append what has risen, in the batch's transaction. Returns the result with these events."""
        hour = appended.recorded_at.replace(minute=0, second=0, microsecond=0)
        rejected = _by_source(letters)
        received = _received(accepted, rejected)
        left = MAX_EVENTS - (self._events[1] if self._events[0] == hour else 0)
        rises = dict(islice(self._rises(hour, received, rejected), left))
        self._pending = hour, received, rejected, list(rises)
        if not rises:
            return appended
        at = self._clock()
        events = unknown(connection, [risen_event(each, self._source, at) for each in rises.values()])
        return append_trail_events(connection, events, appended, self._signer) if events else appended

    def committed(self) -> None:
        """The transaction of the last `record` is durable: count its messages."""
        if self._pending is None:
            return
        hour, received, rejected, reported = self._pending
        self._pending = None
        for key, count in received.items():
            self._group(key, hour).received += count
        for key, reasons in rejected.items():
            self._group(key, hour).rejected += reasons
        for key in reported:
            self._groups[key].reported = True
        self._events = hour, len(reported) + (self._events[1] if self._events[0] == hour else 0)
        while len(self._groups) > MAX_GROUPS:
            self._groups.popitem(last=False)

    def _group(self, key: Key, hour: datetime) -> _Group:
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group(hour)
        self._groups.move_to_end(key)
        group.at(hour)
        return group

    def _rises(
        self, hour: datetime, received: Received, rejected: Mapping[Key, Counter[str]]
    ) -> Iterator[tuple[Key, DeadLetterRise]]:
        for key, reasons in rejected.items():
            group = self._groups.get(key) or _Group(hour)
            group.at(hour)
            every, messages = group.rejected + reasons, group.received + received[key]
            usual = group.past_rejected / group.past_received if group.past_received else 0.0
            # Of a source that is often rejected: halfway from what is usual to all of its messages.
            limit = min(max(FACTOR * usual, LEAST_SHARE), (1 + usual) / 2)
            if group.reported or every.total() < FLOOR or every.total() / messages <= limit:
                continue
            topic, source = key
            yield (
                key,
                DeadLetterRise(
                    topic=topic,
                    claimed_source=source,
                    hour=hour,
                    dead_letters=every.total(),
                    received=messages,
                    usual_share=round(usual, 6),
                    reasons=dict(every),
                ),
            )


def _by_source(letters: Iterable[NewDeadLetter]) -> dict[Key, Counter[str]]:
    found: dict[Key, Counter[str]] = {}
    for number, letter in enumerate(letters):
        source = _claimed(letter.value) if number < _READ_LETTERS else None
        found.setdefault((letter.topic, source or UNKNOWN_SOURCE), Counter())[letter.reason.value] += 1
    return found


def _received(accepted: Received, rejected: Mapping[Key, Counter[str]]) -> Counter[Key]:
    """The messages of each source, and of each topic for those whose source is unknown."""
    found: Counter[Key] = Counter()
    letters = {key: reasons.total() for key, reasons in rejected.items()}
    for (topic, source), count in chain(accepted.items(), letters.items()):
        found[topic, source] += count
        if source != UNKNOWN_SOURCE:
            found[topic, UNKNOWN_SOURCE] += count
    return found


def _claimed(value: bytes | None) -> str | None:
    """The source that a message names; None when it can't be read."""
    if value is None or len(value) > _READ_BYTES:
        return None
    try:
        source = _decode(value).source
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return None
    return identifier(source if isinstance(source, str) else source.service)
