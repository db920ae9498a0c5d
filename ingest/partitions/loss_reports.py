"""Report lost records in logs and metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import structlog

from event_store.database import Database
from event_store.gaps import Move
from event_store.streams import count_gaps
from ingest.metrics import IngestMetrics
from ingest.partitions.starting_offsets import Acceptance

log = structlog.get_logger(__name__)


def report_losses(moves: Sequence[Move], metrics: IngestMetrics) -> None:
    """Report losses that stop ingest."""
    offsets: Counter[tuple[str, int]] = Counter()
    for move in moves:
        log.error("offsets_lost", **_fields(move))
        offsets[move.gap.topic, move.gap.partition] += move.gap.count or 1
    for (topic, partition), number in offsets.items():
        metrics.offsets_lost(topic, partition, number)


def report_accepted(
    moves: Sequence[Move], accepted: Acceptance | None, database: Database, metrics: IngestMetrics
) -> None:
    """Report losses accepted in advance, and the number of losses accepted so far."""
    for move in moves:
        log.error(
            "recording_gap_accepted",
            **_fields(move),
            by=accepted and accepted.decision.by,
            reason=accepted and accepted.decision.reason,
        )
    with database.transaction(read_only=True) as connection:
        metrics.gaps(count_gaps(connection))


def _fields(move: Move) -> dict[str, object]:
    gap = move.gap
    return {
        "topic": gap.topic,
        "partition": gap.partition,
        "cause": gap.cause.value,
        "expected": move.expected,
        "first_lost_offset": gap.first_lost_offset,
        "last_lost_offset": gap.last_lost_offset,
        "continued_from": gap.continued_from,
    }
