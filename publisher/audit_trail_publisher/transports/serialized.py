"""One transport for the relays of a spool and of an outbox."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from audit_trail_publisher.messages import Message
from audit_trail_publisher.transports.transport import Delivery, Transport


class Serialized:
    """A transport that several threads may use: one sends, the others wait for it."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._lock = threading.Lock()
        self.max_events = transport.max_events
        self.max_bytes = transport.max_bytes

    def send(self, messages: Sequence[Message]) -> Delivery:
        """See `Transport.send`."""
        with self._lock:
            return self._transport.send(messages)

    def close(self) -> None:
        """See `Transport.close`."""
        with self._lock:
            self._transport.close()

    def forget(self) -> None:
        """See `Transport.forget`. A thread of the parent may have held the lock."""
        self._lock = threading.Lock()
        self._transport.forget()
