"""What ingest has to be told. The composition root fills it from its own settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct, field

from domain.recording_gap import Decision
from ingest.records.unread import KEY_AND_HEADERS_BYTES, Limits
from interop.systems import OWN, Systems

_PREFIX = "AUDIT_TRAIL_KAFKA_OFFSET_LOSS_"


class IngestSettings(Struct, frozen=True, kw_only=True):
    """Where Kafka is, what to read there, and what to do when it has lost something."""

    bootstrap_servers: tuple[str, ...]
    topics: tuple[str, ...] = ("audit.events",)
    group_id: str = "audit-trail"
    group_instance_id: str | None = None
    """A name that outlives a restart (a pod's), so that a quick restart moves no partitions."""
    assignment: Literal["group", "static"] = "group"
    """`static`: this process reads all partitions itself. For one process, or a broker with slow group joins."""
    max_poll_records: int = 5000
    max_message_bytes: int = 1 << 20
    systems: Systems = OWN
    """Which namespaces of ids are the same."""
    max_batch_bytes: int = 64 << 20
    """What one compressed batch may expand to; a larger one becomes one dead letter."""
    max_poll_bytes: int = 32 << 20
    """Bytes of records in one transaction; a single larger record is taken alone."""
    max_letter_bytes: int = 2 << 20
    """A larger message is not kept whole in its dead letter."""
    max_fetch_bytes: int = 32 << 20
    """What one answer of a broker may hold; a single larger batch comes alone."""
    on_offset_loss: Literal["stop", "continue"] = "stop"
    """`continue` is an operator's decision: go on behind what is lost, with a `recording.gap` event for each loss."""
    offset_loss_accepted_by: str = ""
    offset_loss_reason: str = ""
    """Who decided that, and why. `continue` needs both."""
    create_topics: bool = False
    partitions: int = 4
    """Partitions of a topic that `create_topics` makes."""
    refresh_seconds: float = 5.0
    """How often to look for new partitions and for topics that were made again."""
    watch_seconds: float = 5.0
    """How often the watchdog compares what the broker says with what is read here."""
    stall_seconds: float = 30.0
    """How long partitions may stand still without a reason before the Kafka client is replaced."""
    publish_timeout_seconds: float = 30.0
    client: Mapping[str, Any] = field(default_factory=dict)
    """Options for every Kafka client: `security_protocol`, `ssl_*`, `sasl_*`."""

    def decision(self) -> Decision | None:
        """Who accepts losses in advance; None when nobody does.

        Raises `ConfigurationError` for `continue` without a name or a reason.
        """
        if self.on_offset_loss == "stop":
            return None
        settings = (f"{_PREFIX}ACCEPTED_BY", f"{_PREFIX}REASON")
        return Decision.of(self.offset_loss_accepted_by, self.offset_loss_reason, settings=settings)

    @property
    def limits(self) -> Limits:
        """What reading Kafka is bound by. A valid message is always kept whole, whatever a dead letter keeps."""
        whole = max(self.max_letter_bytes, self.max_message_bytes)
        return Limits(self.max_batch_bytes, whole + KEY_AND_HEADERS_BYTES, self.max_poll_bytes)

    def client_options(self) -> dict[str, Any]:
        """What consumer, producer and admin client have in common."""
        return {"bootstrap_servers": list(self.bootstrap_servers), "client_id": "audit-trail", **self.client}
