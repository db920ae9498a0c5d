"""Where an event stands in the log, for the formats that carry it to other systems."""

from __future__ import annotations

from typing import NamedTuple


class LeafFacts(NamedTuple):
    """What a receiver needs to notice a gap, and to ask the trail for a proof.

    `origin` names the log. `leaf_hash` is the RFC 6962 hash of the event's entry, 32 bytes. `previous_position` is the
    position of the event that the same follower sent before; None for its first. `tree_head_size` is the size of a
    signed tree that contains the event; None when no signed tree head is known.
    """

    origin: str
    position: int
    leaf_hash: bytes
    previous_position: int | None = None
    tree_head_size: int | None = None
