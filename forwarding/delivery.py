"""The delivery of records to one receiver: in requests of bounded size, in order, each confirmed before the next."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from forwarding.errors import RecordsRefusedError
from forwarding.receivers.receiver import Receiver
from forwarding.records import Encoded, Record


class PoisonRecordError(Exception):
    """The receiver refuses the record at `position` for good. Every record before it is delivered."""

    def __init__(self, position: int, why: str) -> None:
        super().__init__(why)
        self.position = position


Confirmed = Callable[[Sequence[Encoded], str], None]
"""Called after each request with the records that the receiver has, and what it said."""
Pace = Callable[[], None]
"""Called before a request that is not full: waits where the receiver wants a pause. So a backlog is not delayed."""


def deliver(
    receiver: Receiver, records: Sequence[Record], most: int, confirmed: Confirmed, pace: Pace
) -> None:
    """Deliver the records, at most `most` in one request.

    Raises `PoisonRecordError`, and the errors of `Receiver.send`.
    """
    group: list[Encoded] = []
    size = 0
    for record in records:
        try:
            each = receiver.encode(record)
        except RecordsRefusedError as exc:
            if group:
                pace()
                _send(receiver, group, confirmed)
            raise PoisonRecordError(record.leaf.position, str(exc)) from exc
        if group and (len(group) >= most or size + len(each.data) > receiver.max_bytes):
            _send(receiver, group, confirmed)
            group, size = [], 0
        group.append(each)
        size += len(each.data)
    if group:
        if len(group) < most:
            pace()
        _send(receiver, group, confirmed)


def _send(receiver: Receiver, records: Sequence[Encoded], confirmed: Confirmed) -> None:
    """Send one group. A group that is refused is sent in halves, which finds the record at fault."""
    try:
        said = receiver.send(records)
    except RecordsRefusedError as exc:
        if len(records) == 1:
            raise PoisonRecordError(records[0].position, str(exc)) from exc
        middle = len(records) // 2
        _send(receiver, records[:middle], confirmed)
        _send(receiver, records[middle:], confirmed)
        return
    confirmed(records, said)
