"""One record for a receiver: the event as the follower may see it, and its place in the log and in the sequence."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from domain.event import RecordedEvent
from interop.leaf import LeafFacts

Selection = Callable[[RecordedEvent], RecordedEvent | None]
"""The event as the follower may send it, without the parts that are hidden from it; None when it is not for it."""


class Record(NamedTuple):
    """A record. `follower` names the sequence that `leaf.previous_position` belongs to.

    `leaf.leaf_hash` covers the stored event, not the record. `redacted`: a part of the event is hidden here. `test`: it
    is no event of the log, and has the position -1. `requeued`: it was refused, and comes after later ones.
    """

    follower: str
    recorded: RecordedEvent
    leaf: LeafFacts
    redacted: bool = False
    test: bool = False
    requeued: bool = False


class Encoded(NamedTuple):
    """A record as its receiver gets it."""

    position: int
    data: bytes
    identity: bytes = b""
    """The same whenever the record is sent again, for receivers that need that: `data` may name a newer tree head."""
    recipients: tuple[str, ...] = ()
    """The addresses that a mail goes to."""
