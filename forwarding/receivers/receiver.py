"""The interface of receivers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from forwarding.records import Encoded, Record


class Receiver(Protocol):
    """A receiver. Every method blocks, within the receiver's deadline."""

    @property
    def where(self) -> str:
        """Where it is, in a few words and without a secret: for logs, pages and messages."""

    @property
    def pace_seconds(self) -> float:
        """The least time between the starts of two requests that are not full; 0 for no pause."""

    @property
    def max_bytes(self) -> int:
        """How many bytes of records one request should have at most; a larger record goes alone."""

    def encode(self, record: Record) -> Encoded:
        """The record as it is sent. Raises `RecordsRefusedError` for one that this receiver can never take."""

    def send(self, records: Sequence[Encoded]) -> str:
        """Send the records, in order, and return when the receiver has confirmed all of them; says how, in a few words.

        Raises `UnavailableError` when they are not confirmed: some may have arrived, and all are sent again.
        `ThrottledError` says when. Raises `RecordsRefusedError` when the receiver would never take them, and
        `ReceiverRefusesError` when it refuses this client.
        """

    def close(self) -> None:
        """Give back what it holds."""
