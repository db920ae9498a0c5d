"""What a call promises when it returns."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from msgspec import Struct


class Promise(StrEnum):
    """When a call returns. Every promise is at-least-once with the event id of the call: once in the trail."""

    DURABLE = "durable"
    """When the event is on the disk of this machine (fsync). A thread sends it."""
    TRANSACTIONAL = "transactional"
    """When the event is in the caller's own transaction: it exists if and only if that commits."""
    CONFIRMED = "confirmed"
    """When the trail has sealed the event, with its position and the proof of it."""


class Receipt(Struct, frozen=True, kw_only=True):
    """What a call returns: the event is kept as `promise` says."""

    event_id: UUID
    promise: Promise


class Confirmation(Receipt, frozen=True, kw_only=True):
    """What a confirmed call returns: the event is sealed at `position`.

    `proof` is the proof file (C2SP tlog-proof) for `audit-trail verify` and other verifiers. The client has checked
    that the proof is that of the event's own bytes and leads to the root of the tree head in it; the head's signature
    is for a verifier with the log's key.
    """

    position: int
    recorded_at: datetime
    proof: bytes
